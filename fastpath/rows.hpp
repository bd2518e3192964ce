// What a row means, once its values are read: when it arrives, whether its file keeps the order, and what the filters leave.
#pragma once
#include <algorithm>
#include <string>
#include <utility>

#include "latency_model.hpp"
#include "row_writer.hpp"
#include "times.hpp"

namespace midstream {

// What a line turned out to be.
enum Outcome { RAISED = -1, BLANK = 0, ROW = 1, UNSORTED = 2, BELOW_BOUND = 3 };

enum Order { EVENT_BROKEN = 1, ARRIVAL_BROKEN = 2 };

// Stand in the name cache for a ticker that the filter leaves out, and for one of another partition.
constexpr uint32_t LEFT_OUT = 0xFFFFFFFF, ELSEWHERE = 0xFFFFFFFE;

struct Timing {
    int64_t event_ns = 0, latency_ns = 0;
    // The file's order is checked on the first. With a latency model it is as the file says, and the other one is the model's.
    int64_t unclamped_ns = 0, arrival_ns = 0;
};

enum TimingFault { TIMING_GOOD = 0, LATENCY_TOO_LARGE, ARRIVAL_OUTSIDE };

inline const char* timing_reason(TimingFault fault) {
    return fault == LATENCY_TOO_LARGE ? "the latency is too large" : "the arrival time is outside the years 1678 to 2261";
}

// Policies and filters as they were asked for.
struct RowPolicy {
    bool delay_is_time = false;  // the lines carry the arrival, by which they are sorted, in place of a latency
    bool clamp = false, check_order = true;
    int64_t start_time_ns = BEFORE_EVERYTHING, end_time_ns = AFTER_EVERYTHING;
    int64_t shift_ns = 0, latency_bound_ns = 0;
    bool rejections_elsewhere = false;  // another partition has them
    bool skips_elsewhere = false;       // of another partition's row nothing is wanted but its ticker
    LatencyModel model;

    // Some are read all the same, so that where nothing of its own comes for long a partition knows how far it is. Which ones hangs on
    // nothing but their lines: whoever resumes takes the same.
    static constexpr uint64_t READ_ANYWAY = 256;
    bool may_skip(uint64_t line) const { return skips_elsewhere && line % READ_ANYWAY != 0; }

    bool in_window(int64_t time) const { return time >= start_time_ns && time < end_time_ns; }

    template <bool modelled>
    [[gnu::always_inline]] inline TimingFault time(int64_t event_ns, int64_t delay_ns, uint64_t row, Timing& timing) const {
        timing.event_ns = event_ns;
        timing.latency_ns = delay_ns;
        if (delay_is_time && !time_difference(delay_ns, event_ns, timing.latency_ns)) return LATENCY_TOO_LARGE;
        if constexpr (modelled) {
            // What the file itself says has to be sound: then the same rows can be used whatever the model.
            int64_t latency_ns;
            if (!arrival_time(event_ns, timing.latency_ns, 0, timing.unclamped_ns)) return ARRIVAL_OUTSIDE;
            if (!model.latency(timing.latency_ns, row, latency_ns)) return LATENCY_TOO_LARGE;
            if (!arrival_time(event_ns, latency_ns, shift_ns, timing.arrival_ns)) return ARRIVAL_OUTSIDE;
            if (clamp && latency_ns < 0) timing.arrival_ns = event_ns;
            return TIMING_GOOD;
        }
        if (!arrival_time(event_ns, timing.latency_ns, shift_ns, timing.unclamped_ns)) return ARRIVAL_OUTSIDE;
        timing.arrival_ns = clamp && timing.latency_ns < 0 ? event_ns : timing.unclamped_ns;
        return TIMING_GOOD;
    }

    TimingFault time_row(int64_t event_ns, int64_t delay_ns, uint64_t row, Timing& timing) const {
        return model.changes() ? time<true>(event_ns, delay_ns, row, timing) : time<false>(event_ns, delay_ns, row, timing);
    }
};

// What was learnt from the rows so far.
struct RowState {
    uint64_t line = 0;  // the next one
    uint64_t skipped = 0, elsewhere = 0, negative_latencies = 0;
    int order = 0;
    int64_t latency_ns_min = AFTER_EVERYTHING;
    // Before clamping: what the order is checked on.
    int64_t previous_arrival_ns = BEFORE_EVERYTHING, previous_event_ns = BEFORE_EVERYTHING;
    Channel channel;  // with a latency model

