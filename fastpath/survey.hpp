// Figures about rows, for reports: counts, spans, sortedness, ties, and latencies in a histogram of fixed size.
#pragma once
#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "columns.hpp"

namespace midstream {

// Counts values in buckets that are at most 1/1024 of their value wide; small ones exactly. Both signs.
class Histogram {
  public:
    void add(int64_t value) {
        const bool negative = value < 0;
        const uint64_t size = negative ? uint64_t{0} - static_cast<uint64_t>(value) : static_cast<uint64_t>(value);
        std::vector<uint64_t>& counts = negative ? below_ : above_;
        const size_t bucket = bucket_of(size);
        if (bucket >= counts.size()) counts.resize(bucket + 1);
        ++counts[bucket];
        ++total_;
    }

    void absorb(const Histogram& other) {
        absorb_side(below_, other.below_);
        absorb_side(above_, other.above_);
        total_ += other.total_;
    }

    // The value that `rank` values (from 0) are not above, give or take its bucket; the middle of that.
    int64_t at_rank(uint64_t rank) const {
        for (size_t i = below_.size(); i-- > 0;) {
            if (rank < below_[i]) return -middle_of(i);
            rank -= below_[i];
        }
        for (size_t i = 0; i < above_.size(); ++i) {
            if (rank < above_[i]) return middle_of(i);
            rank -= above_[i];
        }
        return 0;
    }

    uint64_t total() const { return total_; }

  private:
    static constexpr int BITS = 10;

    static size_t bucket_of(uint64_t size) {
        if (size < (2u << BITS)) return static_cast<size_t>(size);
        const int shift = 63 - __builtin_clzll(size) - BITS;
        return (static_cast<size_t>(shift) << BITS) + static_cast<size_t>(size >> shift);
    }

    static int64_t middle_of(size_t bucket) {
        if (bucket < (2u << BITS)) return static_cast<int64_t>(bucket);
        const int shift = static_cast<int>(bucket >> BITS) - 1;
        const uint64_t low = ((uint64_t{1} << BITS) + (bucket & ((1u << BITS) - 1))) << shift;
        return static_cast<int64_t>(low + (uint64_t{1} << shift) / 2);
    }

    static void absorb_side(std::vector<uint64_t>& into, const std::vector<uint64_t>& from) {
        if (into.size() < from.size()) into.resize(from.size());
        for (size_t i = 0; i < from.size(); ++i) into[i] += from[i];
    }

    std::vector<uint64_t> below_, above_;
    uint64_t total_ = 0;
};

// Where a column first goes back.
struct OrderBreak {
    uint64_t row = 0;  // 0: nowhere
    int64_t before = 0, now = 0;
};

struct RejectionKind {
    uint64_t count = 0;
    std::vector<uint64_t> first_rows;
};

// Adds up the rows of one source, fed in the order of the file; `absorb` adds the figures of another one.
class SurveyCore {
  public:
    static constexpr size_t KINDS_MAX = 64;
    static constexpr size_t FIRST_ROWS_MAX = 5;

    explicit SurveyCore(int64_t threshold) : threshold_(threshold) {}

    void add(const Rows& rows) {
        for (size_t i = 0; i < rows.size(); ++i) {
            const Row& row = rows[i];
            if (row.is_rejected()) add_rejection(rows.rejected[row.rejection()].reason, row.line());
            else add_tick(row);
        }
    }

    void absorb(const SurveyCore& other) {
        if (other.ticks) {
            widen(event_min, event_max, other.event_min, other.event_max);
            widen(arrival_min, arrival_max, other.arrival_min, other.arrival_max);
            widen(latency_min, latency_max, other.latency_min, other.latency_max);
        }
        ticks += other.ticks;
        rejected += other.rejected;
        over_threshold += other.over_threshold;
        negative_latency += other.negative_latency;
        bid_missing += other.bid_missing;
        ask_missing += other.ask_missing;
        both_missing += other.both_missing;
        crossed += other.crossed;
        locked += other.locked;
        event_ties += other.event_ties;
        latencies.absorb(other.latencies);
        if (tickers.size() < other.tickers.size()) tickers.resize(other.tickers.size());
        for (size_t i = 0; i < other.tickers.size(); ++i) tickers[i] += other.tickers[i];
        for (const auto& [kind, figures] : other.kinds) {
            RejectionKind& into = kind_of(kind);
            into.count += figures.count;
            for (const uint64_t row : figures.first_rows) keep_row(into, row);
        }
    }

