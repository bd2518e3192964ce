// midstream.common.v1.MidBatch (protos/common/v1/market.proto): reading and writing.
#pragma once
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "tick_reader.hpp"
#include "wire.hpp"

namespace midstream {

// No side to make a mid from. An infinite price cannot come out of a file; it is as unusable as none.
inline bool is_missing(double price, double amount) { return !std::isfinite(price) || (price == 0 && amount == 0); }

struct MidBatch {
    std::string epoch;
    int32_t mode = 0;
    uint64_t first_sequence = 0;
    uint64_t last_sequence = 0;
    std::vector<std::string> tickers;
    Column<uint32_t> ticker_index;
    Column<uint64_t> sequence;
    Column<int64_t> event, arrival;
    Column<double> mid_price;

    size_t size() const { return ticker_index.size(); }
    // Keeps the memory of the columns.
    void clear() {
        tickers.clear();
        ticker_index.clear();
        sequence.clear();
        event.clear();
        arrival.clear();
        mid_price.clear();
    }
};

inline void read_mid_batch(const char* bytes, size_t size, MidBatch& batch) {
    const char* name = "MidBatch";
    wire::Reader in(bytes, size, name);
    while (in.next()) {
        switch (in.field()) {
            case 1: batch.epoch = in.text("epoch"); break;
            case 2: batch.mode = read_enum(in, "mode"); break;
            case 3: batch.first_sequence = in.fixed64("first_sequence"); break;
            case 4: batch.last_sequence = in.fixed64("last_sequence"); break;
            case 5: batch.tickers.emplace_back(in.text("tickers")); break;
            case 6: in.column("ticker_index", batch.ticker_index); break;
            case 7: in.column("sequence", batch.sequence); break;
            case 8: in.column("event_time_ns", batch.event); break;
            case 9: in.column("arrival_time_ns", batch.arrival); break;
            case 10: in.column("mid_price", batch.mid_price); break;
            // For whoever subscribed; what is malformed is refused all the same.
            case 11: check_skipped(in.message("skipped", "Skipped")); break;
            case 12: check_lag(in.message("lag", "Lag")); break;
            case 13: in.varint("partition"); break;
            default: in.skip();
        }
    }
    check_head(name, batch.mode, batch.first_sequence, batch.last_sequence);
    check_length(name, "sequence", batch.sequence, batch.size());
    check_length(name, "event_time_ns", batch.event, batch.size());
    check_length(name, "arrival_time_ns", batch.arrival, batch.size());
    check_length(name, "mid_price", batch.mid_price, batch.size());
    check_index(name, batch.ticker_index, batch.tickers.size());
    check_rising(name, "sequence", batch.first_sequence, batch.last_sequence, batch.sequence);
}

template <class Out>
void put_mid_batch(Out& out, const MidBatch& batch) {
    wire::put_bytes(out, 1, batch.epoch);
    wire::put_enum(out, 2, batch.mode);
    wire::put_fixed64(out, 3, batch.first_sequence);
    wire::put_fixed64(out, 4, batch.last_sequence);
    for (const std::string& ticker : batch.tickers) wire::put_bytes_always(out, 5, ticker);
    wire::put_column(out, 6, batch.ticker_index);
    wire::put_column(out, 7, batch.sequence);
    wire::put_column(out, 8, batch.event);
    wire::put_column(out, 9, batch.arrival);
    wire::put_column(out, 10, batch.mid_price);
}

inline size_t size_mid_batch(const MidBatch& batch) {
    wire::Sizer sizer;
    put_mid_batch(sizer, batch);
    return sizer.size;
}
inline void fill_mid_batch(const MidBatch& batch, char* into) {
    wire::Filler filler(into);
    put_mid_batch(filler, batch);
}

// The mids of the tickers that are kept, with a dictionary of their own in order of first appearance.
inline void select_mids(const MidBatch& from, const std::vector<bool>& keep_ticker, MidBatch& into) {
    into.epoch = from.epoch;
    into.mode = from.mode;
    into.first_sequence = from.first_sequence;
    into.last_sequence = from.last_sequence;
    constexpr uint32_t unnumbered = std::numeric_limits<uint32_t>::max();
    std::vector<uint32_t> local(from.tickers.size(), unnumbered);
    for (size_t i = 0; i < from.size(); ++i) {
        const uint32_t ticker = from.ticker_index[i];
        if (!keep_ticker[ticker]) continue;
        if (local[ticker] == unnumbered) {
            local[ticker] = static_cast<uint32_t>(into.tickers.size());
            into.tickers.push_back(from.tickers[ticker]);
        }
        into.ticker_index.push_back(local[ticker]);
        into.sequence.push_back(from.sequence[i]);
        into.event.push_back(from.event[i]);
        into.arrival.push_back(from.arrival[i]);
        into.mid_price.push_back(from.mid_price[i]);
    }
}

}  // namespace midstream
