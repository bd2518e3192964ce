// One source of rows, or one spilled run: what it has decoded, what of it waits, and the promises it has made.
#pragma once
#include <memory>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <vector>

#include "carry.hpp"
#include "spill.hpp"

namespace midstream {

struct Source {
    explicit Source(Rows* into) : rows(into) {}

    Rows* rows;               // what was decoded; the first `looked_at` rows left or wait
    size_t looked_at = 0;
    size_t admitted = 0;      // rows that were checked against the bound that stood when they were read
    Column<uint64_t> keys;    // their arrivals: what looks for settled rows need not read all of each row
    uint64_t bound = 0;
    uint64_t last_row = 0;
    bool finished = false;
    size_t number = 0;
    RadixHeap here;           // rows that wait where they were decoded: refs are positions
    std::vector<uint8_t> waits;  // for the first positions: does the row there wait?
    size_t first_waiting = 0;    // no row before this position does
    RadixHeap moved;          // rows that wait in slots: refs are slots
    Waiting slotted;          // those rows in row order
    // Runs only.
    std::unique_ptr<Rows> own;
    std::unique_ptr<RunReader> reader;
    std::unordered_map<uint32_t, uint64_t> oldest_rows;

    bool is_run() const { return reader != nullptr; }
};

inline void check_size(const Source& source) {
    if (source.rows->size() < source.admitted) {
        throw std::invalid_argument("rows of source " + std::to_string(source.number) +
                                    " were removed from its pending block; only append to it");
    }
}

[[noreturn]] inline void explain(const Source& source, size_t start, size_t stop) {
    const Rows& rows = *source.rows;
    uint64_t last_row = source.last_row;
    for (size_t i = start; i < stop; ++i) {
        const Row& row = rows[i];
        const std::string where = "row " + std::to_string(row.row) + " of source " + std::to_string(source.number);
        if (row.rank != source.number) {
            throw std::invalid_argument(where + " carries the source rank " + std::to_string(row.rank) +
                                        "; decode it with its own rank");
        }
        if (row.row < last_row) {
            throw std::invalid_argument(where + " comes after row " + std::to_string(last_row) + "; append rows in row order");
        }
        if (key_of(row.arrival) < source.bound) {
            throw std::invalid_argument(where + " arrives at " + std::to_string(row.arrival) + " ns, before the bound of " +
                                        std::to_string(time_of(source.bound)) +
                                        " ns that its source had promised; declare a lower latency bound or sort the file");
        }
        last_row = row.row;
    }
    throw std::logic_error("no row breaks a promise");
}

// Checks rows read since the last call: the order of everything rests on the promises that a source makes.
inline void admit(Source& source) {
    check_size(source);
    const Rows& rows = *source.rows;
    const size_t start = source.admitted, stop = rows.size();
    if (start == stop || source.is_run()) return;
    const uint32_t rank = static_cast<uint32_t>(source.number);
    const int64_t bound = time_of(source.bound);
    uint64_t last_row = source.last_row;
    int64_t earliest = bound;
    uint32_t other_ranks = 0;
    bool falls = false;
    source.keys.resize(stop);
    uint64_t* const keys = source.keys.data();
    for (size_t i = start; i < stop; ++i) {
        const Row& row = rows[i];
        keys[i] = key_of(row.arrival);
        earliest = std::min(earliest, row.arrival);
        other_ranks |= row.rank ^ rank;
        falls |= row.row < last_row;
        last_row = row.row;
    }
    if (earliest < bound || other_ranks != 0 || falls) explain(source, start, stop);
    source.last_row = last_row;
    source.admitted = stop;
}

// Removes the first `count` rows.
inline void cut_rows(Source& source, size_t count) {
    source.looked_at -= count;
    source.admitted -= count;
    source.keys.erase(source.keys.begin(), source.keys.begin() + count);
    source.rows->drop(count);
}

}  // namespace midstream
