// Text to times, and sums of times. Nothing allocates, nothing throws.
#pragma once
#include <cstdint>
#include <cstring>
#include <limits>

#include "numbers.hpp"

namespace midstream {

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

    // Whether a text, of 17 characters or more, begins with the minute of the last one that was parsed.
    bool in_known_minute(const char* at) const {
        return ((load_eight(at) ^ load_eight(minute_text_)) | (load_eight(at + 8) ^ load_eight(minute_text_ + 8)) |
                static_cast<uint64_t>(at[16] ^ minute_text_[16])) == 0;
    }

    // A time in that minute: `digits` are those of its seconds and of its fraction, which has `fraction_digits`.
    bool in_minute(uint64_t digits, size_t fraction_digits, int64_t& out) const {
        if (fraction_digits > (fraction_unit_us_ ? 6u : 9u)) return false;
        const uint64_t unit = INTEGER_POWERS_OF_TEN[fraction_digits];
        if (digits >= 60 * unit) return false;
        if (fraction_unit_us_) {
            const uint64_t second = digits / unit;
            const int64_t fraction_ns = scale_fraction(static_cast<int64_t>(digits - second * unit), fraction_digits);
            out = minute_ns_ + static_cast<int64_t>(second) * SECOND_NS + fraction_ns;
        } else {
            out = minute_ns_ + scale_fraction(static_cast<int64_t>(digits), fraction_digits);
        }
        return true;
    }

  private:
    static const char* end_of_time(const char* at) {
        at += *at == 'Z';
        return (*at == ',') | (*at == '\n') | (*at == '\r') ? at : nullptr;
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

}  // namespace midstream
