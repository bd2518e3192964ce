// The lines of mid_prices.log, errors.log and the CSV of mids.
#pragma once
#include <cmath>
#include <cstdint>
#include <string>
#include <string_view>

#include "quick_text.hpp"
#include "text_format.hpp"
#include "wire.hpp"

namespace midstream {

constexpr size_t MID_LINE_MAX = 64;
constexpr size_t ERROR_LINE_MAX = 160;

inline bool is_late(int64_t arrival, int64_t event, int64_t threshold) {
    return format::exceeds(format::difference(arrival, event), threshold);
}

// The writers of lines of bounded length. The caller has made room for MID_LINE_MAX or ERROR_LINE_MAX bytes, and some slack.
inline char* put_mid_line(char* at, quick::Stamps& stamps, int64_t time, double mid, uint8_t& decimals) {
    at = stamps.put_time(at, time);
    std::memcpy(at, ", ", 2);
    at = quick::put_price(at + 2, mid, decimals);
    *at = '\n';
    return at + 1;
}
inline char* put_late_line(char* at, quick::Stamps& stamps, int64_t time, int64_t arrival, int64_t event,
                           const std::string& threshold) {
    at = format::put(stamps.put_no_mid(at, time), " as latency ");
    const format::Difference latency = format::difference(arrival, event);
    at = latency.negative || latency.magnitude >= quick::LATENCY_END ? format::put_latency(at, latency)
                                                                     : quick::put_latency(at, latency.magnitude);
    at = format::put(format::put(at, "ms is bigger than "), threshold);
    return format::put(at, "ms\n");
}
inline char* put_missing_line(char* at, quick::Stamps& stamps, int64_t time, bool no_bid, bool no_ask) {
    at = stamps.put_no_mid(at, time);
    at = format::put(at, no_bid ? (no_ask ? " as bid and ask" : " as bid") : " as ask");
    return format::put(at, " price is missing\n");
}
inline char* put_overflow_line(char* at, quick::Stamps& stamps, int64_t time) {
    return format::put(stamps.put_no_mid(at, time), " as bid + ask is beyond the range of a float64\n");
}

// Text of foreign origin on one line: C0, DEL and C1 as \xNN, the Unicode line ends as \uNNNN. `text` is UTF-8.
inline void append_escaped(TextBuffer& into, std::string_view text) {
    constexpr char HEX[] = "0123456789abcdef";
    const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
    const auto escape = [&](unsigned char control) {
        const char escaped[] = {'\\', 'x', HEX[control >> 4], HEX[control & 15]};
        into.append({escaped, sizeof escaped});
    };
    while (!text.empty()) {
        const size_t length = wire::utf8_character(text);
        if (length <= 1 && (byte(0) < 0x20 || byte(0) >= 0x7F)) {
            escape(byte(0));
        } else if (length == 2 && byte(0) == 0xC2 && byte(1) < 0xA0) {
            escape(byte(1));
        } else if (length == 3 && byte(0) == 0xE2 && byte(1) == 0x80 && (byte(2) == 0xA8 || byte(2) == 0xA9)) {
            into.append(byte(2) == 0xA8 ? "\\u2028" : "\\u2029");
        } else {
            into.append(text.substr(0, length));
        }
        text.remove_prefix(length == 0 ? 1 : length);
    }
}
inline void append_rejected_line(TextBuffer& into, std::string_view source, uint64_t line, std::string_view reason) {
    into.append("Rejected ");
    append_escaped(into, source);
    char number[24] = {':'};
    char* end = format::put(format::put_unsigned(number + 1, line), ": ");
    into.append({number, static_cast<size_t>(end - number)});
    append_escaped(into, reason);
    into.append("\n");
}

// RFC 4180: quoted when there is something to protect, with quotes doubled.
inline std::string csv_field(std::string_view text) {
    if (text.find_first_of(",\"\r\n") == std::string_view::npos) return std::string(text);
    std::string quoted = "\"";
    for (const char c : text) quoted.append(c == '"' ? 2 : 1, c);
    return quoted += '"';
}
inline void append_csv_line(TextBuffer& into, quick::Stamps& stamps, int64_t event, int64_t arrival, const std::string& ticker,
                            uint64_t sequence, double mid, uint8_t& decimals) {
    char* at = into.room(2 * TIMESTAMP_MAX + ticker.size() + 20 + MID_MAX + 5 + quick::SLACK);
    at = stamps.put_time(at, event);
    *at++ = ',';
    at = stamps.put_time(at, arrival);
    *at++ = ',';
    at = format::put(at, ticker);
    *at++ = ',';
    at = format::put_unsigned(at, sequence);
    *at++ = ',';
    at = quick::put_price(at, mid, decimals);
    *at++ = '\n';
    into.wrote(at);
}

}  // namespace midstream
