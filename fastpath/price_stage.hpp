// What becomes of the records of a batch: order digest, counts, mids, and the lines of the logs.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "log_lines.hpp"
#include "mid_batch.hpp"
#include "order_digest.hpp"
#include "tick_batch.hpp"

namespace midstream {

struct PriceOptions {
    int64_t threshold = 0;
    std::string threshold_text;
    bool log_arrival = false, with_csv = false, with_mids = false;
};

struct PriceCounts {
    uint64_t mids = 0, latency_filtered = 0, missing_side = 0, rejected = 0, crossed = 0, locked = 0, markers = 0;
};

// Where the lines go.
struct PriceTexts {
    TextBuffer* mids;
    TextBuffer* errors;
    TextBuffer* csv;
};

class PriceStage {
  public:
    PriceOptions options;
    PriceCounts counts;
    OrderDigest order;
    int64_t first_arrival = BEFORE_EVERYTHING, last_arrival = BEFORE_EVERYTHING;
    MidBatch mids;  // of the last batch

    // Account for the records above `after_sequence`; returns how many there were.
    size_t process(const TickBatch& batch, uint64_t after_sequence, const PriceTexts& texts) {
        start(batch);
        size_t done = 0, begin = 0;
        uint64_t sequence = batch.first_sequence;
        for (const Special& special : batch.specials) {
            done += ticks(batch, begin, special.ticks_before, sequence, after_sequence, texts);
            begin = special.ticks_before;
            if (special.sequence > after_sequence) {
                take_special(batch, special, texts);
                ++done;
            }
            sequence = batch.after(special);
        }
        return done + ticks(batch, begin, batch.tick_count(), sequence, after_sequence, texts);
    }

  private:
    void start(const TickBatch& batch) {
        order.start(batch);
        decimals_.assign(batch.tickers.size(), 0);
        mid_numbers_.assign(batch.tickers.size(), UNNUMBERED);
        mids.clear();
        if (options.with_mids) {
            mids.epoch = batch.epoch;
            mids.mode = batch.mode;
            mids.first_sequence = batch.first_sequence;
            mids.last_sequence = batch.last_sequence;
        }
        if (options.with_csv) {
            csv_tickers_.clear();
            for (const std::string& ticker : batch.tickers) csv_tickers_.push_back(csv_field(ticker));
        }
    }

    void take_special(const TickBatch& batch, const Special& special, const PriceTexts& texts) {
        if (special.is_marker) {
            ++counts.markers;
            return;
        }
        const RejectionRecord& rejection = batch.rejections[special.index];
        ++counts.rejected;
        order.add_rejection(rejection);
        append_rejected_line(*texts.errors, rejection.source, rejection.line, rejection.reason);
    }

    // Ticks begin..end, numbered from `sequence` on (a filtered batch has numbers of its own). Returns how many were due.
    size_t ticks(const TickBatch& batch, size_t begin, size_t end, uint64_t sequence, uint64_t after_sequence,
                 const PriceTexts& texts) {
        if (batch.filtered) {
            while (begin < end && batch.tick_sequence[begin] <= after_sequence) ++begin;
        } else if (sequence <= after_sequence) {
            const size_t seen = static_cast<size_t>(std::min<uint64_t>(after_sequence - sequence + 1, end - begin));
            begin += seen;
            sequence += seen;
        }
        if (begin == end) return 0;
        if (first_arrival == BEFORE_EVERYTHING) first_arrival = batch.arrival[begin];
        last_arrival = batch.arrival[end - 1];
        order.add_ticks(batch, begin, end);
        choose(batch, begin, end);
        put_mids(batch, *texts.mids);
        put_errors(batch, *texts.errors);
        const auto sequence_of = [&](size_t row) { return batch.filtered ? batch.tick_sequence[row] : sequence + (row - begin); };
        if (options.with_csv) put_csv(batch, sequence_of, *texts.csv);
        if (options.with_mids) keep_mids(batch, sequence_of);
        return end - begin;
    }

