// Sorting of rows by arrival without moving them: keys and references are sorted, then every column is gathered once.
#pragma once
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <vector>

#include "columns.hpp"

namespace midstream {

// Times as unsigned keys in the same order: no difference of two of them can overflow, int64's lowest value included.
inline uint64_t key_of(int64_t time_ns) { return static_cast<uint64_t>(time_ns) ^ (uint64_t{1} << 63); }
inline int64_t time_of(uint64_t key) { return static_cast<int64_t>(key ^ (uint64_t{1} << 63)); }

// One row: its arrival, and where it lies (number of a store in the upper half, position in the lower one).
struct Entry {
    uint64_t key;
    uint64_t ref;
};
inline uint64_t ref_of(size_t store, size_t position) { return (uint64_t{store} << 32) | position; }
inline size_t store_of(uint64_t ref) { return ref >> 32; }
inline size_t position_of(uint64_t ref) { return ref & 0xffffffffu; }

// Sorts entries by key, stably. Keeps its scratch memory between calls.
class Sorter {
  public:
    void sort(Entry* entries, size_t count) {
        if (count < INSERTION_MAX) {
            insert(entries, count, count * count);
            return;
        }
        uint64_t lowest = entries[0].key, highest = entries[0].key;
        bool sorted = true;
        for (size_t i = 1; i < count; ++i) {
            sorted &= entries[i - 1].key <= entries[i].key;
            lowest = std::min(lowest, entries[i].key);
            highest = std::max(highest, entries[i].key);
        }
        if (sorted) return;
        const int span_bits = 64 - __builtin_clzll((highest - lowest) | 1);
        // Two passes over the upper bits leave almost nothing to do when times are spread at all evenly; what is left is
        // done by insertion. Times that crowd into a small part of the span exceed its budget and get every pass.
        const int skipped_bits = std::max(0, span_bits - 2 * DIGIT_BITS);
        passes(entries, count, lowest, skipped_bits, span_bits);
        if (skipped_bits > 0 && !insert(entries, count, 4 * count)) passes(entries, count, lowest, 0, span_bits);
    }

    void shrink() { std::vector<Entry>().swap(scratch_); }

  private:
    static constexpr int DIGIT_BITS = 11;
    static constexpr size_t INSERTION_MAX = 40;

    // Returns false, with equal keys still in their order, when it would take more than `budget` moves.
    static bool insert(Entry* entries, size_t count, size_t budget) {
        for (size_t i = 1; i < count; ++i) {
            const Entry entry = entries[i];
            size_t at = i;
            while (at > 0 && entries[at - 1].key > entry.key) {
                entries[at] = entries[at - 1];
                --at;
            }
            entries[at] = entry;
            if (i - at > budget) return false;
            budget -= i - at;
        }
        return true;
    }

    // Least significant digit first over the bits from `low_bit` to `high_bit` of (key - lowest).
    void passes(Entry* entries, size_t count, uint64_t lowest, int low_bit, int high_bit) {
        if (scratch_.size() < count) scratch_.resize(count);
        const int bits = high_bit - low_bit;
        const int pass_count = (bits + DIGIT_BITS - 1) / DIGIT_BITS;
        const int digit_bits = (bits + pass_count - 1) / pass_count;
        const uint64_t mask = (uint64_t{1} << digit_bits) - 1;
        Entry* from = entries;
        Entry* to = scratch_.data();
        for (int pass = 0; pass < pass_count; ++pass) {
            const int shift = low_bit + pass * digit_bits;
            std::array<uint32_t, size_t{1} << DIGIT_BITS> offsets;
            std::memset(offsets.data(), 0, (mask + 1) * sizeof(uint32_t));
            for (size_t i = 0; i < count; ++i) ++offsets[((from[i].key - lowest) >> shift) & mask];
            uint32_t sum = 0;
            for (size_t digit = 0; digit <= mask; ++digit) {
                const uint32_t size = offsets[digit];
                offsets[digit] = sum;
                sum += size;
            }
            for (size_t i = 0; i < count; ++i) to[offsets[((from[i].key - lowest) >> shift) & mask]++] = from[i];
            std::swap(from, to);
        }
        if (from != entries) std::memcpy(entries, from, count * sizeof(Entry));
    }

