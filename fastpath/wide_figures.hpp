// The numbers of plain lines as figures.hpp reads them, in AVX-512: one instruction gathers four fields out of the bytes of a line,
// wherever they stand, and no number is looked up in memory.
#pragma once
#include <algorithm>

#include "figures.hpp"

#if MIDSTREAM_X86
namespace midstream {
namespace avx512 {

constexpr size_t GATHERED_BYTES = 128;    // of a line, from its begin on
constexpr size_t GATHERED_COLUMNS = 31;   // whose starts, with that of the next line, fill one register
constexpr uint64_t SECOND_LINE = 0xFFFFFFFF00000000;  // the lanes of the second of two lines

// Of four fields, each of which has the 16 bytes of a lane: where among the bytes of a line's starts begin and end are said. The lower
// bytes are enough, within GATHERED_BYTES.
struct LanePlaces {
    alignas(64) uint8_t begins[64], ends[64];

    LanePlaces(const Shape& shape, const size_t (&parts)[4]) {
        for (size_t i = 0; i < 4; ++i) {
            const size_t column = shape.column[parts[i]];
            std::memset(begins + i * LANE_SIZE, static_cast<int>(sizeof(uint16_t) * column), LANE_SIZE);
            std::memset(ends + i * LANE_SIZE, static_cast<int>(sizeof(uint16_t) * (column + 1)), LANE_SIZE);
        }
    }
};

// For every byte its place in its lane, less some.
struct InLane {
    alignas(64) uint8_t place[64] = {};
    constexpr explicit InLane(size_t less) {
        for (size_t i = 0; i < 64; ++i) place[i] = static_cast<uint8_t>(i % LANE_SIZE - less);
    }
};
inline constexpr InLane IN_LANE(0), BEFORE_END(LANE_SIZE + 1);

// By how many characters there are up to the point; without a point there are none, and 16 count as none.
struct Powers {
    alignas(64) double by_size[LANE_SIZE] = {};
    constexpr Powers() {
        for (size_t i = 0; i < LANE_SIZE; ++i) by_size[i] = POWER_BEHIND[(i + LANE_SIZE - 1) % LANE_SIZE];
    }
};
inline constexpr Powers POWERS;

inline constexpr AllBytes ALL_ONES(1), ALL_LANE_SIZES(LANE_SIZE), ALL_MINUTE_SIZES(MINUTE_SIZE), ALL_ZONES('Z');

[[gnu::target(MIDSTREAM_AVX512)]] inline __m512i wide(const AllBytes& constant) { return _mm512_load_si512(constant.bytes); }

// Texts of up to 16 characters, each at the end of its lane.
struct WideTexts {
    __m512i characters, sizes;
};

// The bytes of a line, and where its fields stand.
struct WideLine {
    __m512i low, high, starts, begin;

    [[gnu::target(MIDSTREAM_AVX512)]] WideLine(const char* line, const uint16_t* field_starts)
        : low(_mm512_loadu_si512(line)), high(_mm512_loadu_si512(line + 64)), starts(_mm512_loadu_si512(field_starts)),
          begin(_mm512_set1_epi8(static_cast<char>(field_starts[0]))) {}

    [[gnu::target(MIDSTREAM_AVX512)]] __m512i ends(const LanePlaces& places) const {
        return _mm512_permutexvar_epi8(_mm512_load_si512(places.ends), starts);
    }
    // Of fields that end one character in front of `ends`.
    [[gnu::target(MIDSTREAM_AVX512)]] WideTexts texts(const LanePlaces& places, __m512i ends) const {
        const __m512i begins = _mm512_permutexvar_epi8(_mm512_load_si512(places.begins), starts);
        const __m512i from = _mm512_add_epi8(_mm512_sub_epi8(ends, begin), _mm512_load_si512(BEFORE_END.place));
        return {_mm512_permutex2var_epi8(low, from, high), _mm512_sub_epi8(_mm512_sub_epi8(ends, begins), wide(ALL_ONES))};
    }
    [[gnu::target(MIDSTREAM_AVX512)]] WideTexts texts(const LanePlaces& places) const { return texts(places, ends(places)); }

