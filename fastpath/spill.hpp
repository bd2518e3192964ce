// The bytes of a spilled run: a head, then one record per row in total order, all little-endian.
//   head:   8 bytes magic with version, uint64 number of rows
//   record: int64 arrival, int64 event, 4 double prices and amounts, uint64 row, uint32 ticker, uint32 rank,
//           uint32 bytes of reason (NO_REJECTION: a tick), uint32 bytes of raw text, then both texts
// Ticker numbers only mean something to the process that wrote them; a run does not outlive it.
#pragma once
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>

#include "order.hpp"

namespace midstream {

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "runs are written as the machine holds them");

constexpr char RUN_MAGIC[8] = {'M', 'I', 'D', 'R', 'U', 'N', '\0', '\1'};
constexpr size_t RUN_HEAD_SIZE = 16;
constexpr uint32_t NO_REJECTION = 0xffffffffu;
constexpr uint32_t REASON_SIZE_MAX = 1 << 16;
constexpr uint32_t RAW_SIZE_MAX = 1024;

struct RunRecord {
    int64_t arrival, event;
    double bid_price, bid_amount, ask_price, ask_amount;
    uint64_t row;
    uint32_t ticker, rank, reason_size, raw_size;
};
static_assert(sizeof(RunRecord) == 72, "a record has no padding");

// `text` is null for a tick.
inline size_t record_size(const Rejected* text) {
    if (text == nullptr) return sizeof(RunRecord);
    return sizeof(RunRecord) + std::min<size_t>(text->reason.size(), REASON_SIZE_MAX) +
           std::min<size_t>(text->raw.size(), RAW_SIZE_MAX);
}

inline char* write_run_head(char* out, uint64_t row_count) {
    std::memcpy(out, RUN_MAGIC, sizeof RUN_MAGIC);
    std::memcpy(out + sizeof RUN_MAGIC, &row_count, sizeof row_count);
    return out + RUN_HEAD_SIZE;
}

inline char* write_record(char* out, const Row& row, const Rejected* text) {
    RunRecord record{row.arrival, row.event, row.bid_price, row.bid_amount, row.ask_price, row.ask_amount,
                     row.row, text == nullptr ? row.ticker() : 0, row.rank, 0, 0};
    record.reason_size = text == nullptr ? NO_REJECTION : std::min<size_t>(text->reason.size(), REASON_SIZE_MAX);
    record.raw_size = text == nullptr ? 0 : std::min<size_t>(text->raw.size(), RAW_SIZE_MAX);
    std::memcpy(out, &record, sizeof record);
    out += sizeof record;
    if (text == nullptr) return out;
    std::memcpy(out, text->reason.data(), record.reason_size);
    std::memcpy(out + record.reason_size, text->raw.data(), record.raw_size);
    return out + record.reason_size + record.raw_size;
}

// Reads a run piece by piece, whole records only. Nothing of a piece is taken when any of it is wrong.
class RunReader {
  public:
    explicit RunReader(uint64_t row_count) : row_count_(row_count) {}

    bool complete() const { return read_ == row_count_; }

    // Appends rows to `into` and returns the number of bytes used.
    size_t read(const char* bytes, size_t size, bool final, size_t ticker_count, size_t source_count, uint64_t floor,
                Rows& into) {
        const char* at = bytes;
        const char* const end = bytes + size;
        if (!head_read_) {
            if (size < RUN_HEAD_SIZE) {
                if (final) throw std::invalid_argument("the run ends within its head; was its file cut short?");
                return 0;
            }
            uint64_t row_count;
            std::memcpy(&row_count, at + sizeof RUN_MAGIC, sizeof row_count);
            if (std::memcmp(at, RUN_MAGIC, sizeof RUN_MAGIC) != 0 || row_count != row_count_) {
                throw std::invalid_argument("these bytes are not the run of " + std::to_string(row_count_) +
                                            " rows that was registered; feed what `spill` returned");
            }
            at += RUN_HEAD_SIZE;
        }
        const char* const first = at;
        size_t count = 0;
        RunRecord previous = last_, record;
        for (; next(at, end, record); ++count) {
            check(record, previous, read_ + count, ticker_count, source_count, floor);
            previous = record;
        }
        if (final && (at != end || read_ + count != row_count_)) {
            throw std::invalid_argument("the run ends after " + std::to_string(read_ + count) + " of " +
                                        std::to_string(row_count_) + " rows; was its file cut short?");
        }
        at = first;
        while (next(at, end, record)) append(record, at, into);
        head_read_ = true;
        last_ = previous;
        read_ += count;
        return at - bytes;
    }

  private:
    // Moves `at` behind the record that it reads; false when the rest holds no whole one.
    static bool next(const char*& at, const char* end, RunRecord& record) {
        const size_t left = end - at;
        if (left < sizeof record) return false;
        std::memcpy(&record, at, sizeof record);
        size_t size = sizeof record;
        if (record.reason_size != NO_REJECTION) {
            if (record.reason_size > REASON_SIZE_MAX || record.raw_size > RAW_SIZE_MAX) {
                throw std::invalid_argument("a record of the run claims an impossible length; the bytes are damaged");
            }
            size += record.reason_size + record.raw_size;
            if (left < size) return false;
        }
        at += size;
        return true;
    }

    void check(const RunRecord& record, const RunRecord& previous, uint64_t index, size_t ticker_count, size_t source_count,
               uint64_t floor) const {
        const bool tick = record.reason_size == NO_REJECTION;
        const bool known = record.rank < source_count && (tick ? record.ticker < ticker_count && record.raw_size == 0
                                                               : record.ticker == 0);
        const bool rises =
            index == 0 || previous.arrival < record.arrival ||
            (previous.arrival == record.arrival &&
             (previous.rank < record.rank || (previous.rank == record.rank && previous.row <= record.row)));
        if (index < row_count_ && known && rises && key_of(record.arrival) >= floor) return;
        throw std::invalid_argument("row " + std::to_string(index) +
                                    " of the run is out of order or names an unknown source or ticker; the bytes are damaged");
    }

    // `behind` is where the record ends.
    static void append(const RunRecord& record, const char* behind, Rows& into) {
        if (record.reason_size == NO_REJECTION) {
            into.push_tick(record.arrival, record.event, record.bid_price, record.bid_amount, record.ask_price,
                           record.ask_amount, record.ticker, record.rank, record.row);
        } else {
            const char* raw = behind - record.raw_size;
            into.push_rejection(record.arrival, record.rank, record.row, std::string(raw - record.reason_size, record.reason_size),
                                std::string_view(raw, record.raw_size), static_cast<uint64_t>(record.event));
        }
    }

    uint64_t row_count_;
    uint64_t read_ = 0;
    bool head_read_ = false;
    RunRecord last_{};
};

}  // namespace midstream
