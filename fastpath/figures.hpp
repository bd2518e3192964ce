// The numbers of plain lines, a window at a time.
#pragma once
#include "marks.hpp"
#include "parts.hpp"

#if MIDSTREAM_X86
namespace midstream {

// A line's numbers. What is not plain, something else has to read.
struct Figures {
    double quotes[4];
    double powers[4];    // what the quotes are divided by
    uint64_t times[2];   // event and delay: digits, with the fraction, but without the point
    uint8_t points[2];   // where the point stood among LANE_SIZE characters, or NO_POINT
    bool quotes_plain;
    bool times_plain[2];
};

constexpr size_t MINUTE_SIZE = 17;  // of `YYYY-MM-DD HH:MM:`

// By where the point stands.
inline constexpr double POWER_BEHIND[] = {1e15, 1e14, 1e13, 1e12, 1e11, 1e10, 1e9, 1e8, 1e7, 1e6, 1e5, 1e4, 1e3, 1e2, 1e1, 1e0, 1e0};

// How many nanoseconds the last digit of a number of milliseconds counts, by where the point stands; 0: less than one.
inline constexpr uint64_t MILLISECOND_DIGIT_NS[] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 10, 100, 1000, 10000, 100000, 1000000, 1000000};

// Where the fields of a line start, and where the next line does: one character earlier when a '\r' is in front of the line end.
inline const uint16_t* field_starts(const char* window, const uint16_t* starts, size_t columns, uint16_t* copy) {
    const size_t line_end = starts[columns] - size_t{1};
    if (line_end == starts[0] || window[line_end - 1] != '\r') return starts;
    std::memcpy(copy, starts, (columns + 1) * sizeof(uint16_t));
    --copy[columns];
    return copy;
}

inline LaneText lane_text(const char* window, const uint16_t* starts, size_t column) {
    const uint32_t end = starts[column + 1] - 1u;
    return {window + end, end - starts[column]};
}

// What stands behind the minute of a written time; an epoch time is one number.
inline LaneText time_text(LaneText text) {
    if (text.size <= MINUTE_SIZE) return text;
    const uint32_t zone = text.end[-1] == 'Z';
    return {text.end - zone, text.size - static_cast<uint32_t>(MINUTE_SIZE) - zone};
}

[[gnu::target(MIDSTREAM_AVX2)]] inline void store_quotes(const FourNumbers& numbers, bool fit, Figures& out) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out.quotes), numbers.digits);
    for (size_t i = 0; i < 4; ++i) out.powers[i] = POWER_BEHIND[numbers.point(i)];
    out.quotes_plain = fit & (numbers.others == 0);
}

// In a loop of its own, so that no division has to wait for what comes before it.
[[gnu::target(MIDSTREAM_AVX2)]] inline void divide(Figures& out) {
    const __m256i digits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(out.quotes));
    const __m256i exponent = _mm256_set1_epi64x(0x4330000000000000);  // of 2^52: a smaller number is then the rest of its double
    const __m256d values = _mm256_sub_pd(_mm256_castsi256_pd(_mm256_or_si256(digits, exponent)), _mm256_castsi256_pd(exponent));
    _mm256_storeu_pd(out.quotes, _mm256_div_pd(values, _mm256_loadu_pd(out.powers)));
    // Not too large to be exact.
    out.quotes_plain &= _mm256_testz_si256(digits, _mm256_set1_epi64x(-(int64_t{1} << 52))) != 0;
}

[[gnu::target(MIDSTREAM_AVX2)]] inline void store_times(const FourNumbers& numbers, size_t first, Figures& out) {
    const __m128i both = first == 0 ? _mm256_castsi256_si128(numbers.digits) : _mm256_extracti128_si256(numbers.digits, 1);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out.times), both);
#pragma GCC unroll 2
    for (size_t i = 0; i < 2; ++i) {
        out.points[i] = static_cast<uint8_t>(numbers.point(first + i));
        out.times_plain[i] = numbers.is_number(first + i);
    }
}

// Which lines of a window are read: some that stand together, or those of a list.
struct LineRange {
    size_t begin, count;
    [[gnu::always_inline]] inline size_t operator[](size_t i) const { return begin + i; }
};
struct LineList {
    const uint16_t* lines;
    size_t count;
    [[gnu::always_inline]] inline size_t operator[](size_t i) const { return lines[i]; }
};

// Lines `first` and the one behind it, if there is one, whose times fill the four lanes. Lines of another shape get figures that nobody
// may use.
template <class Lines>
[[gnu::target(MIDSTREAM_AVX2)]] inline void read_two_lines(const char* window, const Marks& marks, const Shape& shape, const Lines& lines,
                                                          size_t first, Figures* out) {
    uint16_t copy[1 + COLUMNS_MAX];
    LaneText times[4];
#pragma GCC unroll 2
    for (size_t i = 0; i < 2; ++i) {
        if (first + i == lines.count || marks.field_count(lines[first + i]) != shape.columns) {
            times[2 * i] = times[2 * i + 1] = {window, 0};
            out[i].quotes_plain = false;
            continue;
        }
        const uint16_t* const starts = field_starts(window, marks.starts(lines[first + i]), shape.columns, copy);
        LaneText quotes[4];
        for (size_t quote = 0; quote < 4; ++quote) quotes[quote] = lane_text(window, starts, shape.column[BID_PRICE + quote]);
        const bool fit = ((quotes[0].size - 1) | (quotes[1].size - 1) | (quotes[2].size - 1) | (quotes[3].size - 1)) < LANE_SIZE;
        store_quotes(read_lanes(quotes), fit, out[i]);
        times[2 * i] = time_text(lane_text(window, starts, shape.column[EVENT]));
        times[2 * i + 1] = time_text(lane_text(window, starts, shape.column[DELAY]));
    }
    const FourNumbers numbers = read_lanes(times);
    store_times(numbers, 0, out[0]);
    store_times(numbers, 2, out[1]);
}

namespace avx2 {

// `out` has room for one more than the lines.
template <class Lines>
[[gnu::target(MIDSTREAM_AVX2)]] inline void read_figures(const char* window, const Marks& marks, const Shape& shape, const Lines& lines,
                                                        Figures* out) {
    // What is written could be the shape, for all that a compiler knows; it cannot be a copy.
    const Shape kept = shape;
    for (size_t i = 0; i < lines.count; i += 2) read_two_lines(window, marks, kept, lines, i, out + i);
    for (size_t i = 0; i < lines.count; ++i) divide(out[i]);
}

}  // namespace avx2
}  // namespace midstream
#endif
