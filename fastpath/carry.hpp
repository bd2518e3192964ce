// Rows that were read but may not leave yet: kept so that time spent on them does not depend on how often others leave.
#pragma once
#include <array>
#include <cstdint>
#include <vector>

#include "order.hpp"

namespace midstream {

// Rows in slots that are used again.
class Slots {
  public:
    std::vector<Rejected> rejected;

    size_t live() const { return rows_.size() - free_.size(); }
    size_t size() const { return rows_.size(); }
    const Row* rows() const { return rows_.data(); }
    const Row& operator[](size_t slot) const { return rows_[slot]; }
    // Tells the row from a later one in the same slot.
    uint32_t stamp(size_t slot) const { return stamps_[slot]; }

    // Moves the text of a rejection out of `texts`.
    uint32_t put(Row row, std::vector<Rejected>& texts) {
        if (row.is_rejected()) row.subject = ~put_rejected(std::move(texts[row.rejection()]));
        if (free_.empty()) {
            rows_.push_back(row);
            stamps_.push_back(0);
            return static_cast<uint32_t>(rows_.size() - 1);
        }
        const uint32_t slot = free_.back();
        free_.pop_back();
        rows_[slot] = row;
        return slot;
    }

    // The text of a rejection must have been moved out.
    void drop(uint32_t slot) {
        if (rows_[slot].is_rejected()) free_rejected_.push_back(~rows_[slot].subject);
        ++stamps_[slot];
        free_.push_back(slot);
    }

    // Far more memory than the live rows need: time to move them together.
    bool sparse() const { return rows_.size() > SPARSE_MIN && live() < rows_.size() / 8; }

  private:
    static constexpr size_t SPARSE_MIN = 1 << 14;

    int32_t put_rejected(Rejected&& text) {
        if (free_rejected_.empty()) {
            rejected.push_back(std::move(text));
            return static_cast<int32_t>(rejected.size() - 1);
        }
        const int32_t place = free_rejected_.back();
        free_rejected_.pop_back();
        rejected[place] = std::move(text);
        return place;
    }

    std::vector<Row> rows_;
    std::vector<uint32_t> stamps_;
    std::vector<uint32_t> free_;
    std::vector<int32_t> free_rejected_;
};

// Keys at or above a frontier that only rises (a radix heap). Bucket b holds the keys whose highest bit that differs from the
// frontier is b. When the frontier rises, its highest changed bit names the one bucket that has to be looked at: all below
// have been passed as a whole, all above stay untouched. A key moves at most once per bit, however many steps it waits.
// Equal keys share a bucket at all times, in the order in which they were pushed.
class RadixHeap {
  public:
    size_t size() const { return size_; }

    void push(uint64_t frontier, const Entry& entry) {
        ++size_;
        place(frontier, entry);
    }

    // Hands every key below `next` to `settle`; the frontier is `next` from then on.
    template <class Settle>
    void raise(uint64_t frontier, uint64_t next, Settle settle) {
        if (size_ == 0) return;
        const int split = bucket_of(frontier, next);
        for (uint64_t left = occupied_ & ((uint64_t{1} << split) - 1); left != 0; left &= left - 1) {
            std::vector<Entry>& bucket = buckets_[__builtin_ctzll(left)];
            for (const Entry& entry : bucket) settle(entry);
            empty(bucket);
        }
        occupied_ &= ~((uint64_t{1} << split) - 1);
        if ((occupied_ >> split & 1) == 0) return;
        occupied_ &= ~(uint64_t{1} << split);
        std::vector<Entry> bucket;
        bucket.swap(buckets_[split]);
        for (const Entry& entry : bucket) {
            if (entry.key < next) {
                --size_;
                settle(entry);
            } else {
                place(next, entry);
            }
        }
        // Its memory is used again unless rows came back to this very bucket.
        if (buckets_[split].capacity() == 0 && bucket.capacity() <= KEPT_MAX) {
            bucket.clear();
            buckets_[split].swap(bucket);
        }
    }

    template <class Settle>
    void settle_all(Settle settle) {
        for (uint64_t left = occupied_; left != 0; left &= left - 1) {
            std::vector<Entry>& bucket = buckets_[__builtin_ctzll(left)];
            for (const Entry& entry : bucket) settle(entry);
            empty(bucket);
        }
        occupied_ = 0;
    }

    template <class Visit>
    void visit(Visit visit_entry) {
        for (uint64_t left = occupied_; left != 0; left &= left - 1) {
            for (Entry& entry : buckets_[__builtin_ctzll(left)]) visit_entry(entry);
        }
    }

    // Removes every entry for which `keep` (which may change its ref) answers false.
    template <class Keep>
    void filter(Keep keep) {
        for (uint64_t left = occupied_; left != 0; left &= left - 1) {
            std::vector<Entry>& bucket = buckets_[__builtin_ctzll(left)];
            size_t kept = 0;
            for (Entry entry : bucket) {
                if (keep(entry)) bucket[kept++] = entry;
            }
            size_ -= bucket.size() - kept;
            bucket.resize(kept);
        }
    }

  private:
    static constexpr size_t KEPT_MAX = 1 << 12;

    static int bucket_of(uint64_t frontier, uint64_t key) { return 63 - __builtin_clzll((frontier ^ key) | 1); }

    void place(uint64_t frontier, const Entry& entry) {
        const int bucket = bucket_of(frontier, entry.key);
        buckets_[bucket].push_back(entry);
        occupied_ |= uint64_t{1} << bucket;
    }

    void empty(std::vector<Entry>& bucket) {
        size_ -= bucket.size();
        if (bucket.capacity() > KEPT_MAX) std::vector<Entry>().swap(bucket);
        else bucket.clear();
    }

    std::array<std::vector<Entry>, 64> buckets_;
    uint64_t occupied_ = 0;
    size_t size_ = 0;
};

// The carried rows of one source in row order, to know the oldest one. Rows leave from anywhere: dead ones are skipped when they
// reach the front, and swept when they outnumber the live ones.
class Waiting {
  public:
    void push(uint64_t row, uint32_t slot, uint32_t stamp) { queue_.push_back({row, slot, stamp}); }

    // -1 when none is left.
    int64_t oldest(const Slots& slots) {
        while (head_ < queue_.size() && dead(queue_[head_], slots)) ++head_;
        if (head_ == queue_.size()) {
            queue_.clear();
            head_ = 0;
            return -1;
        }
        return static_cast<int64_t>(queue_[head_].row);
    }

    // Call when a row was pushed: amortised constant.
    void sweep(const Slots& slots) {
        if (queue_.size() < swept_size_) return;
        size_t kept = 0;
        for (size_t i = head_; i < queue_.size(); ++i) {
            if (!dead(queue_[i], slots)) queue_[kept++] = queue_[i];
        }
        queue_.resize(kept);
        head_ = 0;
        swept_size_ = std::max<size_t>(64, 2 * kept);
        if (queue_.capacity() > 8 * swept_size_) queue_.shrink_to_fit();
    }

    // After the live rows moved to other slots: `moved[slot]` is the new one, with stamp 0.
    void relocate(const Slots& old, const std::vector<uint32_t>& moved) {
        swept_size_ = 0;
        sweep(old);
        for (Item& item : queue_) item = {item.row, moved[item.slot], 0};
    }

  private:
    struct Item {
        uint64_t row;
        uint32_t slot, stamp;
    };
    static bool dead(const Item& item, const Slots& slots) { return slots.stamp(item.slot) != item.stamp; }

    std::vector<Item> queue_;
    size_t head_ = 0;
    size_t swept_size_ = 64;
};

}  // namespace midstream
