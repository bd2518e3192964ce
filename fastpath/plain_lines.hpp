// Rows of plain lines, a window of text at a time: where the fields start is found for the whole window, then the numbers of its lines
// are read, then each line becomes a row. It may give up on any line, which is then cut, split and read thoroughly; what it takes has
// the same values. Plain lines have no quotes and as many fields as the header.
#pragma once
#include "foreign_lines.hpp"
#include "readers.hpp"
#include "rows.hpp"
#include "wide_figures.hpp"

namespace midstream {

#if MIDSTREAM_X86
class PlainLines {
  public:
    // Look for lines in this buffer, in which nothing changes until the next start.
    void start(const char* begin, const char* end) {
        begin_ = begin;
        end_ = end;
        forget_window();
    }

    // Take the row of every line from `position` on, and count it, until one is not plain (BLANK), cannot be taken (UNSORTED,
    // BELOW_BOUND), or `row_limit` is reached (BLANK). `position` is then where the next line begins.
    Outcome read(const char*& position, size_t row_limit, size_t& rows, LineReaders& readers, RowRules& rules, RowWriter& writer) {
        Outcome outcome = ROW;
        while (rows < row_limit && outcome == ROW) {
            if (!is_in_window(position)) {
                const size_t passed = pass_foreign(position, row_limit - rows, readers, rules);
                rows += passed;
                if (rows == row_limit || !open_window(position, row_limit - rows, passed, readers.shape)) break;
            }
            have_figures(rules, readers);
            const size_t first = line_, last = std::min(figures_end_, line_ + (row_limit - rows));
            outcome = rules.policy.model.changes() ? take_lines_of<true>(last, readers, rules, writer)
                                                   : take_lines_of<false>(last, readers, rules, writer);
            rows += line_ - first;
            position = window_ + marks_.line_begin(line_);
        }
        return outcome == ROW ? BLANK : outcome;
    }

  private:
    static constexpr std::ptrdiff_t READ_BEHIND = 24;  // bytes in front of a line that may be loaded
    static constexpr size_t FIGURES = 64;     // of lines that are read together
    static constexpr size_t LINE_BYTES = 128;  // more than most have
    static constexpr size_t LONG_RUN = 32, FEW_LINES = 2;
    // Below this many digits' worth, a latency in whole nanoseconds is below 2^50: latency_of gives exactly these, too.
    static constexpr uint64_t WHOLE_LATENCY_END = 1000000000;

    void forget_window() {
        marks_.clear();
        line_ = figures_begin_ = figures_end_ = 0;
        is_listed_ = false;
    }

    // Make `line_` the one at `position`; false when the window has none.
    bool is_in_window(const char* position) {
        while (line_ < marks_.line_count && window_ + marks_.line_begin(line_) < position) ++line_;
        return line_ < marks_.line_count && window_ + marks_.line_begin(line_) == position;
    }

    size_t pass_foreign(const char*& position, size_t limit, LineReaders& readers, RowRules& rules) {
        if (SIMD == Simd::PORTABLE || !rules.policy.skips_elsewhere) return 0;
        return pass_foreign_lines(position, end_, limit, readers, rules);
    }

    // Have the line at `position` be the first of a window; false when there is none that ends within it.
    bool open_window(const char* position, size_t rows_left, size_t passed, const Shape& shape) {
        if (SIMD == Simd::PORTABLE || position - begin_ < READ_BEHIND || shape.columns > COLUMNS_MAX) return false;
        forget_window();
        window_ = position;
        // No more than what is asked for is likely to need; behind a long run that is often one line, which is read anyway.
        const size_t lines = passed < LONG_RUN ? rows_left : std::min(rows_left, FEW_LINES);
        const size_t wanted = lines < WINDOW_BYTES / LINE_BYTES ? lines * LINE_BYTES : WINDOW_BYTES;
        const size_t size = std::min(wanted, static_cast<size_t>(end_ - position));
        find_marks(window_, size, marks_);
        has_quote_ = std::memchr(window_, '"', size) != nullptr;
        return marks_.line_count != 0;
    }

    // Have the figures of `line_`.
    void have_figures(const RowRules& rules, LineReaders& readers) {
        if (line_ < figures_end_) return;
        const size_t size = static_cast<size_t>(end_ - window_);
        figures_begin_ = line_;
        is_listed_ = rules.policy.skips_elsewhere;
        if (is_listed_) {
            list_lines(rules, readers);
            read_figures(window_, size, marks_, readers.shape, LineList{listed_, listed_count_}, figures_);
        } else {
            figures_end_ = std::min(marks_.line_count, line_ + FIGURES);
            read_figures(window_, size, marks_, readers.shape, LineRange{figures_begin_, figures_end_ - figures_begin_}, figures_);
        }
    }