    std::vector<Entry> scratch_;
};

// What decides between rows of equal arrival.
struct Place {
    uint32_t rank;
    uint64_t row;
    bool operator<(const Place& other) const { return rank != other.rank ? rank < other.rank : row < other.row; }
};

// Puts entries of equal arrival into the order (rank, row), stably; `place_of(ref)` gives the Place of a row.
template <class PlaceOf>
void order_ties(Entry* entries, size_t count, PlaceOf place_of) {
    const auto before = [&](const Entry& left, const Entry& right) { return place_of(left.ref) < place_of(right.ref); };
    for (size_t start = 0; start < count;) {
        size_t stop = start + 1;
        while (stop < count && entries[stop].key == entries[start].key) ++stop;
        if (stop - start > 1 && !std::is_sorted(entries + start, entries + stop, before)) {
            std::stable_sort(entries + start, entries + stop, before);
        }
        start = stop;
    }
}

// Where the columns of one store begin.
struct Columns {
    const int64_t *arrival, *event;
    const double *bid_price, *bid_amount, *ask_price, *ask_amount;
    const uint32_t *ticker, *rank;
    const uint64_t* row;
    const int32_t* rejection;

    explicit Columns(const Rows& rows)
        : arrival(rows.arrival.data()), event(rows.event.data()), bid_price(rows.bid_price.data()),
          bid_amount(rows.bid_amount.data()), ask_price(rows.ask_price.data()), ask_amount(rows.ask_amount.data()),
          ticker(rows.ticker.data()), rank(rows.rank.data()), row(rows.row.data()), rejection(rows.rejection.data()) {}
};

// Calls `each(column of Rows, column of Columns)` for all ten.
template <class Each>
void for_each_column(Rows& rows, Each each) {
    each(rows.arrival, &Columns::arrival);
    each(rows.event, &Columns::event);
    each(rows.bid_price, &Columns::bid_price);
    each(rows.bid_amount, &Columns::bid_amount);
    each(rows.ask_price, &Columns::ask_price);
    each(rows.ask_amount, &Columns::ask_amount);
    each(rows.ticker, &Columns::ticker);
    each(rows.rank, &Columns::rank);
    each(rows.row, &Columns::row);
    each(rows.rejection, &Columns::rejection);
}

// Writes rows to `into` from `at` on, apart from the text of rejections: their `rejection` still points into their old store.
inline void gather(Rows& into, size_t at, const Entry* entries, size_t count, const Columns* stores) {
    for_each_column(into, [&](auto& into_column, auto column) {
        auto* const out = into_column.data() + at;
        for (size_t i = 0; i < count; ++i) out[i] = (stores[store_of(entries[i].ref)].*column)[position_of(entries[i].ref)];
    });
}

// The same for those of the rows that `picks` names.
inline void gather_some(Rows& into, size_t at, const Entry* entries, const uint32_t* picks, size_t count, const Columns* stores) {
    for_each_column(into, [&](auto& into_column, auto column) {
        auto* const out = into_column.data() + at;
        for (size_t pick = 0; pick < count; ++pick) {
            const size_t i = picks[pick];
            out[i] = (stores[store_of(entries[i].ref)].*column)[position_of(entries[i].ref)];
        }
    });
}

// Appends the rows of `rows` to `into` in total order.
inline void sort_rows(const Rows& rows, Rows& into) {
    std::vector<Entry> entries(rows.size());
    for (size_t i = 0; i < entries.size(); ++i) entries[i] = {key_of(rows.arrival[i]), ref_of(0, i)};
    Sorter sorter;
    sorter.sort(entries.data(), entries.size());
    order_ties(entries.data(), entries.size(), [&](uint64_t ref) { return Place{rows.rank[ref], rows.row[ref]}; });
    const Columns columns(rows);
    const size_t start = into.size();
    into.resize(start + entries.size());
    gather(into, start, entries.data(), entries.size(), &columns);
    for (size_t i = start; i < into.size(); ++i) {
        if (into.rejection[i] < 0) continue;
        into.rejected.push_back(rows.rejected[into.rejection[i]]);
        into.rejection[i] = static_cast<int32_t>(into.rejected.size() - 1);
    }
}

}  // namespace midstream
