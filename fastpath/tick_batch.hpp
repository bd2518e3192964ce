// midstream.common.v1.TickBatch (protos/common/v1/market.proto) in memory.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "columns.hpp"
#include "wire.hpp"

namespace midstream {


constexpr int32_t MODE_HISTORICAL = 1;
constexpr int32_t MODE_LIVE = 2;
constexpr int32_t MARKER_GAP = 4;
constexpr int32_t MARKER_DISCONTINUITY = 5;
constexpr size_t BATCH_ROWS_MAX = 4096;
constexpr size_t BATCH_BYTES_MAX = size_t{1} << 20;
constexpr size_t RAW_BYTES_MAX = 1024;

struct RecordKey {
    int64_t arrival = 0;
    uint32_t rank = 0;
    uint64_t row = 0;
};

// The rest of a key in one number: rank above, row below.
constexpr int RANK_SHIFT = 48;
constexpr int ROW_BITS = 46;  // the index of a partition's logs has a use for the two between
constexpr uint64_t RANKS_OF_TIES = uint64_t{1} << (64 - RANK_SHIFT), ROWS_OF_TIES = uint64_t{1} << ROW_BITS;

struct MarkerRecord {
    uint64_t sequence = 0;
    int32_t kind = 0;
    int32_t previous_mode = 0;
    int32_t mode = 0;
    bool has_last_key = false;
    bool has_first_key = false;
    RecordKey last_key;
    RecordKey first_key;
    int64_t time = 0;
    std::string reason;
    uint64_t lost_frames = 0;
    uint64_t next_sequence = 0;
    uint64_t revision = 0;
    uint64_t overlap_removed = 0;
    int64_t gap = 0;
    std::string state;  // encoded `state` fields, one behind the other, tags included
    int64_t position_arrival = 0;
};

struct QuoteRecord {
    std::string ticker;
    int64_t event = 0, arrival = 0;
    double bid_price = 0, bid_amount = 0, ask_price = 0, ask_amount = 0;
};

struct RejectionRecord {
    uint64_t sequence = 0;
    int64_t arrival = 0;
    std::string source;
    uint64_t line = 0;
    std::string reason;
    std::string raw;
    uint64_t tie_order = 0;
};

struct SourceCursorRecord {
    uint64_t offset = 0;
    uint64_t line = 0;
    int64_t previous_arrival = 0;
    uint64_t skipped = 0;
    int64_t previous_event = 0;
    uint32_t order = 0;
    int64_t channel_arrival = 0;
};

struct CursorRecord {
    bool has_last_key = false;
    RecordKey last_key;
    std::vector<SourceCursorRecord> sources;
};

// A rejection or a marker among the ticks.
struct Special {
    uint64_t sequence;
    size_t ticks_before;
    uint32_t index;  // in rejections or markers
    bool is_marker;
};

struct TickBatch {
    std::string epoch;
    int32_t mode = 0;
    uint64_t first_sequence = 0;
    uint64_t last_sequence = 0;
    int64_t publish_time = 0;
    std::vector<std::string> tickers;
    Column<uint32_t> ticker_index;
    Column<int64_t> event, arrival;
    Column<double> bid_price, bid_amount, ask_price, ask_amount;
    Column<uint64_t> tick_sequence;
    bool filtered = false;  // tick_sequence was on the wire, if only empty
    Column<uint64_t> tie_order;  // of all ticks, or of none
    std::vector<RejectionRecord> rejections;
    std::vector<MarkerRecord> markers;
    bool has_cursor = false;
    std::string cursor;

    // Filled by check_tick_batch: rejections and markers in sequence order.
    std::vector<Special> specials;

    size_t tick_count() const { return ticker_index.size(); }
    // The number that follows a special's.
    uint64_t after(const Special& special) const {
        if (special.is_marker) {
            const MarkerRecord& marker = markers[special.index];
            if (marker.kind == MARKER_GAP && marker.next_sequence != 0) return marker.next_sequence;
        }
        return special.sequence + 1;
    }
};

}  // namespace midstream