    // List the lines from `line_` on that have to be read, as many as figures are kept of: all others up to there are elsewhere.
    void list_lines(const RowRules& rules, LineReaders& readers) {
        size_t count = 0, line = line_;
        for (uint64_t number = rules.state.line; line < marks_.line_count && count < FIGURES; ++line, ++number) {
            listed_[count] = static_cast<uint16_t>(line);
            count += !(rules.policy.may_skip(number) && is_elsewhere(line, rules.policy.delay_is_time, readers));
        }
        figures_end_ = line;
        listed_count_ = count;
        next_listed_ = 0;
    }

    bool is_elsewhere(size_t line, bool delay_is_time, LineReaders& readers) {
        if (marks_.field_count(line) != readers.shape.columns || (has_quote_ && line_has_quote(line))) return false;
        uint16_t copy[1 + COLUMNS_MAX];
        const uint16_t* const starts = field_starts(window_, marks_.starts(line), readers.shape.columns, copy);
        const Text name = field_text(window_, starts, readers.shape, TICKER);
        uint32_t ticker;
        const bool found = delay_is_time ? find_pair(name, field_text(window_, starts, readers.shape, EXCHANGE), readers.names, ticker)
                                         : find_name(name, readers.names, ticker);
        return found && ticker == ELSEWHERE;
    }

    template <bool modelled>
    Outcome take_lines_of(size_t last, LineReaders& readers, RowRules& rules, RowWriter& writer) {
        return rules.policy.delay_is_time ? take_lines<true, modelled>(last, readers, rules, writer)
                                          : take_lines<false, modelled>(last, readers, rules, writer);
    }

    // Lines up to `last`, exclusive; ROW when all of them were taken.
    template <bool delay_is_time, bool modelled>
    Outcome take_lines(size_t last, LineReaders& readers, RowRules& rules, RowWriter& writer) {
        // Copies, which nothing else that is written can be: they stay in registers.
        RowState state = rules.state;
        size_t line = line_;
        Outcome outcome = ROW;
        if (is_listed_) {
            const auto skip_to = [&](size_t listed) {
                state.elsewhere += listed - line;
                state.line += listed - line;
                line = listed;
            };
            size_t i = next_listed_;
            while (i < listed_count_ && listed_[i] < line) ++i;
            for (; i < listed_count_ && listed_[i] < last; ++i, ++line, ++state.line) {
                skip_to(listed_[i]);
                outcome = take<delay_is_time, modelled>(line, figures_[i], readers, rules, state, writer);
                if (outcome != ROW) break;
            }
            next_listed_ = i;
            if (outcome == ROW) skip_to(last);
        } else {
            for (Figures* figures = figures_ + (line - figures_begin_); line < last; ++figures, ++line, ++state.line) {
                outcome = take<delay_is_time, modelled>(line, *figures, readers, rules, state, writer);
                if (outcome != ROW) break;
            }
        }
        rules.state = state;
        line_ = line;
        return outcome;
    }

    template <bool delay_is_time, bool modelled>
    [[gnu::always_inline]] inline Outcome take(size_t line, Figures& figures, LineReaders& readers, RowRules& rules, RowState& state,
                                               RowWriter& writer) {
        if (marks_.field_count(line) != readers.shape.columns || (has_quote_ && line_has_quote(line))) return BLANK;
        uint16_t copy[1 + COLUMNS_MAX];
        const uint16_t* const starts = field_starts(window_, marks_.starts(line), readers.shape.columns, copy);
        const auto field = [&](Part part) { return field_text(window_, starts, readers.shape, part); };
        int64_t event_ns, delay_ns;
        if (!read_time(figures, EVENT, field(EVENT), readers.events, event_ns)) return BLANK;
        if (delay_is_time ? !read_time(figures, DELAY, field(DELAY), readers.arrivals, delay_ns)
                          : !read_latency(figures, field(DELAY), delay_ns)) return BLANK;
        Timing timing;
        if (rules.policy.time<modelled>(event_ns, delay_ns, state.line, timing) != TIMING_GOOD) return BLANK;
        uint32_t ticker;
        if (delay_is_time ? !find_pair(field(TICKER), field(EXCHANGE), readers.names, ticker)
                          : !find_name(field(TICKER), readers.names, ticker)) return BLANK;
        if (!figures.quotes_plain && !other_quotes(window_, starts, readers.shape, figures.quotes)) return BLANK;
        const Outcome outcome = state.take<modelled>(rules.policy, timing, figures.quotes, ticker, writer);
        if (outcome != ROW) rules.broken = timing;
        return outcome;
    }

