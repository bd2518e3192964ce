// What two latency models make of the same rows: pairs that change places, rows that get too late, and how old the latest mid is.
// tests/reference/whatif.py counts the same in the plain way.
#pragma once
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <vector>

#include "ages.hpp"
#include "columns.hpp"
#include "inversions.hpp"
#include "latency_model.hpp"
#include "mid_batch.hpp"
#include "survey.hpp"
#include "times.hpp"

namespace midstream {

constexpr size_t PROFILES = 2;
using Profiles = std::array<int64_t, PROFILES>;

// A tick under both models. Ticks stand in the order (source, row), which decides between equal arrivals.
struct Compared {
    int64_t event;
    Profiles arrival;
    double mid;  // NaN: a side is missing
    uint32_t ticker;
};

struct TickerCounts {
    uint64_t ticks = 0;
    std::array<uint64_t, PROFILES> late = {}, mids = {};
};

class ComparisonCore {
  public:
    // Compared is what arrives from `start` on and before `end`, as recorded.
    ComparisonCore(int64_t threshold, int64_t start, int64_t end) : threshold_(threshold), start_(start), end_(end) {}

    // The rows that are added next are those of another file.
    void add_source(const LatencyModel& first, const LatencyModel& second) {
        models_ = {first, second};
        channels_ = {};
        arrival_in_file_ = BEFORE_EVERYTHING;
    }

    // Rows in the order of their file, as recorded; `wanted` tells by ticker which are compared, and empty that all are.
    void add(const Rows& rows, const std::vector<uint8_t>& wanted) {
        for (size_t i = 0; i < rows.size(); ++i) {
            const Row& row = rows[i];
            const bool inside = start_ <= row.arrival && row.arrival < end_;
            if (!row.is_rejected()) add_tick(row, inside && (wanted.empty() || wanted[row.ticker()]));
            else ++(inside ? rejected : skipped);
        }
    }

    void finish() {
        for (size_t profile = 0; profile < PROFILES; ++profile) {
            orders[profile].resize(ticks.size());
            std::iota(orders[profile].begin(), orders[profile].end(), 0u);
            const auto earlier = [&](uint32_t a, uint32_t b) { return ticks[a].arrival[profile] < ticks[b].arrival[profile]; };
            std::stable_sort(orders[profile].begin(), orders[profile].end(), earlier);
            group_mids(profile);
        }
    }

    // Pairs of ticks whose order differs, by group of their tickers; those beyond `group_of` are in the last group.
    std::vector<uint64_t> inversions(const std::vector<uint32_t>& group_of_ticker, size_t groups) {
        std::vector<uint32_t> groups_of(ticks.size()), position(ticks.size()), positions(ticks.size());
        for (size_t i = 0; i < ticks.size(); ++i) {
            groups_of[i] = ticks[i].ticker < group_of_ticker.size() ? group_of_ticker[ticks[i].ticker] : static_cast<uint32_t>(groups - 1);
            position[orders[1][i]] = static_cast<uint32_t>(i);
        }
        moved = 0;
        for (size_t i = 0; i < ticks.size(); ++i) {
            positions[i] = position[orders[0][i]];
            moved += positions[i] != i;
        }
        InversionCounter counter(std::move(groups_of), groups);
        counter.count(positions, orders[1]);
        return std::move(counter.pairs);
    }

    // Between the first mid under both models and the last tick under either; nothing when that is no time at all.
    Ages ages(uint32_t ticker, size_t profile) const {
        const int64_t begin = std::max(first_mid(ticker, 0), first_mid(ticker, 1));
        const int64_t end = std::min(last_arrival(0), last_arrival(1));
        Ages found;
        if (begin >= end) return found;
        int64_t from = AFTER_EVERYTHING, event = 0;
        each_mid(ticker, profile, [&](const Compared& tick) {
            const int64_t to = std::min(tick.arrival[profile], end);
            if (from < to) found.add(age(std::max(from, begin), event), age(to, event));
            from = tick.arrival[profile];
            event = tick.event;
        });
        if (from < end) found.add(age(std::max(from, begin), event), age(end, event));
        return found;
    }

    // Index of the tick that gave the latest mid at each time, which must not fall; -1 before the first.
    std::vector<int64_t> latest(uint32_t ticker, size_t profile, const std::vector<int64_t>& times) const {
        std::vector<int64_t> found;
        int64_t latest = -1;
        each_mid(ticker, profile, [&](const Compared& tick) {
            while (found.size() < times.size() && times[found.size()] < tick.arrival[profile]) found.push_back(latest);
            latest = &tick - ticks.data();
        });
        found.resize(times.size(), latest);
        return found;
    }

    bool is_late(const Compared& tick, size_t profile) const { return latency_of(tick, profile) > threshold_; }

