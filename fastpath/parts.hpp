// The parts of a row, where they stand in a line, and what it says of them.
#pragma once
#include <cstddef>
#include <cstdint>

#include "numbers.hpp"

namespace midstream {

// What a column is for; the numbers stand in the order in which they are stored.
enum Part : uint8_t { EVENT = 0, DELAY = 1, TICKER = 2, EXCHANGE = 3, BID_PRICE = 4, PARTS = 8, NOTHING = 9 };

constexpr size_t COLUMNS_MAX = 64;  // of lines that are read the quick way

// Where each part's column is, in lines of so many columns.
struct Shape {
    size_t columns = 0;
    uint16_t column[PARTS] = {};
};

// What a row says, in whatever layout.
struct Values {
    int64_t event_ns = 0;
    int64_t delay_ns = 0;  // the latency, or with `delay_is_time` the arrival
    Text ticker{}, exchange{};
    double numbers[4] = {};
};

}  // namespace midstream
