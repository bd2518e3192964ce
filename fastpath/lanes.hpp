// Four numbers side by side, 16 characters each, in AVX2. A number is digits with at most one point.
#pragma once
#include <cstddef>
#include <cstdint>

#include "cpu.hpp"

#if MIDSTREAM_X86
#include <immintrin.h>

#define MIDSTREAM_AVX2 "avx2,bmi,bmi2,popcnt"

namespace midstream {

constexpr size_t LANE_SIZE = 16;
constexpr size_t NO_POINT = LANE_SIZE;

// The last `size` characters before `end`. More than LANE_SIZE are no number, but do no harm; so many in front of `end` are loaded.
struct LaneText {
    const char* end;
    uint32_t size;
};

// One bit for every byte of the four lanes.
struct LaneBits {
    static constexpr uint64_t HIGHEST = 0x8000800080008000u;

    uint64_t inside, digits, points;

    // The highest bit of every lane that has a bit.
    static uint64_t lanes_with(uint64_t bits) { return (((bits & ~HIGHEST) + ~HIGHEST) | bits) & HIGHEST; }
    // The lowest bit of every lane with a point.
    uint64_t has_point() const { return lanes_with(points) >> (LANE_SIZE - 1); }
    uint64_t first_points() const { return points & ~(points - has_point()); }
    // What is no digit and not the first point, and every lane without a digit.
    uint64_t others() const { return (inside ^ (digits | first_points())) | (lanes_with(digits) ^ HIGHEST); }
};

struct FourNumbers {
    __m256i digits;  // without the point
    uint64_t points;
    uint64_t others;  // a lane with a bit is no number

    // Where among the characters of its lane the point stands, or NO_POINT.
    [[gnu::target(MIDSTREAM_AVX2)]] size_t point(size_t i) const { return __tzcnt_u16(lane(points, i)); }
    bool is_number(size_t i) const { return lane(others, i) == 0; }

    // The lanes are in an order that spares the sum of their parts one.
    static constexpr int SHIFTS[4] = {0, 2 * LANE_SIZE, 1 * LANE_SIZE, 3 * LANE_SIZE};
    static uint16_t lane(uint64_t bits, size_t i) { return static_cast<uint16_t>(bits >> SHIFTS[i]); }
};

// A byte as often as the widest register has it, in memory: compilers would otherwise make it again for every number.
struct AllBytes {
    alignas(64) uint8_t bytes[64] = {};
    constexpr explicit AllBytes(uint8_t byte) {
        for (uint8_t& place : bytes) place = byte;
    }
};
inline constexpr AllBytes ALL_ZERO_SIGNS('0'), ALL_NINES(9), ALL_POINTS('.');

// By where the first point stands: what moves the characters in front of it by one, over it.
struct Moves {
    alignas(16) int8_t by_point[NO_POINT + 1][LANE_SIZE] = {};
    constexpr Moves() {
        for (int point = 0; point <= static_cast<int>(NO_POINT); ++point)
            for (int i = 0; i < 16; ++i) by_point[point][i] = static_cast<int8_t>(point < 16 && i <= point ? i - 1 : i);
    }
};
inline constexpr Moves MOVES;

[[gnu::target(MIDSTREAM_AVX2)]] inline __m256i all(const AllBytes& constant) {
    return _mm256_load_si256(reinterpret_cast<const __m256i*>(constant.bytes));
}
[[gnu::target(MIDSTREAM_AVX2)]] inline __m256i load_two(const void* low, const void* high) {
    return _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128(static_cast<const __m128i*>(low))),
                                   _mm_loadu_si128(static_cast<const __m128i*>(high)), 1);
}
[[gnu::target(MIDSTREAM_AVX2)]] inline uint64_t bits_of(__m256i low, __m256i high) {
    return static_cast<uint32_t>(_mm256_movemask_epi8(low)) |
           static_cast<uint64_t>(static_cast<uint32_t>(_mm256_movemask_epi8(high))) << 32;
}

// Digits to their values: pairs, fours, eights, all. The lanes are 0, 2 and 1, 3, and come out in order.
[[gnu::target(MIDSTREAM_AVX2)]] inline __m256i fours_of(__m256i digits) {
    return _mm256_madd_epi16(_mm256_maddubs_epi16(digits, _mm256_set1_epi16(0x010A)), _mm256_set1_epi32(0x00010064));
}
[[gnu::target(MIDSTREAM_AVX2)]] inline __m256i values_of(__m256i fours_02, __m256i fours_13) {
    const __m256i eights = _mm256_madd_epi16(_mm256_packus_epi32(fours_02, fours_13), _mm256_set1_epi32(0x00012710));
    return _mm256_add_epi64(_mm256_mul_epu32(eights, _mm256_set1_epi64x(100000000)), _mm256_srli_epi64(eights, 32));
}

// 16 bytes from `size` on have their last `size` set, or all.
struct Inside {
    uint8_t bytes[3 * LANE_SIZE] = {};
    constexpr Inside() {
        for (size_t i = LANE_SIZE; i < sizeof bytes; ++i) bytes[i] = 0xFF;
    }
};
inline constexpr Inside INSIDE;

[[gnu::target(MIDSTREAM_AVX2)]] inline FourNumbers read_lanes(const LaneText (&texts)[4]) {
    __m256i digits[2], points[2], insides[2], values[2];
#pragma GCC unroll 2
    for (int half = 0; half < 2; ++half) {
        const LaneText low = texts[half], high = texts[half + 2];
        const __m256i text = load_two(low.end - LANE_SIZE, high.end - LANE_SIZE);
        insides[half] = load_two(INSIDE.bytes + (low.size & 31), INSIDE.bytes + (high.size & 31));
        values[half] = _mm256_sub_epi8(text, all(ALL_ZERO_SIGNS));
        digits[half] = _mm256_and_si256(_mm256_cmpeq_epi8(_mm256_min_epu8(values[half], all(ALL_NINES)), values[half]), insides[half]);
        points[half] = _mm256_and_si256(_mm256_cmpeq_epi8(text, all(ALL_POINTS)), insides[half]);
    }
    const LaneBits bits{bits_of(insides[0], insides[1]), bits_of(digits[0], digits[1]), bits_of(points[0], points[1])};
    FourNumbers numbers{{}, bits.points, bits.others()};
    __m256i fours[2];
#pragma GCC unroll 2
    for (size_t half = 0; half < 2; ++half) {
        const __m256i moves = load_two(MOVES.by_point[numbers.point(half)], MOVES.by_point[numbers.point(half + 2)]);
        fours[half] = fours_of(_mm256_shuffle_epi8(_mm256_and_si256(values[half], digits[half]), moves));
    }
    numbers.digits = values_of(fours[0], fours[1]);
    return numbers;
}

}  // namespace midstream
#endif
