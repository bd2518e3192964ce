// Text to values: numbers, times, latencies, UTF-8. Nothing allocates but the functions that return a string, nothing throws but
// bad_alloc. `padded` says that 24 bytes in front of a text may be loaded too (they are masked out): numbers are then parsed eight
// characters at a time.
#pragma once
#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
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
    if (std::isnan(milliseconds)) return NUMBER_BAD;
    const double nanoseconds = milliseconds * 1e6;
    if (!(std::fabs(nanoseconds) < 9.2e18)) return NUMBER_TOO_LARGE;
    // Adding 1.5 * 2^52 pushes the fraction out of the mantissa, rounding half to even on the way.
    if (std::fabs(nanoseconds) < 2251799813685248.0) {
        out = static_cast<int64_t>((nanoseconds + 6755399441055744.0) - 6755399441055744.0);
    } else {
        out = std::llrint(nanoseconds);
    }
    return NUMBER_GOOD;
}

inline NumberFault parse_latency(Text text, bool padded, int64_t& out) {
    double milliseconds;
    const NumberFault fault = parse_number(text, padded, milliseconds);
    return fault != NUMBER_GOOD ? fault : latency_of(milliseconds, out);
}

// ---- Times ------------------------------------------------------------------------------------------------------------------
enum TimeFault {
    TIME_GOOD = 0, TIME_EMPTY, TIME_BAD, TIME_YEAR, TIME_MONTH, TIME_DAY, TIME_HOUR, TIME_MINUTE, TIME_SECOND, TIME_FRACTION,
    TIME_OFFSET, TIME_EPOCH
};

constexpr int64_t SECOND_NS = 1000000000;
constexpr int64_t TIME_MIN = -9214560000 * SECOND_NS;                  // 1678-01-01 00:00:00
constexpr int64_t TIME_MAX = 9214646400 * SECOND_NS - 1;               // 2261-12-31 23:59:59.999999999

// Days from 1970-01-01; the year is counted from March, so that the leap day is its last.
inline int64_t days_from_civil(int year, int month, int day) {
    year -= month <= 2;
    const int century_year = year % 400;
    const int day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return int64_t{year / 400} * 146097 + century_year * 365 + century_year / 4 - century_year / 100 + day_of_year - 719468;
}

