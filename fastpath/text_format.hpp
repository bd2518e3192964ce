// Numbers as text: times, latencies and prices exactly as the logs spell them. Everything writes at a pointer with enough
// room behind it and returns the end of what it wrote.
#pragma once
#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <new>
#include <string_view>

namespace midstream {

constexpr size_t TIMESTAMP_MAX = 29;  // 2025-01-01 00:00:00.123456789
constexpr size_t MID_MAX = 24;        // -1.2345678901234567e-308
constexpr size_t LATENCY_MAX = 22;    // -18446744073709.551615

// Text that collects until it is handed over. Its memory is reused.
class TextBuffer {
  public:
    TextBuffer() = default;
    TextBuffer(const TextBuffer&) = delete;
    TextBuffer& operator=(const TextBuffer&) = delete;
    ~TextBuffer() { std::free(begin_); }

    const char* data() const { return begin_; }
    size_t size() const { return size_; }
    void clear() { size_ = 0; }
    // Where the next `count` bytes may be written; tell with `wrote` where they end.
    char* room(size_t count) {
        if (capacity_ - size_ < count) grow(count);
        return begin_ + size_;
    }
    void wrote(const char* end) { size_ = end - begin_; }
    void append(std::string_view text) {
        char* at = room(text.size());
        if (!text.empty()) std::memcpy(at, text.data(), text.size());
        size_ += text.size();
    }

  private:
    void grow(size_t count) {
        size_t capacity = capacity_ < 4096 ? 4096 : capacity_;
        while (capacity - size_ < count) capacity *= 2;
        char* begin = static_cast<char*>(std::realloc(begin_, capacity));
        if (begin == nullptr) throw std::bad_alloc();
        begin_ = begin;
        capacity_ = capacity;
    }
    char* begin_ = nullptr;
    size_t size_ = 0;
    size_t capacity_ = 0;
};

namespace format {

// The two digits of every number below 100.
constexpr auto PAIRS = [] {
    std::array<char, 200> pairs{};
    for (int i = 0; i < 100; ++i) {
        pairs[2 * i] = static_cast<char>('0' + i / 10);
        pairs[2 * i + 1] = static_cast<char>('0' + i % 10);
    }
    return pairs;
}();
constexpr uint64_t POWERS[] = {1,       10,       100,       1000,       10000,
                               100000,  1000000,  10000000,  100000000,  1000000000};

inline char* put(char* at, std::string_view text) {
    std::memcpy(at, text.data(), text.size());
    return at + text.size();
}

// Exactly `count` digits, with leading zeros.
inline char* put_padded(char* at, uint64_t value, int count) {
    char* end = at + count;
    char* back = end;
    while (back - at >= 2) {
        back -= 2;
        std::memcpy(back, PAIRS.data() + 2 * (value % 100), 2);
        value /= 100;
    }
    if (back > at) *at = static_cast<char>('0' + value % 10);
    return end;
}

inline char* put_unsigned(char* at, uint64_t value) {
    char digits[20];
    char* back = digits + sizeof digits;
    while (value >= 100) {
        back -= 2;
        std::memcpy(back, PAIRS.data() + 2 * (value % 100), 2);
        value /= 100;
    }
    if (value >= 10) {
        back -= 2;
        std::memcpy(back, PAIRS.data() + 2 * value, 2);
    } else {
        *--back = static_cast<char>('0' + value);
    }
    return put(at, {back, static_cast<size_t>(digits + sizeof digits - back)});
}

// Times ----------------------------------------------------------------------------------------------------------------

constexpr int64_t SECOND_NS = 1000000000;

// Writes times as `YYYY-MM-DD HH:MM:SS.` and 3, 6 or 9 digits. Remembers the second, which rarely changes.
class Clock {
  public:
    char* put_time(char* at, int64_t time_ns) {
        if (time_ns < first_ns_ || time_ns > last_ns_) set_second(time_ns);
        const uint64_t fraction = static_cast<uint64_t>(time_ns) - second_ns_;
        std::memcpy(at, prefix_, sizeof prefix_);
        at += sizeof prefix_;
        if (fraction % 1000000 == 0) return put_padded(at, fraction / 1000000, 3);
        if (fraction % 1000 == 0) return put_padded(at, fraction / 1000, 6);
        return put_padded(at, fraction, 9);
    }

