// Rows as columns, shared by every kernel. Plain data: no I/O, no Python objects, no exceptions but bad_alloc.
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

// A row that cannot be used. Its place in the order stands in the columns of its Rows.
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

// Parallel columns: element i of each belongs to row i. A rejected row has rejection[i] >= 0, an index into `rejected`;
// its prices are NaN, its event time is 0, its ticker 0, and its arrival is its place in the order.
struct Rows {
    Column<int64_t> arrival;   // ns UTC
    Column<int64_t> event;     // ns UTC
    Column<double> bid_price, bid_amount, ask_price, ask_amount;
    Column<uint32_t> ticker;   // number in the TickerTable
    Column<uint32_t> rank;     // which source
    Column<uint64_t> row;      // physical line, or number of the live frame
    Column<int32_t> rejection; // -1: a tick
    std::vector<Rejected> rejected;

    size_t size() const { return arrival.size(); }

    void clear() {
        arrival.clear(); event.clear();
        bid_price.clear(); bid_amount.clear(); ask_price.clear(); ask_amount.clear();
        ticker.clear(); rank.clear(); row.clear(); rejection.clear(); rejected.clear();
    }

    // Rows from `start` on that arrive at or before `due`; the rows must be in arrival order.
    size_t count_due(size_t start, int64_t due) const {
        return std::upper_bound(arrival.begin() + start, arrival.end(), due) - (arrival.begin() + start);
    }

    void resize(size_t count) {
        arrival.resize(count); event.resize(count);
        bid_price.resize(count); bid_amount.resize(count); ask_price.resize(count); ask_amount.resize(count);
        ticker.resize(count); rank.resize(count); row.resize(count); rejection.resize(count);
    }

    void push_tick(int64_t arrival_ns, int64_t event_ns, double bid, double bid_size, double ask, double ask_size,
                   uint32_t ticker_number, uint32_t source_rank, uint64_t line) {
        arrival.push_back(arrival_ns); event.push_back(event_ns);
        bid_price.push_back(bid); bid_amount.push_back(bid_size);
        ask_price.push_back(ask); ask_amount.push_back(ask_size);
        ticker.push_back(ticker_number); rank.push_back(source_rank); row.push_back(line); rejection.push_back(-1);
    }

    void push_rejection(int64_t place_ns, uint32_t source_rank, uint64_t line, std::string reason, std::string_view raw) {
        const double nan = std::numeric_limits<double>::quiet_NaN();
        push_tick(place_ns, 0, nan, nan, nan, nan, 0, source_rank, line);
        rejection.back() = static_cast<int32_t>(rejected.size());
        rejected.push_back({std::move(reason), std::string(raw.substr(0, 1024))});
    }
};

}  // namespace midstream
