// The index of a partition's logs: an entry of fixed length per record, which says where its line belongs among those of all partitions.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>

#include "chosen_ticks.hpp"
#include "text_format.hpp"
#include "tick_batch.hpp"

namespace midstream {

// Numbers lie in the file as in memory, which is little-endian wherever this compiles (wire.hpp sees to it).
struct IndexEntry {
    uint64_t time;   // of arrival; of a marker its time; a sequence where numbers go on with that
    uint64_t place;  // tie order, its row two bits higher, with what the entry is in these; of a marker its kind in place of the tie order
};
constexpr size_t INDEX_ENTRY_BYTES = 16;
static_assert(sizeof(IndexEntry) == INDEX_ENTRY_BYTES);

constexpr uint64_t LINE_IN_MIDS = 0, LINE_IN_ERRORS = 1, WITHOUT_LINE = 2, GOES_ON_WITH = 3;

class OrderIndex {
  public:
    // Call for each batch before its records, so that none of them is taken when one does not fit.
    static void check(const TickBatch& batch) {
        uint64_t all = 0;
        for (const uint64_t tie_order : batch.tie_order) all |= tie_order;
        for (const RejectionRecord& rejection : batch.rejections) all |= rejection.tie_order;
        if (all & BEYOND) {
            throw std::invalid_argument("a row from 2^" + std::to_string(ROW_BITS) + " on has no place in the index of a partition's logs");
        }
    }

    // Ticks begin..end, of which `chosen` knows which have no line among the mids.
    template <class SequenceOf>
    void put_ticks(TextBuffer& text, const TickBatch& batch, size_t begin, size_t end, const ChosenTicks& chosen, const SequenceOf& sequence_of) {
        size_t next = 0;
        while (begin < end) {
            size_t stop = end;
            if (batch.filtered) {
                for (stop = begin + 1; stop < end && sequence_of(stop) == sequence_of(stop - 1) + 1;) ++stop;
            }
            go_on_with(text, sequence_of(begin), stop - begin);
            char* const at = text.room((stop - begin) * INDEX_ENTRY_BYTES);
            put_run(at, batch, begin, stop);
            for (; next < chosen.others.size() && chosen.others[next] < stop; ++next) {
                at[(chosen.others[next] - begin) * INDEX_ENTRY_BYTES + offsetof(IndexEntry, place)] |= LINE_IN_ERRORS;
            }
            text.wrote(at + (stop - begin) * INDEX_ENTRY_BYTES);
            begin = stop;
        }
    }

    void put_rejection(TextBuffer& text, uint64_t sequence, const RejectionRecord& rejection) {
        go_on_with(text, sequence, 1);
        put(text, {static_cast<uint64_t>(rejection.arrival), placed(rejection.tie_order) | LINE_IN_ERRORS});
    }

    void put_marker(TextBuffer& text, uint64_t sequence, const MarkerRecord& marker) {
        go_on_with(text, sequence, 1);
        put(text, {static_cast<uint64_t>(marker.time), static_cast<uint64_t>(marker.kind) << WHAT_BITS | WITHOUT_LINE});
    }

  private:
    static constexpr int WHAT_BITS = RANK_SHIFT - ROW_BITS;
    static constexpr uint64_t ROWS = (uint64_t{1} << RANK_SHIFT) - 1, BEYOND = ROWS & ~(ROWS_OF_TIES - 1);

    static uint64_t placed(uint64_t tie_order) { return (tie_order & ~ROWS) | (tie_order << WHAT_BITS & ROWS); }

    static void put_run(char* at, const TickBatch& batch, size_t begin, size_t end) {
        const bool tied = !batch.tie_order.empty();
        for (size_t row = begin; row < end; ++row) {
            const IndexEntry entry{static_cast<uint64_t>(batch.arrival[row]), tied ? placed(batch.tie_order[row]) : 0};
            std::memcpy(at, &entry, INDEX_ENTRY_BYTES);
            at += INDEX_ENTRY_BYTES;
        }
    }

    static void put(TextBuffer& text, const IndexEntry& entry) {
        char* const at = text.room(INDEX_ENTRY_BYTES);
        std::memcpy(at, &entry, INDEX_ENTRY_BYTES);
        text.wrote(at + INDEX_ENTRY_BYTES);
    }

    // Records follow each other in number; an entry of its own says where they do not, and what the first one has.
    void go_on_with(TextBuffer& text, uint64_t sequence, uint64_t records) {
        if (sequence != next_ || next_ == 0) put(text, {sequence, GOES_ON_WITH});
        next_ = sequence + records;
    }

    uint64_t next_ = 0;
};

}  // namespace midstream
