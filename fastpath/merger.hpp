// Rows of many sources, each nearly sorted, into one total order. See merge.pyi for the protocol.
//
// The frontier is the lowest bound of all unfinished sources: no row still to come can arrive before it. A step looks at the rows
// read since the last one: those below the frontier are sorted and leave; stragglers wait in a radix heap; rows behind the last
// one that leaves are looked at again. Rows wait where they were decoded, so that a row is copied once on its way through. Only
// when too few rows of a stretch are still waiting do they move into slots, and the stretch is given back.
//
// Ties: every source's rows are laid out in the order in which they were read, sources in the order of their rank, and the sort
// is stable. Only runs carry rows of several ranks; while there is one, equal arrivals are compared in full.
#pragma once
#include <memory>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <vector>

#include "stores.hpp"

namespace midstream {

class Merger : private Stores {
  public:
    explicit Merger(size_t source_count) : source_count_(source_count) {}
    Merger(const Merger&) = delete;
    Merger& operator=(const Merger&) = delete;

    // The rows belong to the caller and must live as long as this object.
    void add_source(Rows* rows) {
        sources_.push_back(std::make_unique<Source>(rows));
        sources_.back()->number = sources_.size() - 1;
    }

    void resume_after(int64_t arrival, uint32_t rank, uint64_t row) {
        resume_ = {arrival, {rank, row}};
        resuming_ = true;
    }

    void advance(size_t rank, int64_t bound, bool finished) {
        Source& source = *sources_[rank];
        if (source.finished) {
            throw std::invalid_argument("source " + std::to_string(rank) + " was finished already; `advance` it no more");
        }
        admit(source);
        source.bound = std::max(source.bound, key_of(bound));
        source.finished = finished;
    }

    int64_t laggard() const {
        const Source* lowest = nullptr;
        for (const auto& source : sources_) {
            if (!source->finished && (lowest == nullptr || source->bound < lowest->bound)) lowest = source.get();
        }
        return lowest == nullptr ? -1 : static_cast<int64_t>(lowest->number);
    }

    // Returns how many rows were settled: appended to `into`, or dropped because they are not after `resume_after`.
    size_t take(Rows& into, size_t limit) {
        for (const auto& source : sources_) check_size(*source);
        if (taken_ == settled_) settle();
        const size_t dropped = drop_resumed();
        const size_t count = std::min(limit, settled_ - taken_);
        if (count > 0) hand_out(into, count);
        if (taken_ == settled_) release();
        return dropped + count;
    }

    // No row that is still to be taken arrives before it, as far as is known without reading on.
    int64_t lowest() const { return taken_ < settled_ ? row_of(order_[taken_]).arrival : time_of(frontier_); }

    size_t in_flight() const {
        size_t count = slots_.live() + (settled_ - taken_ - settled_in_slots_);
        for (const auto& source : sources_) count += source->rows->size() - source->looked_at + source->here.size();
        return count;
    }

    size_t in_flight_max() {
        note_in_flight();
        return in_flight_max_;
    }

    int64_t oldest_row(size_t rank) {
        int64_t oldest = sources_[rank]->slotted.oldest(slots_);
        const auto consider = [&oldest](uint64_t row) {
            if (oldest < 0 || static_cast<int64_t>(row) < oldest) oldest = static_cast<int64_t>(row);
        };
        Source& source = *sources_[rank];
        if (source.looked_at < source.rows->size()) consider((*source.rows)[source.looked_at].row);
        while (source.first_waiting < source.waits.size() && !source.waits[source.first_waiting]) ++source.first_waiting;
        if (source.first_waiting < source.waits.size()) consider((*source.rows)[source.first_waiting].row);
        for (size_t i = source_count_; i < sources_.size(); ++i) {
            const auto found = sources_[i]->oldest_rows.find(static_cast<uint32_t>(rank));
            if (found != sources_[i]->oldest_rows.end()) consider(found->second);
        }
        if (taken_ < settled_) {
            const auto place = [this](size_t i) { return place_of(order_[i]); };
            oldest_settled_.visit(rank, taken_, settled_, source_count_, place, consider);
        }
        return oldest;
    }

