// Text to numbers and latencies. Nothing allocates, nothing throws. `padded` says that 24 bytes in front of a text may be loaded
// too (they are masked out): numbers are then parsed eight characters at a time.
#pragma once
#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string_view>

namespace midstream {

struct Text {
    const char* begin;
    const char* end;
    size_t size() const { return static_cast<size_t>(end - begin); }
    bool empty() const { return begin == end; }
    std::string_view view() const { return {begin, size()}; }
};

// Without the spaces around it.
inline Text trimmed(Text text) {
    while (text.begin != text.end && *text.begin == ' ') ++text.begin;
    while (text.begin != text.end && text.end[-1] == ' ') --text.end;
    return text;
}

inline bool is_digit(char c) { return static_cast<unsigned char>(c - '0') < 10; }

// ---- Digits, eight at a time ------------------------------------------------------------------------------------------------
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
constexpr bool EIGHT_AT_A_TIME = true;
#else
constexpr bool EIGHT_AT_A_TIME = false;
#endif
constexpr uint64_t EVERY_BYTE = 0x0101010101010101u;
constexpr uint64_t POINTS = ('.' ^ '0') * EVERY_BYTE;

inline uint64_t load_eight(const char* from) {
    uint64_t word;
    std::memcpy(&word, from, 8);
    return word;
}

// The `size` (1-8) characters before `end`, at the right end of the word. A digit becomes its value, what is in front becomes 0.
inline uint64_t load_digits(const char* end, size_t size) {
    return (load_eight(end - 8) ^ ('0' * EVERY_BYTE)) & (~uint64_t{0} << (8 * (8 - size)));
}

inline bool all_digits(uint64_t word) { return (((word + 0x76 * EVERY_BYTE) | word) & (0x80 * EVERY_BYTE)) == 0; }

// Eight digits to their value: pairs, then fours, then all, each step with one multiplication.
inline uint64_t digits_value(uint64_t word) {
    word = word * 10 + (word >> 8);
    return (((word & 0x000000FF000000FFu) * 0x000F424000000064u) + (((word >> 16) & 0x000000FF000000FFu) * 0x0000271000000001u)) >> 32;
}

// Not zero when the word has a point: its lowest bit is then the highest bit of the first point's byte.
inline uint64_t find_point(uint64_t word) {
    const uint64_t differs = word ^ POINTS;
    return (differs - EVERY_BYTE) & ~differs & (0x80 * EVERY_BYTE);
}

// The word without that point: what stands before it moves by one character.
inline uint64_t without_point(uint64_t word, uint64_t found) {
    const uint64_t up_to_point = found ^ (found - 1);
    return word ^ ((word ^ (word << 8)) & up_to_point);
}

inline size_t characters_behind(uint64_t found) { return 7 - static_cast<size_t>(__builtin_ctzll(found)) / 8; }

// ---- Numbers ----------------------------------------------------------------------------------------------------------------
enum NumberFault { NUMBER_GOOD = 0, NUMBER_BAD = 1, NUMBER_TOO_LARGE = 2, NUMBER_EMPTY = 3, NUMBER_NEGATIVE = 4 };

constexpr double POWERS_OF_TEN[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                    1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
constexpr uint64_t INTEGER_POWERS_OF_TEN[] = {1u, 10u, 100u, 1000u, 10000u, 100000u, 1000000u, 10000000u, 100000000u, 1000000000u,
                                              10000000000u, 100000000000u, 1000000000000u, 10000000000000u, 100000000000000u,
                                              1000000000000000u, 10000000000000000u, 100000000000000000u, 1000000000000000000u,
                                              10000000000000000000u};
constexpr uint64_t EXACT_IN_DOUBLE = uint64_t{1} << 53;

// mantissa / divisor, rounded once. Both are scaled to their top bit, so that the quotient has at least 62 bits; the remainder
// then only decides ties, as a lowest bit far below the rounding position.
inline double divide_exactly(uint64_t mantissa, uint64_t divisor) {
    const int mantissa_shift = __builtin_clzll(mantissa), divisor_shift = __builtin_clzll(divisor);
    const unsigned __int128 dividend = static_cast<unsigned __int128>(mantissa << mantissa_shift) << 63;
    const uint64_t scaled = divisor << divisor_shift;
    const uint64_t quotient = static_cast<uint64_t>(dividend / scaled);
    const uint64_t rest = static_cast<uint64_t>(dividend) - quotient * scaled;  // modulo 2^64 is enough: it is below `scaled`
    const uint64_t exponent_bits = static_cast<uint64_t>(1023 + divisor_shift - mantissa_shift - 63) << 52;
    double scale;
    std::memcpy(&scale, &exponent_bits, 8);
    return static_cast<double>(quotient | (rest != 0)) * scale;
}

// Clinger's fast path: both operands are exact, so one rounding is the right rounding.
inline bool small_decimal(uint64_t mantissa, int64_t exponent, double& out) {
    if (mantissa <= EXACT_IN_DOUBLE && exponent >= -22 && exponent <= 22) {
        const double value = static_cast<double>(static_cast<int64_t>(mantissa));  // cheaper than from unsigned
        out = exponent < 0 ? value / POWERS_OF_TEN[-exponent] : value * POWERS_OF_TEN[exponent];
        return true;
    }
    if (exponent > 0 || exponent < -19 || mantissa == 0) return false;
    out = divide_exactly(mantissa, INTEGER_POWERS_OF_TEN[-exponent]);
    return true;
}

// Any number of the grammar [+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?
inline NumberFault parse_any_number(Text text, double& out) {
    const char* at = text.begin;
    const bool negative = at != text.end && *at == '-';
    if (at != text.end && (*at == '-' || *at == '+')) ++at;
    const char* const unsigned_begin = at;
    uint64_t mantissa = 0;   // the first 19 significant digits
    int significant = 0;
    int64_t exponent = 0;
    bool exact = true, any = false;
    for (; at != text.end && is_digit(*at); ++at, any = true) {
        if (significant < 19) {
            mantissa = mantissa * 10 + static_cast<uint64_t>(*at - '0');
            significant += mantissa != 0;
        } else {
            exact = false;
            ++exponent;
        }
    }
    if (at != text.end && *at == '.') {
        for (++at; at != text.end && is_digit(*at); ++at, any = true) {
            if (significant < 19) {
                mantissa = mantissa * 10 + static_cast<uint64_t>(*at - '0');
                significant += mantissa != 0;
                --exponent;
            } else {
                exact = false;
            }
        }
    }
    if (!any) return NUMBER_BAD;
    if (at != text.end && (*at == 'e' || *at == 'E')) {
        ++at;
        const bool exponent_negative = at != text.end && *at == '-';
        if (at != text.end && (*at == '-' || *at == '+')) ++at;
        if (at == text.end) return NUMBER_BAD;
        int64_t written = 0;
        for (; at != text.end && is_digit(*at); ++at)
            if (written < 1000000) written = written * 10 + (*at - '0');
        exponent += exponent_negative ? -written : written;
    }
    if (at != text.end) return NUMBER_BAD;
    double value = 0.0;
    if (mantissa != 0 && !(exact && small_decimal(mantissa, exponent, value))) {
        const auto parsed = std::from_chars(unsigned_begin, text.end, value);
        if (parsed.ec == std::errc::result_out_of_range) {
            if (significant + exponent > 0) return NUMBER_TOO_LARGE;
            value = 0.0;
        }
        if (std::isinf(value)) return NUMBER_TOO_LARGE;
    }
    out = negative ? -value : value;
    return NUMBER_GOOD;
}

// Both functions below read numbers that are only digits with at most one point; false means: let parse_any_number decide.

// Up to 8 characters: one word. Loads 8 bytes in front of the text's end.
inline bool parse_short_number(Text text, double& out) {
    const size_t size = text.size();
    if (!EIGHT_AT_A_TIME || size - 1 >= 8) return false;
    uint64_t word = load_digits(text.end, size);
    size_t behind = 0;
    if (const uint64_t found = find_point(word)) {
        if (size == 1) return false;
        word = without_point(word, found);
        behind = characters_behind(found);
    }
    if (!all_digits(word)) return false;
    out = static_cast<double>(static_cast<int64_t>(digits_value(word))) / POWERS_OF_TEN[behind];
    return true;
}

// 9 to 24 characters, from the last word to the first. Loads 24 bytes in front of the text's end.
inline bool parse_long_number(Text text, double& out) {
    const size_t size = text.size();
    if (!EIGHT_AT_A_TIME || size < 9 || size > 24) return false;
    uint64_t mantissa = 0, unit = 1;  // what the last digit of the word counts
    size_t behind = 0, points = 0;
    for (size_t done = 0; done < size; done += 8) {
        uint64_t word = load_digits(text.end - done, size - done < 8 ? size - done : 8);
        uint64_t next_unit = unit * 100000000u;
        if (const uint64_t found = find_point(word)) {
            word = without_point(word, found);
            behind = characters_behind(found) + done;
            next_unit = unit * 10000000u;
            ++points;
        }
        if (!all_digits(word)) return false;
        const uint64_t value = digits_value(word);
        // 999 in front of 16 digits is the most that surely fits.
        if (done == 16 && value > 999) return false;
        mantissa += value * unit;
        unit = next_unit;
    }
    return points <= 1 && small_decimal(mantissa, -static_cast<int64_t>(behind), out);
}

inline bool is_nan_word(Text text) {
    return text.size() == 3 && (text.begin[0] | 32) == 'n' && (text.begin[1] | 32) == 'a' && (text.begin[2] | 32) == 'n';
}

// A field: `nan` in any case is a number (a missing value), an empty field is a fault of its own and reads as NaN.
inline NumberFault parse_number(Text text, bool padded, double& out) {
    if (padded && (parse_short_number(text, out) || parse_long_number(text, out))) return NUMBER_GOOD;
    text = trimmed(text);
    if (text.empty() || is_nan_word(text)) {
        out = std::numeric_limits<double>::quiet_NaN();
        return text.empty() ? NUMBER_EMPTY : NUMBER_GOOD;
    }
    return parse_any_number(text, out);
}

// Milliseconds to nanoseconds: one multiplication, half to even.
inline NumberFault latency_of(double milliseconds, int64_t& out) {
    const double nanoseconds = milliseconds * 1e6;
    // Adding 1.5 * 2^52 pushes the fraction out of the mantissa, rounding half to even on the way. NaN is not below anything.
    if (std::fabs(nanoseconds) < 2251799813685248.0) {
        out = static_cast<int64_t>((nanoseconds + 6755399441055744.0) - 6755399441055744.0);
        return NUMBER_GOOD;
    }
    if (std::isnan(milliseconds)) return NUMBER_BAD;
    if (std::fabs(nanoseconds) >= 9.2e18) return NUMBER_TOO_LARGE;
    out = std::llrint(nanoseconds);
    return NUMBER_GOOD;
}

inline NumberFault parse_latency(Text text, bool padded, int64_t& out) {
    double milliseconds;
    const NumberFault fault = parse_number(text, padded, milliseconds);
    return fault != NUMBER_GOOD ? fault : latency_of(milliseconds, out);
}

}  // namespace midstream
