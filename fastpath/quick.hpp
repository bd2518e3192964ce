// Reads a well-formed line in one pass, without splitting it first: the values' ends are found while they are read. It may give up
// on any line, which is then cut, split and judged in full; what it accepts has the same values. It never accepts quotes. For processors
// that plain_lines.hpp has nothing for.
#pragma once
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "lines.hpp"
#include "parts.hpp"

namespace midstream {

class QuickReader {
  public:
    // What each column of the shape is, in their order.
    void prepare(const Shape& shape, bool delay_is_time) {
        delay_is_time_ = delay_is_time;
        parts_.assign(shape.columns, NOTHING);
        for (uint8_t part = 0; part < PARTS; ++part)
            if (part != EXCHANGE || delay_is_time) parts_[shape.column[part]] = static_cast<Part>(part);
    }

    // Read the next line of `cutter`; false leaves everything for the thorough way.
    bool read(LineCutter& cutter, TimeParser& events, TimeParser& arrivals, Line& line, Values& values) const {
        const char* at = cutter.position;
        if (!EIGHT_AT_A_TIME || at - cutter.begin < 24) return false;
        const char* const last_start = cutter.end - READ_AHEAD;
        const size_t last = parts_.size() - 1;
        for (size_t i = 0;; ++i) {
            if (at > last_start) return false;
            const Part part = parts_[i];
            const char* end = nullptr;
            if (part >= BID_PRICE && part < PARTS) {
                double& number = values.numbers[part - BID_PRICE];
                end = read_number(at, last_start, number);
                if (((part & 1) != 0) & (number < 0)) return false;
            } else if (part == EVENT) {
                end = read_time(at, last_start, events, values.event_ns);
            } else if (part == DELAY) {
                end = delay_is_time_ ? read_time(at, last_start, arrivals, values.delay_ns) : read_latency(at, last_start, values.delay_ns);
            } else {
                end = find_end(at, last_start);
                if (part == TICKER) values.ticker = {at, end};
                if (part == EXCHANGE) values.exchange = {at, end};
            }
            if (end == nullptr) return false;
            if (i != last) {
                if (*end != ',') return false;
                at = end + 1;
                continue;
            }
            // Only text runs into a '\r'; a number stops in front of it.
            const char* const newline = *end == '\r' ? end + 1 : end;
            if (*newline != '\n' || static_cast<size_t>(newline - cutter.position) > LINE_SIZE_MAX) return false;
            line.set(cutter.position, newline);
            if (part == TICKER) values.ticker.end = line.end;
            if (part == EXCHANGE) values.exchange.end = line.end;
            cutter.position = newline + 1;
            return true;
        }
    }

  private:
    std::vector<Part> parts_;
    bool delay_is_time_ = false;

    static constexpr std::ptrdiff_t READ_AHEAD = 64;

    // The first comma, line end or quote (at which the caller gives up); null when the buffer comes to its end.
    static const char* find_end(const char* at, const char* last_start) {
        for (; at <= last_start; at += 32) {
            uint32_t marks = 0;
#if defined(__SSE2__)
            const __m128i comma = _mm_set1_epi8(','), newline = _mm_set1_epi8('\n'), quote = _mm_set1_epi8('"');
            for (int half = 0; half < 2; ++half) {
                const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at) + half);
                const __m128i found = _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(bytes, comma), _mm_cmpeq_epi8(bytes, newline)),
                                                   _mm_cmpeq_epi8(bytes, quote));
                marks |= static_cast<uint32_t>(_mm_movemask_epi8(found)) << (16 * half);
            }
#else
            for (int i = 0; i < 32 && marks == 0; ++i)
                marks = static_cast<uint32_t>(at[i] == ',' || at[i] == '\n' || at[i] == '"') << i;
#endif
            if (marks == 0) continue;
            return at + __builtin_ctz(marks);
        }
        return nullptr;
    }

    // A field's text, without the '\r' in front of a line end.
    static Text field(const char* at, const char* end) { return {at, *end == '\n' && end != at && end[-1] == '\r' ? end - 1 : end}; }

    // Digits with at most one point, as far as they go within eight characters.
    struct Run {
        uint64_t value;
        size_t size;    // characters, with the point
        size_t behind;  // of these behind the point
        size_t points;
    };

    [[gnu::always_inline]] static inline Run read_run(const char* at) {
        const uint64_t word = load_eight(at) ^ ('0' * EVERY_BYTE);
        uint64_t other = ((word + 0x76 * EVERY_BYTE) | word) & (0x80 * EVERY_BYTE);  // what is no digit
        Run run{word, 8, 0, 0};
        size_t point = 0;
        if (other != 0) {
            point = static_cast<size_t>(__builtin_ctzll(other)) / 8;
            run.size = point;
            if (at[point] == '.') {
                run.value = without_point(word, other);
                run.points = 1;
                other &= other - 1;
                run.size = other != 0 ? static_cast<size_t>(__builtin_ctzll(other)) / 8 : 8;
                run.behind = run.size - point - 1;
            }
        }
        run.value = run.size != 0 ? digits_value(run.value << (8 * (8 - run.size))) : 0;
        return run;
    }

    static bool ends_field(char c) { return c == ',' || c == '\n' || c == '\r'; }

    static const char* read_number(const char* at, const char* last_start, double& out) {
        const Run run = read_run(at);
        const char* const end = at + run.size;
        if (!ends_field(*end) || run.size <= run.points) return read_other_number(at, run, last_start, out);
        out = static_cast<double>(static_cast<int64_t>(run.value)) / POWERS_OF_TEN[run.behind];
        return end;
    }

    // Up to 16 characters as two runs; everything else by its end.
    [[gnu::noinline]] static const char* read_other_number(const char* at, Run run, const char* last_start, double& out) {
        if (run.size == 8) {
            const Run next = read_run(at + 8);
            const char* const end = at + 8 + next.size;
            if (ends_field(*end) && run.points + next.points <= 1) {
                const uint64_t mantissa = run.value * INTEGER_POWERS_OF_TEN[next.size - next.points] + next.value;
                const size_t behind = run.points ? run.behind + next.size : next.behind;
                if (small_decimal(mantissa, -static_cast<int64_t>(behind), out)) return end;
            }
        }
        const char* const end = find_end(at, last_start);
        if (end == nullptr) return nullptr;
        const Text text = field(at, end);
        const NumberFault fault = parse_number(text, true, out);
        return fault == NUMBER_GOOD || fault == NUMBER_EMPTY ? text.end : nullptr;
    }

    static const char* read_latency(const char* at, const char* last_start, int64_t& out) {
        double milliseconds;
        const char* const end = read_number(at, last_start, milliseconds);
        return end != nullptr && latency_of(milliseconds, out) == NUMBER_GOOD ? end : nullptr;
    }

    static const char* read_time(const char* at, const char* last_start, TimeParser& times, int64_t& out) {
        if (const char* const end = times.read_plain(at, out)) return end;
        const char* const end = find_end(at, last_start);
        if (end == nullptr || times.parse(field(at, end), out) != TIME_GOOD) return nullptr;
        return field(at, end).end;
    }
};

}  // namespace midstream