    // Sorts every row in flight; returns the size of the run, which `write_spill` must write next.
    size_t prepare_spill() {
        for (const auto& source : sources_) check_size(*source);
        for (const auto& source : sources_) admit(*source);
        note_in_flight();
        const size_t start = settled_;
        collect(nullptr);
        sort_settled(start, true, 0);
        size_t size = RUN_HEAD_SIZE;
        for (size_t i = taken_; i < settled_; ++i) {
            size += record_size(text_of(order_[i]));
        }
        return size;
    }

    void write_spill(char* out) {
        out = write_run_head(out, settled_ - taken_);
        for (size_t i = taken_; i < settled_; ++i) {
            out = write_record(out, row_of(order_[i]), text_of(order_[i]));
        }
        for (const auto& source : sources_) source->slotted = Waiting();
        slots_ = Slots();
        shrink();
        taken_ = settled_;
        // Rows that had been settled come back with the run. Nothing is held now, so the frontier may start over.
        frontier_ = 0;
        release();
    }

    size_t add_run(uint64_t row_count, std::unordered_map<uint32_t, uint64_t> oldest_rows) {
        auto run = std::make_unique<Source>(nullptr);
        run->own = std::make_unique<Rows>();
        run->rows = run->own.get();
        run->reader = std::make_unique<RunReader>(row_count);
        run->oldest_rows = std::move(oldest_rows);
        run->number = source_count_ + runs_added_++;
        sources_.push_back(std::move(run));
        return sources_.back()->number;
    }

    size_t feed_run(size_t number, const char* bytes, size_t size, bool final, size_t ticker_count) {
        Source* run = nullptr;
        for (size_t i = source_count_; i < sources_.size(); ++i) {
            if (sources_[i]->number == number) run = sources_[i].get();
        }
        if (run == nullptr || run->finished) {
            throw std::invalid_argument("there is no unfinished run " + std::to_string(number) + "; `laggard` names the one to feed");
        }
        const size_t used = run->reader->read(bytes, size, final, ticker_count, source_count_, frontier_, *run->rows);
        for (size_t i = run->admitted; i < run->rows->size(); ++i) run->keys.push_back(key_of((*run->rows)[i].arrival));
        run->admitted = run->rows->size();
        if (run->admitted > run->looked_at) run->bound = run->keys.back();
        run->finished = final;
        if (taken_ == settled_) release();
        return used;
    }

  private:
    struct ResumeKey {
        int64_t arrival;
        Place place;
    };
    // Rows only leave in `take` and spills, so that the peak stands just before.
    void note_in_flight() { in_flight_max_ = std::max(in_flight_max_, in_flight()); }

    void settle() {
        for (const auto& source : sources_) admit(*source);
        note_in_flight();
        bool everything = true;
        uint64_t frontier = ~uint64_t{0};
        for (const auto& source : sources_) {
            if (source->finished) continue;
            everything = false;
            frontier = std::min(frontier, source->bound);
        }
        if (!everything && frontier <= frontier_) return;
        const uint64_t floor = everything ? 0 : frontier_;
        collect(everything ? nullptr : &frontier);
        if (!everything) frontier_ = frontier;
        sort_settled(0, sources_.size() > source_count_, floor);
    }

    // Appends to the settled entries every row below `frontier` (all rows when it is null).
    void collect(const uint64_t* frontier) {
        oldest_settled_.forget();
        // Runs first: what they hold was read before what the sources hold.
        for (size_t i = source_count_; i < sources_.size(); ++i) collect_from(i, frontier);
        for (size_t i = 0; i < source_count_; ++i) collect_from(i, frontier);
    }

