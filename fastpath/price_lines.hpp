// The lines that the ticks of a batch make: of mid_prices.log and errors.log, each in the order of the ticks.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "chosen_ticks.hpp"
#include "line_digits.hpp"
#include "log_lines.hpp"
#include "tick_batch.hpp"

namespace midstream {

class PriceLines {
  public:
    // Call for each batch before its ticks.
    void start(const TickBatch& batch, int64_t threshold, const std::string& threshold_text, bool log_arrival) {
        threshold_ = threshold;
        threshold_text_ = threshold_text;
        log_arrival_ = log_arrival;
        decimals_.resize(batch.tickers.size());
        // Mostly the same tickers follow; a guess that is too high for the quick way would not come down again.
        for (uint8_t& decimals : decimals_) decimals = decimals > quick::DECIMALS_MAX ? 0 : decimals;
#if MIDSTREAM_X86
        powers_.resize(batch.tickers.size());
        scales_.resize(batch.tickers.size());
        for (size_t i = 0; i < decimals_.size(); ++i) note_guess(i);
        // At most 18 + 22 + 3 characters.
        char* const end = format::put(format::put(format::put(late_end_, "ms is bigger than "), threshold_text), "ms\n");
        late_end_size_ = static_cast<size_t>(end - late_end_);
#endif
    }

    quick::Stamps& stamps() { return stamps_; }
    uint8_t& decimals(uint32_t ticker) { return decimals_[ticker]; }

    // Room for the worst case, so that the loops need no checks. What is not used costs address space only.
    void put_mids(const ChosenTicks& chosen, TextBuffer& text) {
        char* at = text.room(chosen.mids.size() * MID_LINE_MAX + quick::SLACK);
        for (size_t begin = 0; begin < chosen.mids.size(); begin += quick::LINES) {
            const size_t end = std::min(begin + quick::LINES, chosen.mids.size());
#if MIDSTREAM_X86
            if (SIMD == Simd::AVX512 && times_.fill(chosen.times.data() + begin, end - begin)) {
                at = put_mids_at_once(at, chosen, begin, end - begin);
                continue;
            }
#endif
            for (size_t i = begin; i < end; ++i) {
                at = put_mid_line(at, stamps_, chosen.times[i], chosen.mids[i], decimals_[chosen.tickers[i]]);
            }
        }
        text.wrote(at);
    }

    // Returns how many of the lines were about late ticks.
    uint64_t put_errors(const ChosenTicks& chosen, const TickBatch& batch, TextBuffer& text) {
        char* at = text.room(chosen.others.size() * ERROR_LINE_MAX + quick::SLACK);
        late_ = 0;
        for (size_t begin = 0; begin < chosen.others.size(); begin += quick::LINES) {
            const uint32_t* rows = chosen.others.data() + begin;
            at = put_errors(at, batch, rows, std::min(quick::LINES, chosen.others.size() - begin));
        }
        text.wrote(at);
        return late_;
    }

  private:
    char* put_errors(char* at, const TickBatch& batch, const uint32_t* rows, size_t count) {
#if MIDSTREAM_X86
        int64_t times[quick::LINES] = {};
        for (size_t i = 0; i < count; ++i) times[i] = time_of(batch, rows[i]);
        if (SIMD == Simd::AVX512 && times_.fill(times, count)) return put_errors_at_once(at, batch, rows, count);
#endif
        for (size_t i = 0; i < count; ++i) at = put_error_line(at, batch, rows[i]);
        return at;
    }

    int64_t time_of(const TickBatch& batch, size_t row) const { return log_arrival_ ? batch.arrival[row] : batch.event[row]; }
    bool late(const TickBatch& batch, size_t row) const {
        return batch.mode == MODE_HISTORICAL && is_late(batch.arrival[row], batch.event[row], threshold_);
    }

    char* put_error_line(char* at, const TickBatch& batch, size_t row) {
        const int64_t time = time_of(batch, row);
        if (late(batch, row)) {
            ++late_;
            return put_late_line(at, stamps_, time, batch.arrival[row], batch.event[row], threshold_text_);
        }
        const bool no_bid = is_missing(batch.bid_price[row], batch.bid_amount[row]);
        const bool no_ask = is_missing(batch.ask_price[row], batch.ask_amount[row]);
        // Two finite prices whose sum is not: the rule gives no number, and no other rule is ours to choose.
        return no_bid || no_ask ? put_missing_line(at, stamps_, time, no_bid, no_ask) : put_overflow_line(at, stamps_, time);
    }

#if MIDSTREAM_X86
    // What put_mid_line and put_error_line write, from digits that were made for all lines before. `times_` is filled.

