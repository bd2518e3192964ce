// The last quote of every ticker, and how quotes lie on the wire (Marker.state of protos/common/v1/market.proto).
#pragma once
#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "columns.hpp"
#include "tick_reader.hpp"
#include "wire.hpp"

namespace midstream {

// Keeps the last quote of every ticker of the rows that are noted, in their order.
class LastQuotes {
  public:
    // Rows start..stop come next. From behind, because of most tickers only the last of many rows counts.
    void note(const Rows& rows, size_t start, size_t stop, size_t tickers) {
        if (last_.size() < tickers) {
            last_.resize(tickers);
            noted_.resize(tickers, 0);
        }
        ++round_;
        size_t left = tickers;
        for (size_t i = stop; i > start && left > 0; --i) {
            const Row& row = rows[i - 1];
            if (row.is_rejected() || noted_[row.ticker()] == round_) continue;
            noted_[row.ticker()] = round_;
            last_[row.ticker()] = row;
            --left;
        }
    }
    // Numbers of the tickers that have a quote, in the order of their names.
    std::vector<uint32_t> tickers(const TickerTable& table) const {
        std::vector<uint32_t> found;
        for (size_t number = 0; number < noted_.size(); ++number) {
            if (noted_[number] != 0) found.push_back(static_cast<uint32_t>(number));
        }
        std::sort(found.begin(), found.end(), [&](uint32_t a, uint32_t b) { return table.name(a) < table.name(b); });
        return found;
    }
    const Row& operator[](uint32_t ticker) const { return last_[ticker]; }
    size_t bytes() const { return last_.size() * (sizeof(Row) + sizeof(uint64_t)); }

  private:
    std::vector<Row> last_;
    std::vector<uint64_t> noted_;  // in which round last; 0 is never
    uint64_t round_ = 0;
};

inline void append_quote(const Row& row, const std::string& ticker, std::string& into) {
    append_quote(QuoteRecord{ticker, row.event, row.arrival, row.bid_price, row.bid_amount, row.ask_price, row.ask_amount}, into);
}

inline void read_quotes(const char* bytes, size_t size, std::vector<QuoteRecord>& quotes) {
    wire::Reader in(bytes, size, "Marker");
    while (in.next()) {
        if (in.field() != 14) {
            in.skip();
            continue;
        }
        quotes.emplace_back();
        read_quote(in.message("state", "Quote"), quotes.back());
    }
}

}  // namespace midstream