    void collect_from(size_t index, const uint64_t* frontier) {
        Source& source = *sources_[index];
        const size_t start = source.looked_at, stop = source.admitted;
        // Room is made as carried rows leave: to make it for all of them would cost each step what waits.
        const auto settle_entry = [this](uint64_t key, uint64_t ref) {
            if (settled_ == keys_.size()) make_room(settled_ + 1);
            keys_[settled_] = key;
            refs_[settled_++] = ref;
        };
        const auto settle_slotted = [&](const Entry& entry) {
            settle_entry(entry.key, ref_of(0, entry.ref));
            ++settled_in_slots_;
        };
        const auto settle_here = [&](const Entry& entry) {
            settle_entry(entry.key, ref_of(index + 1, entry.ref));
            source.waits[entry.ref] = 0;
        };
        // Rows in slots are older than rows that are still where they were decoded.
        if (frontier == nullptr) {
            source.moved.settle_all(settle_slotted);
            source.here.settle_all(settle_here);
        } else {
            source.moved.raise(frontier_, *frontier, settle_slotted);
            source.here.raise(frontier_, *frontier, settle_here);
        }
        if (start == stop) return;

        make_room(settled_ + (stop - start));
        uint64_t* const keys = keys_.data();
        uint64_t* const refs = refs_.data();
        const uint64_t* const keys_here = source.keys.data();
        const uint64_t last_key = frontier == nullptr ? ~uint64_t{0} : *frontier - 1;
        if (stragglers_.size() < stop - start) stragglers_.resize(stop - start);
        size_t straggler_count = 0, settled = settled_;
        for (size_t i = start; i < stop; ++i) {
            const uint64_t key = keys_here[i];
            const bool leaves = key <= last_key;
            keys[settled] = key;
            refs[settled] = ref_of(index + 1, i);
            settled += leaves;
            stragglers_[straggler_count] = static_cast<uint32_t>(i);
            straggler_count += !leaves;
        }
        // Rows behind the last one that leaves may stay where they are, unless looking at them again and again would cost
        // much more than what leaves.
        const size_t behind = settled > settled_ ? position_of(refs[settled - 1]) + 1 : start;
        const size_t tail = stop - behind;
        source.looked_at = stop;
        if (tail <= TAIL_FACTOR * (behind - start) + TAIL_MIN) {
            source.looked_at = behind;
            straggler_count -= tail;
        }
        settled_ = settled;
        if (straggler_count == 0) return;
        source.waits.resize(source.looked_at);
        for (size_t i = 0; i < straggler_count; ++i) {
            const size_t position = stragglers_[i];
            source.waits[position] = 1;
            source.here.push(*frontier, {keys_here[position], position});
        }
    }

    void make_room(size_t count) {
        if (count <= keys_.size()) return;
        keys_.resize(count + count / 2 + 64);
        refs_.resize(keys_.size());
    }

    void shrink() {
        keys_ = {};
        refs_ = {};
        order_ = {};
        sorter_.shrink();
    }

    // What settles lies between `floor`, the frontier before, and the one now; a floor of 0 is none.
    void sort_settled(size_t start, bool with_runs, uint64_t floor) {
        order_.resize(settled_);
        const uint64_t* const keys = keys_.data() + start;
        const uint64_t* const refs = refs_.data() + start;
        if (floor == 0) sorter_.sort(keys, refs, settled_ - start, order_.data() + start);
        else sorter_.sort(keys, refs, settled_ - start, floor, frontier_ - 1, order_.data() + start);
        if (with_runs) {
            order_ties(order_.data() + start, settled_ - start, [this](uint64_t ref) -> const Row& { return row_of(ref); });
        }
    }

    size_t drop_resumed() {
        if (!resuming_) return 0;
        const size_t start = taken_;
        while (taken_ < settled_ && !is_after_resume(row_of(order_[taken_]))) ++taken_;
        if (taken_ < settled_) resuming_ = false;
        for (size_t i = start; i < taken_; ++i) drop_slot(order_[i]);
        return taken_ - start;
    }

    bool is_after_resume(const Row& row) const {
        if (row.arrival != resume_.arrival) return row.arrival > resume_.arrival;
        return resume_.place < row.place();
    }

    void drop_slot(uint64_t ref) {
        if (!in_slot(ref)) return;
        slots_.drop(static_cast<uint32_t>(position_of(ref)));
        --settled_in_slots_;
    }