    // Tell the rows with a mid from the others, without a branch that would have to guess.
    void choose(const TickBatch& batch, size_t begin, size_t end) {
        const size_t count = end - begin;
        mid_rows_.resize(count);
        mid_prices_.resize(count);
        other_rows_.resize(count);
        const bool historical = batch.mode == MODE_HISTORICAL;
        size_t with_mid = 0, others = 0;
        uint64_t crossed = 0, locked = 0;
        for (size_t i = begin; i < end; ++i) {
            const double bid = batch.bid_price[i], ask = batch.ask_price[i];
            const double mid = 0.5 * (bid + ask);
            // Without both sides finite there is no finite mid.
            const bool has_mid = !(historical & is_late(batch.arrival[i], batch.event[i], options.threshold)) & std::isfinite(mid) &
                                 !((bid == 0) & (batch.bid_amount[i] == 0)) & !((ask == 0) & (batch.ask_amount[i] == 0));
            mid_rows_[with_mid] = static_cast<uint32_t>(i);
            mid_prices_[with_mid] = mid;
            other_rows_[others] = static_cast<uint32_t>(i);
            with_mid += has_mid;
            others += !has_mid;
            crossed += has_mid & (bid > ask);
            locked += has_mid & (bid == ask);
        }
        mid_rows_.resize(with_mid);
        other_rows_.resize(others);
        counts.mids += with_mid;
        counts.crossed += crossed;
        counts.locked += locked;
    }

    // Room for the worst case, so that the loops need no checks. What is not used costs address space only.
    void put_mids(const TickBatch& batch, TextBuffer& text) {
        const int64_t* times = options.log_arrival ? batch.arrival.data() : batch.event.data();
        char* at = text.room(mid_rows_.size() * MID_LINE_MAX + quick::SLACK);
        for (size_t i = 0; i < mid_rows_.size(); ++i) {
            const uint32_t row = mid_rows_[i];
            at = put_mid_line(at, stamps_, times[row], mid_prices_[i], decimals_[batch.ticker_index[row]]);
        }
        text.wrote(at);
    }

    void put_errors(const TickBatch& batch, TextBuffer& text) {
        const int64_t* times = options.log_arrival ? batch.arrival.data() : batch.event.data();
        const bool historical = batch.mode == MODE_HISTORICAL;
        char* at = text.room(other_rows_.size() * ERROR_LINE_MAX + quick::SLACK);
        uint64_t late = 0;
        for (const uint32_t row : other_rows_) {
            const int64_t arrival = batch.arrival[row], event = batch.event[row];
            if (historical && is_late(arrival, event, options.threshold)) {
                ++late;
                at = put_late_line(at, stamps_, times[row], arrival, event, options.threshold_text);
                continue;
            }
            const bool no_bid = is_missing(batch.bid_price[row], batch.bid_amount[row]);
            const bool no_ask = is_missing(batch.ask_price[row], batch.ask_amount[row]);
            // Two finite prices whose sum is not: the rule gives no number, and no other rule is ours to choose.
            at = no_bid || no_ask ? put_missing_line(at, stamps_, times[row], no_bid, no_ask)
                                  : put_overflow_line(at, stamps_, times[row]);
        }
        text.wrote(at);
        counts.latency_filtered += late;
        counts.missing_side += other_rows_.size() - late;
    }

    template <class SequenceOf>
    void put_csv(const TickBatch& batch, const SequenceOf& sequence_of, TextBuffer& text) {
        for (size_t i = 0; i < mid_rows_.size(); ++i) {
            const uint32_t row = mid_rows_[i], ticker = batch.ticker_index[row];
            append_csv_line(text, stamps_, batch.event[row], batch.arrival[row], csv_tickers_[ticker], sequence_of(row),
                            mid_prices_[i], decimals_[ticker]);
        }
    }

    template <class SequenceOf>
    void keep_mids(const TickBatch& batch, const SequenceOf& sequence_of) {
        for (size_t i = 0; i < mid_rows_.size(); ++i) {
            const uint32_t row = mid_rows_[i];
            uint32_t& number = mid_numbers_[batch.ticker_index[row]];
            if (number == UNNUMBERED) {
                number = static_cast<uint32_t>(mids.tickers.size());
                mids.tickers.push_back(batch.tickers[batch.ticker_index[row]]);
            }
            mids.ticker_index.push_back(number);
            mids.sequence.push_back(sequence_of(row));
            mids.event.push_back(batch.event[row]);
            mids.arrival.push_back(batch.arrival[row]);
            mids.mid_price.push_back(mid_prices_[i]);
        }
    }

    static constexpr uint32_t UNNUMBERED = std::numeric_limits<uint32_t>::max();
    quick::Stamps stamps_;
    // Of the batch at hand, by its ticker index: decimals of the last price, number in the MidBatch, and the CSV field.
    std::vector<uint8_t> decimals_;
    std::vector<uint32_t> mid_numbers_;
    std::vector<std::string> csv_tickers_;
    // Of the ticks at hand: rows with a mid, their mids, and all other rows.
    Column<uint32_t> mid_rows_, other_rows_;
    Column<double> mid_prices_;
};

}  // namespace midstream
