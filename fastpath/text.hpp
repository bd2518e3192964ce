// UTF-8, and the reasons why a text is no value. Nothing throws but bad_alloc.
#pragma once
#include <string>

#include "numbers.hpp"
#include "times.hpp"

namespace midstream {

// Length of the code point at `at`, or of the longest start of one when it is invalid (as Python's "replace" counts them).
inline size_t code_point_size(const char* at, const char* end, bool& valid) {
    const auto byte = [&](size_t i) { return static_cast<unsigned char>(at[i]); };
    valid = true;
    const unsigned char first = byte(0);
    if (first < 0x80) return 1;
    const size_t size = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
    valid = first >= 0xC2 && first <= 0xF4;
    if (!valid) return 1;
    // The second byte excludes overlong forms, surrogates and what lies beyond U+10FFFF.
    unsigned char low = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
    unsigned char high = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
    for (size_t i = 1; i < size; ++i, low = 0x80, high = 0xBF) {
        valid = at + i != end && byte(i) >= low && byte(i) <= high;
        if (!valid) return i;
    }
    return size;
}

inline bool is_utf8(Text text) {
    bool valid = true;
    while (text.begin != text.end && valid) text.begin += code_point_size(text.begin, text.end, valid);
    return valid;
}

// The first 40 characters in quotes; what is no UTF-8 becomes U+FFFD.
inline std::string quoted(Text text) {
    text = trimmed(text);
    std::string out = "'";
    for (int characters = 0; characters < 40 && text.begin != text.end; ++characters) {
        bool valid;
        const size_t size = code_point_size(text.begin, text.end, valid);
        if (valid) out.append(text.begin, size);
        else out += "\xEF\xBF\xBD";
        text.begin += size;
    }
    return out += "'";
}

inline std::string number_reason(const char* column, NumberFault fault, Text text) {
    const std::string name = "`" + std::string(column) + "` is ";
    switch (fault) {
        case NUMBER_EMPTY: return name + "empty";
        case NUMBER_TOO_LARGE: return name + "too large: " + quoted(text);
        case NUMBER_NEGATIVE: return name + "negative: " + quoted(text);
        default: return name + "not a number: " + quoted(text);
    }
}

inline std::string time_reason(const char* column, TimeFault fault, Text text, bool fraction_unit_us) {
    const std::string name = column;
    switch (fault) {
        case TIME_EMPTY: return name + " is empty";
        case TIME_YEAR: return name + " is outside the years 1678 to 2261";
        case TIME_MONTH: return name + " has an invalid month";
        case TIME_DAY: return name + " has an invalid day";
        case TIME_HOUR: return name + " has an invalid hour";
        case TIME_MINUTE: return name + " has an invalid minute";
        case TIME_SECOND: return name + " has an invalid second";
        case TIME_FRACTION: return name + " has more than " + (fraction_unit_us ? "6" : "9") + " fraction digits";
        case TIME_OFFSET: return name + " has an invalid offset";
        case TIME_EPOCH: return name + " is no epoch time in s, ms, us or ns: " + quoted(text);
        default: return name + " is not a time: " + quoted(text);
    }
}

}  // namespace midstream
