// One partition's stream on its way into the one order: what of it waits, and what is known of what follows.
#pragma once
#include <algorithm>
#include <cstdint>
#include <deque>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "columns.hpp"
#include "quotes.hpp"
#include "tick_batch.hpp"
#include "tick_reader.hpp"

namespace midstream {

constexpr int32_t MARKER_SEAM = 1;
// A discontinuity's state goes on in another marker where it has so many bytes.
constexpr size_t STATE_BYTES_MAX = BATCH_BYTES_MAX / 2;

// A place in the order of all partitions: of two with one key that of the lower partition is first.
struct Bound {
    int64_t arrival;
    uint64_t tie;
    uint32_t partition;
    bool operator<(const Bound& other) const {
        if (arrival != other.arrival) return arrival < other.arrival;
        return tie != other.tie ? tie < other.tie : partition < other.partition;
    }
};
constexpr Bound AT_LAST = {AFTER_EVERYTHING, std::numeric_limits<uint64_t>::max(), std::numeric_limits<uint32_t>::max()};

struct HeldBatch {
    TickBatch batch;
    std::vector<uint32_t> numbers;  // of its tickers, in the weaver's table
    size_t size = 0;                // bytes on the wire
};

// Markers of one revision from several partitions, until they are one.
struct Barrier {
    std::vector<MarkerRecord> first;   // of each partition
    std::vector<QuoteRecord> quotes;
    size_t markers = 0;                // how many numbers they took

    // As one partition would have said it. There are never more than were taken.
    std::vector<MarkerRecord> united() {
        MarkerRecord marker = first.front();
        marker.state.clear();
        for (const MarkerRecord& other : first) {
            const auto before = [](const RecordKey& a, const RecordKey& b) {
                return a.arrival != b.arrival ? a.arrival < b.arrival : a.rank != b.rank ? a.rank < b.rank : a.row < b.row;
            };
            if (&other == &first.front()) continue;
            if (other.has_last_key && (!marker.has_last_key || before(marker.last_key, other.last_key))) marker.last_key = other.last_key;
            if (other.has_first_key && (!marker.has_first_key || before(other.first_key, marker.first_key))) marker.first_key = other.first_key;
            marker.has_last_key |= other.has_last_key;
            marker.has_first_key |= other.has_first_key;
            marker.time = std::max(marker.time, other.time);
            marker.previous_mode = std::max(marker.previous_mode, other.previous_mode);
            marker.overlap_removed += other.overlap_removed;
            marker.lost_frames += other.lost_frames;
            marker.gap = std::max(marker.gap, other.gap);
            marker.position_arrival = std::max(marker.position_arrival, other.position_arrival);
        }
        std::stable_sort(quotes.begin(), quotes.end(), [](const QuoteRecord& a, const QuoteRecord& b) { return a.ticker < b.ticker; });
        std::vector<MarkerRecord> out{marker};
        for (const QuoteRecord& quote : quotes) {
            if (out.back().state.size() >= STATE_BYTES_MAX && out.size() < markers) out.push_back(marker);
            append_quote(quote, out.back().state);
        }
        return out;
    }
};

enum class Head {
    NONE,     // nothing waits
    RECORD,   // a tick or a rejection, with `key`
    ASIDE,    // a marker of this partition alone
    BARRIER,  // a seam or a discontinuity, which all partitions have
};

class Strand {
  public:
    uint32_t partition = 0;
    std::string epoch;      // where it stands: everything up to `sequence` came out
    uint64_t sequence = 0;
    int32_t mode = 0;       // of what came out last or waits last; 0 before the first
    int64_t publish_time = 0;
    bool excused = false;   // nobody waits for it until it says something
    std::deque<std::unique_ptr<HeldBatch>> held;
    size_t tick = 0;        // in the front batch
    size_t held_bytes = 0;
    Head head = Head::NONE;
    Bound key{};            // of a RECORD

    // Begin behind a record.
    void stand(std::string at_epoch, uint64_t at) {
        epoch = fed_epoch_ = std::move(at_epoch);
        sequence = fed_ = since_ = at;
    }

    void feed(std::unique_ptr<HeldBatch> next) {
        const TickBatch& batch = next->batch;
        const std::string name = "partition " + std::to_string(partition);
        if (batch.filtered) throw Malformed(name + ": records were filtered out of its batch, so its order is not known; feed whole batches");
        if (batch.tie_order.size() != batch.tick_count()) throw Malformed(name + ": its batch has no `tie_order`; only sessions of several partitions have it");
        if (fed_ != 0 && fed_epoch_ == batch.epoch && batch.first_sequence != fed_ + 1) {
            throw Malformed(name + ": record " + std::to_string(batch.first_sequence) + " does not follow " + std::to_string(fed_));
        }
        if (fed_ == 0 && held.empty()) {
            epoch = batch.epoch;
            sequence = batch.first_sequence - 1;
        }
        fed_epoch_ = batch.epoch;
        fed_ = batch.last_sequence;
        // Behind a gap the numbers may go on elsewhere.
        if (!batch.specials.empty() && batch.specials.back().sequence == batch.last_sequence) fed_ = batch.after(batch.specials.back()) - 1;
        mode = batch.mode;
        excused = false;
        held_bytes += next->size;
        held.push_back(std::move(next));
    }

    // Behind `at` of an epoch nothing arrives before `arrival`. Counts once everything up to there was fed.
    void promise(const std::string& of_epoch, uint64_t at, int64_t arrival) {
        if (epoch.empty() && held.empty()) {
            epoch = fed_epoch_ = of_epoch;
            sequence = fed_ = since_ = 0;
        }
        promised_epoch_ = of_epoch;
        promised_at_ = at;
        promised_ = arrival;
    }

