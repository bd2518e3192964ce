// How many lines end in some bytes, at the speed of the cache. It knows nothing of rows, so that it can contradict who counts them.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace midstream {

inline size_t count_line_ends(const uint8_t* bytes, size_t size) {
    constexpr size_t STEP = 240;  // what one byte counts without overflow; compilers make SIMD of it
    size_t total = 0, start = 0;
    for (; start + STEP <= size; start += STEP) {
        uint8_t count = 0;
        for (size_t i = 0; i < STEP; ++i) count += bytes[start + i] == '\n';
        total += count;
    }
    return total + static_cast<size_t>(std::count(bytes + start, bytes + size, '\n'));
}

}  // namespace midstream