    void hand_out(Rows& into, size_t count) {
        stores_.clear();
        stores_.push_back(slots_.rows());
        for (const auto& source : sources_) stores_.push_back(source->rows->all.data());
        const uint64_t* const refs = order_.data() + taken_;
        const size_t start = into.size();
        into.all.resize(start + count);
        Row* const out = into.all.data() + start;
        int32_t subjects = 0;
        for (size_t i = 0; i < count; ++i) {
            out[i] = stores_[store_of(refs[i])][position_of(refs[i])];
            subjects |= out[i].subject;
        }
        for (size_t i = 0; subjects < 0 && i < count; ++i) {
            if (!out[i].is_rejected()) continue;
            out[i].subject = ~static_cast<int32_t>(into.rejected.size());
            into.rejected.push_back(std::move(*text_of(refs[i])));
        }
        for (size_t i = 0; settled_in_slots_ > 0 && i < count; ++i) drop_slot(refs[i]);
        taken_ += count;
    }

    // Gives memory back once no settled row points into it.
    void release() {
        taken_ = settled_ = settled_in_slots_ = 0;
        oldest_settled_.forget();
        if (keys_.size() > ENTRIES_KEPT_MAX) shrink();
        for (const auto& source : sources_) trim(*source);
        for (size_t i = sources_.size(); i-- > source_count_;) {
            const Source& run = *sources_[i];
            if (run.finished && run.rows->size() == 0 && run.moved.size() == 0) sources_.erase(sources_.begin() + i);
        }
        if (slots_.sparse()) move_together();
    }

    // Removes rows at the front of what was decoded: all that were looked at when few of them still wait, else the older half as
    // soon as most have left. Each removal costs about as much as the rows that it removes.
    void trim(Source& source) {
        const size_t looked_at = source.looked_at, waiting = source.here.size();
        size_t count = 0;
        if (waiting * HERE_SPARSE <= looked_at || waiting > HERE_MAX) {
            count = looked_at;
        } else if (looked_at >= HERE_FACTOR * waiting + HERE_MIN) {
            count = looked_at / 2;
        }
        if (count == 0 || 2 * count < source.rows->size() - count) return;
        if (waiting > 0) {
            move_to_slots(source, count);
        } else {
            source.waits.clear();
            source.first_waiting = 0;
        }
        cut_rows(source, count);
    }

    // Moves the rows that wait among the first `count` into slots, and counts the positions of the others from there.
    void move_to_slots(Source& source, size_t count) {
        const size_t stop = std::min(count, source.waits.size());
        for (size_t i = source.first_waiting; i < stop; ++i) {
            if (!source.waits[i]) continue;
            const Row& row = (*source.rows)[i];
            const uint32_t slot = slots_.put(row, source.rows->rejected);
            source.moved.push(frontier_, {key_of(row.arrival), slot});
            if (source.is_run()) continue;
            source.slotted.push(row.row, slot, slots_.stamp(slot));
            source.slotted.sweep(slots_);
        }
        source.here.filter([count](Entry& entry) {
            if (entry.ref < count) return false;
            entry.ref -= count;
            return true;
        });
        source.waits.erase(source.waits.begin(), source.waits.begin() + stop);
        source.first_waiting -= std::min(source.first_waiting, count);
    }

    static constexpr size_t HERE_SPARSE = 16;
    static constexpr size_t HERE_FACTOR = 4;
    static constexpr size_t HERE_MIN = 1024;
    static constexpr size_t HERE_MAX = 1 << 15;
    static constexpr size_t TAIL_FACTOR = 8;
    static constexpr size_t TAIL_MIN = 64;
    static constexpr size_t ENTRIES_KEPT_MAX = 1 << 18;

    const size_t source_count_;
    size_t runs_added_ = 0;
    uint64_t frontier_ = 0;
    Sorter sorter_;
    Column<uint64_t> keys_, refs_;  // of what settles, in the order in which it was read
    Column<uint64_t> order_;        // references to the settled rows in order: order_[taken_..settled_]
    size_t taken_ = 0, settled_ = 0, settled_in_slots_ = 0;
    std::vector<uint32_t> stragglers_;
    std::vector<const Row*> stores_;
    ResumeKey resume_{};
    bool resuming_ = false;
    OldestRows oldest_settled_;
    size_t in_flight_max_ = 0;
};

}  // namespace midstream
