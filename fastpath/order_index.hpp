// The index of a partition's logs: an entry of fixed length per record, which says where its line belongs among those of all partitions.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "chosen_ticks.hpp"
#include "text_format.hpp"
#include "tick_batch.hpp"

namespace midstream {

// Numbers lie in the file as in memory, which is little-endian wherever this compiles (wire.hpp sees to it).
struct IndexEntry {
    uint64_t sequence;
    int64_t arrival;
    uint64_t tie_order;  // of a marker its kind
    uint64_t kind;
};
constexpr size_t INDEX_ENTRY_BYTES = 32;
static_assert(sizeof(IndexEntry) == INDEX_ENTRY_BYTES);

constexpr uint64_t LINE_IN_MIDS = 0, LINE_IN_ERRORS = 1, WITHOUT_LINE = 2;

inline void put_index_entry(TextBuffer& index, const IndexEntry& entry) {
    char* const at = index.room(INDEX_ENTRY_BYTES);
    std::memcpy(at, &entry, INDEX_ENTRY_BYTES);
    index.wrote(at + INDEX_ENTRY_BYTES);
}

// Ticks begin..end, of which `chosen` knows whose lines are in which log.
template <class SequenceOf>
void put_index(TextBuffer& index, const TickBatch& batch, size_t begin, size_t end, const ChosenTicks& chosen, const SequenceOf& sequence_of) {
    char* at = index.room((end - begin) * INDEX_ENTRY_BYTES);
    const bool tied = !batch.tie_order.empty();
    size_t next = 0;
    for (size_t row = begin; row < end; ++row) {
        const bool has_mid = next < chosen.rows.size() && chosen.rows[next] == row;
        next += has_mid;
        const IndexEntry entry{sequence_of(row), batch.arrival[row], tied ? batch.tie_order[row] : 0, has_mid ? LINE_IN_MIDS : LINE_IN_ERRORS};
        std::memcpy(at, &entry, INDEX_ENTRY_BYTES);
        at += INDEX_ENTRY_BYTES;
    }
    index.wrote(at);
}

}  // namespace midstream
