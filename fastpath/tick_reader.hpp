// TickBatch from wire bytes: tolerant of every valid encoding, and strict about what the records must add up to.
#pragma once
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "tick_batch.hpp"
#include "wire.hpp"

namespace midstream {

using wire::Malformed;

inline int32_t read_enum(wire::Reader& in, const char* name) { return static_cast<int32_t>(in.varint(name)); }
inline int64_t read_sfixed64(wire::Reader& in, const char* name) { return static_cast<int64_t>(in.fixed64(name)); }

inline void merge_key(wire::Reader in, RecordKey& key) {
    while (in.next()) {
        switch (in.field()) {
            case 1: key.arrival = read_sfixed64(in, "arrival_time_ns"); break;
            case 2: key.rank = static_cast<uint32_t>(in.varint("source_rank")); break;
            case 3: key.row = in.varint("row"); break;
            default: in.skip();
        }
    }
}

inline void read_source_cursor(wire::Reader in, SourceCursorRecord& source) {
    while (in.next()) {
        switch (in.field()) {
            case 1: source.offset = in.varint("offset"); break;
            case 2: source.line = in.varint("line"); break;
            case 3: source.previous_arrival = read_sfixed64(in, "previous_arrival_time_ns"); break;
            case 4: source.skipped = in.varint("skipped"); break;
            case 5: source.previous_event = read_sfixed64(in, "previous_event_time_ns"); break;
            case 6: source.order = static_cast<uint32_t>(in.varint("order")); break;
            case 7: source.channel_arrival = read_sfixed64(in, "channel_arrival_time_ns"); break;
            default: in.skip();
        }
    }
}

// Called again for every further occurrence: singular messages merge, repeated ones collect.
inline void merge_cursor(wire::Reader in, CursorRecord& cursor) {
    while (in.next()) {
        switch (in.field()) {
            case 1:
                merge_key(in.message("last_key", "RecordKey"), cursor.last_key);
                cursor.has_last_key = true;
                break;
            case 2:
                cursor.sources.emplace_back();
                read_source_cursor(in.message("sources", "SourceCursor"), cursor.sources.back());
                break;
            default: in.skip();
        }
    }
}
inline void read_cursor(const char* bytes, size_t size, CursorRecord& cursor) {
    merge_cursor(wire::Reader(bytes, size, "HistoricalCursor"), cursor);
}
// The same walk without keeping anything, for a cursor that is only passed on.
inline void check_cursor(wire::Reader in) {
    RecordKey key;
    SourceCursorRecord source;
    while (in.next()) {
        switch (in.field()) {
            case 1: merge_key(in.message("last_key", "RecordKey"), key); break;
            case 2: read_source_cursor(in.message("sources", "SourceCursor"), source); break;
            default: in.skip();
        }
    }
}

// A sequence of 0 is refused at once, so that empty messages cannot blow memory up.
inline void read_rejection(wire::Reader in, RejectionRecord& rejection) {
    while (in.next()) {
        switch (in.field()) {
            case 1: rejection.sequence = in.fixed64("sequence"); break;
            case 2: rejection.arrival = read_sfixed64(in, "arrival_time_ns"); break;
            case 3: rejection.source = in.text("source"); break;
            case 4: rejection.line = in.varint("line"); break;
            case 5: rejection.reason = in.text("reason"); break;
            case 6: rejection.raw = in.bytes("raw"); break;
            case 7: rejection.tie_order = in.fixed64("tie_order"); break;
            default: in.skip();
        }
    }
    if (rejection.sequence == 0) in.fail("sequence", "is missing");
}

inline double read_double(wire::Reader& in, const char* name) {
    const uint64_t bits = in.fixed64(name);
    double value;
    std::memcpy(&value, &bits, sizeof(value));
    return value;
}

inline void read_quote(wire::Reader in, QuoteRecord& quote) {
    while (in.next()) {
        switch (in.field()) {
            case 1: quote.ticker = in.text("ticker"); break;
            case 2: quote.event = read_sfixed64(in, "event_time_ns"); break;
            case 3: quote.arrival = read_sfixed64(in, "arrival_time_ns"); break;
            case 4: quote.bid_price = read_double(in, "bid_price"); break;
            case 5: quote.bid_amount = read_double(in, "bid_amount"); break;
            case 6: quote.ask_price = read_double(in, "ask_price"); break;
            case 7: quote.ask_amount = read_double(in, "ask_amount"); break;
            default: in.skip();
        }
    }
}

template <class Out>
void put_quote(Out& out, const QuoteRecord& quote) {
    wire::put_message(out, 14, [&](auto& inner) {
        wire::put_bytes(inner, 1, quote.ticker);
        wire::put_fixed64(inner, 2, static_cast<uint64_t>(quote.event));
        wire::put_fixed64(inner, 3, static_cast<uint64_t>(quote.arrival));
        wire::put_double(inner, 4, quote.bid_price);
        wire::put_double(inner, 5, quote.bid_amount);
        wire::put_double(inner, 6, quote.ask_price);
        wire::put_double(inner, 7, quote.ask_amount);
    });
}

// Append a quote as a field of its marker, so that the marker can be written without knowing what is in it.
inline void append_quote(const QuoteRecord& quote, std::string& into) {
    wire::Sizer sizer;
    put_quote(sizer, quote);
    const size_t before = into.size();
    into.resize(before + sizer.size);
    wire::Filler filler(into.data() + before);
    put_quote(filler, quote);
}

inline void read_marker(wire::Reader in, MarkerRecord& marker) {
    while (in.next()) {
        switch (in.field()) {
            case 1: marker.sequence = in.fixed64("sequence"); break;
            case 2: marker.kind = read_enum(in, "kind"); break;
            case 3: marker.previous_mode = read_enum(in, "previous_mode"); break;
            case 4: marker.mode = read_enum(in, "mode"); break;
            case 5:
                merge_key(in.message("last_key", "RecordKey"), marker.last_key);
                marker.has_last_key = true;
                break;
            case 6:
                merge_key(in.message("first_key", "RecordKey"), marker.first_key);
                marker.has_first_key = true;
                break;
            case 7: marker.time = read_sfixed64(in, "time_ns"); break;
            case 8: marker.reason = in.text("reason"); break;
            case 9: marker.lost_frames = in.varint("lost_frames"); break;
            case 10: marker.next_sequence = in.fixed64("next_sequence"); break;
            case 11: marker.revision = in.varint("revision"); break;
            case 12: marker.overlap_removed = in.varint("overlap_removed"); break;
            case 13: marker.gap = read_sfixed64(in, "gap_ns"); break;
            case 14: {
                QuoteRecord quote;
                read_quote(in.message("state", "Quote"), quote);
                append_quote(quote, marker.state);
                break;
            }
            case 15: marker.position_arrival = read_sfixed64(in, "position_arrival_time_ns"); break;
            default: in.skip();
        }
    }
    if (marker.sequence == 0) in.fail("sequence", "is missing");
}

inline void check_head(const char* message, int32_t mode, uint64_t first, uint64_t last) {
    const std::string name(message);
    if (mode != MODE_HISTORICAL && mode != MODE_LIVE) {
        throw Malformed(name + ": mode " + std::to_string(mode) + " is neither MODE_HISTORICAL nor MODE_LIVE");
    }
    if (first == 0) throw Malformed(name + ": first_sequence is 0; sequences start at 1");
    if (last < first) {
        throw Malformed(name + ": last_sequence " + std::to_string(last) + " is below first_sequence " + std::to_string(first));
    }
}

template <class T>
void check_length(const char* message, const char* name, const Column<T>& column, size_t count) {
    if (column.size() != count) {
        throw Malformed(std::string(message) + ": " + name + " has " + std::to_string(column.size()) +
                        " values where ticker_index has " + std::to_string(count));
    }
}

inline void check_index(const char* message, const Column<uint32_t>& index, size_t ticker_count) {
    const uint32_t count = static_cast<uint32_t>(std::min<size_t>(ticker_count, std::numeric_limits<uint32_t>::max()));
    bool outside = false;
    for (const uint32_t number : index) outside |= number >= count;
    if (!outside) return;
    throw Malformed(std::string(message) + ": ticker_index " + std::to_string(*std::max_element(index.begin(), index.end())) +
                    " is outside the " + std::to_string(ticker_count) + " tickers");
}

// Numbers that rise within first..last.
template <class Numbers>
void check_rising(const char* message, const char* name, uint64_t first, uint64_t last, const Numbers& numbers) {
    uint64_t lowest = first;
    bool exhausted = false;
    for (const auto& element : numbers) {
        const uint64_t number = [&] {
            if constexpr (std::is_integral_v<std::decay_t<decltype(element)>>) return element;
            else return element.sequence;
        }();
        if (exhausted || number < lowest || number > last) {
            throw Malformed(std::string(message) + ": " + name + " has sequence " + std::to_string(number) +
                            ", which is out of order or outside " + std::to_string(first) + ".." + std::to_string(last));
        }
        exhausted = number == std::numeric_limits<uint64_t>::max();
        lowest = number + 1;
    }
}

// Check everything that the wire format does not promise, and find the place of every rejection and marker.
inline void check_tick_batch(TickBatch& batch) {
    const char* name = "TickBatch";
    check_head(name, batch.mode, batch.first_sequence, batch.last_sequence);
    const size_t count = batch.tick_count();
    check_length(name, "event_time_ns", batch.event, count);
    check_length(name, "arrival_time_ns", batch.arrival, count);
    check_length(name, "bid_price", batch.bid_price, count);
    check_length(name, "bid_amount", batch.bid_amount, count);
    check_length(name, "ask_price", batch.ask_price, count);
    check_length(name, "ask_amount", batch.ask_amount, count);
    if (batch.filtered) check_length(name, "tick_sequence", batch.tick_sequence, count);
    if (!batch.tie_order.empty()) check_length(name, "tie_order", batch.tie_order, count);
    check_index(name, batch.ticker_index, batch.tickers.size());
    check_rising(name, "rejections", batch.first_sequence, batch.last_sequence, batch.rejections);
    check_rising(name, "markers", batch.first_sequence, batch.last_sequence, batch.markers);
    check_rising(name, "tick_sequence", batch.first_sequence, batch.last_sequence, batch.tick_sequence);

    batch.specials.reserve(batch.rejections.size() + batch.markers.size());
    for (size_t i = 0; i < batch.rejections.size(); ++i) {
        batch.specials.push_back({batch.rejections[i].sequence, 0, static_cast<uint32_t>(i), false});
    }
    for (size_t i = 0; i < batch.markers.size(); ++i) {
        batch.specials.push_back({batch.markers[i].sequence, 0, static_cast<uint32_t>(i), true});
    }
    std::sort(batch.specials.begin(), batch.specials.end(),
              [](const Special& a, const Special& b) { return a.sequence < b.sequence; });

    // Walk the numbers: `next` is the lowest that is not accounted for, `ticks` the ticks before it.
    uint64_t next = batch.first_sequence;
    bool past_the_end = false;
    uint64_t ticks = 0;
    const auto ticks_until = [&](uint64_t limit) {  // ticks with a number below `limit`
        const auto& numbers = batch.tick_sequence;
        return static_cast<uint64_t>(std::lower_bound(numbers.begin() + ticks, numbers.end(), limit) - numbers.begin());
    };
    for (Special& special : batch.specials) {
        if (past_the_end || special.sequence < next) {
            throw Malformed("TickBatch: sequence " + std::to_string(special.sequence) + " belongs to no or to several records");
        }
        if (batch.filtered) {
            if (ticks_until(next) != ticks) throw Malformed("TickBatch: tick_sequence uses a marker's or a rejection's number");
            ticks = ticks_until(special.sequence);
        } else {
            ticks += special.sequence - next;
            if (ticks > count) break;
        }
        special.ticks_before = ticks;
        next = batch.after(special);
        past_the_end = special.sequence == batch.last_sequence;
        // The successor of the highest number there is wraps around to 0.
        if ((next <= special.sequence && next != 0) || (!past_the_end && next > batch.last_sequence)) {
            throw Malformed("TickBatch: markers: next_sequence " + std::to_string(next) + " does not lead from " +
                            std::to_string(special.sequence) + " to a later record of the batch");
        }
    }
    if (batch.filtered) {
        if (past_the_end ? ticks != count : ticks_until(next) != ticks) {
            throw Malformed("TickBatch: tick_sequence uses a marker's or a rejection's number");
        }
        return;
    }
    const uint64_t rest = past_the_end || ticks > count ? 0 : batch.last_sequence - next + 1;
    if (ticks + rest != count) {
        throw Malformed("TickBatch: sequences " + std::to_string(batch.first_sequence) + ".." +
                        std::to_string(batch.last_sequence) + " do not match " + std::to_string(count) + " ticks, " +
                        std::to_string(batch.rejections.size()) + " rejections and " +
                        std::to_string(batch.markers.size()) + " markers");
    }
}

inline void check_skipped(wire::Reader in) {
    while (in.next()) {
        switch (in.field()) {
            case 1: in.varint("records"); break;
            case 2: in.fixed64("first_sequence"); break;
            case 3: in.fixed64("last_sequence"); break;
            case 4: read_sfixed64(in, "from_arrival_time_ns"); break;
            case 5: read_sfixed64(in, "to_arrival_time_ns"); break;
            default: in.skip();
        }
    }
}

inline void check_proof(wire::Reader in) {
    while (in.next()) {
        switch (in.field()) {
            case 1: in.fixed64("last_sequence"); break;
            case 2: in.varint("records"); break;
            case 3: in.text("digest"); break;
            case 4: in.fixed64("first_sequence"); break;
            case 5: in.fixed64("window_first_sequence"); break;
            case 6: in.text("window_digest"); break;
            case 7: in.varint("version"); break;
            default: in.skip();
        }
    }
}

inline void check_lag(wire::Reader in) {
    while (in.next()) {
        switch (in.field()) {
            case 1: in.varint("records"); break;
            case 2: in.varint("bytes"); break;
            case 3: in.varint("data_time_ns"); break;
            default: in.skip();
        }
    }
}

inline void check_position(wire::Reader in) {
    while (in.next()) {
        switch (in.field()) {
            case 1: in.varint("partition"); break;
            case 2: in.text("epoch"); break;
            case 3: in.fixed64("sequence"); break;
            default: in.skip();
        }
    }
}

inline void read_tick_batch(const char* bytes, size_t size, TickBatch& batch) {
    wire::Reader in(bytes, size, "TickBatch");
    while (in.next()) {
        switch (in.field()) {
            case 1: batch.epoch = in.text("epoch"); break;
            case 2: batch.mode = read_enum(in, "mode"); break;
            case 3: batch.first_sequence = in.fixed64("first_sequence"); break;
            case 4: batch.last_sequence = in.fixed64("last_sequence"); break;
            case 5: batch.tickers.emplace_back(in.text("tickers")); break;
            case 6: in.column("ticker_index", batch.ticker_index); break;
            case 7: in.column("event_time_ns", batch.event); break;
            case 8: in.column("arrival_time_ns", batch.arrival); break;
            case 9: in.column("bid_price", batch.bid_price); break;
            case 10: in.column("bid_amount", batch.bid_amount); break;
            case 11: in.column("ask_price", batch.ask_price); break;
            case 12: in.column("ask_amount", batch.ask_amount); break;
            case 13:
                batch.rejections.emplace_back();
                read_rejection(in.message("rejections", "Rejection"), batch.rejections.back());
                break;
            case 14:
                batch.markers.emplace_back();
                read_marker(in.message("markers", "Marker"), batch.markers.back());
                break;
            case 15: {
                wire::Reader again = in;
                check_cursor(again.message("cursor", "HistoricalCursor"));
                // Encodings written one after the other are the encoding of the merged message.
                batch.cursor += in.bytes("cursor");
                batch.has_cursor = true;
                break;
            }
            case 16: batch.publish_time = read_sfixed64(in, "publish_time_ns"); break;
            case 17:
                in.column("tick_sequence", batch.tick_sequence);
                batch.filtered = true;
                break;
            // For readers of the stream, and nothing here needs them; what is malformed is refused all the same.
            case 18: check_skipped(in.message("skipped", "Skipped")); break;
            case 19: check_proof(in.message("proof", "OrderProof")); break;
            case 20: check_lag(in.message("lag", "Lag")); break;
            case 21: in.column("tie_order", batch.tie_order); break;
            case 22: check_position(in.message("positions", "PartitionPosition")); break;
            default: in.skip();
        }
    }
    check_tick_batch(batch);
}

struct BatchHead {
    std::string epoch;
    int32_t mode = 0;
    uint64_t first_sequence = 0;
    uint64_t last_sequence = 0;
    size_t tick_count = 0;
    int64_t last_arrival = BEFORE_EVERYTHING;
    int64_t publish_time = 0;
    uint64_t next_sequence = 0;  // what follows: behind a gap marker the numbers may go on elsewhere
};

// Of a marker no more than where it stands and where it leads to: a discontinuity may carry the quotes of many tickers.
inline MarkerRecord read_place(wire::Reader in) {
    MarkerRecord marker;
    while (in.next()) {
        switch (in.field()) {
            case 1: marker.sequence = in.fixed64("sequence"); break;
            case 2: marker.kind = read_enum(in, "kind"); break;
            case 10: marker.next_sequence = in.fixed64("next_sequence"); break;
            default: in.skip();
        }
    }
    return marker;
}

inline void read_head(const char* bytes, size_t size, BatchHead& head) {
    wire::Reader in(bytes, size, "TickBatch");
    uint64_t marked = 0;  // the number of the last gap marker that names lost ones, and where it leads to
    while (in.next()) {
        switch (in.field()) {
            case 1: head.epoch = in.text("epoch"); break;
            case 2: head.mode = read_enum(in, "mode"); break;
            case 3: head.first_sequence = in.fixed64("first_sequence"); break;
            case 4: head.last_sequence = in.fixed64("last_sequence"); break;
            case 8: {
                const std::string_view times = in.elements<int64_t>("arrival_time_ns");
                if (times.empty()) break;
                head.tick_count += times.size() / sizeof(int64_t);
                std::memcpy(&head.last_arrival, times.data() + times.size() - sizeof(int64_t), sizeof(int64_t));
                break;
            }
            case 14:
                if (const MarkerRecord marker = read_place(in.message("markers", "Marker")); marker.kind == MARKER_GAP && marker.next_sequence != 0) {
                    marked = marker.sequence;
                    head.next_sequence = marker.next_sequence;
                }
                break;
            case 16: head.publish_time = read_sfixed64(in, "publish_time_ns"); break;
            default: in.skip();
        }
    }
    check_head("TickBatch", head.mode, head.first_sequence, head.last_sequence);
    if (marked != head.last_sequence || head.next_sequence <= marked) head.next_sequence = head.last_sequence + 1;
}

}  // namespace midstream
