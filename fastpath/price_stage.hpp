// What becomes of the records of a batch: order digest, counts, mids, and the lines of the logs.
#pragma once
#include <algorithm>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "chosen_ticks.hpp"
#include "log_lines.hpp"
#include "mid_batch.hpp"
#include "order_digest.hpp"
#include "order_index.hpp"
#include "price_lines.hpp"
#include "tick_batch.hpp"

namespace midstream {

struct PriceOptions {
    int64_t threshold = 0;
    std::string threshold_text;
    bool log_arrival = false, with_csv = false, with_mids = false, with_index = false;
};

struct PriceCounts {
    uint64_t mids = 0, latency_filtered = 0, missing_side = 0, rejected = 0, crossed = 0, locked = 0, markers = 0;
};

// Where the lines go.
struct PriceTexts {
    TextBuffer* mids;
    TextBuffer* errors;
    TextBuffer* csv;
    TextBuffer* index;  // of a partition
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
        if (options.with_index) OrderIndex::check(batch);
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
        lines_.start(batch, options.threshold, options.threshold_text, options.log_arrival);
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
            const MarkerRecord& marker = batch.markers[special.index];
            if (options.with_index) index_.put_marker(*texts.index, special.sequence, marker);
            return;
        }
        const RejectionRecord& rejection = batch.rejections[special.index];
        ++counts.rejected;
        order.add_rejection(rejection);
        append_rejected_line(*texts.errors, rejection.source, rejection.line, rejection.reason);
        if (options.with_index) index_.put_rejection(*texts.index, special.sequence, rejection);
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
        chosen_.choose(batch, begin, end, options.threshold, options.log_arrival);
        counts.mids += chosen_.mids.size();
        counts.crossed += chosen_.crossed;
        counts.locked += chosen_.locked;
        lines_.put_mids(chosen_, *texts.mids);
        const uint64_t late = lines_.put_errors(chosen_, batch, *texts.errors);
        counts.latency_filtered += late;
        counts.missing_side += chosen_.others.size() - late;
        const auto sequence_of = [&](size_t row) { return batch.filtered ? batch.tick_sequence[row] : sequence + (row - begin); };
        if (options.with_csv) put_csv(batch, sequence_of, *texts.csv);
        if (options.with_index) index_.put_ticks(*texts.index, batch, begin, end, chosen_, sequence_of);
        if (options.with_mids) keep_mids(batch, sequence_of);
        return end - begin;
    }

    template <class SequenceOf>
    void put_csv(const TickBatch& batch, const SequenceOf& sequence_of, TextBuffer& text) {
        for (size_t i = 0; i < chosen_.rows.size(); ++i) {
            const uint32_t row = chosen_.rows[i], ticker = batch.ticker_index[row];
            append_csv_line(text, lines_.stamps(), batch.event[row], batch.arrival[row], csv_tickers_[ticker], sequence_of(row),
                            chosen_.mids[i], lines_.decimals(ticker));
        }
    }

    template <class SequenceOf>
    void keep_mids(const TickBatch& batch, const SequenceOf& sequence_of) {
        for (size_t i = 0; i < chosen_.rows.size(); ++i) {
            const uint32_t row = chosen_.rows[i];
            uint32_t& number = mid_numbers_[batch.ticker_index[row]];
            if (number == UNNUMBERED) {
                number = static_cast<uint32_t>(mids.tickers.size());
                mids.tickers.push_back(batch.tickers[batch.ticker_index[row]]);
            }
            mids.ticker_index.push_back(number);
            mids.sequence.push_back(sequence_of(row));
            mids.event.push_back(batch.event[row]);
            mids.arrival.push_back(batch.arrival[row]);
            mids.mid_price.push_back(chosen_.mids[i]);
        }
    }

    static constexpr uint32_t UNNUMBERED = std::numeric_limits<uint32_t>::max();
    ChosenTicks chosen_;  // of the ticks at hand
    PriceLines lines_;
    OrderIndex index_;
    // Of the batch at hand, by its ticker index: number in the MidBatch, and the CSV field.
    std::vector<uint32_t> mid_numbers_;
    std::vector<std::string> csv_tickers_;
};

}  // namespace midstream