    char* put_mids_at_once(char* at, const ChosenTicks& chosen, size_t begin, size_t count) {
        const double* mids = chosen.mids.data() + begin;
        const uint32_t* tickers = chosen.tickers.data() + begin;
        quick::prices_of_lines(mids, tickers, powers_.data(), scales_.data(), count, prices_);
        for (size_t i = 0; i < count; ++i) {
            std::memcpy(at, stamps_.text_of(times_.second(i)) + quick::Stamps::NO_MID.size(), quick::Stamps::SECOND_SIZE);
            at = times_.put_below_second(at + quick::Stamps::SECOND_SIZE, i);
            std::memcpy(at, ", ", 2);
            at += 2;
            if (prices_.kind[i] == quick::OTHER) {
                at = quick::put_price(at, mids[i], decimals_[tickers[i]]);
                note_guess(tickers[i]);
            } else {
                char* const point = quick::put_whole_digits(at, prices_.whole.eight[i]);
                *point = '.';
                at = prices_.kind[i] == quick::PLAIN ? quick::put_fraction_digits(point + 1, prices_.fraction.eight[i])
                                                     : quick::put_noisy_rest(at, point, mids[i]);
            }
            *at++ = '\n';
        }
        return at;
    }

    char* put_errors_at_once(char* at, const TickBatch& batch, const uint32_t* rows, size_t count) {
        int64_t latencies[quick::LINES] = {};
        uint32_t below[quick::LINES] = {};
        for (size_t i = 0; i < count; ++i) latencies[i] = usual_latency(batch, rows[i]);
        quick::split_lines(latencies, count, 1000000, latency_);
        for (size_t i = 0; i < count; ++i) below[i] = latency_.rest[i] * 100;
        quick::digits_of_lines(latency_.whole, count, latency_whole_);
        quick::digits_of_lines(below, count, latency_rest_);
        constexpr size_t HEAD = quick::Stamps::NO_MID.size() + quick::Stamps::SECOND_SIZE;
        for (size_t i = 0; i < count; ++i) {
            if (latencies[i] == 0) {
                at = put_error_line(at, batch, rows[i]);
                continue;
            }
            std::memcpy(at, stamps_.text_of(times_.second(i)), HEAD);
            at = format::put(times_.put_below_second(at + HEAD, i), " as latency ");
            at = quick::put_whole_digits(at, latency_whole_.eight[i]);
            *at = '.';
            char* const end = quick::put_fraction_digits(at + 1, latency_rest_.eight[i]);
            at = latency_.rest[i] == 0 ? at : end;
            std::memcpy(at, late_end_, sizeof late_end_);
            at += late_end_size_;
            ++late_;
        }
        return at;
    }

    // Of a late tick, when it is above 0 and not beyond the quick way; otherwise 0.
    int64_t usual_latency(const TickBatch& batch, size_t row) const {
        const format::Difference latency = format::difference(batch.arrival[row], batch.event[row]);
        const bool usual = late(batch, row) && !latency.negative && latency.magnitude < quick::LATENCY_END;
        return usual ? static_cast<int64_t>(latency.magnitude) : 0;
    }

    void note_guess(size_t ticker) {
        const uint8_t decimals = std::min(decimals_[ticker], quick::DECIMALS_MAX);
        powers_[ticker] = static_cast<double>(quick::POWERS_OF_TEN[decimals]);
        scales_[ticker] = static_cast<double>(quick::POWERS_OF_TEN[8 - decimals]);
    }

    std::vector<double> powers_, scales_;  // of the decimals
    quick::TimeColumns times_;
    quick::PriceColumns prices_;
    quick::SplitColumns latency_;
    quick::DigitColumns latency_whole_, latency_rest_;
    char late_end_[64] = {};  // of a line about a late tick, behind the latency
    size_t late_end_size_ = 0;
#endif

    int64_t threshold_ = 0;
    std::string threshold_text_;
    bool log_arrival_ = false;
    std::vector<uint8_t> decimals_;  // of the last price, by the ticker index of the batch
    quick::Stamps stamps_;
    uint64_t late_ = 0;
};

}  // namespace midstream