  private:
    static bool is_leap(int64_t year) { return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0); }
    // Days from 0001-01-01 to the first day of `year`.
    static int64_t days_before(int64_t year) {
        const int64_t whole = year - 1;
        return whole * 365 + whole / 4 - whole / 100 + whole / 400;
    }
    // The years of int64 nanoseconds (1677 to 2262) have four digits and need no floor division of their own.
    void set_second(int64_t time_ns) {
        const int64_t fraction = (time_ns % SECOND_NS + SECOND_NS) % SECOND_NS;  // floor, for times before 1970
        const int64_t seconds = time_ns / SECOND_NS - (time_ns % SECOND_NS < 0);
        const int64_t rest = SECOND_NS - 1 - fraction;
        // The first and the last second of int64 are cut: their bounds stop at its ends, and the start wraps around.
        constexpr int64_t earliest = std::numeric_limits<int64_t>::min(), latest = std::numeric_limits<int64_t>::max();
        second_ns_ = static_cast<uint64_t>(time_ns) - static_cast<uint64_t>(fraction);
        first_ns_ = time_ns < earliest + fraction ? earliest : time_ns - fraction;
        last_ns_ = time_ns > latest - rest ? latest : time_ns + rest;
        const int64_t day_number = seconds + days_before(1970) * 86400;  // seconds since 0001-01-01, never negative here
        int64_t day = day_number / 86400;
        const int64_t of_day = day_number % 86400;
        int64_t year = day / 366 + 1;
        while (days_before(year + 1) <= day) ++year;
        day -= days_before(year);
        constexpr int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
        int month = 0;
        for (; month < 11; ++month) {
            const int length = lengths[month] + (month == 1 && is_leap(year));
            if (day < length) break;
            day -= length;
        }
        char* at = put_padded(prefix_, year, 4);
        *at++ = '-';
        at = put_padded(at, month + 1, 2);
        *at++ = '-';
        at = put_padded(at, day + 1, 2);
        *at++ = ' ';
        at = put_padded(at, of_day / 3600, 2);
        *at++ = ':';
        at = put_padded(at, of_day / 60 % 60, 2);
        *at++ = ':';
        at = put_padded(at, of_day % 60, 2);
        *at = '.';
    }