    [[gnu::always_inline]] static inline Text field_text(const char* window, const uint16_t* starts, const Shape& shape, size_t part) {
        const size_t column = shape.column[part];
        return {window + starts[column], window + (starts[column + 1] - size_t{1})};
    }

    bool line_has_quote(size_t line) const {
        return std::memchr(window_ + marks_.line_begin(line), '"', marks_.line_begin(line + 1) - marks_.line_begin(line)) != nullptr;
    }

    [[gnu::always_inline]] static inline bool read_time(const Figures& figures, Part part, Text text, TimeParser& times, int64_t& out) {
        return plain_time(figures, part, text, times, out) || other_time(text, times, out);
    }
    [[gnu::noinline]] static bool other_time(Text text, TimeParser& times, int64_t& out) { return times.parse(text, out) == TIME_GOOD; }

    [[gnu::always_inline]] static inline bool read_latency(const Figures& figures, Text text, int64_t& out) {
        // A longer one was read as if it were a time.
        if (!figures.times_plain[DELAY] || text.size() > LANE_SIZE) return other_latency(text, out);
        const uint64_t digits = figures.times[DELAY], unit = MILLISECOND_DIGIT_NS[figures.points[DELAY]];
        if (digits >= WHOLE_LATENCY_END || unit == 0) return other_latency(text, out);
        out = static_cast<int64_t>(digits * unit);
        return true;
    }
    [[gnu::noinline]] static bool other_latency(Text text, int64_t& out) { return parse_latency(text, true, out) == NUMBER_GOOD; }

    [[gnu::always_inline]] static inline bool plain_time(const Figures& figures, Part part, Text text, const TimeParser& times,
                                                         int64_t& out) {
        const uint64_t digits = figures.times[part];
        const size_t point = figures.points[part];
        if (!figures.times_plain[part]) return false;
        if (text.size() <= MINUTE_SIZE) {
            // 16 digits are microseconds.
            if (text.size() != 16 || digits < INTEGER_POWERS_OF_TEN[15] || digits > static_cast<uint64_t>(TIME_MAX / 1000)) return false;
            out = static_cast<int64_t>(digits) * 1000;
            return true;
        }
        // `SS` or `SS.` with a fraction.
        const size_t size = text.size() - MINUTE_SIZE - (text.end[-1] == 'Z');
        return point + size == 18 && size != 3 && times.in_known_minute(text.begin) &&
               times.in_minute(digits, point == NO_POINT ? 0 : 15 - point, out);
    }

    [[gnu::noinline]] static bool other_quotes(const char* window, const uint16_t* starts, const Shape& shape, double* numbers) {
        for (size_t i = 0; i < 4; ++i) {
            const NumberFault fault = parse_number(field_text(window, starts, shape, BID_PRICE + i), true, numbers[i]);
            if ((fault != NUMBER_GOOD && fault != NUMBER_EMPTY) || (i % 2 == 1 && numbers[i] < 0)) return false;
        }
        return true;
    }

    // No name begins or ends with a space: one that is there as it stands need not be trimmed.
    [[gnu::always_inline]] static inline bool find_name(Text text, NameCache& names, uint32_t& number) {
        return names.is_last(text.view(), number) || find_other_name(text, names, number);
    }
    [[gnu::noinline]] static bool find_other_name(Text text, NameCache& names, uint32_t& number) {
        return names.find(trimmed(text).view(), number);
    }

    static bool find_pair(Text first, Text second, NameCache& names, uint32_t& number) {
        first = trimmed(first);
        second = trimmed(second);
        return !first.empty() && !second.empty() && names.find(first.view(), second.view(), number);
    }

    const char* begin_ = nullptr;
    const char* end_ = nullptr;
    const char* window_ = nullptr;
    size_t line_ = 0;  // next line of the window
    bool has_quote_ = false;
    size_t figures_begin_ = 0, figures_end_ = 0;  // the lines whose figures are at hand
    bool is_listed_ = false;                      // of these lines only some
    size_t listed_count_ = 0, next_listed_ = 0;
    uint16_t listed_[FIGURES + 1];
    Marks marks_;
    Figures figures_[FIGURES + 1];
};
#else
// Has nothing to offer.
class PlainLines {
  public:
    void start(const char*, const char*) {}
    Outcome read(const char*&, size_t, size_t&, LineReaders&, RowRules&, RowWriter&) { return BLANK; }
};
#endif

}  // namespace midstream
