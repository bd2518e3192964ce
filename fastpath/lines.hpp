// Bytes to lines and fields, names to numbers, fields to the columns of a block.
#pragma once
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <string_view>
#include <vector>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "columns.hpp"
#include "text.hpp"

namespace midstream {

constexpr size_t LINE_SIZE_MAX = 65536;
constexpr size_t RAW_SIZE_MAX = 1024;
constexpr const char* QUOTE_COLUMNS[4] = {"bid_price", "bid_amount", "ask_price", "ask_amount"};

// One line without its line end. `fields` holds as many fields as the header has columns; `count` is how many the line has.
struct Line {
    const char* begin = nullptr;
    const char* end = nullptr;
    const char* readable_end = nullptr;  // fields may be loaded up to here
    size_t raw_size = 0;  // with a '\r', without the '\n'
    bool has_quote = false;
    bool surplus_blank = true;  // every field behind the header's last column is empty
    size_t count = 0;
    std::vector<Text> fields;
    std::string unquoted;  // owns the fields of a line with quotes

    void clear_fields() {
        count = 0;
        surplus_blank = true;
    }
    void add(const char* field_begin, const char* field_end) {
        if (count < fields.size()) fields[count] = {field_begin, field_end};
        else surplus_blank = surplus_blank && trimmed({field_begin, field_end}).empty();
        ++count;
    }
    size_t size() const { return static_cast<size_t>(end - begin); }
    Text text() const { return {begin, end}; }
    bool blank() const { return trimmed(text()).empty(); }
    Text field(size_t column) const { return trimmed(fields[column]); }
    size_t readable(Text field) const { return has_quote ? field.size() : static_cast<size_t>(readable_end - field.begin); }
};

// Walks over the commas, quotes and line ends of a buffer, 64 bytes at a time.
class LineScanner {
  public:
    explicit LineScanner(const char* begin = nullptr, const char* end = nullptr) : block_(begin), end_(end), line_begin_(begin) {
        if (block_ < end_) mask_ = classify();
    }

    // Fill `line` with the next one; false when the buffer ends before the line does (unless that end counts as a line end).
    bool next(Line& line, bool end_is_line_end) {
        line.begin = line_begin_;
        line.readable_end = end_;
        line.has_quote = false;
        line.clear_fields();
        const char* field_begin = line_begin_;
        while (const char* at = next_mark()) {
            if (*at == ',') {
                line.add(field_begin, at);
                field_begin = at + 1;
            } else if (*at == '\n') {
                line_begin_ = at + 1;
                finish(line, field_begin, at);
                return true;
            } else {
                line.has_quote = true;
            }
        }
        if (!end_is_line_end || line_begin_ == end_) return false;
        line_begin_ = end_;
        finish(line, field_begin, end_);
        return true;
    }

    // Where the line after the last complete one begins.
    const char* position() const { return line_begin_; }

  private:
    static void finish(Line& line, const char* field_begin, const char* end) {
        line.raw_size = static_cast<size_t>(end - line.begin);
        line.end = end != line.begin && end[-1] == '\r' ? end - 1 : end;
        line.add(field_begin, line.end < field_begin ? field_begin : line.end);
    }

    const char* next_mark() {
        while (mask_ == 0) {
            if (end_ - block_ <= 64) return nullptr;
            block_ += 64;
            mask_ = classify();
        }
        const char* at = block_ + __builtin_ctzll(mask_);
        mask_ &= mask_ - 1;
        return at;
    }

    // Bit i tells whether byte i of the block is a mark. The last block is copied, so that nothing behind the end is read.
    uint64_t classify() const {
        char padded[64] = {};
        const char* from = block_;
        if (end_ - block_ < 64) {
            std::memcpy(padded, block_, static_cast<size_t>(end_ - block_));
            from = padded;
        }
        uint64_t mask = 0;
#if defined(__SSE2__)
        const __m128i comma = _mm_set1_epi8(','), newline = _mm_set1_epi8('\n'), quote = _mm_set1_epi8('"');
        for (int i = 0; i < 4; ++i) {
            const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from) + i);
            const __m128i found = _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(bytes, comma), _mm_cmpeq_epi8(bytes, newline)),
                                               _mm_cmpeq_epi8(bytes, quote));
            mask |= static_cast<uint64_t>(static_cast<uint32_t>(_mm_movemask_epi8(found))) << (16 * i);
        }
#else
        for (int i = 0; i < 64; ++i) mask |= uint64_t{from[i] == ',' || from[i] == '\n' || from[i] == '"'} << i;
#endif
        return mask;
    }

    const char* block_;
    const char* end_;
    const char* line_begin_;
    uint64_t mask_ = 0;
};

enum QuoteFault { QUOTES_GOOD = 0, QUOTE_UNCLOSED = 1, QUOTE_FOLLOWED = 2 };

// Split a line that holds quotes. A field is quoted when it begins with a quote; a doubled quote inside stands for one.
inline QuoteFault split_quoted(Line& line) {
    line.clear_fields();
    line.unquoted.clear();
    line.unquoted.reserve(line.size());  // never moves afterwards: fields point into it
    const char* at = line.begin;
    while (true) {
        const char* field_begin = at;
        if (at != line.end && *at == '"') {
            const size_t start = line.unquoted.size();
            for (++at;; ++at) {
                if (at == line.end) return QUOTE_UNCLOSED;
                if (*at == '"') {
                    if (++at == line.end || *at != '"') break;
                }
                line.unquoted.push_back(*at);
            }
            while (at != line.end && *at == ' ') ++at;
            if (at != line.end && *at != ',') return QUOTE_FOLLOWED;
            line.add(line.unquoted.data() + start, line.unquoted.data() + line.unquoted.size());
        } else {
            while (at != line.end && *at != ',') ++at;
            line.add(field_begin, at);
        }
        if (at == line.end) return QUOTES_GOOD;
        ++at;
    }
}

