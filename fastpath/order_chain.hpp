// The order digest of a stream: told behind every so many records, and carried over restarts (docs/order_proof.md).
#pragma once
#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "columns.hpp"
#include "order_digest.hpp"

namespace midstream {

// What a store needs. The lanes of the block that is not full belong to the whole and to the window alike: windows end where blocks do.
struct ChainState {
    uint64_t first_sequence = 1, window_first_sequence = 1;
    uint64_t records = 0, window_records = 0;
    Lanes lanes;
    Sha256 whole, window;
};

struct ChainProof {
    uint64_t first_sequence, last_sequence, records;
    std::string digest;
    uint64_t window_first_sequence;
    std::string window_digest;
};

// Rows are tried first and kept when they have left: what does not leave is tried again, with others perhaps.
class OrderChain {
  public:
    static constexpr uint64_t BLOCK = OrderDigest::BLOCK;

    uint64_t every = 0;  // a multiple of BLOCK
    ChainState kept, tried;
    bool proven = false;  // `proof` is of the rows tried last
    ChainProof proof;

    // `sequence` is that of row `start`. There are at most BLOCK rows, so that at most one proof is due.
    void try_rows(const Rows& rows, const TickerTable& table, size_t start, size_t stop, uint64_t sequence) {
        know(table);
        tried = kept;
        proven = false;
        while (start < stop) {
            const size_t end = start + std::min<uint64_t>(stop - start, BLOCK - tried.records % BLOCK);
            Lanes now = tried.lanes;  // in registers
            for (size_t i = start; i < end; ++i) {
                const Row& row = rows[i];
                const uint64_t arrival = static_cast<uint64_t>(row.arrival);
                if (row.is_rejected()) {
                    now.add(arrival, row.line(), 0, 0, order_word('\1', rows.rejected[row.rejection()].reason));
                } else {
                    now.add(static_cast<uint64_t>(row.event), arrival, bits_of(row.bid_price), bits_of(row.ask_price), words_[row.ticker()]);
                }
            }
            tried.lanes = now;
            tried.records += end - start;
            tried.window_records += end - start;
            sequence += end - start;
            start = end;
            if (tried.records % BLOCK == 0) end_block(sequence - 1);
        }
    }

    void keep() { kept = tried; }

    // What the kept records come to, whether or not a proof is due.
    ChainProof now(uint64_t last_sequence) const { return proof_of(kept, last_sequence); }

  private:
    void end_block(uint64_t last_sequence) {
        tried.lanes.write(tried.whole);
        tried.lanes.write(tried.window);
        tried.lanes = Lanes();
        if (tried.window_records != every) return;
        proof = proof_of(tried, last_sequence);
        proven = true;
        tried.window = Sha256();
        tried.window_records = 0;
        tried.window_first_sequence = last_sequence + 1;
    }

    ChainProof proof_of(const ChainState& state, uint64_t last_sequence) const {
        return {state.first_sequence, last_sequence, state.records, digest_of(state.whole, state.lanes, state.records),
                state.window_first_sequence, digest_of(state.window, state.lanes, state.window_records)};
    }

    static std::string digest_of(Sha256 running, const Lanes& lanes, uint64_t records) {
        lanes.write(running);
        running.update_number(records);
        return running.digest();
    }

    void know(const TickerTable& table) {
        if (table_ != &table) words_.clear();
        table_ = &table;
        while (words_.size() < table.size()) words_.push_back(order_word('\0', table.name(static_cast<uint32_t>(words_.size()))));
    }

    const TickerTable* table_ = nullptr;
    std::vector<uint64_t> words_;  // of the tickers, by their numbers
};

}  // namespace midstream
