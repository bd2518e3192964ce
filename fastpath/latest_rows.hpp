// The latest record of each ticker, kept in the order of their numbers: what changed since a number is the end of a list.
#pragma once
#include <algorithm>
#include <array>
#include <cstdint>
#include <deque>
#include <limits>
#include <string>
#include <vector>

#include "columns.hpp"
#include "mid_batch.hpp"
#include "tick_batch.hpp"
#include "tick_writer.hpp"

namespace midstream {

// Markers kept for whoever conflates; the oldest go first.
constexpr size_t MARKERS_KEPT_MAX = 1024;

struct LatestRow {
    uint64_t sequence = 0;
    int64_t event = 0, arrival = 0;
    std::array<double, 4> values{};  // bid price and amount, ask price and amount; or a mid
    int32_t mode = 0;
};

class LatestRows {
  public:
    LatestRows() : links_(1) {}

    uint32_t intern(std::string_view ticker) {
        const uint32_t number = tickers_.intern(ticker);
        while (links_.size() < size_t{number} + 2) links_.emplace_back(static_cast<uint32_t>(links_.size()));
        if (rows_.size() <= number) rows_.resize(size_t{number} + 1);
        return number;
    }
    // One number for each of them.
    template <class Names>
    std::vector<uint32_t> intern_all(const Names& tickers) {
        std::vector<uint32_t> numbers(tickers.size());
        for (size_t i = 0; i < numbers.size(); ++i) numbers[i] = intern(tickers[i]);
        return numbers;
    }
    const std::string& name(uint32_t number) const { return tickers_.name(number); }
    size_t size() const { return size_; }

    // A record behind all that there are.
    void put(uint32_t number, const LatestRow& row) {
        rows_[number] = row;
        const uint32_t at = number + 1;
        if (links_[0].before == at) return;
        if (links_[at].before == at && links_[at].after == at) ++size_;
        else unlink(at);
        links_[at] = {links_[0].before, 0};
        links_[links_[0].before].after = at;
        links_[0].before = at;
    }
    // Forgets the records, and no name.
    void clear() {
        for (size_t i = 0; i < links_.size(); ++i) links_[i] = Link(static_cast<uint32_t>(i));
        size_ = 0;
    }
    // Forgets the records with lower numbers.
    void drop_before(uint64_t sequence) {
        while (links_[0].after != 0 && rows_[links_[0].after - 1].sequence < sequence) {
            const uint32_t at = links_[0].after;
            unlink(at);
            links_[at] = Link(at);
            --size_;
        }
    }
    // The tickers whose latest record has a higher number, in the order of the numbers.
    std::vector<uint32_t> since(uint64_t after) const {
        std::vector<uint32_t> found;
        for (uint32_t at = links_[0].before; at != 0 && rows_[at - 1].sequence > after; at = links_[at].before) found.push_back(at - 1);
        std::reverse(found.begin(), found.end());
        return found;
    }
    const LatestRow& operator[](uint32_t number) const { return rows_[number]; }

  private:
    // Neighbours by place; place 0 is before the first and behind the last, and a ticker without a record is its own neighbour.
    struct Link {
        uint32_t before, after;
        Link(uint32_t before, uint32_t after) : before(before), after(after) {}
        explicit Link(uint32_t place = 0) : before(place), after(place) {}
    };

    void unlink(uint32_t at) {
        links_[links_[at].before].after = links_[at].after;
        links_[links_[at].after].before = links_[at].before;
    }

    TickerTable tickers_;
    std::vector<Link> links_;
    std::vector<LatestRow> rows_;
    size_t size_ = 0;
};

// Where in a stream a table of latest records is.
struct LatestHead {
    std::string epoch;
    int32_t mode = 0;
    uint64_t last_sequence = 0;
    int64_t publish_time = 0;
    LatestRows rows;
    std::deque<MarkerRecord> markers;
    uint64_t moved = 0;  // number of the marker of the last discontinuity; 0 without one

