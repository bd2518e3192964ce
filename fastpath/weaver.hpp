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
    explicit Weaver(size_t partitions) : strands_(partitions) {
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
        heads_.clear();
        picks_.clear();
        limit_ = AT_LAST;
        woven.plan = BatchPlan{};
        plan_ = &woven.plan;
        records_ = bytes_ = 0;
        number_ = total();
        for (Strand& strand : strands_) {
            strand.refresh(done_);
            if (strand.head == Head::ASIDE && !take_asides(strand)) break;
        }
        if (!full_) {
            for (Strand& strand : strands_) enter(strand);
            std::make_heap(heads_.begin(), heads_.end(), later);
            while (take_run()) {}
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
    // Keys lie side by side: who is next is asked for every record.
    struct Next {
        Bound key;
        Strand* strand;
    };
    static bool later(const Next& a, const Next& b) { return b.key < a.key; }

    // The records of all partitions up to where each stands.
    uint64_t total() const {
        uint64_t sum = 0;
        for (const Strand& strand : strands_) sum += strand.sequence;
        return sum;
    }

    // A partition's next record among those to choose from, or what is known of one that has none.
    void enter(Strand& strand) {
        if (strand.head == Head::RECORD) heads_.push_back({strand.key, &strand});
        else if (strand.head == Head::NONE && !strand.excused) limit_ = std::min(limit_, strand.bound());
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

    // The next record that is settled, and those of its partition that come before any other's.
    bool take_run() {
        if (heads_.empty() || full_ || records_ >= BATCH_ROWS_MAX || bytes_ >= BATCH_BYTES_MAX) return false;
        Strand& strand = *heads_.front().strand;
        if (!(strand.key < limit_) || !fits(strand)) return false;
        if (strand.is_tick()) {
            take_ticks(strand);
        } else if (!take_rejection(strand)) {
            return false;
        }
        if (strand.head == Head::ASIDE) take_asides(strand);
        if (strand.head == Head::RECORD) {
            sift();
        } else {
            std::pop_heap(heads_.begin(), heads_.end(), later);
            heads_.pop_back();
            if (strand.head == Head::NONE && !strand.excused) limit_ = std::min(limit_, strand.bound());
        }
        return true;
    }

    void take_ticks(Strand& strand) {
        Bound until = limit_;
        // The second in order is one of the two behind the first.
        for (size_t i = 1; i < std::min<size_t>(heads_.size(), 3); ++i) until = std::min(until, heads_[i].key);
        const HeldBatch* from = strand.held.front().get();
        const size_t begin = strand.tick, stop = std::min(strand.run_end(), begin + (BATCH_ROWS_MAX - records_));
        size_t end = begin + 1;
        const int64_t* arrival = from->batch.arrival.data();
        const uint64_t* tie = from->batch.tie_order.data();
        const bool first = strand.partition < until.partition;
        while (end < stop && (arrival[end] < until.arrival ||
                              (arrival[end] == until.arrival && (tie[end] < until.tie || (tie[end] == until.tie && first))))) {
            ++end;
        }
        for (size_t i = begin; i < end; ++i) picks_.push_back({from, static_cast<uint32_t>(i)});
        const size_t count = end - begin;
        for (size_t i = begin; i < end; ++i) {
            const uint32_t ticker = from->numbers[from->batch.ticker_index[i]];
            if (!numbers_.known(ticker)) {
                numbers_.add(ticker);
                plan_->tickers.push_back(tickers_.name(ticker));
                bytes_ += plan_->tickers.back().size() + 6;
            }
            plan_->ticker_index.push_back(numbers_.number(ticker));
        }
        bytes_ += count * TICK_BYTES;
        records_ += count;
        number_ += count;
        plan_->last_sequence = number_;
        strand.pass_ticks(done_, count);
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

    // Put the first head where it belongs now.
    void sift() {
        const size_t count = heads_.size();
        const Next moved{heads_[0].strand->key, heads_[0].strand};
        size_t at = 0;
        for (size_t child = 1; child < count; child = 2 * at + 1) {
            if (child + 1 < count && heads_[child + 1].key < heads_[child].key) ++child;
            if (!(heads_[child].key < moved.key)) break;
            heads_[at] = heads_[child];
            at = child;
        }
        heads_[at] = moved;
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
    void gather(Column<T>& into, Column<T> TickBatch::* column) const {
        into.resize(picks_.size());
        T* const out = into.data();
        for (size_t i = 0; i < picks_.size(); ++i) out[i] = (picks_[i].from->batch.*column).data()[picks_[i].row];
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

    struct Pick {
        const HeldBatch* from;
        uint32_t row;
    };
    static constexpr size_t TICK_BYTES = 52, REJECTION_BYTES = 64, MARKER_BYTES = 160;

    std::vector<Strand> strands_;
    TickerTable tickers_;
    std::vector<std::unique_ptr<HeldBatch>> done_;  // whose rows are still to be copied
    // Of the batch that is being taken:
    std::vector<Next> heads_;  // a heap: the first in order is in front
    std::vector<Pick> picks_;
    Bound limit_;  // before what partitions that have nothing may still send
    BatchPlan* plan_ = nullptr;
    LocalNumbers numbers_;
    size_t records_ = 0, bytes_ = 0;
    uint64_t number_ = 0;
    bool full_ = false;
};

}  // namespace midstream