    // What stands behind the minute of written times; epoch times are whole.
    [[gnu::target(MIDSTREAM_AVX512)]] WideTexts times(const LanePlaces& places) const {
        constexpr __mmask64 LAST_OF_LANE = LaneBits::HIGHEST;
        WideTexts times = texts(places);
        const __mmask64 written = _mm512_cmpgt_epu8_mask(times.sizes, wide(ALL_MINUTE_SIZES));
        if (const __mmask64 zones = _mm512_mask_cmpeq_epi8_mask(written & LAST_OF_LANE, times.characters, wide(ALL_ZONES))) {
            const __mmask64 with_zone = (zones >> (LANE_SIZE - 1)) * 0xFFFF;
            const __m512i ends_here = ends(places);
            times = texts(places, _mm512_mask_sub_epi8(ends_here, with_zone, ends_here, wide(ALL_ONES)));
        }
        times.sizes = _mm512_mask_sub_epi8(times.sizes, written, times.sizes, wide(ALL_MINUTE_SIZES));
        return times;
    }
};

struct WideNumbers {
    __m512i fours;
    LaneBits bits;
    uint64_t up_to_point;  // all characters of a lane up to its point

    [[gnu::target(MIDSTREAM_AVX512)]] explicit WideNumbers(const WideTexts& texts) {
        const __m512i in_lane = _mm512_load_si512(IN_LANE.place);
        const __mmask64 inside = _mm512_cmpge_epu8_mask(_mm512_add_epi8(texts.sizes, in_lane), wide(ALL_LANE_SIZES));
        const __m512i values = _mm512_sub_epi8(texts.characters, wide(ALL_ZERO_SIGNS));
        const __mmask64 digits = _mm512_mask_cmple_epu8_mask(inside, values, wide(ALL_NINES));
        bits = {inside, digits, _mm512_mask_cmpeq_epi8_mask(inside, texts.characters, wide(ALL_POINTS))};
        up_to_point = (bits.first_points() << 1) - bits.has_point();
        // Over the point: the first place takes nothing, as its own index is then that of no place.
        const __m512i moves = _mm512_mask_sub_epi8(in_lane, up_to_point, in_lane, wide(ALL_ONES));
        const __m512i moved = _mm512_shuffle_epi8(_mm512_maskz_mov_epi8(digits, values), moves);
        const __m512i pairs = _mm512_maddubs_epi16(moved, _mm512_set1_epi16(0x010A));
        fours = _mm512_madd_epi16(pairs, _mm512_set1_epi32(0x00010064));
    }
    // How many characters there are up to the point, in each half of every lane.
    [[gnu::target(MIDSTREAM_AVX512)]] __m512i sizes_up_to_point() const {
        return _mm512_sad_epu8(_mm512_maskz_mov_epi8(up_to_point, wide(ALL_ONES)), _mm512_setzero_si512());
    }
};

// Lane by lane, the number of one and that of the other.
[[gnu::target(MIDSTREAM_AVX512)]] inline __m512i values_of(const WideNumbers& one, const WideNumbers& other) {
    const __m512i eights = _mm512_madd_epi16(_mm512_packus_epi32(one.fours, other.fours), _mm512_set1_epi32(0x00012710));
    return _mm512_add_epi64(_mm512_mul_epu32(eights, _mm512_set1_epi64(100000000)), _mm512_srli_epi64(eights, 32));
}

// What they are divided by.
[[gnu::target(MIDSTREAM_AVX512)]] inline __m512d powers_of(const WideNumbers& one, const WideNumbers& other) {
    const __m512i first = one.sizes_up_to_point(), second = other.sizes_up_to_point();
    const __m512i sizes = _mm512_add_epi64(_mm512_unpacklo_epi64(first, second), _mm512_unpackhi_epi64(first, second));
    return _mm512_permutex2var_pd(_mm512_load_pd(POWERS.by_size), sizes, _mm512_load_pd(POWERS.by_size + 8));
}

// Of two lines.
[[gnu::target(MIDSTREAM_AVX512)]] inline void store_quotes(const WideTexts (&texts)[2], Figures* out) {
    constexpr __mmask8 OF_ONE = 0x55, OF_OTHER = 0xAA;
    const WideNumbers one(texts[0]), other(texts[1]);
    const __m512i values = values_of(one, other);
    const __m512d quotes = _mm512_div_pd(_mm512_cvtepi64_pd(values), powers_of(one, other));
    const __m512d in_order = _mm512_permutexvar_pd(_mm512_set_epi64(7, 5, 3, 1, 6, 4, 2, 0), quotes);
    _mm256_storeu_pd(out[0].quotes, _mm512_castpd512_pd256(in_order));
    _mm256_storeu_pd(out[1].quotes, _mm512_extractf64x4_pd(in_order, 1));
    // Not too large to be exact, and not longer than a lane.
    const __mmask8 large = _mm512_cmpge_epu64_mask(values, _mm512_set1_epi64(int64_t{1} << 52));
    const __mmask64 longer = _mm512_cmpgt_epu8_mask(texts[0].sizes, wide(ALL_LANE_SIZES));
    const __mmask64 other_longer = _mm512_cmpgt_epu8_mask(texts[1].sizes, wide(ALL_LANE_SIZES));
    out[0].quotes_plain = (one.bits.others() | longer | (large & OF_ONE)) == 0;
    out[1].quotes_plain = (other.bits.others() | other_longer | (large & OF_OTHER)) == 0;
}

// Event and delay of one line, then of the other.
[[gnu::target(MIDSTREAM_AVX512)]] inline void store_times(const WideTexts& texts, Figures* out) {
    const WideNumbers numbers(texts);
    const __m512i values = _mm512_permutexvar_epi64(_mm512_set_epi64(7, 5, 3, 1, 6, 4, 2, 0), values_of(numbers, numbers));
    const uint64_t others = numbers.bits.others(), points = numbers.bits.points;
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out[0].times), _mm512_castsi512_si128(values));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out[1].times), _mm512_extracti64x2_epi64(values, 1));
#pragma GCC unroll 2
    for (size_t line = 0; line < 2; ++line) {
#pragma GCC unroll 2
        for (size_t i = 0; i < 2; ++i) {
            const size_t shift = LANE_SIZE * (2 * line + i);
            out[line].points[i] = static_cast<uint8_t>(__tzcnt_u16(static_cast<uint16_t>(points >> shift)));
            out[line].times_plain[i] = static_cast<uint16_t>(others >> shift) == 0;
        }
    }
}