    uint64_t ticks = 0, rejected = 0, over_threshold = 0, negative_latency = 0;
    uint64_t bid_missing = 0, ask_missing = 0, both_missing = 0, crossed = 0, locked = 0, event_ties = 0;
    int64_t event_min = AFTER_EVERYTHING, event_max = BEFORE_EVERYTHING;
    int64_t arrival_min = AFTER_EVERYTHING, arrival_max = BEFORE_EVERYTHING;
    int64_t latency_min = AFTER_EVERYTHING, latency_max = BEFORE_EVERYTHING;
    OrderBreak event_break, arrival_break, both_break;
    Histogram latencies;
    std::vector<uint64_t> tickers;  // rows by ticker number
    std::map<std::string, RejectionKind> kinds;

  private:
    static void widen(int64_t& low, int64_t& high, int64_t other_low, int64_t other_high) {
        low = std::min(low, other_low);
        high = std::max(high, other_high);
    }

    void add_tick(const Row& row) {
        const int64_t event = row.event, arrival = row.arrival;
        int64_t latency;
        if (__builtin_sub_overflow(arrival, event, &latency)) latency = arrival < event ? BEFORE_EVERYTHING + 1 : AFTER_EVERYTHING;
        if (ticks > 0) {
            event_ties += event == event_before_;
            note_break(event_break, row.row, event_before_, event);
            note_break(arrival_break, row.row, arrival_before_, arrival);
            if (both_break.row == 0 && event_break.row != 0 && arrival_break.row != 0) {
                both_break = event_break.row == row.row ? event_break : arrival_break;
            }
        }
        event_before_ = event;
        arrival_before_ = arrival;
        widen(event_min, event_max, event, event);
        widen(arrival_min, arrival_max, arrival, arrival);
        widen(latency_min, latency_max, latency, latency);
        latencies.add(latency);
        over_threshold += latency > threshold_;
        negative_latency += latency < 0;
        const double bid = row.bid_price, ask = row.ask_price;
        const bool no_bid = bid != bid || (bid == 0 && row.bid_amount == 0);
        const bool no_ask = ask != ask || (ask == 0 && row.ask_amount == 0);
        bid_missing += no_bid && !no_ask;
        ask_missing += no_ask && !no_bid;
        both_missing += no_bid && no_ask;
        if (!no_bid && !no_ask) {
            crossed += bid > ask;
            locked += bid == ask;
        }
        const size_t ticker = row.ticker();
        if (ticker >= tickers.size()) tickers.resize(ticker + 1);
        ++tickers[ticker];
        ++ticks;
    }

    static void note_break(OrderBreak& first, uint64_t row, int64_t before, int64_t now) {
        if (now < before && first.row == 0) first = {row, before, now};
    }

    // What follows ": '" is the offending text, which differs from row to row.
    void add_rejection(std::string_view reason, uint64_t row) {
        ++rejected;
        RejectionKind& kind = kind_of(std::string(reason.substr(0, reason.find(": '"))));
        ++kind.count;
        keep_row(kind, row);
    }

    RejectionKind& kind_of(const std::string& name) {
        const auto found = kinds.find(name);
        if (found != kinds.end()) return found->second;
        return kinds[kinds.size() < KINDS_MAX ? name : "other reasons"];
    }

    static void keep_row(RejectionKind& kind, uint64_t row) {
        if (kind.first_rows.size() < FIRST_ROWS_MAX) kind.first_rows.push_back(row);
    }

    const int64_t threshold_;
    int64_t event_before_ = 0, arrival_before_ = 0;
};

// Counts ticks that share their arrival time with the one before, in rows that come in arrival order.
class TieCore {
  public:
    void add(const Rows& rows) {
        for (size_t i = 0; i < rows.size(); ++i) {
            if (rows[i].is_rejected()) continue;
            const bool tie = any_ && rows[i].arrival == before_;
            group_ = tie ? group_ + 1 : 1;
            ties += tie;
            largest = std::max(largest, group_);
            before_ = rows[i].arrival;
            any_ = true;
        }
    }
    uint64_t ties = 0, largest = 0;

  private:
    uint64_t group_ = 0;
    int64_t before_ = 0;
    bool any_ = false;
};

}  // namespace midstream
