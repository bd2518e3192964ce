// Ages of what was known latest, weighted by time.
#pragma once
#include <algorithm>
#include <cstdint>
#include <vector>

namespace midstream {

// How old the latest mid of one ticker is, nanosecond by nanosecond. Every stretch between two mids counts up from where the first one was
// sent, so that it holds each age once.
class Ages {
  public:
    void add(int64_t from, int64_t to) {
        if (from >= to) return;
        begins_.push_back(from);
        ends_.push_back(to);
        total_ += static_cast<uint64_t>(to) - static_cast<uint64_t>(from);
    }

    uint64_t total() const { return total_; }
    int64_t max() const { return ends_.empty() ? 0 : *std::max_element(ends_.begin(), ends_.end()) - 1; }

    // The age that `rank` nanoseconds are not above.
    int64_t at_rank(uint64_t rank) {
        std::sort(begins_.begin(), begins_.end());
        std::sort(ends_.begin(), ends_.end());
        size_t begin = 0, end = 0;
        int64_t at = 0;
        while (end < ends_.size()) {
            const bool opens = begin < begins_.size() && begins_[begin] <= ends_[end];
            const int64_t next = opens ? begins_[begin] : ends_[end];
            const uint64_t here = begin - end;
            if (here > 0) {
                const uint64_t steps = static_cast<uint64_t>(next) - static_cast<uint64_t>(at);
                if (rank / here < steps) return static_cast<int64_t>(static_cast<uint64_t>(at) + rank / here);
                rank -= here * steps;
            }
            at = next;
            ++(opens ? begin : end);
        }
        return max();
    }

  private:
    std::vector<int64_t> begins_, ends_;
    uint64_t total_ = 0;
};

}  // namespace midstream
