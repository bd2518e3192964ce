// The digits of many lines at once, for processors with AVX-512: most of these loops are plain ones that the compiler turns into
// vector instructions. For all others columns would cost more than they bring; they go line by line (log_lines.hpp).
#pragma once
#include <cstddef>
#include <cstdint>

#include "cpu.hpp"
#include "quick_text.hpp"

#if MIDSTREAM_X86
#include <immintrin.h>
#endif

namespace midstream {
namespace quick {

constexpr size_t LINES = 256;  // at a time: what belongs to them stays in the first cache

// Durations of one unit and what is below it. Columns of LINES elements, as all here.
struct SplitColumns {
    uint32_t whole[LINES], rest[LINES];
};
struct DigitColumns {
    uint64_t eight[LINES];  // see eight_digits
};
struct PriceColumns {
    DigitColumns whole, fraction;
    uint64_t kind[LINES];
};
// Whether the guessed decimals give a price back, or only its neighbour (then `whole` is right); else there are no digits.
constexpr uint64_t OTHER = 0, PLAIN = 1, NOISY = 2;

#if MIDSTREAM_X86
#define MIDSTREAM_AVX512 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,prefer-vector-width=512"))) inline

MIDSTREAM_AVX512 void digits_of_lines(const uint32_t* values, size_t count, DigitColumns& into) {
    for (size_t i = 0; i < count; ++i) into.eight[i] = eight_digits(values[i]);
}

// `durations` are not negative and below 2^52, their wholes below 2^31.
MIDSTREAM_AVX512 void split_lines(const int64_t* durations, size_t count, int32_t unit, SplitColumns& into) {
    const double size = unit, share = 1 / size;
    for (size_t i = 0; i < count; ++i) {
        const double duration = static_cast<double>(durations[i]);
        // Rounding may have taken it over the next unit, or not quite to it. All of these are whole numbers, so exact.
        const int32_t guess = static_cast<int32_t>(duration * share);
        const int32_t rest = static_cast<int32_t>(duration - guess * size);
        const int32_t less = rest < 0, more = rest >= unit;
        into.whole[i] = static_cast<uint32_t>(guess - less + more);
        into.rest[i] = static_cast<uint32_t>(rest + (less - more) * unit);
    }
}

// As put_price. `powers`: ten to the power of the decimals that are guessed, by ticker, and `scales`: 10^8 through it. Comparing
// numbers may trap, so the compiler would leave this a loop of single steps.
MIDSTREAM_AVX512 void prices_of_lines(const double* values, const uint32_t* tickers, const double* powers, const double* scales,
                             size_t count, PriceColumns& into) {
    alignas(64) uint32_t whole[LINES], fraction[LINES];
    for (size_t i = 0; i < count; i += 8) {
        const __mmask8 there = count - i >= 8 ? 0xFF : static_cast<__mmask8>((1u << (count - i)) - 1);
        const __m512d given = _mm512_maskz_loadu_pd(there, values + i);
        const __m256i ticker = _mm256_maskz_loadu_epi32(there, tickers + i);
        const __mmask8 in_range = _mm512_cmp_pd_mask(given, _mm512_set1_pd(1e-4), _CMP_GE_OQ) & _mm512_cmp_pd_mask(given, _mm512_set1_pd(9e7), _CMP_LT_OQ);
        const __m512d value = _mm512_mask_mov_pd(_mm512_set1_pd(1), in_range, given);
        const __m512d power = _mm512_mask_i32gather_pd(_mm512_set1_pd(1), there, ticker, powers, 8);
        const __m512d scaled = _mm512_add_pd(_mm512_mul_pd(value, power), _mm512_set1_pd(0.5));
        const __m512d mantissa = _mm512_maskz_roundscale_pd(0xFF, scaled, _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC);
        const __m512d off = _mm512_abs_pd(_mm512_sub_pd(_mm512_div_pd(mantissa, power), value));
        const __mmask8 same = _mm512_cmp_pd_mask(off, _mm512_set1_pd(0), _CMP_EQ_OQ) & in_range;
        const __mmask8 near = _mm512_cmp_pd_mask(off, _mm512_mul_pd(value, _mm512_set1_pd(NOISE)), _CMP_LE_OQ) & in_range &
                              _mm512_cmp_pd_mask(value, _mm512_set1_pd(NOISY_MIN), _CMP_GE_OQ);
        const __m512i kind = _mm512_maskz_set1_epi64(near, NOISY);
        _mm512_storeu_si512(into.kind + i, _mm512_mask_set1_epi64(kind, same, PLAIN));
        const __m512d floor = _mm512_maskz_roundscale_pd(0xFF, value, _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC);
        const __m512d rest = _mm512_sub_pd(mantissa, _mm512_mul_pd(floor, power));
        const __m512d eight = _mm512_mul_pd(rest, _mm512_mask_i32gather_pd(_mm512_set1_pd(1), there, ticker, scales, 8));
        _mm256_store_si256(reinterpret_cast<__m256i*>(whole + i), _mm512_maskz_cvttpd_epu32(0xFF, floor));
        _mm256_store_si256(reinterpret_cast<__m256i*>(fraction + i), _mm512_maskz_cvttpd_epu32(0xFF, eight));
    }
    digits_of_lines(whole, count, into.whole);
    digits_of_lines(fraction, count, into.fraction);
}

// The times of lines.
class TimeColumns {
  public:
    // False: they lie too far apart, or before 1970, and are left to Stamps.
    MIDSTREAM_AVX512 bool fill(const int64_t* times, size_t count) {
        int64_t first = times[0], last = times[0];
        for (size_t i = 1; i < count; ++i) {
            first = times[i] < first ? times[i] : first;
            last = times[i] > last ? times[i] : last;
        }
        constexpr int64_t SPAN_MAX = int64_t{1} << 51;  // 26 days
        if (first < 0 || last - first >= SPAN_MAX) return false;
        first_second_ = static_cast<uint64_t>(first / format::SECOND_NS);
        const int64_t base = first - first % format::SECOND_NS;
        int64_t after[LINES];
        for (size_t i = 0; i < count; ++i) after[i] = times[i] - base;
        split_lines(after, count, format::SECOND_NS, split_);
        uint32_t tens[LINES];
        for (size_t i = 0; i < count; ++i) {
            tens[i] = split_.rest[i] / 10;
            ones_[i] = split_.rest[i] - 10 * tens[i];
        }
        digits_of_lines(tens, count, digits_);
        return true;
    }
    uint64_t second(size_t i) const { return first_second_ + split_.whole[i]; }
    char* put_below_second(char* at, size_t i) const { return Stamps::put_below_second(at, digits_.eight[i], ones_[i]); }

  private:
    uint64_t first_second_ = 0;
    SplitColumns split_;  // seconds after the first, and nanoseconds
    DigitColumns digits_;
    uint32_t ones_[LINES];  // the ninth digit
};

#endif
}  // namespace quick
}  // namespace midstream
