// Pairs that stand the other way round in another order.
#pragma once
#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

namespace midstream {

// Counts inversions, group of tickers by group: `pairs[a * groups + b]` pairs of which a's came first and comes second now.
class InversionCounter {
  public:
    InversionCounter(std::vector<uint32_t> group_of, size_t groups) : pairs(groups * groups), group_of_(std::move(group_of)), groups_(groups) {}

    std::vector<uint64_t> pairs;

    // `positions[i]` is where the tick that is number i in one order stands in the other; sorted afterwards. `ticks[position]` tells
    // which tick that is.
    void count(std::vector<uint32_t>& positions, const std::vector<uint32_t>& ticks) {
        std::vector<uint32_t> spare(positions.size());
        for (size_t width = 1; width < positions.size(); width *= 2) {
            for (size_t begin = 0; begin + width < positions.size(); begin += 2 * width) {
                const size_t middle = begin + width, end = std::min(middle + width, positions.size());
                if (positions[middle - 1] > positions[middle]) merge(positions, spare, begin, middle, end, ticks);
            }
        }
    }

  private:
    void merge(std::vector<uint32_t>& all, std::vector<uint32_t>& spare, size_t begin, size_t middle, size_t end,
               const std::vector<uint32_t>& ticks) {
        // What the first half has that is smaller than all of the second one stays where it is.
        begin = static_cast<size_t>(std::upper_bound(all.begin() + begin, all.begin() + middle, all[middle]) - all.begin());
        std::vector<uint64_t> waiting(groups_);
        for (size_t i = begin; i < middle; ++i) ++waiting[group(all[i], ticks)];
        size_t left = begin, right = middle, out = begin;
        while (left < middle && right < end) {
            if (all[left] < all[right]) {
                --waiting[group(all[left], ticks)];
                spare[out++] = all[left++];
                continue;
            }
            const size_t second = group(all[right], ticks);
            for (size_t first = 0; first < groups_; ++first) pairs[first * groups_ + second] += waiting[first];
            spare[out++] = all[right++];
        }
        std::copy(all.begin() + left, all.begin() + middle, spare.begin() + out);
        const size_t used = out + (middle - left);
        std::copy(spare.begin() + begin, spare.begin() + used, all.begin() + begin);
    }

    size_t group(uint32_t position, const std::vector<uint32_t>& ticks) const { return group_of_[ticks[position]]; }

    const std::vector<uint32_t> group_of_;  // by tick
    const size_t groups_;
};

}  // namespace midstream
