// Sorting of rows by arrival without moving them: references are sorted, then every row is moved once.
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

// Where a row lies: number of a store in the upper half, position in the lower one.
inline uint64_t ref_of(size_t store, size_t position) { return (uint64_t{store} << 32) | position; }
inline size_t store_of(uint64_t ref) { return ref >> 32; }
inline size_t position_of(uint64_t ref) { return ref & 0xffffffffu; }

// A row's arrival, and where it lies.
struct Entry {
    uint64_t key;
    uint64_t ref;
};

// Sorts references by their keys, stably. Keeps its scratch memory between calls.
//
// What is moved are words of eight bytes: the key's distance from the lowest one in the upper bits, the place in the input in the
// lower ones. No two words are equal, so that any way to sort them is stable.
class Sorter {
  public:
    // `out` gets the `count` references in the order of their keys, all of which lie within `lowest` and `highest`.
    void sort(const uint64_t* keys, const uint64_t* refs, size_t count, uint64_t lowest, uint64_t highest, uint64_t* out) {
        if (count == 0) return;
        place_bits_ = bits_of(count - 1);
        const int span_bits = bits_of(highest - lowest);
        // Times that are spread over months, or that many at once: the keys' low bits do not fit.
        const int lost_bits = std::max(0, span_bits + place_bits_ - 64);
        if (std::is_sorted(keys, keys + count)) {
            std::copy(refs, refs + count, out);
            return;
        }
        words_.resize(count);
        scratch_.resize(count);
        // Copies of members, which nothing that is written can be: the compiler then makes vector instructions of the loop.
        uint64_t* const words = words_.data();
        const int place_bits = place_bits_;
        for (size_t i = 0; i < count; ++i) words[i] = (keys[i] - lowest) >> lost_bits << place_bits | i;
        sort_words(count, span_bits - lost_bits);
        const uint64_t place = (uint64_t{1} << place_bits_) - 1;
        if (lost_bits > 0) {
            order_equal(count, [&](uint64_t left, uint64_t right) {
                return keys[left & place] != keys[right & place] ? keys[left & place] < keys[right & place] : left < right;
            });
        }
        const uint64_t* const in_order = words_.data();
        for (size_t i = 0; i < count; ++i) out[i] = refs[in_order[i] & place];
    }

    void sort(const uint64_t* keys, const uint64_t* refs, size_t count, uint64_t* out) {
        const auto [lowest, highest] = std::minmax_element(keys, keys + count);
        if (count > 0) sort(keys, refs, count, *lowest, *highest, out);
    }

    void shrink() {
        words_ = {};
        scratch_ = {};
    }

  private:
    static constexpr int DIGIT_BITS_MAX = 11;
    static constexpr size_t INSERTION_MAX = 40;

    static int bits_of(uint64_t value) { return 64 - __builtin_clzll(value | 1); }

    void sort_words(size_t count, int key_bits) {
        if (count < INSERTION_MAX) {
            insert(count, count * count);
            return;
        }
        // Two passes over the upper bits leave almost nothing to do when times are spread at all evenly; what is left is
        // done by insertion. Times that crowd into a small part of the span exceed its budget and get every pass.
        digit_bits_ = std::min(place_bits_ + 1, DIGIT_BITS_MAX);
        const int low_bit = place_bits_ + std::max(0, key_bits - 2 * digit_bits_), high_bit = place_bits_ + key_bits;
        passes(count, low_bit, high_bit);
        if (low_bit > place_bits_ && !insert(count, 4 * count)) passes(count, place_bits_, high_bit);
    }

    // Returns false, with every word still there, when it would take more than `budget` moves.
    bool insert(size_t count, size_t budget) {
        uint64_t* const words = words_.data();
        for (size_t i = 1; i < count; ++i) {
            const uint64_t word = words[i];
            if (words[i - 1] <= word) continue;
            size_t at = i;
            do {
                words[at] = words[at - 1];
                --at;
            } while (at > 0 && words[at - 1] > word);
            words[at] = word;
            if (i - at > budget) return false;
            budget -= i - at;
        }
        return true;
    }

    // Least significant digit first over the bits from `low_bit` to `high_bit`.
    void passes(size_t count, int low_bit, int high_bit) {
        const int bits = high_bit - low_bit;
        const int pass_count = (bits + digit_bits_ - 1) / digit_bits_;
        const int digit_bits = (bits + pass_count - 1) / pass_count;
        const uint64_t mask = (uint64_t{1} << digit_bits) - 1;
        for (int pass = 0; pass < pass_count; ++pass) {
            const int shift = low_bit + pass * digit_bits;
            const uint64_t* const from = words_.data();
            uint64_t* const to = scratch_.data();
            std::array<uint32_t, size_t{1} << DIGIT_BITS_MAX> offsets;
            std::memset(offsets.data(), 0, (mask + 1) * sizeof(uint32_t));
            for (size_t i = 0; i < count; ++i) ++offsets[(from[i] >> shift) & mask];
            uint32_t sum = 0;
            for (size_t digit = 0; digit <= mask; ++digit) {
                const uint32_t size = offsets[digit];
                offsets[digit] = sum;
                sum += size;
            }
            for (size_t i = 0; i < count; ++i) to[offsets[(from[i] >> shift) & mask]++] = from[i];
            words_.swap(scratch_);
        }
    }

    // Sorts each stretch of words with equal upper bits by `before`.
    template <class Before>
    void order_equal(size_t count, Before before) {
        for (size_t start = 0; start < count;) {
            size_t stop = start + 1;
            while (stop < count && (words_[start] ^ words_[stop]) >> place_bits_ == 0) ++stop;
            std::sort(words_.begin() + start, words_.begin() + stop, before);
            start = stop;
        }
    }

    Column<uint64_t> words_, scratch_;
    int place_bits_ = 0, digit_bits_ = 0;
};

// Puts references to rows of equal arrival into the order (rank, row), stably; `row_of(ref)` gives the row.
template <class RowOf>
void order_ties(uint64_t* refs, size_t count, RowOf row_of) {
    const auto before = [&](uint64_t left, uint64_t right) { return row_of(left).place() < row_of(right).place(); };
    for (size_t start = 0; start < count;) {
        size_t stop = start + 1;
        while (stop < count && row_of(refs[stop]).arrival == row_of(refs[start]).arrival) ++stop;
        if (stop - start > 1 && !std::is_sorted(refs + start, refs + stop, before)) {
            std::stable_sort(refs + start, refs + stop, before);
        }
        start = stop;
    }
}

// Appends the rows of `rows` to `into` in total order.
inline void sort_rows(const Rows& rows, Rows& into) {
    const size_t count = rows.size();
    Column<uint64_t> keys(count), refs(count), order(count);
    for (size_t i = 0; i < count; ++i) {
        keys[i] = key_of(rows[i].arrival);
        refs[i] = i;
    }
    Sorter sorter;
    sorter.sort(keys.data(), refs.data(), count, order.data());
    order_ties(order.data(), count, [&](uint64_t ref) -> const Row& { return rows[ref]; });
    for (const uint64_t ref : order) {
        into.all.push_back(rows[ref]);
        if (!rows[ref].is_rejected()) continue;
        into.all.back().subject = ~static_cast<int32_t>(into.rejected.size());
        into.rejected.push_back(rows.rejected[rows[ref].rejection()]);
    }
}

}  // namespace midstream