// As avx2::read_figures, two lines at a time; lines that cannot be gathered are left to it.
template <class Lines>
[[gnu::target(MIDSTREAM_AVX512)]] inline void read_figures(const char* window, size_t size, const Marks& marks, const Shape& shape,
                                                          const Lines& lines, Figures* out) {
    const Shape kept = shape;
    const LanePlaces quotes(kept, {BID_PRICE, BID_PRICE + 1, BID_PRICE + 2, BID_PRICE + 3}), times(kept, {EVENT, DELAY, EVENT, DELAY});
    uint16_t copy[1 + COLUMNS_MAX];
    // Whether both lines can be gathered. All of it is looked at, which costs less than a guess after each.
    const auto fit = [&](size_t one, size_t other) {
        const size_t first = marks.line_begin(one), second = marks.line_begin(other);
        const size_t first_size = marks.line_begin(one + 1) - first, second_size = marks.line_begin(other + 1) - second;
        return (marks.field_count(one) == kept.columns) & (marks.field_count(other) == kept.columns) &
               (std::max(first_size, second_size) <= GATHERED_BYTES) & (second + GATHERED_BYTES <= size);
    };
    for (size_t line = 0; line < lines.count; line += 2, out += 2) {
        if (kept.columns > GATHERED_COLUMNS || line + 1 == lines.count || !fit(lines[line], lines[line + 1])) {
            read_two_lines(window, marks, kept, lines, line, out);
            for (size_t i = 0; i < 2; ++i) divide(out[i]);
            continue;
        }
        WideTexts quote_texts[2], time_texts[2];
#pragma GCC unroll 2
        for (size_t i = 0; i < 2; ++i) {
            const uint16_t* const starts = field_starts(window, marks.starts(lines[line + i]), kept.columns, copy);
            const WideLine text(window + starts[0], starts);
            quote_texts[i] = text.texts(quotes);
            time_texts[i] = text.times(times);
        }
        store_quotes(quote_texts, out);
        store_times({_mm512_mask_mov_epi8(time_texts[0].characters, SECOND_LINE, time_texts[1].characters),
                     _mm512_mask_mov_epi8(time_texts[0].sizes, SECOND_LINE, time_texts[1].sizes)}, out);
    }
}

}  // namespace avx512

// `out` has room for one more than the lines. Of the text from `window` on, `size` bytes may be loaded.
template <class Lines>
inline void read_figures(const char* window, size_t size, const Marks& marks, const Shape& shape, const Lines& lines, Figures* out) {
    if (SIMD == Simd::AVX512) avx512::read_figures(window, size, marks, shape, lines, out);
    else avx2::read_figures(window, marks, shape, lines, out);
}

}  // namespace midstream
#endif
