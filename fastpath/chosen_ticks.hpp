// Which ticks of a batch have a mid, and their columns side by side.
#pragma once
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "column.hpp"
#include "cpu.hpp"
#include "log_lines.hpp"
#include "tick_batch.hpp"

#if MIDSTREAM_X86
#include <immintrin.h>
#endif

namespace midstream {

class ChosenTicks {
  public:
    // With a mid: row, ticker, mid, and the time for the log.
    Column<uint32_t> rows, tickers;
    Column<double> mids;
    Column<int64_t> times;
    Column<uint32_t> others;  // rows without
    uint64_t crossed = 0, locked = 0;

    // Tell rows begin..end apart. In MODE_HISTORICAL what is later than `threshold` has no mid.
    void choose(const TickBatch& batch, size_t begin, size_t end, int64_t threshold, bool log_arrival) {
        resize(end - begin + LANES);
        crossed = locked = 0;
        const Source from{batch, log_arrival ? batch.arrival.data() : batch.event.data(), threshold, batch.mode == MODE_HISTORICAL};
        Place to{0, 0};
#if MIDSTREAM_X86
        if (SIMD == Simd::AVX512 && threshold >= 0) {
            const size_t whole = end - (end - begin) % LANES;
            to = choose_eights(from, begin, whole, to);
            begin = whole;
        }
#endif
        to = choose_each(from, begin, end, to);
        resize(to.chosen);
        others.resize(to.other);
    }

  private:
    static constexpr size_t LANES = 8;
    struct Source {
        const TickBatch& batch;
        const int64_t* times;
        int64_t threshold;
        bool historical;
    };
    struct Place {
        size_t chosen, other;
    };

    void resize(size_t count) {
        rows.resize(count);
        tickers.resize(count);
        mids.resize(count);
        times.resize(count);
        others.resize(count);
    }

    // No branch has to guess. Without both sides finite there is no finite mid.
    Place choose_each(const Source& from, size_t begin, size_t end, Place to) {
        const TickBatch& batch = from.batch;
        for (size_t i = begin; i < end; ++i) {
            const double bid = batch.bid_price[i], ask = batch.ask_price[i];
            const double mid = 0.5 * (bid + ask);
            const bool chosen = !(from.historical & is_late(batch.arrival[i], batch.event[i], from.threshold)) & std::isfinite(mid) &
                                !((bid == 0) & (batch.bid_amount[i] == 0)) & !((ask == 0) & (batch.ask_amount[i] == 0));
            rows[to.chosen] = static_cast<uint32_t>(i);
            tickers[to.chosen] = batch.ticker_index[i];
            mids[to.chosen] = mid;
            times[to.chosen] = from.times[i];
            others[to.other] = static_cast<uint32_t>(i);
            to.chosen += chosen;
            to.other += !chosen;
            crossed += chosen & (bid > ask);
            locked += chosen & (bid == ask);
        }
        return to;
    }

#if MIDSTREAM_X86
    // The same, eight rows at a time; for thresholds that are not negative.
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,popcnt"))) Place choose_eights(const Source& from, size_t begin, size_t end,
                                                                                          Place to) {
        constexpr int NAN_OR_INFINITE = 0x01 | 0x80 | 0x08 | 0x10;
        const TickBatch& batch = from.batch;
        const __m512i threshold = _mm512_set1_epi64(from.threshold);
        const __m512d zero = _mm512_setzero_pd();
        const __mmask8 historical = from.historical ? 0xFF : 0;
        for (size_t i = begin; i < end; i += LANES) {
            const __m512i event = _mm512_loadu_si512(&batch.event[i]), arrival = _mm512_loadu_si512(&batch.arrival[i]);
            const __m512d bid = _mm512_loadu_pd(&batch.bid_price[i]), ask = _mm512_loadu_pd(&batch.ask_price[i]);
            const __m512d mid = _mm512_mul_pd(_mm512_set1_pd(0.5), _mm512_add_pd(bid, ask));
            const __mmask8 after = _mm512_mask_cmpgt_epi64_mask(historical, arrival, event);
            // The difference may need the 64th bit, and has it: it is not negative.
            const __mmask8 late = _mm512_mask_cmpgt_epu64_mask(after, _mm512_sub_epi64(arrival, event), threshold);
            const __mmask8 no_bid = _mm512_mask_cmp_pd_mask(_mm512_cmp_pd_mask(bid, zero, _CMP_EQ_OQ), zero,
                                                            _mm512_loadu_pd(&batch.bid_amount[i]), _CMP_EQ_OQ);
            const __mmask8 no_ask = _mm512_mask_cmp_pd_mask(_mm512_cmp_pd_mask(ask, zero, _CMP_EQ_OQ), zero,
                                                            _mm512_loadu_pd(&batch.ask_amount[i]), _CMP_EQ_OQ);
            const __mmask8 other = late | no_bid | no_ask | _mm512_fpclass_pd_mask(mid, NAN_OR_INFINITE);
            const __mmask8 chosen = static_cast<__mmask8>(~other);
            const __m256i row = _mm256_add_epi32(_mm256_set1_epi32(static_cast<int>(i)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
            const __m256i ticker = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(&batch.ticker_index[i]));
            _mm256_storeu_si256(reinterpret_cast<__m256i*>(&rows[to.chosen]), _mm256_maskz_compress_epi32(chosen, row));
            _mm256_storeu_si256(reinterpret_cast<__m256i*>(&tickers[to.chosen]), _mm256_maskz_compress_epi32(chosen, ticker));
            _mm512_storeu_pd(&mids[to.chosen], _mm512_maskz_compress_pd(chosen, mid));
            _mm512_storeu_si512(&times[to.chosen], _mm512_maskz_compress_epi64(chosen, _mm512_loadu_si512(from.times + i)));
            _mm256_storeu_si256(reinterpret_cast<__m256i*>(&others[to.other]), _mm256_maskz_compress_epi32(other, row));
            to.chosen += static_cast<size_t>(_mm_popcnt_u32(chosen));
            to.other += static_cast<size_t>(_mm_popcnt_u32(other));
            crossed += static_cast<uint64_t>(_mm_popcnt_u32(_mm512_mask_cmp_pd_mask(chosen, bid, ask, _CMP_GT_OQ)));
            locked += static_cast<uint64_t>(_mm_popcnt_u32(_mm512_mask_cmp_pd_mask(chosen, bid, ask, _CMP_EQ_OQ)));
        }
        return to;
    }
#endif
};

}  // namespace midstream
