// Bytes to lines and fields.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "text.hpp"

namespace midstream {

constexpr size_t LINE_SIZE_MAX = 65536;
constexpr size_t RAW_SIZE_MAX = 1024;
// Names stay for as long as the process, in this one and in everyone behind it. The longest that exchanges have are some 60 characters.
constexpr size_t TICKER_SIZE_MAX = 256;
constexpr const char* QUOTE_COLUMNS[4] = {"bid_price", "bid_amount", "ask_price", "ask_amount"};

// One line without its line end. `fields` holds as many fields as the header has columns; `count` is how many the line has.
struct Line {
    const char* begin = nullptr;
    const char* end = nullptr;
    size_t raw_size = 0;         // with a '\r', without the '\n'
    bool padded = false;         // 24 bytes in front of every field may be loaded
    bool surplus_blank = true;   // every field behind the header's last column is empty
    size_t count = 0;
    std::vector<Text> fields;
    std::string unquoted;        // owns the fields of a line with quotes

    void clear_fields() {
        count = 0;
        surplus_blank = true;
    }
    void add(const char* field_begin, const char* field_end) {
        if (count < fields.size()) fields[count] = {field_begin, field_end};
        else surplus_blank = surplus_blank && trimmed({field_begin, field_end}).empty();
        ++count;
    }
    // The end is where the '\n' is, or would be.
    void set(const char* line_begin, const char* line_end) {
        begin = line_begin;
        raw_size = static_cast<size_t>(line_end - line_begin);
        end = raw_size != 0 && line_end[-1] == '\r' ? line_end - 1 : line_end;
    }
    size_t size() const { return static_cast<size_t>(end - begin); }
    Text text() const { return {begin, end}; }
    bool blank() const { return trimmed(text()).empty(); }
};

// Cuts a buffer into lines, without a look at what they hold.
struct LineCutter {
    const char* begin = nullptr;
    const char* end = nullptr;
    const char* position = nullptr;  // where the line after the last complete one begins

    void start(const char* buffer_begin, const char* buffer_end) {
        begin = position = buffer_begin;
        end = buffer_end;
    }

    // False when the buffer ends before the line does (unless that end counts as a line end).
    bool next(Line& line, bool end_is_line_end) {
        if (position == end) return false;
        const void* const newline = std::memchr(position, '\n', static_cast<size_t>(end - position));
        if (newline == nullptr && !end_is_line_end) return false;
        const char* const line_end = newline ? static_cast<const char*>(newline) : end;
        line.padded = position - begin >= 24;
        line.set(position, line_end);
        position = newline ? line_end + 1 : end;
        return true;
    }
};

enum QuoteFault { QUOTES_GOOD = 0, QUOTE_UNCLOSED = 1, QUOTE_FOLLOWED = 2 };

// Split a line at its commas. A field is quoted when it begins with a quote; a doubled quote inside stands for one.
inline QuoteFault split(Line& line) {
    line.clear_fields();
    const char* at = line.begin;
    if (line.size() == 0 || std::memchr(line.begin, '"', line.size()) == nullptr) {
        for (const char* field_begin = at;; ++at) {
            if (at != line.end && *at != ',') continue;
            line.add(field_begin, at);
            if (at == line.end) return QUOTES_GOOD;
            field_begin = at + 1;
        }
    }
    line.padded = false;
    line.unquoted.clear();
    line.unquoted.reserve(line.size());  // never moves afterwards: fields point into it
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

}  // namespace midstream