    std::vector<Compared> ticks;
    std::array<std::vector<uint32_t>, PROFILES> orders;
    std::array<Histogram, PROFILES> latencies;
    Profiles latency_min = {AFTER_EVERYTHING, AFTER_EVERYTHING}, latency_max = {BEFORE_EVERYTHING, BEFORE_EVERYTHING};
    std::array<uint64_t, PROFILES> waited = {}, late = {};
    uint64_t late_in_both = 0, rejected = 0, unusable = 0, skipped = 0, moved = 0;
    std::vector<TickerCounts> tickers;

  private:
    // One that is not wanted holds its channel all the same.
    void add_tick(const Row& row, bool wanted) {
        const bool overtakes = row.arrival < arrival_in_file_;
        arrival_in_file_ = row.arrival;
        Compared tick{row.event, {}, mid_of(row), row.ticker()};
        Profiles alone;
        int64_t of_file, latency;
        for (size_t profile = 0; profile < PROFILES; ++profile) {
            if (!time_difference(row.arrival, row.event, of_file) || !models_[profile].latency(of_file, row.row, latency) ||
                !arrival_time(row.event, latency, 0, alone[profile])) {
                ++(wanted ? unusable : skipped);
                return;
            }
        }
        for (size_t profile = 0; profile < PROFILES; ++profile) {
            const LatencyModel& model = models_[profile];
            tick.arrival[profile] = model.changes() ? channels_[profile].arrive(model, alone[profile], overtakes) : alone[profile];
        }
        if (!wanted) {
            ++skipped;
            return;
        }
        if (ticks.size() >= std::numeric_limits<uint32_t>::max()) throw std::length_error("more ticks than can be compared");
        if (tick.ticker >= tickers.size()) tickers.resize(tick.ticker + 1);
        TickerCounts& counts = tickers[tick.ticker];
        ++counts.ticks;
        for (size_t profile = 0; profile < PROFILES; ++profile) {
            latency = latency_of(tick, profile);
            const bool is_late = latency > threshold_;
            latencies[profile].add(latency);
            latency_min[profile] = std::min(latency_min[profile], latency);
            latency_max[profile] = std::max(latency_max[profile], latency);
            waited[profile] += tick.arrival[profile] != alone[profile];
            late[profile] += is_late;
            counts.late[profile] += is_late;
            counts.mids[profile] += !is_late && !std::isnan(tick.mid);
        }
        late_in_both += is_late(tick, 0) && is_late(tick, 1);
        ticks.push_back(tick);
    }

    // Who waits for a row of another century is older than 64 bits tell.
    static int64_t age(int64_t time, int64_t event) {
        int64_t difference;
        if (time_difference(time, event, difference)) return difference;
        return time < event ? BEFORE_EVERYTHING : AFTER_EVERYTHING;
    }

    static int64_t latency_of(const Compared& tick, size_t profile) { return age(tick.arrival[profile], tick.event); }

    static double mid_of(const Row& row) {
        const bool missing = is_missing(row.bid_price, row.bid_amount) || is_missing(row.ask_price, row.ask_amount);
        const double mid = 0.5 * (row.bid_price + row.ask_price);
        return missing || !std::isfinite(mid) ? std::numeric_limits<double>::quiet_NaN() : mid;
    }

    // The ticks that give a mid, by ticker and then in the order of arrival. One that is too late gives none.
    void group_mids(size_t profile) {
        std::vector<uint64_t>& begins = mids_begin_[profile];
        begins.assign(tickers.size() + 1, 0);
        for (size_t ticker = 0; ticker < tickers.size(); ++ticker) begins[ticker + 1] = begins[ticker] + tickers[ticker].mids[profile];
        mids_[profile].resize(begins.back());
        std::vector<uint64_t> next(begins.begin(), begins.end() - 1);
        for (const uint32_t index : orders[profile]) {
            const Compared& tick = ticks[index];
            if (!std::isnan(tick.mid) && !is_late(tick, profile)) mids_[profile][next[tick.ticker]++] = index;
        }
    }

    template <class Visit>
    void each_mid(uint32_t ticker, size_t profile, const Visit& visit) const {
        for (uint64_t i = mids_begin_[profile][ticker]; i < mids_begin_[profile][ticker + 1]; ++i) visit(ticks[mids_[profile][i]]);
    }

    int64_t first_mid(uint32_t ticker, size_t profile) const {
        const uint64_t begin = mids_begin_[profile][ticker];
        return begin == mids_begin_[profile][ticker + 1] ? AFTER_EVERYTHING : ticks[mids_[profile][begin]].arrival[profile];
    }

    int64_t last_arrival(size_t profile) const {
        return ticks.empty() ? BEFORE_EVERYTHING : ticks[orders[profile].back()].arrival[profile];
    }

    const int64_t threshold_, start_, end_;
    std::array<LatencyModel, PROFILES> models_;
    std::array<Channel, PROFILES> channels_;
    int64_t arrival_in_file_ = BEFORE_EVERYTHING;
    std::array<std::vector<uint32_t>, PROFILES> mids_;
    std::array<std::vector<uint64_t>, PROFILES> mids_begin_;  // by ticker, and where the last one ends
};

}  // namespace midstream
