// The streams of a session's partitions as one: a merge by (arrival time, tie order) that knows what is still to come.
#pragma once
#include <algorithm>
#include <cstdint>
#include <deque>
#include <limits>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "columns.hpp"
#include "strand.hpp"
#include "tick_batch.hpp"
#include "tick_writer.hpp"
#include "tournament.hpp"

namespace midstream {

// Who holds everything up, and whether only live records are waited for.
struct Laggard {
    uint32_t partition;
    bool excusable;
};

// What take() chose, until the next call: the plan points into it.
struct Woven {
    TickBatch batch;
    BatchPlan plan;
};

class Weaver {
  public:
    explicit Weaver(size_t partitions) : strands_(partitions), lanes_(partitions) {
        for (size_t i = 0; i < partitions; ++i) strands_[i].partition = static_cast<uint32_t>(i);
    }

    size_t size() const { return strands_.size(); }
    Strand& operator[](size_t partition) { return strands_[partition]; }
    const std::vector<Strand>& strands() const { return strands_; }

    // What follows in a partition. Throws Malformed where it does not follow.
    void feed(size_t partition, std::unique_ptr<HeldBatch> held) {
        for (const std::string& ticker : held->batch.tickers) held->numbers.push_back(tickers_.intern(ticker));
        strands_[partition].feed(std::move(held));
    }

    // Fill `woven` with what is settled, up to a whole batch; false when nothing is.
    bool take(Woven& woven) {
        done_.clear();
        slots_.clear();
        picks_.clear();
        limit_ = NOBODY;
        woven.plan = BatchPlan{};
        plan_ = &woven.plan;
        records_ = bytes_ = 0;
        number_ = total();
        for (Strand& strand : strands_) {
            strand.refresh(done_);
            if (strand.head == Head::ASIDE && !take_asides(strand)) break;
        }
        if (!full_) {
            order_.start(strands_.size());
            for (Strand& strand : strands_) enter(strand);
            order_.play();
            while (take_next()) {}
            for (Strand& strand : strands_) leave(strand);
            if (records_ == 0) take_barrier();
        }
        full_ = false;
        if (records_ == 0) return false;
        fill(woven);
        return true;
    }

    // Who has to say more before anything else comes out; nobody where nothing waits.
    std::vector<Laggard> laggards() {
        std::vector<Laggard> found;
        const Strand* first = nullptr;
        const Strand* barrier = nullptr;
        for (Strand& strand : strands_) {
            strand.refresh(done_);
            if (strand.head == Head::RECORD && (first == nullptr || strand.key < first->key)) first = &strand;
            if (strand.head == Head::BARRIER && (barrier == nullptr || strand.revision() < barrier->revision())) barrier = &strand;
        }
        for (const Strand& strand : strands_) {
            if (strand.head == Head::BARRIER && first == nullptr && !strand.is_whole()) found.push_back({strand.partition, false});
            if (strand.head != Head::NONE || strand.excused) continue;
            const Bound bound = strand.bound();
            if (first != nullptr ? !(first->key < bound) : barrier != nullptr) {
                const int32_t waits = first != nullptr ? first->front().mode : 0;
                found.push_back({strand.partition, strand.mode == MODE_LIVE || (waits == MODE_LIVE && strand.mode == 0) ||
                                                       (first == nullptr && barrier->begins_live_before(bound.arrival))});
            }
        }
        return found;
    }

  private:
    // Ticks of a partition that may be taken one after the other, as far as nothing comes between them.
    struct Lane {
        const int64_t* arrival = nullptr;
        const uint64_t* tie = nullptr;
        uint32_t slot = 0;
        uint32_t row = 0, stop = 0;
    };
    // A batch of which ticks were picked.
    struct Slot {
        const HeldBatch* from;
        const uint32_t* tickers;
        const uint32_t* numbers;
    };
    struct Pick {
        uint32_t slot;
        uint32_t row;
    };

    // The records of all partitions up to where each stands.
    uint64_t total() const {
        uint64_t sum = 0;
        for (const Strand& strand : strands_) sum += strand.sequence;
        return sum;
    }

    // A partition's next record among those to choose from, or what is known of one that has none.
    void enter(Strand& strand) {
        lanes_[strand.partition] = Lane{};
        if (strand.head == Head::RECORD) order_.enter(Entrant::of(strand.key));
        else wait_for(strand);
    }

    void wait_for(const Strand& strand) {
        if (strand.head != Head::NONE || strand.excused) return;
        const Entrant bound = Entrant::of(strand.bound());
        if (bound.before(limit_)) limit_ = bound;
    }

    // Take the ticks of a lane for passed.
    void leave(Strand& strand) {
        Lane& lane = lanes_[strand.partition];
        if (lane.arrival != nullptr && lane.row != strand.tick) strand.pass_ticks(done_, lane.row - strand.tick);
        lane = Lane{};
    }

