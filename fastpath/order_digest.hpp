// The order digest: a fingerprint of which ticks and rejections there were, and in which order (docs/order_proof.md).
#pragma once
#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "sha256.hpp"
#include "tick_batch.hpp"

namespace midstream {

inline uint64_t bits_of(double price) {  // every NaN as the same one
    const double one = std::isnan(price) ? std::numeric_limits<double>::quiet_NaN() : price;
    uint64_t bits;
    std::memcpy(&bits, &one, sizeof bits);
    return bits;
}

// A text as a number: the first eight bytes of its SHA-256, which knows tickers ('\0') and reasons ('\1') apart.
inline uint64_t order_word(char kind, std::string_view text) {
    Sha256 whole;
    whole.update({&kind, 1});
    whole.update(text);
    uint64_t word;
    std::memcpy(&word, whole.digest().data(), sizeof word);
    return word;
}

// The columns of one record, each folded into a lane of its own: the rounds of XXH64. A round can be undone, so lanes that
// once differ stay different for as long as what follows is the same.
struct Lanes {
    static constexpr size_t COUNT = 5;
    std::array<uint64_t, COUNT> lane = {1, 2, 3, 4, 5};

    void add(uint64_t first, uint64_t second, uint64_t third, uint64_t fourth, uint64_t text) {
        lane = {round(lane[0], first), round(lane[1], second), round(lane[2], third), round(lane[3], fourth), round(lane[4], text)};
    }

    void write(Sha256& into) const {
        for (const uint64_t one : lane) into.update_number(one);
    }

  private:
    static uint64_t round(uint64_t lane, uint64_t word) {
        lane += word * 0xC2B2AE3D27D4EB4F;
        return (lane << 31 | lane >> 33) * 0x9E3779B185EBCA87;
    }
};

// What the digest was after so many records.
struct OrderProof {
    uint64_t records;
    std::string digest;
};

// Takes records one after the other; how they were batched makes no difference.
class OrderDigest {
  public:
    static constexpr uint64_t BLOCK = 4096;  // records whose lanes become one piece of the SHA-256
    static constexpr uint64_t PROOF = 16 * BLOCK;
    static constexpr int BLOCKS = 2, RECORDS = 1;  // versions; the first one hashed every byte of every record

    // Call for each batch before its ticks are added.
    void start(const TickBatch& batch) {
        names_.clear();
        if (version == RECORDS) return;
        for (const std::string& ticker : batch.tickers) names_.push_back(order_word('\0', ticker));
    }

    void add_ticks(const TickBatch& batch, size_t begin, size_t end) {
        if (version == RECORDS) return add_bytes_of_ticks(batch, begin, end);
        while (begin < end) {
            const size_t stop = begin + std::min<uint64_t>(end - begin, BLOCK - records % BLOCK);
            Lanes now = lanes;  // in registers
            for (size_t i = begin; i < stop; ++i) {
                now.add(static_cast<uint64_t>(batch.event[i]), static_cast<uint64_t>(batch.arrival[i]), bits_of(batch.bid_price[i]),
                        bits_of(batch.ask_price[i]), names_[batch.ticker_index[i]]);
            }
            lanes = now;
            count(stop - begin);
            begin = stop;
        }
    }

    void add_rejection(const RejectionRecord& rejection) {
        if (version == RECORDS) {
            sha256.update_number(rejection.arrival);
            sha256.update_number(rejection.line);
            sha256.update(rejection.reason);
            return sha256.update_number('\0');
        }
        lanes.add(static_cast<uint64_t>(rejection.arrival), rejection.line, 0, 0, order_word('\1', rejection.reason));
        count(1);
    }

    std::string digest() const {
        Sha256 last = sha256;
        if (version == BLOCKS) {
            add_lanes(last);
            last.update_number(records);
        }
        return last.digest();
    }

    // All there is to store, beside what Sha256 stores of itself.
    int version = BLOCKS;
    uint64_t records = 0;  // BLOCKS only
    Lanes lanes;
    Sha256 sha256;
    // What it was after every `PROOF` records since they were taken; of BLOCKS only.
    std::vector<OrderProof> proofs;

  private:
    void count(uint64_t added) {
        records += added;
        if (records % BLOCK != 0) return;
        add_lanes(sha256);
        lanes = Lanes();
        if (records % PROOF == 0) proofs.push_back({records, digest()});
    }

    void add_lanes(Sha256& into) const { lanes.write(into); }

    // Of each tick event, arrival, bid, ask, ticker and NUL.
    void add_bytes_of_ticks(const TickBatch& batch, size_t begin, size_t end) {
        for (size_t i = begin; i < end; ++i) {
            const int64_t times[] = {batch.event[i], batch.arrival[i]};
            const uint64_t prices[] = {bits_of(batch.bid_price[i]), bits_of(batch.ask_price[i])};
            sha256.update({reinterpret_cast<const char*>(times), sizeof times});
            sha256.update({reinterpret_cast<const char*>(prices), sizeof prices});
            sha256.update(batch.tickers[batch.ticker_index[i]]);
            sha256.update_number('\0');
        }
    }

    std::vector<uint64_t> names_;  // of the tickers of the batch at hand
};

}  // namespace midstream
