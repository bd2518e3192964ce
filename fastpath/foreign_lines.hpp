// Runs of lines of other partitions: what begins a window is passed over as long as it is elsewhere, without a note of where its fields are.
#pragma once
#include <algorithm>

#include "marks.hpp"
#include "names.hpp"
#include "readers.hpp"
#include "rows.hpp"

#if MIDSTREAM_X86
namespace midstream {

constexpr size_t FOREIGN_LINE_BLOCKS = 8;  // lines that are longer are looked at in another way

// What is to be known of one line to tell whether it is elsewhere.
struct ForeignLine {
    size_t size = 0;     // up to its line end; 0: it has to be looked at in another way
    uint64_t marks = 0;  // commas and the line end, of its first block

    // The field that begins behind `column` commas; empty where that is not within the first block.
    [[gnu::always_inline]] inline Text field(const char* line, size_t column) const {
        uint64_t left = marks;
        for (size_t i = 1; i < column; ++i) left &= left - 1;
        const size_t begin = column == 0 ? 0 : lowest_bit(left) + 1;
        if (column != 0) left &= left - 1;
        return left != 0 ? Text{line + begin, line + lowest_bit(left)} : Text{line, line};
    }
};

// Nothing at or behind `end` is loaded.
template <class Block>
[[gnu::always_inline]] inline ForeignLine measure_line(const char* line, const char* end, size_t columns) {
    ForeignLine found;
    size_t commas = 0;
    for (size_t at = 0; at < FOREIGN_LINE_BLOCKS * BLOCK_BYTES; at += BLOCK_BYTES) {
        if (static_cast<size_t>(end - line) < at + BLOCK_BYTES) return {};
        const BlockMarks block = Block::marks(line + at);
        // All bits up to the first line end, and that one.
        const uint64_t inside = block.line_ends ^ (block.line_ends - 1);
        if ((Block::quotes(line + at) & inside) != 0) return {};
        if (at == 0) found.marks = (block.commas | block.line_ends) & inside;
        commas += bit_count(block.commas & inside);
        if (block.line_ends == 0) continue;
        found.size = at + lowest_bit(block.line_ends);
        return commas + 1 == columns ? found : ForeignLine{};
    }
    return {};
}

// What told of the line before that it is elsewhere, as it stands there: most lines have the name of the line before them.
struct ForeignName {
    const char* text = nullptr;
    size_t offset = 0, size = 0;  // 0: none
    size_t column = 0;

    // The fields `first` to `last` of a line.
    void note(const ForeignLine& found, const char* line, size_t first, size_t last) {
        const Text begin = found.field(line, first), end = found.field(line, last);
        text = begin.begin;
        offset = static_cast<size_t>(begin.begin - line);
        size = static_cast<size_t>(end.end - begin.begin);
        column = first;
    }
    [[gnu::always_inline]] inline bool stands_in(const ForeignLine& found, const char* line) const {
        const uint64_t before = (uint64_t{1} << offset) - 1;
        return size != 0 && bit_count(found.marks & before) == column && ((found.marks << 1 | 1) >> offset & 1) != 0 &&
               (found.marks >> (offset + size) & 1) != 0 && same_bytes(line + offset, text, size);
    }
};

template <bool delay_is_time>
[[gnu::always_inline]] inline bool is_foreign_line(const ForeignLine& found, const char* line, LineReaders& readers, ForeignName& known) {
    const size_t column = readers.shape.column[TICKER];
    const Text name = trimmed(found.field(line, column));
    uint32_t ticker = 0;
    known.size = 0;
    if (name.empty()) return false;
    if constexpr (delay_is_time) {
        const size_t other = readers.shape.column[EXCHANGE];
        const Text exchange = trimmed(found.field(line, other));
        if (exchange.empty() || !readers.names.find(name.view(), exchange.view(), ticker) || ticker != ELSEWHERE) return false;
        if (column + 1 == other || other + 1 == column) known.note(found, line, std::min(column, other), std::max(column, other));
        return true;
    }
    if (!readers.names.find(name.view(), ticker) || ticker != ELSEWHERE) return false;
    known.note(found, line, column, column);
    return true;
}

// Move `position` behind the lines that are elsewhere, at most `limit`, and count them.
template <class Block, bool delay_is_time>
[[gnu::always_inline]] inline size_t pass_foreign_lines_by(const char*& position, const char* end, size_t limit, LineReaders& readers,
                                                           RowRules& rules) {
    const size_t columns = readers.shape.columns;
    ForeignName known;
    const char* line = position;
    size_t count = 0;
    for (; count < limit && rules.policy.may_skip(rules.state.line + count); ++count) {
        const ForeignLine found = measure_line<Block>(line, end, columns);
        if (found.size == 0) break;
        if (!known.stands_in(found, line) && !is_foreign_line<delay_is_time>(found, line, readers, known)) break;
        line += found.size + 1;
    }
    position = line;
    rules.state.line += count;
    rules.state.elsewhere += count;
    return count;
}

[[gnu::target(MIDSTREAM_AVX2)]] inline size_t pass_foreign_lines_avx2(const char*& position, const char* end, size_t limit,
                                                                      LineReaders& readers, RowRules& rules) {
    return rules.policy.delay_is_time ? pass_foreign_lines_by<avx2::Block, true>(position, end, limit, readers, rules)
                                      : pass_foreign_lines_by<avx2::Block, false>(position, end, limit, readers, rules);
}
[[gnu::target(MIDSTREAM_AVX512)]] inline size_t pass_foreign_lines_avx512(const char*& position, const char* end, size_t limit,
                                                                          LineReaders& readers, RowRules& rules) {
    return rules.policy.delay_is_time ? pass_foreign_lines_by<avx512::Block, true>(position, end, limit, readers, rules)
                                      : pass_foreign_lines_by<avx512::Block, false>(position, end, limit, readers, rules);
}

inline size_t pass_foreign_lines(const char*& position, const char* end, size_t limit, LineReaders& readers, RowRules& rules) {
    return SIMD == Simd::AVX512 ? pass_foreign_lines_avx512(position, end, limit, readers, rules)
                                : pass_foreign_lines_avx2(position, end, limit, readers, rules);
}

}  // namespace midstream
#endif
