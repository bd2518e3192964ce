// TickBatch to wire bytes: choosing rows of a block or ticks of a batch, and writing them.
#pragma once
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "tick_batch.hpp"
#include "wire.hpp"

namespace midstream {

template <class Out>
void put_key(Out& out, const RecordKey& key) {
    wire::put_fixed64(out, 1, static_cast<uint64_t>(key.arrival));
    wire::put_varint(out, 2, key.rank);
    wire::put_varint(out, 3, key.row);
}

template <class Out>
void put_cursor(Out& out, const CursorRecord& cursor) {
    if (cursor.has_last_key) wire::put_message(out, 1, [&](auto& inner) { put_key(inner, cursor.last_key); });
    for (const SourceCursorRecord& source : cursor.sources) {
        wire::put_message(out, 2, [&](auto& inner) {
            wire::put_varint(inner, 1, source.offset);
            wire::put_varint(inner, 2, source.line);
            wire::put_fixed64(inner, 3, static_cast<uint64_t>(source.previous_arrival));
            wire::put_varint(inner, 4, source.skipped);
            wire::put_fixed64(inner, 5, static_cast<uint64_t>(source.previous_event));
            wire::put_varint(inner, 6, source.order);
            wire::put_fixed64(inner, 7, static_cast<uint64_t>(source.channel_arrival));
        });
    }
}

inline std::string encode_cursor(const CursorRecord& cursor) {
    wire::Sizer sizer;
    put_cursor(sizer, cursor);
    std::string encoded(sizer.size, '\0');
    wire::Filler filler(encoded.data());
    put_cursor(filler, cursor);
    return encoded;
}

template <class Out>
void put_marker(Out& out, const MarkerRecord& marker) {
    wire::put_fixed64(out, 1, marker.sequence);
    wire::put_enum(out, 2, marker.kind);
    wire::put_enum(out, 3, marker.previous_mode);
    wire::put_enum(out, 4, marker.mode);
    if (marker.has_last_key) wire::put_message(out, 5, [&](auto& inner) { put_key(inner, marker.last_key); });
    if (marker.has_first_key) wire::put_message(out, 6, [&](auto& inner) { put_key(inner, marker.first_key); });
    wire::put_fixed64(out, 7, static_cast<uint64_t>(marker.time));
    wire::put_bytes(out, 8, marker.reason);
    wire::put_varint(out, 9, marker.lost_frames);
    wire::put_fixed64(out, 10, marker.next_sequence);
    wire::put_varint(out, 11, marker.revision);
    wire::put_varint(out, 12, marker.overlap_removed);
    wire::put_fixed64(out, 13, static_cast<uint64_t>(marker.gap));
    out.raw(marker.state.data(), marker.state.size());
    wire::put_fixed64(out, 15, static_cast<uint64_t>(marker.position_arrival));
}

// A rejection whose texts live elsewhere.
struct RejectionView {
    uint64_t sequence;
    int64_t arrival;
    std::string_view source;
    uint64_t line;
    std::string_view reason;
    std::string_view raw;
    uint64_t tie_order = 0;
};

template <class Out>
void put_rejection(Out& out, const RejectionView& rejection) {
    wire::put_fixed64(out, 1, rejection.sequence);
    wire::put_fixed64(out, 2, static_cast<uint64_t>(rejection.arrival));
    wire::put_bytes(out, 3, rejection.source);
    wire::put_varint(out, 4, rejection.line);
    wire::put_bytes(out, 5, rejection.reason);
    wire::put_bytes(out, 6, rejection.raw);
    wire::put_fixed64(out, 7, rejection.tie_order);
}

// A batch about to be written: what it owns, and pointers to ticks that must outlive it.
struct BatchPlan {
    std::string epoch;
    int32_t mode = 0;
    uint64_t first_sequence = 0;
    uint64_t last_sequence = 0;
    int64_t publish_time = 0;
    std::vector<std::string_view> tickers;
    Column<uint32_t> ticker_index;
    std::vector<wire::Run> runs;       // the ticks to write, in the rows or in the columns of the batch
    const Row* rows_from = nullptr;
    const TickBatch* batch = nullptr;  // when there are no rows
    std::vector<RejectionView> rejections;
    std::vector<MarkerRecord> markers;
    bool has_cursor = false;
    std::string cursor;
    bool filtered = false;
    std::vector<uint64_t> tick_sequence;
    bool tied = false;  // to be told before rows are taken: they say their tie order
    Column<uint64_t> tie_order;
    size_t rows = 0;  // rows of the block that were taken
};

// Where the columns of a message begin, all of eight bytes a value: event and arrival time, bid price and amount, ask price and amount.
using TickColumns = std::array<char*, 6>;

// Turns rows into columns, two rows at a time: with 16 bytes, which every processor moves at once, half as many are written.
inline void write_rows(const Row* rows, size_t count, const TickColumns& columns) {
    using Pair [[gnu::vector_size(16), gnu::may_alias]] = uint64_t;
    static_assert(offsetof(Row, event) == 8 && offsetof(Row, bid_price) == 16 && offsetof(Row, ask_amount) == 40);
    // Where the six values of a row go, in the order in which it holds them.
    const std::array<char*, 6> into = {columns[1], columns[0], columns[2], columns[3], columns[4], columns[5]};
    const size_t even = count - count % 2;
    for (size_t i = 0; i < even; i += 2) {
        for (size_t half = 0; half < 3; ++half) {
            const Pair first = reinterpret_cast<const Pair*>(rows + i)[half];
            const Pair second = reinterpret_cast<const Pair*>(rows + i + 1)[half];
            const Pair left = {first[0], second[0]}, right = {first[1], second[1]};
            std::memcpy(into[2 * half] + i * 8, &left, 16);
            std::memcpy(into[2 * half + 1] + i * 8, &right, 16);
        }
    }
    for (size_t value = 0; even < count && value < into.size(); ++value) {
        std::memcpy(into[value] + even * 8, reinterpret_cast<const char*>(rows + even) + value * 8, 8);
    }
}

inline void write_ticks(const BatchPlan& plan, TickColumns columns) {
    for (const wire::Run& run : plan.runs) {
        const size_t count = run.end - run.begin;
        if (plan.rows_from != nullptr) {
            write_rows(plan.rows_from + run.begin, count, columns);
        } else {
            const TickBatch& from = *plan.batch;
            const std::array<const void*, 6> sources = {from.event.data() + run.begin, from.arrival.data() + run.begin,
                                                        from.bid_price.data() + run.begin, from.bid_amount.data() + run.begin,
                                                        from.ask_price.data() + run.begin, from.ask_amount.data() + run.begin};
            for (size_t i = 0; i < columns.size(); ++i) std::memcpy(columns[i], sources[i], count * 8);
        }
        for (char*& column : columns) column += count * 8;
    }
}

template <class Out>
void put_batch(Out& out, const BatchPlan& plan) {
    const size_t count = plan.ticker_index.size();
    wire::put_bytes(out, 1, plan.epoch);
    wire::put_enum(out, 2, plan.mode);
    wire::put_fixed64(out, 3, plan.first_sequence);
    wire::put_fixed64(out, 4, plan.last_sequence);
    for (const std::string_view ticker : plan.tickers) wire::put_bytes_always(out, 5, ticker);
    wire::put_column(out, 6, plan.ticker_index);
    TickColumns columns;
    for (size_t i = 0; count > 0 && i < columns.size(); ++i) {
        wire::put_tag(out, 7 + static_cast<uint32_t>(i), wire::LENGTH);
        out.varint(count * 8);
        columns[i] = out.room(count * 8);
    }
    if (columns[0] != nullptr) write_ticks(plan, columns);
    for (const RejectionView& rejection : plan.rejections) {
        wire::put_message(out, 13, [&](auto& inner) { put_rejection(inner, rejection); });
    }
    for (const MarkerRecord& marker : plan.markers) {
        wire::put_message(out, 14, [&](auto& inner) { put_marker(inner, marker); });
    }
    if (plan.has_cursor) wire::put_bytes_always(out, 15, plan.cursor);
    wire::put_fixed64(out, 16, static_cast<uint64_t>(plan.publish_time));
    if (plan.filtered && count == 0) {
        // Empty, but there: it tells a reader that missing numbers were filtered out, not lost.
        wire::put_bytes_always(out, 17, {});
    } else {
        wire::put_column(out, 17, plan.tick_sequence);
    }
    wire::put_column(out, 21, plan.tie_order);
}

inline size_t size_batch(const BatchPlan& plan) {
    wire::Sizer sizer;
    put_batch(sizer, plan);
    return sizer.size;
}
inline void fill_batch(const BatchPlan& plan, char* into) {
    wire::Filler filler(into);
    put_batch(filler, plan);
}

// Local numbers for the tickers of one batch, in order of first appearance. Kept per thread, so that no batch pays for
// clearing a table of all tickers: an entry counts only when it carries the current generation.
class LocalNumbers {
  public:
    void start(size_t ticker_count) {
        if (entries_.size() < ticker_count) entries_.resize(ticker_count, 0);
        if (++generation_ == 0) {  // wrapped around: old entries would look current
            std::fill(entries_.begin(), entries_.end(), 0);
            generation_ = 1;
        }
        count_ = 0;
    }
    // Writes the numbers of the ticks that `rows` begins with, at most `count`, up to one that has none; returns how many.
    size_t write(const Row* rows, size_t count, uint32_t* into) const {
        // Copied, so that no row looks up where this thread keeps its numbers.
        const uint64_t* const entries = entries_.data();
        const uint32_t generation = generation_;
        size_t i = 0;
        for (; i < count && !rows[i].is_rejected(); ++i) {
            const uint64_t entry = entries[rows[i].ticker()];
            if (entry >> 32 != generation) break;
            into[i] = static_cast<uint32_t>(entry);
        }
        return i;
    }
    bool known(uint32_t ticker) const { return entries_[ticker] >> 32 == generation_; }
    uint32_t number(uint32_t ticker) const { return static_cast<uint32_t>(entries_[ticker]); }
    void add(uint32_t ticker) { entries_[ticker] = uint64_t{generation_} << 32 | count_++; }