    // ROW, or why the file cannot be read on: then nothing changed but `order`, which keeps what was learnt.
    template <bool modelled>
    [[gnu::always_inline]] inline Outcome take(const RowPolicy& policy, const Timing& timing, const double* numbers, uint32_t ticker,
                                               RowWriter& writer) {
        // As if it did not stand in the file, however it came to be read.
        if (ticker == ELSEWHERE && policy.may_skip(line)) {
            ++elsewhere;
            return ROW;
        }
        const bool overtakes = timing.unclamped_ns < previous_arrival_ns;
        order |= (timing.event_ns < previous_event_ns) * EVENT_BROKEN | overtakes * ARRIVAL_BROKEN;
        if (policy.check_order) {
            if ((order & ARRIVAL_BROKEN) && (policy.delay_is_time || (order & EVENT_BROKEN))) return UNSORTED;
            if (!policy.delay_is_time && timing.arrival_ns - timing.event_ns < policy.latency_bound_ns) return BELOW_BOUND;
        }
        latency_ns_min = std::min(latency_ns_min, timing.latency_ns);
        negative_latencies += timing.latency_ns < 0;
        previous_event_ns = timing.event_ns;
        previous_arrival_ns = timing.unclamped_ns;
        const int64_t arrival_ns = modelled ? channel.arrive(policy.model, timing.arrival_ns, overtakes) : timing.arrival_ns;
        if (ticker >= ELSEWHERE) {
            elsewhere += ticker == ELSEWHERE;
            skipped += ticker == LEFT_OUT;
        } else if (!policy.in_window(arrival_ns)) {
            ++skipped;
        } else {
            writer.tick(arrival_ns, timing.event_ns, numbers, ticker, line);
        }
        return ROW;
    }
};

struct RowRules {
    RowPolicy policy;
    RowState state;
    // The row that cannot be taken, for the message only.
    Timing broken;
    uint64_t rejected = 0;
    uint64_t first_rejected_line = 0;
    std::string first_rejected_reason;

    Outcome take(const Timing& timing, const double* numbers, uint32_t ticker, RowWriter& writer) {
        const Outcome outcome = policy.model.changes() ? state.take<true>(policy, timing, numbers, ticker, writer)
                                                       : state.take<false>(policy, timing, numbers, ticker, writer);
        if (outcome != ROW) broken = timing;
        return outcome;
    }

    // Rejections stand at the arrival of the last good row.
    void reject(RowWriter& writer, std::string reason, std::string_view raw) {
        // A clamped row arrives at its event; the unclamped arrival lies before that.
        const int64_t place = policy.model.changes() ? state.channel.last_ns
                              : policy.clamp ? std::max(state.previous_event_ns, state.previous_arrival_ns) : state.previous_arrival_ns;
        if (rejected++ == 0) {
            first_rejected_line = state.line;
            first_rejected_reason = reason;
        }
        append(writer, place, std::move(reason), raw, 0);
    }

    // What was received at a time of its own, as frame `frame`, and cannot be used.
    void reject_frame(RowWriter& writer, int64_t receive_ns, uint64_t frame, std::string reason, std::string_view raw) {
        state.previous_arrival_ns = std::max(state.previous_arrival_ns, receive_ns);
        const int64_t place = policy.model.changes() ? state.channel.last_ns : state.previous_arrival_ns;
        if (rejected++ == 0) {
            first_rejected_line = frame;
            first_rejected_reason = reason;
        }
        append(writer, place, std::move(reason), raw, frame);
    }

    // The lowest arrival time that a row still to come can have.
    int64_t bound() const {
        if (!policy.check_order || state.previous_arrival_ns == BEFORE_EVERYTHING) return BEFORE_EVERYTHING;
        if (policy.delay_is_time || (state.order & EVENT_BROKEN)) {
            // No row of such a file overtakes another.
            return policy.model.changes() ? state.channel.last_ns : state.previous_arrival_ns;
        }
        return saturated_sum(state.previous_event_ns, policy.latency_bound_ns);
    }

  private:
    void append(RowWriter& writer, int64_t place, std::string reason, std::string_view raw, uint64_t frame) {
        if (policy.rejections_elsewhere) ++state.elsewhere;
        else if (!policy.in_window(place)) ++state.skipped;
        else writer.rejection(place, state.line, std::move(reason), raw, frame);
    }
};

}  // namespace midstream