    // Begin, or tell whether the batch that was begun may hold what stands next in a partition.
    bool fits(Strand& strand) {
        const TickBatch& batch = strand.front();
        if (records_ != 0) return batch.mode == plan_->mode && batch.epoch == strand.epoch;
        strand.begin_epoch();
        number_ = total();
        plan_->mode = batch.mode;
        plan_->first_sequence = number_ + 1;
        numbers_.start(tickers_.size());
        return true;
    }

    // Markers of one partition alone come out behind what stood before them in it.
    bool take_asides(Strand& strand) {
        while (strand.head == Head::ASIDE) {
            full_ = full_ || records_ == BATCH_ROWS_MAX || bytes_ > BATCH_BYTES_MAX / 2 || !fits(strand);
            if (full_) return false;
            MarkerRecord marker = strand.marker();
            const uint64_t next = strand.front().after(strand.special());
            if (marker.next_sequence != 0) marker.next_sequence = number_ + 1 + (marker.next_sequence - marker.sequence);
            const uint64_t jump = next - marker.sequence;
            marker.sequence = number_ + 1;
            plan_->last_sequence = marker.sequence;
            number_ += jump;
            bytes_ += marker.state.size() + marker.reason.size() + MARKER_BYTES;
            plan_->markers.push_back(std::move(marker));
            strand.pass_special(done_, next);
            ++records_;
        }
        return true;
    }

    // The next record that is settled, and the ticks that follow it.
    bool take_next() {
        if (full_ || records_ >= BATCH_ROWS_MAX || bytes_ >= BATCH_BYTES_MAX) return false;
        if (!order_.winner().before(limit_)) return false;
        Strand& strand = strands_[order_.winner().number];
        if (lanes_[strand.partition].arrival == nullptr) {
            if (!fits(strand)) return false;
            if (strand.is_tick()) open(strand);
        }
        if (lanes_[strand.partition].arrival != nullptr) {
            Strand* const ended = take_ticks();
            if (ended != nullptr) follow(*ended);
            return true;
        }
        if (!take_rejection(strand)) return false;
        follow(strand);
        return true;
    }

    // What stands first in a partition has come out: what comes next takes its place.
    void follow(Strand& strand) {
        if (strand.head == Head::ASIDE) take_asides(strand);
        order_.replace(strand.head == Head::RECORD ? Entrant::of(strand.key) : NOBODY);
        wait_for(strand);
    }

    // Let ticks be taken of the batch in front of a partition.
    void open(const Strand& strand) {
        const HeldBatch* const from = strand.held.front().get();
        lanes_[strand.partition] = {from->batch.arrival.data(), from->batch.tie_order.data(), static_cast<uint32_t>(slots_.size()),
                                    static_cast<uint32_t>(strand.tick), static_cast<uint32_t>(strand.run_end())};
        slots_.push_back({from, from->batch.ticker_index.data(), from->numbers.data()});
    }

    // Take ticks of open lanes, as many as are sized up at once; return the partition in which something else stands next, if one does.
    Strand* take_ticks() {
        const size_t begin = picks_.size(), room = std::min(BATCH_ROWS_MAX - records_, TICKS_AT_ONCE);
        picks_.resize(begin + room);
        Pick* into = picks_.data() + begin;
        Pick* const full = into + room;
        const Entrant limit = limit_;
        Strand* ended = nullptr;
        uint64_t before = NOBODY.number;
        size_t again = 0;
        while (into < full && order_.winner().before(limit)) {
            const uint64_t number = order_.winner().number;
            Lane& lane = lanes_[number];
            if (lane.arrival == nullptr) break;
            *into++ = {lane.slot, lane.row++};
            // Of many partitions each is read so rarely that no processor guesses what comes next.
            __builtin_prefetch(lane.arrival + lane.row + AHEAD);
            __builtin_prefetch(lane.tie + lane.row + AHEAD);
            again = number == before ? again + 1 : 0;
            before = number;
            if (again >= RUN_LONG && lane.row < lane.stop) into = take_run(lane, number, into, full);
            if (lane.row == lane.stop) {
                ended = &strands_[number];
                break;
            }
            order_.replace(Entrant::of(lane.arrival[lane.row], lane.tie[lane.row], static_cast<uint32_t>(number)));
        }
        picks_.resize(static_cast<size_t>(into - picks_.data()));
        name_tickers(begin);
        const size_t count = picks_.size() - begin;
        bytes_ += count * TICK_BYTES;
        records_ += count;
        number_ += count;
        plan_->last_sequence = number_;
        if (ended != nullptr) leave(*ended);
        return ended;
    }

    // One partition is first again and again: as long as it comes before the second, nobody else need be asked.
    Pick* take_run(Lane& lane, uint64_t number, Pick* into, Pick* full) const {
        Entrant until = order_.second();
        if (limit_.before(until)) until = limit_;
        while (into < full && lane.row < lane.stop &&
               Entrant::of(lane.arrival[lane.row], lane.tie[lane.row], static_cast<uint32_t>(number)).before(until)) {
            *into++ = {lane.slot, lane.row++};
        }
        return into;
    }

