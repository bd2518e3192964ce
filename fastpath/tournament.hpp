// Which of many streams comes next: a tournament whose losers wait where they lost, so that whoever replaces the winner meets one of them a round.
#pragma once
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "strand.hpp"

namespace midstream {

// A Bound that is compared without a branch: who is next is not to be guessed, and every wrong guess costs as much as ten comparisons.
struct Entrant {
    uint64_t high;  // of the arrival time, in the order of unsigned numbers
    uint64_t low;
    uint64_t number;

    static Entrant of(int64_t arrival, uint64_t tie, uint32_t number) {
        return {static_cast<uint64_t>(arrival) ^ uint64_t{1} << 63, tie, number};
    }
    static Entrant of(const Bound& bound) { return of(bound.arrival, bound.tie, bound.partition); }
    bool before(const Entrant& other) const {
        const bool low_first = (low < other.low) | ((low == other.low) & (number < other.number));
        return (high < other.high) | ((high == other.high) & low_first);
    }
};
// Behind every entrant.
constexpr Entrant NOBODY = {std::numeric_limits<uint64_t>::max(), std::numeric_limits<uint64_t>::max(), std::numeric_limits<uint64_t>::max()};

class Tournament {
  public:
    // Everybody is to enter again; numbers are below `size`.
    void start(size_t size) {
        leaves_ = 1;
        while (leaves_ < size) leaves_ *= 2;
        nodes_.assign(2 * leaves_, NOBODY);
    }
    void enter(const Entrant& entrant) { nodes_[leaves_ + entrant.number] = entrant; }
    // After the last has entered. A node holds its winner while this goes up, and its loser from then on.
    void play() {
        for (size_t i = leaves_ - 1; i > 0; --i) nodes_[i] = nodes_[2 * i + 1].before(nodes_[2 * i]) ? nodes_[2 * i + 1] : nodes_[2 * i];
        winner_ = nodes_[1];
        for (size_t i = 1; i < leaves_; ++i) nodes_[i] = nodes_[2 * i].number == nodes_[i].number ? nodes_[2 * i + 1] : nodes_[2 * i];
    }

    const Entrant& winner() const { return winner_; }

    // Have the stream of the winner go on with another entrant, or NOBODY.
    void replace(const Entrant& next) {
        Entrant best = next;
        for (size_t at = (leaves_ + winner_.number) / 2; at > 0; at /= 2) {
            Entrant& loser = nodes_[at];
            const Entrant other = loser;
            const uint64_t swaps = uint64_t{0} - uint64_t{other.before(best)};
            loser = chosen(swaps, best, other);
            best = chosen(swaps, other, best);
        }
        winner_ = best;
    }

    // Who is next were it not for the winner.
    Entrant second() const {
        Entrant best = NOBODY;
        for (size_t at = (leaves_ + winner_.number) / 2; at > 0; at /= 2) {
            if (nodes_[at].before(best)) best = nodes_[at];
        }
        return best;
    }

  private:
    static Entrant chosen(uint64_t all_ones_for_first, const Entrant& first, const Entrant& second) {
        return {second.high ^ ((first.high ^ second.high) & all_ones_for_first), second.low ^ ((first.low ^ second.low) & all_ones_for_first),
                second.number ^ ((first.number ^ second.number) & all_ones_for_first)};
    }

    size_t leaves_ = 1;
    std::vector<Entrant> nodes_;  // losers from 1 on; leaves are of use while everybody enters
    Entrant winner_ = NOBODY;
};

}  // namespace midstream