    // Tell whether a batch brings anything; one of another epoch begins the table anew.
    bool begin(const std::string& batch_epoch, int32_t batch_mode, uint64_t batch_last_sequence) {
        if (batch_epoch != epoch) {
            epoch = batch_epoch;
            last_sequence = 0;
            moved = 0;
            rows.clear();
            markers.clear();
        }
        if (batch_last_sequence <= last_sequence) return false;
        mode = batch_mode;
        return true;
    }
};

// Replay time was moved: what came before is the latest of nothing any more, and what is stands in the marker.
inline void take_discontinuity(const MarkerRecord& marker, LatestHead& head) {
    const auto is_one = [](const MarkerRecord& other) { return other.kind == MARKER_DISCONTINUITY; };
    head.rows.drop_before(marker.sequence);
    if (!head.markers.empty() && is_one(head.markers.back())) {
        const MarkerRecord& before = head.markers.back();
        // A large state goes on in the markers that follow at once.
        if (before.sequence + 1 == marker.sequence && before.revision == marker.revision && before.time == marker.time) return;
    }
    head.moved = marker.sequence;
    head.markers.erase(std::remove_if(head.markers.begin(), head.markers.end(), is_one), head.markers.end());
}

// Take the ticks and markers of a batch that were not taken yet.
inline void take_ticks(const TickBatch& batch, LatestHead& head) {
    if (!head.begin(batch.epoch, batch.mode, batch.last_sequence)) return;
    const uint64_t taken = head.last_sequence;
    const std::vector<uint32_t> numbers = head.rows.intern_all(batch.tickers);
    uint64_t next = batch.first_sequence;
    size_t special = 0;
    for (size_t i = 0; i < batch.tick_count(); ++i) {
        while (special < batch.specials.size() && batch.specials[special].ticks_before == i) {
            next = batch.after(batch.specials[special++]);
        }
        const uint64_t sequence = batch.filtered ? batch.tick_sequence[i] : next++;
        if (sequence <= taken) continue;
        head.rows.put(numbers[batch.ticker_index[i]],
                      {sequence, batch.event[i], batch.arrival[i],
                       {batch.bid_price[i], batch.bid_amount[i], batch.ask_price[i], batch.ask_amount[i]}, batch.mode});
    }
    for (const MarkerRecord& marker : batch.markers) {
        if (marker.sequence <= taken) continue;
        if (marker.kind == MARKER_DISCONTINUITY) take_discontinuity(marker, head);
        head.markers.push_back(marker);
        if (head.markers.size() > MARKERS_KEPT_MAX) head.markers.pop_front();
    }
    head.last_sequence = batch.last_sequence;
    head.publish_time = batch.publish_time;
}

inline void take_mids(const MidBatch& batch, LatestHead& head) {
    if (!head.begin(batch.epoch, batch.mode, batch.last_sequence)) return;
    const std::vector<uint32_t> numbers = head.rows.intern_all(batch.tickers);
    for (size_t i = 0; i < batch.size(); ++i) {
        if (batch.sequence[i] <= head.last_sequence) continue;
        head.rows.put(numbers[batch.ticker_index[i]],
                      {batch.sequence[i], batch.event[i], batch.arrival[i], {batch.mid_price[i]}, batch.mode});
    }
    head.last_sequence = batch.last_sequence;
}

// What came after a number, in parts of one mode and no more than BATCH_ROWS_MAX tickers. A part begins where the one before it ends.
// After 0 it is a state: of the markers that of the last discontinuity and those behind it belong to that.
struct LatestPart {
    int32_t mode = 0;
    uint64_t first_sequence = 0, last_sequence = 0;
    std::vector<uint32_t> tickers;
    std::vector<MarkerRecord> markers;
};

inline std::vector<LatestPart> parts_since(const LatestHead& head, uint64_t after) {
    std::vector<LatestPart> parts;
    const uint64_t marked = after != 0 ? after : head.moved != 0 ? head.moved - 1 : head.last_sequence;
    auto marker = std::find_if(head.markers.begin(), head.markers.end(), [&](const MarkerRecord& m) { return m.sequence > marked; });
    const auto begin = [&](int32_t mode) {
        parts.emplace_back();
        parts.back().mode = mode;
    };
    for (const uint32_t ticker : head.rows.since(after)) {
        const LatestRow& row = head.rows[ticker];
        if (parts.empty() || parts.back().mode != row.mode || parts.back().tickers.size() == BATCH_ROWS_MAX) begin(row.mode);
        LatestPart& part = parts.back();
        // Markers go with the record behind them.
        for (; marker != head.markers.end() && marker->sequence < row.sequence; ++marker) part.markers.push_back(*marker);
        part.tickers.push_back(ticker);
        part.last_sequence = row.sequence;
    }
    if (marker != head.markers.end()) {
        if (parts.empty() || parts.back().mode != head.mode) begin(head.mode);
        parts.back().markers.insert(parts.back().markers.end(), marker, head.markers.end());
    }
    if (parts.empty()) return parts;
    parts.back().last_sequence = head.last_sequence;
    uint64_t before = after;
    for (LatestPart& part : parts) {
        part.first_sequence = before + 1;
        before = part.last_sequence;
    }
    return parts;
}

// The columns of a part; both kinds of batches have these.
template <class Batch>
void fill_part(const LatestHead& head, const LatestPart& part, Batch& batch) {
    batch.epoch = head.epoch;
    batch.mode = part.mode;
    batch.first_sequence = part.first_sequence;
    batch.last_sequence = part.last_sequence;
    for (const uint32_t ticker : part.tickers) {
        const LatestRow& row = head.rows[ticker];
        batch.ticker_index.push_back(static_cast<uint32_t>(batch.tickers.size()));
        batch.tickers.push_back(head.rows.name(ticker));
        batch.event.push_back(row.event);
        batch.arrival.push_back(row.arrival);
    }
}

// The batch must outlive the plan.
inline void plan_ticks(const LatestHead& head, const LatestPart& part, TickBatch& batch, BatchPlan& plan) {
    fill_part(head, part, batch);
    for (const uint32_t ticker : part.tickers) {
        const LatestRow& row = head.rows[ticker];
        batch.bid_price.push_back(row.values[0]);
        batch.bid_amount.push_back(row.values[1]);
        batch.ask_price.push_back(row.values[2]);
        batch.ask_amount.push_back(row.values[3]);
        plan.tick_sequence.push_back(row.sequence);
    }
    plan.epoch = batch.epoch;
    plan.mode = batch.mode;
    plan.first_sequence = batch.first_sequence;
    plan.last_sequence = batch.last_sequence;
    plan.publish_time = head.publish_time;
    plan.tickers.assign(batch.tickers.begin(), batch.tickers.end());
    plan.ticker_index = batch.ticker_index;
    if (batch.tick_count() > 0) plan.runs.push_back({0, batch.tick_count()});
    plan.batch = &batch;
    plan.markers = part.markers;
    plan.filtered = true;
}

inline void fill_mids(const LatestHead& head, const LatestPart& part, MidBatch& batch) {
    fill_part(head, part, batch);
    for (const uint32_t ticker : part.tickers) {
        const LatestRow& row = head.rows[ticker];
        batch.sequence.push_back(row.sequence);
        batch.mid_price.push_back(row.values[0]);
    }
}

}  // namespace midstream