inline int days_in_month(int year, int month) {
    constexpr int DAYS[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    const bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return month == 2 && leap ? 29 : DAYS[month - 1];
}

// Parses times of one column. It remembers the last `YYYY-MM-DD HH:MM:`, because the next row mostly has the same.
class TimeParser {
  public:
    explicit TimeParser(bool fraction_unit_us = false) : fraction_unit_us_(fraction_unit_us) {}

    TimeFault parse(Text text, int64_t& out) { return parse_any(trimmed(text), out); }

    // Read the common forms up to their end; null leaves the field for `parse`. Loads up to 32 bytes from `at` on.
    const char* read_plain(const char* at, int64_t& out) const {
        if (in_known_minute(at)) return read_in_minute(at + 17, out);
        // 16 digits are microseconds.
        const uint64_t high = load_digits(at + 8, 8), low = load_digits(at + 16, 8);
        if (!all_digits(high) || !all_digits(low) || is_digit(at[16]) || at[0] == '0') return nullptr;
        const int64_t microseconds = static_cast<int64_t>(digits_value(high) * 100000000u + digits_value(low));
        if (microseconds > TIME_MAX / 1000) return nullptr;
        out = microseconds * 1000;
        return at[16] == 'Z' ? nullptr : end_of_time(at + 16);
    }

  private:
    static const char* end_of_time(const char* at) {
        at += *at == 'Z';
        return (*at == ',') | (*at == '\n') | (*at == '\r') ? at : nullptr;
    }

    bool in_known_minute(const char* at) const {
        return ((load_eight(at) ^ load_eight(minute_text_)) | (load_eight(at + 8) ^ load_eight(minute_text_ + 8)) |
                static_cast<uint64_t>(at[16] ^ minute_text_[16])) == 0;
    }

    // Seconds, and a fraction of up to 8 digits.
    const char* read_in_minute(const char* at, int64_t& out) const {
        if (!is_digit(at[0]) || !is_digit(at[1]) || at[0] > '5') return nullptr;
        const int64_t second_ns = minute_ns_ + ((at[0] - '0') * 10 + (at[1] - '0')) * SECOND_NS;
        out = second_ns;
        if (at[2] != '.') return end_of_time(at + 2);
        const uint64_t word = load_digits(at + 11, 8);
        const uint64_t other = ((word + 0x76 * EVERY_BYTE) | word) & (0x80 * EVERY_BYTE);
        const size_t digits = other != 0 ? static_cast<size_t>(__builtin_ctzll(other)) / 8 : 8;
        if (digits == 0 || digits > (fraction_unit_us_ ? 6u : 8u)) return nullptr;
        out = second_ns + scale_fraction(static_cast<int64_t>(digits_value(word << (8 * (8 - digits)))), digits);
        return end_of_time(at + 3 + digits);
    }

    int64_t scale_fraction(int64_t value, size_t digits) const {
        return value * static_cast<int64_t>(fraction_unit_us_ ? 1000 : INTEGER_POWERS_OF_TEN[9 - digits]);
    }

    static TimeFault parse_epoch(Text text, int64_t& out) {
        const size_t digits = text.size();
        if (digits > 19 || digits < 9 || digits % 3 == 2 || *text.begin == '0') return TIME_EPOCH;
        uint64_t value = 0;
        for (const char* at = text.begin; at != text.end; ++at) value = value * 10 + static_cast<uint64_t>(*at - '0');
        // 9-10 digits are seconds, 12-13 milliseconds, 15-16 microseconds, 18-19 nanoseconds.
        const uint64_t unit_ns = INTEGER_POWERS_OF_TEN[9 - 3 * (digits / 3 - 3)];
        if (value > static_cast<uint64_t>(TIME_MAX) / unit_ns) return TIME_YEAR;
        out = static_cast<int64_t>(value * unit_ns);
        return TIME_GOOD;
    }

    TimeFault parse_any(Text text, int64_t& out) {
        if (text.empty()) return TIME_EMPTY;
        const char* at = text.begin;
        while (at != text.end && is_digit(*at)) ++at;
        if (at == text.end) return parse_epoch(text, out);

        // Shape first, so that a fault of the shape is never reported as a fault of a part.
        constexpr char SHAPE[] = "0000-00-00 00:00:00";
        if (text.size() < 19) return TIME_BAD;
        for (int i = 0; i < 19; ++i) {
            const char c = text.begin[i];
            if (SHAPE[i] == '0' ? !is_digit(c) : SHAPE[i] == ' ' ? c != ' ' && c != 'T' && c != 'D' : c != SHAPE[i]) return TIME_BAD;
        }
        at = text.begin + 19;
        const char* fraction = at;
        if (at != text.end && *at == '.') {
            fraction = ++at;
            while (at != text.end && is_digit(*at)) ++at;
            if (at == fraction) return TIME_BAD;
        }
        const size_t fraction_digits = static_cast<size_t>(at - fraction);
        int offset_minutes = 0;
        bool offset_good = true;
        if (at != text.end && *at == 'Z') {
            ++at;
        } else if (at != text.end && (*at == '+' || *at == '-')) {
            const size_t size = static_cast<size_t>(text.end - at);
            const bool colon = size == 6 && at[3] == ':';
            if (size != 3 && size != 5 && !colon) return TIME_BAD;
            if (!is_digit(at[1]) || !is_digit(at[2])) return TIME_BAD;
            const char* const minutes = size == 3 ? nullptr : at + (colon ? 4 : 3);
            if (minutes && (!is_digit(minutes[0]) || !is_digit(minutes[1]))) return TIME_BAD;
            const int hour = two_digits(at + 1), minute = minutes ? two_digits(minutes) : 0;
            offset_good = hour <= 23 && minute <= 59;
            offset_minutes = (*at == '-' ? -1 : 1) * (hour * 60 + minute);
            at = text.end;
        }
        if (at != text.end) return TIME_BAD;

        const int year = two_digits(text.begin) * 100 + two_digits(text.begin + 2);
        const int month = two_digits(text.begin + 5), day = two_digits(text.begin + 8);
        const int hour = two_digits(text.begin + 11), minute = two_digits(text.begin + 14), second = two_digits(text.begin + 17);
        if (year < 1678 || year > 2261) return TIME_YEAR;
        if (month < 1 || month > 12) return TIME_MONTH;
        if (day < 1 || day > days_in_month(year, month)) return TIME_DAY;
        if (hour > 23) return TIME_HOUR;
        if (minute > 59) return TIME_MINUTE;
        if (second > 59) return TIME_SECOND;
        if (fraction_digits > (fraction_unit_us_ ? 6u : 9u)) return TIME_FRACTION;
        if (!offset_good) return TIME_OFFSET;
        int64_t fraction_ns = 0;
        for (const char* digit = fraction; digit != fraction + fraction_digits; ++digit) fraction_ns = fraction_ns * 10 + (*digit - '0');
        fraction_ns = fraction_digits ? scale_fraction(fraction_ns, fraction_digits) : 0;
        const int64_t minute_ns = (days_from_civil(year, month, day) * 1440 + hour * 60 + minute) * 60 * SECOND_NS;
        out = minute_ns - int64_t{offset_minutes} * 60 * SECOND_NS + second * SECOND_NS + fraction_ns;
        // An offset may carry the first or last day of the range across its edge.
        if (out < TIME_MIN || out > TIME_MAX) return TIME_YEAR;
        std::memcpy(minute_text_, text.begin, 17);
        minute_ns_ = minute_ns;
        return TIME_GOOD;
    }

    static int two_digits(const char* at) { return (at[0] - '0') * 10 + (at[1] - '0'); }

    char minute_text_[18] = "1970-01-01 00:00:";
    int64_t minute_ns_ = 0;
    bool fraction_unit_us_;
};

// event + latency + shift, when the latency with its shift fits and the sum is a time that we can write and order.
inline bool arrival_time(int64_t event, int64_t latency, int64_t shift, int64_t& out) {
    int64_t shifted;
    if (__builtin_add_overflow(latency, shift, &shifted) || __builtin_add_overflow(event, shifted, &out)) return false;
    return out >= TIME_MIN && out <= TIME_MAX;
}

inline bool time_difference(int64_t later, int64_t earlier, int64_t& out) { return !__builtin_sub_overflow(later, earlier, &out); }

// time + difference, stopped at the ends of int64.
inline int64_t saturated_sum(int64_t time, int64_t difference) {
    int64_t sum;
    if (!__builtin_add_overflow(time, difference, &sum)) return sum;
    return difference < 0 ? std::numeric_limits<int64_t>::min() : std::numeric_limits<int64_t>::max();
}

// ---- UTF-8 and reasons ------------------------------------------------------------------------------------------------------
// Length of the code point at `at`, or of the longest start of one when it is invalid (as Python's "replace" counts them).
inline size_t code_point_size(const char* at, const char* end, bool& valid) {
    const auto byte = [&](size_t i) { return static_cast<unsigned char>(at[i]); };
    valid = true;
    const unsigned char first = byte(0);
    if (first < 0x80) return 1;
    const size_t size = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
    valid = first >= 0xC2 && first <= 0xF4;
    if (!valid) return 1;
    // The second byte excludes overlong forms, surrogates and what lies beyond U+10FFFF.
    unsigned char low = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
    unsigned char high = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
    for (size_t i = 1; i < size; ++i, low = 0x80, high = 0xBF) {
        valid = at + i != end && byte(i) >= low && byte(i) <= high;
        if (!valid) return i;
    }
    return size;
}

inline bool is_utf8(Text text) {
    bool valid = true;
    while (text.begin != text.end && valid) text.begin += code_point_size(text.begin, text.end, valid);
    return valid;
}

// The first 40 characters in quotes; what is no UTF-8 becomes U+FFFD.
inline std::string quoted(Text text) {
    text = trimmed(text);
    std::string out = "'";
    for (int characters = 0; characters < 40 && text.begin != text.end; ++characters) {
        bool valid;
        const size_t size = code_point_size(text.begin, text.end, valid);
        if (valid) out.append(text.begin, size);
        else out += "\xEF\xBF\xBD";
        text.begin += size;
    }
    return out += "'";
}

inline std::string number_reason(const char* column, NumberFault fault, Text text) {
    const std::string name = "`" + std::string(column) + "` is ";
    switch (fault) {
        case NUMBER_EMPTY: return name + "empty";
        case NUMBER_TOO_LARGE: return name + "too large: " + quoted(text);
        case NUMBER_NEGATIVE: return name + "negative: " + quoted(text);
        default: return name + "not a number: " + quoted(text);
    }
}

inline std::string time_reason(const char* column, TimeFault fault, Text text, bool fraction_unit_us) {
    const std::string name = column;
    switch (fault) {
        case TIME_EMPTY: return name + " is empty";
        case TIME_YEAR: return name + " is outside the years 1678 to 2261";
        case TIME_MONTH: return name + " has an invalid month";
        case TIME_DAY: return name + " has an invalid day";
        case TIME_HOUR: return name + " has an invalid hour";
        case TIME_MINUTE: return name + " has an invalid minute";
        case TIME_SECOND: return name + " has an invalid second";
        case TIME_FRACTION: return name + " has more than " + (fraction_unit_us ? "6" : "9") + " fraction digits";
        case TIME_OFFSET: return name + " has an invalid offset";
        case TIME_EPOCH: return name + " is no epoch time in s, ms, us or ns: " + quoted(text);
        default: return name + " is not a time: " + quoted(text);
    }
}

}  // namespace midstream