    uint64_t second_ns_ = 0;
    int64_t first_ns_ = 0, last_ns_ = SECOND_NS - 1;  // what lies within the remembered second
    char prefix_[20] = {'1', '9', '7', '0', '-', '0', '1', '-', '0', '1', ' ', '0', '0', ':', '0', '0', ':', '0', '0', '.'};
};

// A difference of two int64, which needs 65 bits.
struct Difference {
    bool negative;
    uint64_t magnitude;
};
inline Difference difference(int64_t later, int64_t earlier) {
    const uint64_t a = static_cast<uint64_t>(later), b = static_cast<uint64_t>(earlier);
    return later >= earlier ? Difference{false, a - b} : Difference{true, b - a};
}
inline bool exceeds(Difference latency, int64_t threshold) {
    if (threshold >= 0) return !latency.negative && latency.magnitude > static_cast<uint64_t>(threshold);
    return !latency.negative || latency.magnitude < -static_cast<uint64_t>(threshold);
}

// Nanoseconds as exact milliseconds without trailing zeros.
inline char* put_latency(char* at, Difference latency) {
    if (latency.negative) *at++ = '-';
    at = put_unsigned(at, latency.magnitude / 1000000);
    const uint64_t rest = latency.magnitude % 1000000;
    if (rest == 0) return at;
    *at++ = '.';
    at = put_padded(at, rest, 6);
    while (at[-1] == '0') --at;
    return at;
}

// Prices ---------------------------------------------------------------------------------------------------------------

// As Python's repr: the shortest digits that read back as the same number, with an exponent below 1e-4 and from 1e16 on.
inline char* put_repr(char* at, double value) {
    if (std::isnan(value)) return put(at, "nan");
    if (std::signbit(value)) *at++ = '-';
    value = std::fabs(value);
    if (std::isinf(value)) return put(at, "inf");
    char shortest[32];  // d.ddde-dd
    const char* const end = std::to_chars(shortest, shortest + sizeof shortest, value, std::chars_format::scientific).ptr;
    const char* e = end;
    while (*--e != 'e') {
    }
    int exponent = 0;
    for (const char* digit = e + 2; digit < end; ++digit) exponent = exponent * 10 + (*digit - '0');
    const bool is_small = e[1] == '-';
    // The first digit moves over the point, so that the digits stand together.
    std::string_view digits(shortest, 1);
    if (e - shortest > 1) {
        shortest[1] = shortest[0];
        digits = {shortest + 1, static_cast<size_t>(e - shortest - 1)};
    }
    if (exponent >= (is_small ? 5 : 16)) {
        *at++ = digits[0];
        if (digits.size() > 1) {
            *at++ = '.';
            at = put(at, digits.substr(1));
        }
        *at++ = 'e';
        *at++ = is_small ? '-' : '+';
        return put_padded(at, exponent, exponent >= 100 ? 3 : 2);
    }
    if (is_small) return put(put(at, std::string_view("0.000", 1 + exponent)), digits);
    const size_t whole = exponent + 1;
    if (digits.size() > whole) {
        at = put(at, digits.substr(0, whole));
        *at++ = '.';
        return put(at, digits.substr(whole));
    }
    at = put(at, digits);
    return put(at, std::string_view("000000000000000.0").substr(15 - (whole - digits.size())));
}

// The same text, quickly for prices that are decimals: `decimals` is a guess that improves from price to price.
//
// When m / 10^d gives the number back (that division is rounded correctly) and m has at most 15 digits, then m with d
// decimals is the shortest text: two different decimals of at most 15 digits are never the same float64.
inline char* put_price(char* at, double value, uint8_t& decimals) {
    constexpr int DECIMALS_MAX = 9;
    constexpr double MANTISSA_MAX = 9e14;
    const double size = std::fabs(value);
    if (!(size >= 1e-4 && size < MANTISSA_MAX)) return put_repr(at, value);
    int d = decimals;
    while (size * static_cast<double>(POWERS[d]) >= MANTISSA_MAX) --d;
    for (; d <= DECIMALS_MAX; ++d) {
        const double power = static_cast<double>(POWERS[d]);
        const double scaled = size * power;
        if (scaled >= MANTISSA_MAX) break;
        const int64_t mantissa = static_cast<int64_t>(scaled + 0.5);
        const double back = static_cast<double>(mantissa) / power;
        if (back != size) {
            // A sum's rounding noise: next to a short decimal, so not another one, and only all digits will do.
            if (std::fabs(back - size) <= size * 5e-16) break;
            continue;
        }
        decimals = static_cast<uint8_t>(d);
        if (std::signbit(value)) *at++ = '-';
        // Rounding cannot have carried `size` to the next integer: an ulp is less than 10^-d / 4.
        const int64_t whole = static_cast<int64_t>(size);
        at = put_unsigned(at, static_cast<uint64_t>(whole));
        *at++ = '.';
        if (d == 0) {
            *at++ = '0';
            return at;
        }
        at = put_padded(at, static_cast<uint64_t>(mantissa - whole * static_cast<int64_t>(POWERS[d])), d);
        while (at[-1] == '0' && at[-2] != '.') --at;
        return at;
    }
    return put_repr(at, value);
}

}  // namespace format
}  // namespace midstream
