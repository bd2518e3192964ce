// Times, prices and latencies as text_format.hpp spells them, in far fewer steps for the usual ones: digits come eight at a
// time, and no branch depends on them. Everything writes up to eight bytes behind the end it returns, and a noisy price up to sixteen.
#pragma once
#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "text_format.hpp"

namespace midstream {
namespace quick {

constexpr size_t SLACK = 16;
constexpr uint64_t ZEROS = 0x3030303030303030;  // "00000000"
constexpr double NOISE = 5e-16;   // how far the rounding of a sum takes a mean from a decimal, of its size
constexpr double NOISY_MIN = 0.1;  // smaller ones have more digits than fit
constexpr uint8_t DECIMALS_MAX = 7;  // of a price that is written quickly
constexpr uint32_t HUNDRED_MILLION = 100000000;
constexpr auto POWERS_OF_TEN = [] {
    std::array<uint64_t, 18> powers{1};
    for (size_t i = 1; i < powers.size(); ++i) powers[i] = 10 * powers[i - 1];
    return powers;
}();

// The eight digits of a number below 10^8 as values, the first one in the lowest byte: halved three times.
inline uint64_t eight_digits(uint32_t value) {
    const uint64_t fours = value / 10000 | static_cast<uint64_t>(value % 10000) << 32;
    uint64_t pairs = (fours * 10486 >> 20) & 0x0000007F0000007F;  // / 100
    pairs |= (fours - 100 * pairs) << 16;
    const uint64_t ones = (pairs * 103 >> 10) & 0x000F000F000F000F;  // / 10
    return ones | (pairs - 10 * ones) << 8;
}
inline void put_eight(char* at, uint64_t digits) {
    digits |= ZEROS;
    std::memcpy(at, &digits, 8);
}

// A number below 10^8 without leading zeros.
inline char* put_whole_digits(char* at, uint64_t digits) {
    const int skipped = __builtin_ctzll(digits | uint64_t{1} << 56) & ~7;  // the last digit stays
    put_eight(at, digits >> skipped);
    return at + 8 - skipped / 8;
}
inline char* put_whole(char* at, uint32_t value) { return put_whole_digits(at, eight_digits(value)); }
// What stands behind a point, in units of 10^-8, without trailing zeros; the first digit stays.
inline char* put_fraction_digits(char* at, uint64_t digits) {
    put_eight(at, digits);
    return at + 8 - __builtin_clzll(digits | 1) / 8;
}
inline char* put_fraction(char* at, uint32_t value) { return put_fraction_digits(at, eight_digits(value)); }

// Writes times as format::Clock does. Keeps the text of the last seconds, since ticks of two seconds often alternate.
class Stamps {
  public:
    static constexpr std::string_view NO_MID = "No mid price at ";

    char* put_time(char* at, int64_t time_ns) {
        if (time_ns < 0) return clock_.put_time(at, time_ns);
        const uint64_t second = static_cast<uint64_t>(time_ns) / format::SECOND_NS;
        std::memcpy(at, text_of(second) + NO_MID.size(), SECOND_SIZE);
        return put_below_second(at + SECOND_SIZE, static_cast<uint32_t>(time_ns - second * format::SECOND_NS));
    }
    // How every line of errors.log about a tick begins.
    char* put_no_mid(char* at, int64_t time_ns) {
        if (time_ns < 0) return clock_.put_time(format::put(at, NO_MID), time_ns);
        const uint64_t second = static_cast<uint64_t>(time_ns) / format::SECOND_NS;
        std::memcpy(at, text_of(second), NO_MID.size() + SECOND_SIZE);
        return put_below_second(at + NO_MID.size() + SECOND_SIZE, static_cast<uint32_t>(time_ns - second * format::SECOND_NS));
    }

    static constexpr size_t SECOND_SIZE = 20;  // 2025-01-01 00:00:00.

    // NO_MID and the first SECOND_SIZE characters of the second's times.
    const char* text_of(uint64_t second) {
        Second& kept = seconds_[second % seconds_.size()];
        if (kept.number != second) {
            kept.number = second;
            clock_.put_time(format::put(kept.text, NO_MID), static_cast<int64_t>(second * format::SECOND_NS));
        }
        return kept.text;
    }
    // 3, 6 or 9 digits: of the nanoseconds, the first eight and the last one.
    static char* put_below_second(char* at, uint64_t digits, uint32_t ones) {
        put_eight(at, digits);
        at[8] = static_cast<char>('0' + ones);
        const bool micros = (digits >> 48 | ones) == 0, millis = micros & (digits >> 24 == 0);
        return at + 9 - 3 * micros - 3 * millis;
    }

  private:
    static constexpr uint64_t NONE = ~uint64_t{0};
    struct Second {
        uint64_t number = NONE;
        char text[NO_MID.size() + TIMESTAMP_MAX];
    };

