// How late rows arrive when the latencies of their file are changed or replaced. tests/reference/latency.py says the same readably.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <stdexcept>
#include <vector>

#include "columns.hpp"

namespace midstream {

// The finaliser of splitmix64: every bit of the result depends on every bit of `value`.
inline uint64_t mixed(uint64_t value) {
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9;
    value = (value ^ (value >> 27)) * 0x94D049BB133111EB;
    return value ^ (value >> 31);
}

class LatencyModel {
  public:
    // Quantiles stand closer towards both ends: OCTAVES halvings of the probability, each in STEPS equal steps.
    static constexpr int OCTAVES = 32, STEP_BITS = 5, STEPS = 1 << STEP_BITS;
    static constexpr size_t SIDE = 1 + OCTAVES * STEPS;  // steps from an end to the median
    static constexpr size_t QUANTILES = 2 * SIDE + 1;

    // Latencies are those of the file.
    LatencyModel() = default;

    // Those of the file times `factor` plus `offset`.
    static LatencyModel scaled(double factor, int64_t offset) {
        if (!(factor >= 0) || std::isinf(factor)) throw std::invalid_argument("`factor` must be a finite number that is not negative");
        LatencyModel model;
        model.changes_ = model.follows_file_ = true;
        model.factor_ = factor;
        model.offset_ = offset;
        return model;
    }

    static LatencyModel constant(int64_t latency) {
        LatencyModel model;
        model.changes_ = true;
        model.factor_ = 0;
        model.offset_ = latency;
        return model;
    }

    // Drawn: row by row, from what `seed`, the source's rank and the row's number say and nothing else.
    static LatencyModel drawn(std::vector<int64_t> quantiles, uint64_t seed, uint32_t rank) {
        if (quantiles.size() != QUANTILES || !std::is_sorted(quantiles.begin(), quantiles.end())) {
            throw std::invalid_argument("`quantiles` must be as many as the kernel has, and must not fall");
        }
        LatencyModel model;
        model.changes_ = true;
        model.quantiles_ = std::move(quantiles);
        model.key_ = mixed(mixed(seed) + GOLDEN * (uint64_t{rank} + 1));
        return model;
    }

    // False: rows arrive as their file says.
    bool changes() const { return changes_; }

    // A row that overtakes the one before it in the file may do so here.
    bool follows_file() const { return follows_file_; }

    // False: it does not fit into 64 bits.
    bool latency(int64_t of_file, uint64_t row, int64_t& out) const {
        if (!quantiles_.empty()) {
            out = quantile(mixed(key_ + GOLDEN * row));
            return true;
        }
        return scale(of_file, out) && !__builtin_add_overflow(out, offset_, &out);
    }

    // No latency is lower when none of the file is below `of_file`.
    int64_t lowest(int64_t of_file) const {
        if (!quantiles_.empty()) return quantiles_.front();
        int64_t out;
        return scale(of_file, out) && !__builtin_add_overflow(out, offset_, &out) ? out : BEFORE_EVERYTHING;
    }

    // The latency that a share of `u` / 2^64 of all draws is below: between two quantiles as they lie.
    int64_t quantile(uint64_t u) const {
        const bool upper = u >> 63;
        const uint64_t from_end = upper ? ~u : u;
        size_t step = 0;
        int shift = 63 - OCTAVES;
        if (from_end >> shift != 0) {
            const int high = 63 - __builtin_clzll(from_end);
            shift = high - STEP_BITS;
            step = 1 + (static_cast<size_t>(high - (63 - OCTAVES)) << STEP_BITS) + ((from_end >> shift) & (STEPS - 1));
        }
        const uint64_t rest = from_end & ((uint64_t{1} << shift) - 1);
        const int64_t at = quantiles_[upper ? 2 * SIDE - step : step];
        const int64_t next = quantiles_[upper ? 2 * SIDE - step - 1 : step + 1];
        const __int128 between = (static_cast<__int128>(next) - at) * rest;
        return at + static_cast<int64_t>(between >> shift);
    }

  private:
    static constexpr uint64_t GOLDEN = 0x9E3779B97F4A7C15;
    static constexpr double LIMIT = 9.2e18;

    bool scale(int64_t of_file, int64_t& out) const {
        out = of_file;
        if (factor_ == 1) return true;
        const double product = static_cast<double>(of_file) * factor_;
        if (!(std::fabs(product) < LIMIT)) return false;
        out = std::llrint(product);  // half to even, like a latency's text
        return true;
    }

    bool changes_ = false, follows_file_ = false;
    double factor_ = 1;
    int64_t offset_ = 0;
    uint64_t key_ = 0;
    std::vector<int64_t> quantiles_;
};

// One channel of ticks: what is sent later does not arrive earlier, unless the file has it so and the model follows the file.
class Channel {
  public:
    int64_t last_ns = BEFORE_EVERYTHING;  // arrival of the row before

    int64_t arrive(const LatencyModel& model, int64_t alone_ns, bool overtakes_in_file) {
        if (!(overtakes_in_file && model.follows_file())) alone_ns = std::max(alone_ns, last_ns);
        return last_ns = alone_ns;
    }
};

}  // namespace midstream