// Numbers of recent names by their bytes: the table's own map costs several times as much. Bounded: starts over when full.
class NameCache {
  public:
    static constexpr size_t NAME_SIZE_MAX = 56;

    NameCache() : slots_(256) {}

    bool find(std::string_view name, uint32_t& number) const {
        if (name.size() > NAME_SIZE_MAX) return false;
        for (size_t i = hash(name) & (slots_.size() - 1);; i = (i + 1) & (slots_.size() - 1)) {
            const Slot& slot = slots_[i];
            if (slot.size == 0) return false;
            if (slot.size == name.size() && std::memcmp(slot.name, name.data(), name.size()) == 0) {
                number = slot.number;
                return true;
            }
        }
    }

    void add(std::string_view name, uint32_t number) {
        if (name.empty() || name.size() > NAME_SIZE_MAX) return;
        if (2 * (used_ + 1) > slots_.size()) make_room();
        put(name, number);
    }

  private:
    static constexpr size_t SLOTS_MAX = 32768;

    struct Slot {
        uint32_t number = 0;
        uint32_t size = 0;  // 0: free
        char name[NAME_SIZE_MAX];
    };

    static size_t hash(std::string_view name) {
        constexpr uint64_t MIX = 0x9E3779B97F4A7C15u;
        uint64_t state = name.size() * MIX;
        const char* at = name.data();
        size_t left = name.size();
        for (; left >= 8; at += 8, left -= 8) state = (state ^ load_eight(at)) * MIX, state ^= state >> 32;
        uint64_t rest = 0;
        if (left) std::memcpy(&rest, at, left);
        state = (state ^ rest) * MIX;
        return static_cast<size_t>(state ^ (state >> 32));
    }

    void put(std::string_view name, uint32_t number) {
        size_t i = hash(name) & (slots_.size() - 1);
        while (slots_[i].size != 0) i = (i + 1) & (slots_.size() - 1);
        slots_[i].number = number;
        slots_[i].size = static_cast<uint32_t>(name.size());
        std::memcpy(slots_[i].name, name.data(), name.size());
        ++used_;
    }

    void make_room() {
        std::vector<Slot> old(slots_.size() < SLOTS_MAX ? 2 * slots_.size() : slots_.size());
        old.swap(slots_);
        used_ = 0;
        if (slots_.size() == old.size()) return;
        for (const Slot& slot : old)
            if (slot.size) put({slot.name, slot.size}, slot.number);
    }

    std::vector<Slot> slots_;
    size_t used_ = 0;
};

// Appends ticks to a block's columns. The columns grow in steps, ahead of the rows; `trim` gives the surplus back.
class RowWriter {
  public:
    explicit RowWriter(Rows* rows) : rows_(*rows), count_(rows->size()), room_(rows->size()) {}

    // `numbers` are bid price, bid amount, ask price, ask amount.
    void tick(int64_t arrival, int64_t event, const double* numbers, uint32_t ticker, uint32_t rank, uint64_t row) {
        if (count_ == room_) grow();
        rows_.arrival[count_] = arrival;
        rows_.event[count_] = event;
        rows_.bid_price[count_] = numbers[0];
        rows_.bid_amount[count_] = numbers[1];
        rows_.ask_price[count_] = numbers[2];
        rows_.ask_amount[count_] = numbers[3];
        rows_.ticker[count_] = ticker;
        rows_.rank[count_] = rank;
        rows_.row[count_] = row;
        rows_.rejection[count_] = -1;
        ++count_;
    }

    void rejection(int64_t place, uint32_t rank, uint64_t row, std::string reason, std::string_view raw) {
        constexpr double NAN_ = std::numeric_limits<double>::quiet_NaN();
        const double numbers[4] = {NAN_, NAN_, NAN_, NAN_};
        rows_.rejected.push_back({std::move(reason), std::string(raw.substr(0, RAW_SIZE_MAX))});
        tick(place, 0, numbers, 0, rank, row);
        rows_.rejection[count_ - 1] = static_cast<int32_t>(rows_.rejected.size() - 1);
    }

    void trim() {
        if (room_ != count_) rows_.resize(count_);
        room_ = count_;
    }

  private:
    static constexpr size_t STEP = 512;

    void grow() {
        rows_.resize(count_ + STEP);
        room_ = count_ + STEP;
    }

    Rows& rows_;
    size_t count_, room_;
};

// Whether a '-' stands behind a delimiter, a quote, a space or a line end. Both loops are plain enough to become SIMD.
inline bool has_negative_field(const uint8_t* bytes, size_t size, int previous_byte) {
    const auto starts_field = [](uint8_t c) { return c == ',' || c == '"' || c == ' ' || c == '\n' || c == '\r'; };
    if (size == 0) return false;
    if (bytes[0] == '-' && (previous_byte < 0 || starts_field(static_cast<uint8_t>(previous_byte)))) return true;
    for (size_t start = 1; start < size;) {
        const size_t stop = start + 4096 < size ? start + 4096 : size;
        uint8_t found = 0;
        for (size_t i = start; i < stop; ++i) {
            const uint8_t before = bytes[i - 1];
            found |= static_cast<uint8_t>((bytes[i] == '-') & ((before == ',') | (before == '"') | (before == ' ') |
                                                               (before == '\n') | (before == '\r')));
        }
        if (found) return true;
        start = stop;
    }
    return false;
}

}  // namespace midstream
