// Passes over lines of other partitions without reading them, for processors that plain_lines.hpp has nothing for.
#pragma once
#include <algorithm>

#include "lines.hpp"
#include "readers.hpp"
#include "rows.hpp"

namespace midstream {

// Pass over the next line when it is known to be elsewhere, and count it as such; whoever calls counts the line. It never passes quotes:
// what stands between two commas is then a field.
inline bool skip_elsewhere(LineCutter& lines, RowRules& rules, LineReaders& readers) {
    if (!rules.policy.may_skip(rules.state.line)) return false;
    const size_t left = static_cast<size_t>(lines.end - lines.position);
    const char* const newline = left != 0 ? static_cast<const char*>(std::memchr(lines.position, '\n', left)) : nullptr;
    if (newline == nullptr || std::memchr(lines.position, '"', static_cast<size_t>(newline - lines.position)) != nullptr) return false;
    Line line;
    line.set(lines.position, newline);
    const auto field = [&](Part part) {
        const char* begin = line.begin;
        for (size_t column = readers.shape.column[part]; column > 0; --column) {
            begin = std::find(begin, line.end, ',');
            if (begin == line.end) return Text{line.end, line.end};
            ++begin;
        }
        return trimmed({begin, std::find(begin, line.end, ',')});
    };
    const Text name = field(TICKER);
    uint32_t ticker = 0;
    if (name.empty()) return false;
    if (rules.policy.delay_is_time) {
        const Text exchange = field(EXCHANGE);
        if (exchange.empty() || !readers.names.find(name.view(), exchange.view(), ticker)) return false;
    } else if (!readers.names.find(name.view(), ticker)) {
        return false;
    }
    if (ticker != ELSEWHERE) return false;
    ++rules.state.elsewhere;
    lines.position = newline + 1;
    return true;
}

}  // namespace midstream