    // Number the tickers of what was picked from `begin` on, in the order in which they come.
    void name_tickers(size_t begin) {
        plan_->ticker_index.resize(picks_.size());
        uint32_t* const index = plan_->ticker_index.data();
        for (size_t i = begin; i < picks_.size(); ++i) {
            const Slot& from = slots_[picks_[i].slot];
            const uint32_t ticker = from.numbers[from.tickers[picks_[i].row]];
            if (!numbers_.known(ticker)) {
                numbers_.add(ticker);
                plan_->tickers.push_back(tickers_.name(ticker));
                bytes_ += plan_->tickers.back().size() + 6;
            }
            index[i] = numbers_.number(ticker);
        }
    }

    bool take_rejection(Strand& strand) {
        const RejectionRecord& from = strand.rejection();
        const size_t size = from.source.size() + from.reason.size() + from.raw.size() + REJECTION_BYTES;
        if (records_ != 0 && bytes_ + size > BATCH_BYTES_MAX) return false;
        bytes_ += size;
        plan_->rejections.push_back({++number_, from.arrival, from.source, from.line, from.reason, from.raw, 0});
        plan_->last_sequence = number_;
        ++records_;
        strand.pass_special(done_, from.sequence + 1);
        return true;
    }

    // Where every partition has come to one: those of the lowest revision come out as one marker, in a batch of its own.
    void take_barrier() {
        const Strand* lowest = nullptr;
        for (const Strand& strand : strands_) {
            if (strand.head == Head::RECORD || (strand.head == Head::NONE && !strand.excused)) return;
            if (strand.head != Head::BARRIER) continue;
            if (!strand.is_whole()) return;
            if (lowest == nullptr || strand.revision() < lowest->revision()) lowest = &strand;
        }
        if (lowest == nullptr) return;
        const MarkerRecord like = lowest->marker();
        std::vector<Strand*> members;
        for (Strand& strand : strands_) {
            if (strand.head == Head::BARRIER && strand.revision() == like.revision && strand.marker().kind == like.kind) members.push_back(&strand);
        }
        for (Strand* const strand : members) strand->begin_epoch();
        number_ = total();
        plan_->mode = members.front()->front().mode;
        plan_->first_sequence = number_ + 1;
        plan_->filtered = true;
        Barrier barrier;
        for (Strand* const strand : members) strand->pass_barrier(done_, barrier);
        for (MarkerRecord& marker : barrier.united()) {
            marker.sequence = number_ + 1 + plan_->markers.size();
            plan_->markers.push_back(std::move(marker));
        }
        plan_->last_sequence = number_ + barrier.markers;
        number_ = plan_->last_sequence;
        records_ = plan_->markers.size();
    }

    // One column after the other: each is read and written in its order.
    template <class T>
    void gather(Column<T>& into, Column<T> TickBatch::* column) {
        columns_.clear();
        for (const Slot& slot : slots_) columns_.push_back((slot.from->batch.*column).data());
        into.resize(picks_.size());
        T* const out = into.data();
        const void* const* const columns = columns_.data();
        const Pick* const picks = picks_.data();
        for (size_t i = 0, count = picks_.size(); i < count; ++i) {
            const T* const from = static_cast<const T*>(columns[picks[i].slot]) + picks[i].row;
            __builtin_prefetch(from + AHEAD);
            out[i] = *from;
        }
    }

    void fill(Woven& woven) {
        TickBatch& batch = woven.batch;
        gather(batch.event, &TickBatch::event);
        gather(batch.arrival, &TickBatch::arrival);
        gather(batch.bid_price, &TickBatch::bid_price);
        gather(batch.bid_amount, &TickBatch::bid_amount);
        gather(batch.ask_price, &TickBatch::ask_price);
        gather(batch.ask_amount, &TickBatch::ask_amount);
        for (const Strand& strand : strands_) woven.plan.publish_time = std::max(woven.plan.publish_time, strand.publish_time);
        if (!picks_.empty()) woven.plan.runs.push_back({0, picks_.size()});
        woven.plan.batch = &batch;
    }

    static constexpr size_t TICK_BYTES = 52, REJECTION_BYTES = 64, MARKER_BYTES = 160;
    static constexpr size_t TICKS_AT_ONCE = 512;  // before it is asked again how many bytes they take
    static constexpr size_t RUN_LONG = 4;
    static constexpr size_t AHEAD = 8;  // a line of the cache

    std::vector<Strand> strands_;
    TickerTable tickers_;
    std::vector<std::unique_ptr<HeldBatch>> done_;  // whose rows are still to be copied
    // Of the batch that is being taken:
    Tournament order_;                       // of what stands next in each partition
    std::vector<Lane> lanes_;                // of each partition
    std::vector<Slot> slots_;
    std::vector<const void*> columns_;       // of each of them
    Column<Pick> picks_;
    Entrant limit_ = NOBODY;  // before what partitions that have nothing may still send
    BatchPlan* plan_ = nullptr;
    LocalNumbers numbers_;
    size_t records_ = 0, bytes_ = 0;
    uint64_t number_ = 0;
    bool full_ = false;
};

}  // namespace midstream