  private:
    std::vector<uint64_t> entries_;
    uint32_t generation_ = 0;
    uint32_t count_ = 0;
};

inline LocalNumbers& local_numbers() {
    thread_local LocalNumbers numbers;
    return numbers;
}

// The exact size of a plan's columns and cursor, as functions of how many ticks it has and of its last key.
inline size_t columns_size(size_t count, bool tied) {
    if (count == 0) return 0;
    wire::Sizer sizer;
    sizer.varint(count * 4);
    for (int column = 0; column < 6 + tied; ++column) sizer.varint(count * 8);
    return sizer.size + 7 + tied * 2 + count * (4 + (6 + tied) * 8);  // seven tags of one byte, and that of field 21
}

inline uint64_t tie_order_of(const Row& row) {
    if (row.rank >= RANKS_OF_TIES || row.row >= ROWS_OF_TIES) {
        throw std::invalid_argument("row " + std::to_string(row.row) + " of source " + std::to_string(row.rank) +
                                    " has no `tie_order`: that holds 65,536 sources of 2^46 rows; use one partition");
    }
    return uint64_t{row.rank} << RANK_SHIFT | row.row;
}
inline std::string cursor_with(const RecordKey& key, std::string_view sources) {
    CursorRecord cursor;
    cursor.has_last_key = true;
    cursor.last_key = key;
    return encode_cursor(cursor).append(sources);
}
inline size_t cursor_size(const RecordKey& key, size_t sources_size) {
    wire::Sizer inner, outer;
    wire::put_message(inner, 1, [&](auto& out) { put_key(out, key); });
    outer.varint(inner.size + sources_size);
    return outer.size + 1 + inner.size + sources_size;
}

// Take rows start..stop into the plan, whose head and markers are set (last_sequence to anything but 0), until the batch is full. Rows take the
// numbers from `sequence` on. `sources` holds names by rank. Throws invalid_argument naming what cannot be encoded.
// In historical mode the cursor becomes the last row's key followed by `cursor_sources`.
inline void plan_rows(BatchPlan& plan, const Rows& rows, const TickerTable& table, size_t start, size_t stop, uint64_t sequence,
                      const std::vector<std::string>& sources, std::string_view cursor_sources) {
    const auto key_of = [&](size_t i) { return RecordKey{rows[i].arrival, rows[i].rank, rows[i].row}; };
    const bool keyed = plan.mode == MODE_HISTORICAL;
    // Everything but columns, tickers and rejections. A key is at most 27 bytes and its cursor's framing 10.
    size_t fixed = size_batch(plan);
    const size_t key_bound = keyed ? 40 + cursor_sources.size() : 0;

    const size_t room = BATCH_ROWS_MAX - std::min(BATCH_ROWS_MAX, plan.markers.size());
    const size_t end = std::min(stop, start + std::max<size_t>(room, 1));
    plan.ticker_index.resize(end - start);
    uint32_t* const index = plan.ticker_index.data();
    LocalNumbers& numbers = local_numbers();
    numbers.start(table.size());
    // So many ticks fit for certain: 52 or 60 bytes each, and less than 64 more for all tags and lengths.
    const auto surely = [&] {
        const size_t taken = fixed + key_bound + 64;
        return taken < BATCH_BYTES_MAX ? (BATCH_BYTES_MAX - taken) / (plan.tied ? 60 : 52) : 0;
    };
    size_t safe = surely();
    size_t ticks = 0;
    size_t run_begin = start;
    size_t i = start;
    for (; i < end; ++i) {
        const size_t plain = safe > ticks ? numbers.write(rows.all.data() + i, std::min(end - i, safe - ticks), index + ticks) : 0;
        i += plain;
        ticks += plain;
        if (i == end) break;
        const Row& row = rows[i];
        const bool rejected = row.is_rejected();
        if (!rejected && numbers.known(row.ticker())) {
            if (ticks >= safe && i > start &&
                fixed + columns_size(ticks + 1, plan.tied) + (keyed ? cursor_size(key_of(i), cursor_sources.size()) : 0) > BATCH_BYTES_MAX) {
                break;
            }
            index[ticks++] = numbers.number(row.ticker());
            continue;
        }
        wire::Sizer more;
        RejectionView view{};
        if (rejected) {
            const Rejected& why = rows.rejected[row.rejection()];
            if (row.rank >= sources.size()) {
                throw std::invalid_argument("row " + std::to_string(i) + " comes from source " + std::to_string(row.rank) +
                                            ", but `sources` has " + std::to_string(sources.size()) + " names");
            }
            if (!wire::is_utf8(why.reason)) {
                throw std::invalid_argument("the reason of the rejection in row " + std::to_string(i) + " is not UTF-8");
            }
            view = {sequence + (i - start), row.arrival, sources[row.rank], row.line(), why.reason,
                    std::string_view(why.raw).substr(0, RAW_BYTES_MAX), plan.tied ? tie_order_of(row) : 0};
            wire::put_message(more, 13, [&](auto& out) { put_rejection(out, view); });
        } else {
            const std::string& name = table.name(row.ticker());
            if (!wire::is_utf8(name)) throw std::invalid_argument("the ticker of row " + std::to_string(i) + " is not UTF-8");
            wire::put_bytes_always(more, 5, name);
        }
        const size_t after = ticks + !rejected;
        if (i > start && fixed + more.size + columns_size(after, plan.tied) +
                                 (keyed ? cursor_size(key_of(i), cursor_sources.size()) : 0) > BATCH_BYTES_MAX) {
            break;
        }
        fixed += more.size;
        safe = surely();
        if (rejected) {
            plan.rejections.push_back(view);
            if (run_begin < i) plan.runs.push_back({run_begin, i});
            run_begin = i + 1;
        } else {
            plan.tickers.push_back(table.name(row.ticker()));
            numbers.add(row.ticker());
            index[ticks++] = numbers.number(row.ticker());
        }
    }
    if (run_begin < i) plan.runs.push_back({run_begin, i});
    if (plan.tied) {
        plan.tie_order.resize(ticks);
        uint64_t* tie_order = plan.tie_order.data();
        for (const wire::Run& run : plan.runs) {
            for (size_t row = run.begin; row < run.end; ++row) *tie_order++ = tie_order_of(rows[row]);
        }
    }
    plan.ticker_index.resize(ticks);
    plan.rows = i - start;
    plan.rows_from = rows.all.data();
    if (keyed && i > start) {
        plan.cursor = cursor_with(key_of(i - 1), cursor_sources);
        plan.has_cursor = true;
    }
}

// The plan of `batch` with the ticks whose ticker is kept, all rejections and all markers; false when nothing is left.
// The batch must outlive the plan.
inline bool plan_selection(const TickBatch& batch, const std::vector<bool>& keep_ticker, BatchPlan& plan) {
    plan.epoch = batch.epoch;
    plan.mode = batch.mode;
    plan.first_sequence = batch.first_sequence;
    plan.last_sequence = batch.last_sequence;
    plan.publish_time = batch.publish_time;
    plan.has_cursor = batch.has_cursor;
    plan.cursor = batch.cursor;
    plan.markers = batch.markers;
    plan.filtered = true;
    for (const RejectionRecord& rejection : batch.rejections) {
        plan.rejections.push_back({rejection.sequence, rejection.arrival, rejection.source, rejection.line, rejection.reason,
                                   rejection.raw, rejection.tie_order});
    }
    constexpr uint32_t unnumbered = std::numeric_limits<uint32_t>::max();
    std::vector<uint32_t> local(batch.tickers.size(), unnumbered);
    uint64_t next = batch.first_sequence;
    size_t special = 0;
    for (size_t i = 0; i < batch.tick_count(); ++i) {
        while (special < batch.specials.size() && batch.specials[special].ticks_before == i) {
            next = batch.after(batch.specials[special++]);
        }
        const uint64_t sequence = batch.filtered ? batch.tick_sequence[i] : next++;
        const uint32_t ticker = batch.ticker_index[i];
        if (!keep_ticker[ticker]) continue;
        if (local[ticker] == unnumbered) {
            local[ticker] = static_cast<uint32_t>(plan.tickers.size());
            plan.tickers.push_back(batch.tickers[ticker]);
        }
        plan.ticker_index.push_back(local[ticker]);
        plan.tick_sequence.push_back(sequence);
        if (!batch.tie_order.empty()) plan.tie_order.push_back(batch.tie_order[i]);
        if (!plan.runs.empty() && plan.runs.back().end == i) {
            ++plan.runs.back().end;
        } else {
            plan.runs.push_back({i, i + 1});
        }
    }
    plan.batch = &batch;
    return !plan.ticker_index.empty() || !plan.rejections.empty() || !plan.markers.empty();
}

}  // namespace midstream