    bool has_promise() const { return promised_epoch_ == fed_epoch_ && fed_ >= promised_at_ && promised_at_ >= since_ && promised_at_ != NEVER; }

    // Where the next record comes at the earliest, of a partition of which nothing waits.
    Bound bound() const {
        Bound found{BEFORE_EVERYTHING, 0, 0};
        if (has_last_) found = last_;
        if (has_promise()) found = std::max(found, Bound{promised_, 0, partition});
        return found;
    }

    const TickBatch& front() const { return held.front()->batch; }
    const Special& special() const { return front().specials[special_]; }
    const MarkerRecord& marker() const { return front().markers[special().index]; }
    const RejectionRecord& rejection() const { return front().rejections[special().index]; }
    uint64_t revision() const { return marker().revision; }
    bool is_tick() const { return special_ == front().specials.size() || special().ticks_before > tick; }
    // Ticks before this one are not interrupted.
    size_t run_end() const { return special_ == front().specials.size() ? front().tick_count() : special().ticks_before; }

    // Whether all of a discontinuity's state is here.
    bool is_whole() const {
        if (marker().state.size() < STATE_BYTES_MAX) return true;
        return held.size() > 1 || special_ + 1 < front().specials.size() || run_end_behind() || has_promise();
    }
    bool begins_live_before(int64_t arrival) const {
        return marker().kind == MARKER_SEAM && marker().mode == MODE_LIVE && marker().has_first_key && marker().first_key.arrival < arrival;
    }

    void begin_epoch() {
        if (epoch == front().epoch) return;
        epoch = front().epoch;
        sequence = since_ = front().first_sequence - 1;
        has_last_ = false;
        barred_ = false;
    }

    // Find what stands next; batches that are used up go to `done`, for whoever still copies their rows.
    void refresh(std::vector<std::unique_ptr<HeldBatch>>& done) {
        while (!held.empty() && tick == front().tick_count() && special_ == front().specials.size()) {
            held_bytes -= held.front()->size;
            done.push_back(std::move(held.front()));
            held.pop_front();
            tick = special_ = 0;
        }
        if (held.empty()) {
            head = Head::NONE;
        } else if (is_tick()) {
            head = Head::RECORD;
            key = {front().arrival[tick], front().tie_order[tick], partition};
        } else if (!special().is_marker) {
            head = Head::RECORD;
            key = {rejection().arrival, rejection().tie_order, partition};
        } else {
            const MarkerRecord& found = marker();
            const bool bars = found.kind == MARKER_SEAM || found.kind == MARKER_DISCONTINUITY;
            head = bars && !goes_on(found) ? Head::BARRIER : Head::ASIDE;
        }
    }

    void pass_ticks(std::vector<std::unique_ptr<HeldBatch>>& done, size_t count) {
        tick += count;
        sequence += count;
        last_ = {front().arrival[tick - 1], front().tie_order[tick - 1], partition};
        has_last_ = true;
        barred_ = false;
        publish_time = std::max(publish_time, front().publish_time);
        refresh(done);
    }

    // `next` is the number that follows.
    void pass_special(std::vector<std::unique_ptr<HeldBatch>>& done, uint64_t next) {
        if (!special().is_marker) {
            last_ = key;
            has_last_ = true;
            barred_ = false;
        }
        sequence = next - 1;
        publish_time = std::max(publish_time, front().publish_time);
        ++special_;
        refresh(done);
    }

    // Take a barrier with the markers that go on with it. What was known of what follows is over.
    void pass_barrier(std::vector<std::unique_ptr<HeldBatch>>& done, Barrier& into) {
        into.first.push_back(marker());
        bar_ = {marker().kind, marker().revision, marker().time};
        barred_ = true;
        do {
            read_quotes(marker().state.data(), marker().state.size(), into.quotes);
            ++into.markers;
            since_ = marker().sequence;
            pass_special(done, marker().sequence + 1);
        } while (head == Head::ASIDE && goes_on(marker()));
        has_last_ = false;
    }

  private:
    struct Bar {
        int32_t kind;
        uint64_t revision;
        int64_t time;
    };
    // Whether a marker is a further part of the barrier that came out last.
    bool goes_on(const MarkerRecord& found) const {
        return barred_ && found.kind == MARKER_DISCONTINUITY && found.kind == bar_.kind && found.revision == bar_.revision && found.time == bar_.time;
    }
    bool run_end_behind() const { return tick < front().tick_count(); }

    static constexpr uint64_t NEVER = std::numeric_limits<uint64_t>::max();
    std::string fed_epoch_, promised_epoch_;
    uint64_t fed_ = 0;              // up to where it was fed
    uint64_t since_ = 0;            // what was promised behind an earlier record may be over
    uint64_t promised_at_ = NEVER;
    int64_t promised_ = BEFORE_EVERYTHING;
    size_t special_ = 0;            // in the front batch
    Bound last_{};                  // of the record that came out last
    bool has_last_ = false;
    Bar bar_{};
    bool barred_ = false;           // nothing but markers came out since the last barrier
};

// Where every partition stands, as fields of a TickBatch.
template <class Out>
void put_positions(Out& out, const std::vector<Strand>& strands) {
    for (const Strand& strand : strands) {
        wire::put_message(out, 22, [&](auto& inner) {
            wire::put_varint(inner, 1, strand.partition);
            wire::put_bytes(inner, 2, strand.epoch);
            wire::put_fixed64(inner, 3, strand.sequence);
        });
    }
}
inline size_t size_positions(const std::vector<Strand>& strands) {
    wire::Sizer sizer;
    put_positions(sizer, strands);
    return sizer.size;
}
inline void fill_positions(const std::vector<Strand>& strands, char* into) {
    wire::Filler filler(into);
    put_positions(filler, strands);
}

}  // namespace midstream
