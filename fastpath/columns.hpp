// Rows in memory, shared by every kernel. Plain data: no I/O, no Python objects, no exceptions but bad_alloc.
#pragma once
#include "column.hpp"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace midstream {

constexpr int64_t BEFORE_EVERYTHING = std::numeric_limits<int64_t>::min();
constexpr int64_t AFTER_EVERYTHING = std::numeric_limits<int64_t>::max();

// A row that cannot be used. Its place in the order stands in its Row.
struct Rejected {
    std::string reason;
    std::string raw;  // at most 1,024 bytes
};

// Names seen so far, each with a small number. Numbers never change.
class TickerTable {
  public:
    uint32_t intern(std::string_view name) {
        auto found = numbers_.find(name);
        if (found != numbers_.end()) return found->second;
        const uint32_t number = static_cast<uint32_t>(names_.size());
        // The map's keys view into strings whose addresses stay put.
        names_.push_back(new std::string(name));
        numbers_.emplace(std::string_view(*names_.back()), number);
        return number;
    }
    bool has(std::string_view name) const { return numbers_.find(name) != numbers_.end(); }
    const std::string& name(uint32_t number) const { return *names_[number]; }
    size_t size() const { return names_.size(); }
    TickerTable() = default;
    TickerTable(const TickerTable&) = delete;
    TickerTable& operator=(const TickerTable&) = delete;
    ~TickerTable() {
        for (auto* name : names_) delete name;
    }

  private:
    std::vector<std::string*> names_;
    std::unordered_map<std::string_view, uint32_t> numbers_;
};

// What decides between rows of equal arrival.
struct Place {
    uint32_t rank;
    uint64_t row;
    bool operator<(const Place& other) const { return rank != other.rank ? rank < other.rank : row < other.row; }
};

// One row in a cache line of its own: rows are moved and put in order whole, and become columns in a frame only.
struct alignas(64) Row {
    int64_t arrival;  // ns UTC; of a rejected row its place in the order
    int64_t event;    // ns UTC; of a rejected row what it is called by, where that is not `row`, else 0
    double bid_price, bid_amount, ask_price, ask_amount;  // NaN of a rejected row
    uint64_t row;     // physical line, number of the live frame, or number of the row in a recording of frames
    uint32_t rank;    // which source
    int32_t subject;  // number of the ticker in the TickerTable; of a rejected row ~(index into Rows::rejected)

    bool is_rejected() const { return subject < 0; }
    uint32_t ticker() const { return static_cast<uint32_t>(subject); }
    Place place() const { return {rank, row}; }
    size_t rejection() const { return static_cast<size_t>(~subject); }
    // Of a rejected row: the line or frame to look at. Rows of one recorded frame have numbers of their own, for the order's sake.
    uint64_t line() const { return event != 0 ? static_cast<uint64_t>(event) : row; }
};
static_assert(sizeof(Row) == 64, "a row has no padding");

struct Rows {
    Column<Row> all;
    std::vector<Rejected> rejected;  // in the order of their rows

    size_t size() const { return all.size(); }
    Row& operator[](size_t i) { return all[i]; }
    const Row& operator[](size_t i) const { return all[i]; }

    void clear() {
        all.clear();
        rejected.clear();
    }

    // Removes the first `count` rows.
    void drop(size_t count) {
        if (count == size()) {
            clear();
            return;
        }
        all.erase(all.begin(), all.begin() + count);
        if (rejected.empty()) return;
        size_t kept = 0;
        for (const Row& row : all) kept += row.is_rejected();
        const size_t gone = rejected.size() - kept;
        rejected.erase(rejected.begin(), rejected.begin() + gone);
        for (Row& row : all) {
            if (row.is_rejected()) row.subject += static_cast<int32_t>(gone);
        }
    }

    // Rows from `start` on that arrive at or before `due`; the rows must be in arrival order.
    size_t count_due(size_t start, int64_t due) const {
        const auto later = [](int64_t time, const Row& row) { return time < row.arrival; };
        return std::upper_bound(all.begin() + start, all.end(), due, later) - (all.begin() + start);
    }

    // What the gap in front of a row is longer than `cap`: unsigned, as times may be further apart than a signed number holds. What stands
    // in front of everything has no time to be apart.
    uint64_t beyond_gap(size_t i, int64_t cap) const {
        if (all[i - 1].arrival == BEFORE_EVERYTHING) return 0;
        const uint64_t gap = static_cast<uint64_t>(all[i].arrival) - static_cast<uint64_t>(all[i - 1].arrival);
        return gap > static_cast<uint64_t>(cap) ? gap - static_cast<uint64_t>(cap) : 0;
    }

    uint64_t beyond_gaps(size_t start, size_t stop, int64_t cap) const {
        uint64_t beyond = 0;
        for (size_t i = start + 1; i < stop; ++i) beyond += beyond_gap(i, cap);
        return beyond;
    }

    size_t count_due_capped(size_t start, int64_t due, int64_t cap) const {
        uint64_t beyond = 0;
        size_t i = start;
        for (; i < all.size(); ++i) {
            if (i > start) beyond += beyond_gap(i, cap);
            if (static_cast<int64_t>(static_cast<uint64_t>(all[i].arrival) - beyond) > due) break;
        }
        return i - start;
    }

    void push_tick(int64_t arrival, int64_t event, double bid_price, double bid_amount, double ask_price, double ask_amount,
                   uint32_t ticker, uint32_t rank, uint64_t row) {
        all.push_back({arrival, event, bid_price, bid_amount, ask_price, ask_amount, row, rank, static_cast<int32_t>(ticker)});
    }

    void push_rejection(int64_t place, uint32_t rank, uint64_t row, std::string reason, std::string_view raw, uint64_t line = 0) {
        rejected.push_back({std::move(reason), std::string(raw.substr(0, 1024))});
        all.push_back(rejected_row(place, rank, row, rejected.size() - 1, line));
    }

    static Row rejected_row(int64_t place, uint32_t rank, uint64_t row, size_t rejection, uint64_t line = 0) {
        constexpr double nan = std::numeric_limits<double>::quiet_NaN();
        return {place, static_cast<int64_t>(line), nan, nan, nan, nan, row, rank, ~static_cast<int32_t>(rejection)};
    }
};

}  // namespace midstream
