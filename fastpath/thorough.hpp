// Reads a line field by field. Whatever it is that makes a line unusable, here it gets its reason.
#pragma once
#include <string>

#include "lines.hpp"
#include "readers.hpp"
#include "text.hpp"

namespace midstream {

// How the lines of one file are to be read.
struct LineLayout {
    size_t needed_count = 0;  // fields that have to be there
    bool delay_is_time = false;
    bool fraction_unit_us = false;
};

// The reason why a line is no row; empty when its values could be read.
inline std::string read_thoroughly(Line& line, const LineLayout& layout, LineReaders& readers, Values& values) {
    switch (split(line)) {
        case QUOTES_GOOD: break;
        case QUOTE_UNCLOSED: return "a quote is not closed";
        case QUOTE_FOLLOWED: return "text stands behind a closing quote";
    }
    if (line.count < layout.needed_count || !line.surplus_blank)
        return "line has " + std::to_string(line.count) + " fields, the header " + std::to_string(readers.shape.columns);

    const auto field = [&](size_t part) { return line.fields[readers.shape.column[part]]; };
    TimeFault time_fault = readers.events.parse(field(EVENT), values.event_ns);
    if (time_fault != TIME_GOOD) return time_reason("timestamp", time_fault, field(EVENT), layout.fraction_unit_us);
    if (layout.delay_is_time) {
        time_fault = readers.arrivals.parse(field(DELAY), values.delay_ns);
        if (time_fault != TIME_GOOD) return time_reason("local_timestamp", time_fault, field(DELAY), layout.fraction_unit_us);
    } else {
        const NumberFault fault = parse_latency(field(DELAY), line.padded, values.delay_ns);
        if (fault != NUMBER_GOOD) return number_reason("latency", fault, field(DELAY));
    }
    for (size_t i = 0; i < 4; ++i) {
        const Text text = field(BID_PRICE + i);
        NumberFault fault = parse_number(text, line.padded, values.numbers[i]);
        if (fault == NUMBER_GOOD && i % 2 == 1 && values.numbers[i] < 0) fault = NUMBER_NEGATIVE;
        if (fault != NUMBER_GOOD && fault != NUMBER_EMPTY) return number_reason(QUOTE_COLUMNS[i], fault, text);
    }
    values.ticker = field(TICKER);
    values.exchange = field(EXCHANGE);
    return {};
}

}  // namespace midstream
