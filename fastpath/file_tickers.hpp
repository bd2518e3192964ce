// Which tickers the lines of a text file have, and how many lines there are: all that a partition has to know of a file that has none of
// its own. Bytes are looked at once and little is kept of them; where anything could be read in two ways, nothing is said.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "foreign_lines.hpp"
#include "lines.hpp"
#include "names.hpp"

namespace midstream {

class FileTickers {
  public:
    // Without quotes a field stands between the same commas in every line, whatever else the line has.
    FileTickers(const Shape& shape, bool is_pair, size_t names_max)
        : ticker_(shape.column[TICKER]), exchange_(shape.column[EXCHANGE]), is_pair_(is_pair), names_max_(names_max) {}

    // The next bytes, from the first line on; they may end anywhere.
    void add(const char* bytes, size_t size) {
        const char* const end = bytes + size;
        if (is_certain && !begun_.empty()) bytes = end_begun(bytes, end);
        if (!is_certain) return;
        bytes = take_most(bytes, end);
        while (is_certain && bytes != end) {
            const char* const newline = static_cast<const char*>(std::memchr(bytes, '\n', static_cast<size_t>(end - bytes)));
            if (newline == nullptr) return keep(bytes, end);
            take(bytes, newline);
            bytes = newline + 1;
        }
    }

    // Nothing follows: a last line that does not end may have been cut off.
    void finish() { is_certain = is_certain && begun_.empty(); }

    bool is_certain = true;
    uint64_t lines = 0;
    std::vector<std::string> names;

  private:
    // A line is one row for whoever decodes it, usable or not, because it is not blank: it has commas.
    void take(const char* line, const char* newline) {
        if (std::memchr(line, '"', static_cast<size_t>(newline - line)) != nullptr) is_certain = false;
        else take_fields(field_of(line, newline, ticker_), is_pair_ ? field_of(line, newline, exchange_) : Text{line, line});
        ++lines;
    }

    static Text field_of(const char* line, const char* newline, size_t column) {
        for (; column > 0; --column) {
            line = std::find(line, newline, ',');
            if (line == newline) return {line, line};
            ++line;
        }
        return {line, std::find(line, newline, ',')};
    }

    bool take_fields(Text ticker, Text exchange) {
        uint32_t number;
        const bool found = is_pair_ ? cache_.find(ticker.view(), exchange.view(), number) : cache_.find(ticker.view(), number);
        if (!found) is_certain = take_name(ticker, exchange);
        return is_certain;
    }

    // False when it is not plain that it is a ticker as it stands, or when there are too many of them.
    bool take_name(Text ticker, Text exchange) {
        std::string name(ticker.view());
        if (is_pair_) name.append("@").append(exchange.view());
        const auto is_visible = [](char c) { return c > ' ' && c < '\x7f'; };
        if (ticker.empty() || (is_pair_ && exchange.empty()) || name.size() > TICKER_SIZE_MAX) return false;
        if (!std::all_of(name.begin(), name.end(), is_visible)) return false;
        if (std::find(names.begin(), names.end(), name) != names.end()) return true;
        if (names.size() == names_max_) return false;
        cache_.add(name, 0);
        names.push_back(std::move(name));
        return true;
    }

    void keep(const char* bytes, const char* end) {
        begun_.append(bytes, end);
        is_certain = begun_.size() <= LINE_SIZE_MAX;
    }