    static char* put_below_second(char* at, uint32_t ns) { return put_below_second(at, eight_digits(ns / 10), ns % 10); }

    std::array<Second, 8> seconds_;
    format::Clock clock_;
};

// Behind the point of a price between 0.1 and 10^8 that no decimal of 15 digits comes from: the mean of two decimals is often
// the neighbour of one. `whole` digits stand before the point already. Null leaves it to format::put_repr: what is shorter, a
// power of two, or halfway between two candidates.
//
// Exact, in units of the 17th digit: value = mantissa / 2^shift, and everything within half of the last bit of the mantissa
// reads back as it. Of the decimals with the fewest digits in there the nearest is the shortest text, as Python spells it.
inline char* put_noisy_fraction(char* at, double value, std::ptrdiff_t whole) {
    uint64_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    const uint64_t mantissa = (bits & ((uint64_t{1} << 52) - 1)) | uint64_t{1} << 52;
    const int shift = 1075 - static_cast<int>(bits >> 52);  // 26 to 56
    const uint64_t unit = uint64_t{1} << shift;
    const uint64_t power = POWERS_OF_TEN[17 - whole];
    const unsigned __int128 scaled = static_cast<unsigned __int128>(mantissa & (unit - 1)) * power;
    const uint64_t digits = static_cast<uint64_t>(scaled >> shift), below = static_cast<uint64_t>(scaled) & (unit - 1);
    const uint32_t hundred = static_cast<uint32_t>(digits % 100), ten = hundred % 10;
    const uint64_t over_ten = (uint64_t{ten} << shift) + below, over_hundred = (uint64_t{hundred} << shift) + below;
    const auto reads_back = [&](uint64_t over, uint64_t step) { return 2 * std::min(over, step - over) <= power; };
    if (mantissa == uint64_t{1} << 52 || reads_back(over_hundred, 100 * unit) || 2 * below == unit) return nullptr;
    uint64_t nearest = digits + (2 * below > unit);
    if (reads_back(over_ten, 10 * unit)) {
        if (over_ten == 5 * unit || 2 * std::min(over_ten, 10 * unit - over_ten) == power) return nullptr;
        nearest = digits - ten + (over_ten > 5 * unit ? 10 : 0);
    }
    if (whole == 0) {  // a digit more
        *at++ = static_cast<char>('0' + nearest / POWERS_OF_TEN[16]);
        nearest %= POWERS_OF_TEN[16];
    } else {
        nearest *= POWERS_OF_TEN[whole - 1];
    }
    const uint64_t tail = eight_digits(static_cast<uint32_t>(nearest % HUNDRED_MILLION));
    put_eight(at, eight_digits(static_cast<uint32_t>(nearest / HUNDRED_MILLION)));
    put_eight(at + 8, tail);
    return tail == 0 ? nullptr : at + 16 - __builtin_clzll(tail) / 8;
}

// A noisy price that begins at `at`, and whose point is at `point` already.
inline char* put_noisy_rest(char* at, char* point, double value) {
    char* const end = put_noisy_fraction(point + 1, value, value < 1 ? 0 : point - at);
    return end != nullptr ? end : format::put_repr(at, value);
}

// See format::put_price, which takes over whenever `decimals` was guessed wrong.
inline char* put_price(char* at, double value, uint8_t& decimals) {
    if (!(value >= 1e-4 && value < 9e7) || decimals > DECIMALS_MAX) return format::put_price(at, value, decimals);
    const uint64_t power = POWERS_OF_TEN[decimals];
    const int64_t mantissa = static_cast<int64_t>(value * static_cast<double>(power) + 0.5);
    const double back = static_cast<double>(mantissa) / static_cast<double>(power);
    const uint32_t whole = static_cast<uint32_t>(value);
    if (back != value) {
        if (std::fabs(back - value) > value * NOISE || value < NOISY_MIN) return format::put_price(at, value, decimals);
        char* const point = put_whole(at, whole);
        *point = '.';
        return put_noisy_rest(at, point, value);
    }
    const uint64_t rest = static_cast<uint64_t>(mantissa) - whole * power;
    at = put_whole(at, whole);
    *at++ = '.';
    return put_fraction(at, static_cast<uint32_t>(rest * POWERS_OF_TEN[8 - decimals]));
}

// A latency from 0 up to 10^8 ms as exact milliseconds without trailing zeros.
inline char* put_latency(char* at, int64_t latency_ns) {
    const uint64_t whole = static_cast<uint64_t>(latency_ns) / 1000000;
    const uint32_t rest = static_cast<uint32_t>(static_cast<uint64_t>(latency_ns) - whole * 1000000);
    at = put_whole(at, static_cast<uint32_t>(whole));
    *at = '.';
    char* const end = put_fraction(at + 1, rest * 100);
    return rest == 0 ? at : end;
}
constexpr int64_t LATENCY_END = int64_t{HUNDRED_MILLION} * 1000000;

}  // namespace quick
}  // namespace midstream