    // Take the line that the bytes before began; return where the next one begins.
    const char* end_begun(const char* bytes, const char* end) {
        const char* const newline = bytes == end ? nullptr : static_cast<const char*>(std::memchr(bytes, '\n', static_cast<size_t>(end - bytes)));
        keep(bytes, newline == nullptr ? end : newline);
        if (newline == nullptr || !is_certain) return end;
        take(begun_.data(), begun_.data() + begun_.size());
        begun_.clear();
        return newline + 1;
    }

#if MIDSTREAM_X86
    // Take lines, a window at a time: first where each of them begins, then its ticker, so that no line waits for the one before. Return
    // where the next one begins: at the end there are some to be taken in another way, and all behind one that is longer than a window.
    template <class Block>
    [[gnu::always_inline]] inline const char* take_most_by(const char* window, const char* end) {
        uint16_t begins[1 + WINDOW_BYTES + 1];
        uint64_t quotes = 0;
        ForeignName known;
        while (static_cast<size_t>(end - window) >= BLOCK_BYTES && is_certain && quotes == 0) {
            const size_t size = std::min(WINDOW_BYTES, static_cast<size_t>(end - window) / BLOCK_BYTES * BLOCK_BYTES);
            size_t count = 0;
            begins[0] = 0;
            for (size_t at = 0; at < size; at += BLOCK_BYTES) {
                uint64_t line_ends = Block::marks(window + at).line_ends;
                quotes |= Block::quotes(window + at);
                uint16_t* next = begins + 1 + count;
                count += bit_count(line_ends);
                // Most blocks have at most one: it is written whether or not it is there, which costs less than a guess.
                *next = static_cast<uint16_t>(at + 1 + lowest_bit(line_ends | uint64_t{1} << (BLOCK_BYTES - 1)));
                while ((line_ends &= line_ends - 1) != 0) *++next = static_cast<uint16_t>(at + 1 + lowest_bit(line_ends));
            }
            if (count == 0) break;
            for (size_t i = 0; i < count; ++i) {
                const char* const line = window + begins[i];
                const size_t left = static_cast<size_t>(end - line);
                if (left < BLOCK_BYTES || !take_measured<Block>(line, static_cast<size_t>(begins[i + 1] - begins[i] - 1), known)) {
                    is_certain = is_certain && quotes == 0;
                    return line;
                }
                ++lines;
            }
            window += begins[count];
        }
        is_certain = is_certain && quotes == 0;
        return window;
    }

    // A line without its end, of which a block can be loaded.
    template <class Block>
    [[gnu::always_inline]] inline bool take_measured(const char* line, size_t size, ForeignName& known) {
        ForeignLine found;
        found.size = size;
        found.marks = Block::marks(line).commas;
        if (size < BLOCK_BYTES) found.marks = (found.marks & ((uint64_t{1} << size) - 1)) | uint64_t{1} << size;
        return known.stands_in(found, line) || take_other(line, {found.size, found.marks}, known);
    }

    [[gnu::noinline]] bool take_other(const char* line, ForeignLine found, ForeignName& known) {
        const char* const newline = line + found.size;
        known.size = 0;
        if (!take_fields(field_of(line, newline, ticker_), is_pair_ ? field_of(line, newline, exchange_) : Text{line, line})) return false;
        const size_t first = is_pair_ ? std::min(ticker_, exchange_) : ticker_, last = is_pair_ ? std::max(ticker_, exchange_) : ticker_;
        if (last - first <= 1 && !found.field(line, last).empty()) known.note(found, line, first, last);
        return true;
    }

    [[gnu::target(MIDSTREAM_AVX2)]] const char* take_most_avx2(const char* line, const char* end) {
        return take_most_by<avx2::Block>(line, end);
    }
    [[gnu::target(MIDSTREAM_AVX512)]] const char* take_most_avx512(const char* line, const char* end) {
        return take_most_by<avx512::Block>(line, end);
    }
    const char* take_most(const char* line, const char* end) {
        if (SIMD == Simd::PORTABLE) return line;
        return SIMD == Simd::AVX512 ? take_most_avx512(line, end) : take_most_avx2(line, end);
    }
#else
    const char* take_most(const char* line, const char*) { return line; }
#endif

    const size_t ticker_, exchange_;
    const bool is_pair_;
    const size_t names_max_;
    NameCache cache_;
    std::string begun_;  // of the line in which the last bytes ended
};

}  // namespace midstream
