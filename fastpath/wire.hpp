// The protobuf wire format: a reader for bytes that may be hostile, and writers that size and fill with one description.
// No Python, no I/O. Loads and stores go through memcpy, because nothing on the wire is aligned.
#pragma once
#include "column.hpp"

#include <cstdint>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "packed columns are copied as they are: little-endian only");

namespace midstream::wire {

// The bytes are not what they should be. Cython turns it into ValueError; the message names field and byte offset.
struct Malformed : std::invalid_argument {
    using std::invalid_argument::invalid_argument;
};

enum Type : uint32_t { VARINT = 0, FIXED64 = 1, LENGTH = 2, GROUP_START = 3, GROUP_END = 4, FIXED32 = 5 };

constexpr int GROUP_DEPTH_MAX = 100;  // what the official parsers allow

// Length of the UTF-8 character at the start of `text` (not empty); 0 when there is no valid one.
inline size_t utf8_character(std::string_view text) {
    const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
    const unsigned char lead = byte(0);
    if (lead < 0x80) return 1;
    size_t length;
    // The second byte's range shuts out overlong forms, surrogates and everything above U+10FFFF.
    unsigned char low = 0x80, high = 0xBF;
    if (lead >= 0xC2 && lead <= 0xDF) {
        length = 2;
    } else if (lead >= 0xE0 && lead <= 0xEF) {
        length = 3;
        if (lead == 0xE0) low = 0xA0;
        if (lead == 0xED) high = 0x9F;
    } else if (lead >= 0xF0 && lead <= 0xF4) {
        length = 4;
        if (lead == 0xF0) low = 0x90;
        if (lead == 0xF4) high = 0x8F;
    } else {
        return 0;
    }
    if (text.size() < length || byte(1) < low || byte(1) > high) return 0;
    for (size_t i = 2; i < length; ++i) {
        if ((byte(i) & 0xC0) != 0x80) return 0;
    }
    return length;
}

inline bool is_utf8(std::string_view text) {
    while (!text.empty()) {
        const size_t length = utf8_character(text);
        if (length == 0) return false;
        text.remove_prefix(length);
    }
    return true;
}

// Walks the fields of one message. `name` is the message's, for errors; offsets count from the outermost message's start.
class Reader {
  public:
    Reader(const char* begin, size_t size, const char* name) : Reader(begin, begin, begin + size, name) {}

    // Move to the next field; false at the end. Its value must then be read or skipped.
    bool next() {
        if (at_ == end_) return false;
        field_at_ = at_;
        const uint64_t tag = varint_of("a tag", 5);
        if (tag > UINT32_MAX || (tag >> 3) == 0) fail("a tag", "is no field number");
        field_ = static_cast<uint32_t>(tag >> 3);
        type_ = static_cast<Type>(tag & 7);
        return true;
    }
    uint32_t field() const { return field_; }

    uint64_t varint(const char* name) {
        expect(name, VARINT);
        return varint_of(name, 10);
    }
    uint64_t fixed64(const char* name) {
        expect(name, FIXED64);
        return load<uint64_t>(name);
    }
    std::string_view bytes(const char* name) {
        expect(name, LENGTH);
        const uint64_t length = varint_of(name, 5);
        if (length > static_cast<uint64_t>(end_ - at_)) {
            fail(name, "length " + std::to_string(length) + " passes the end, which is " + std::to_string(end_ - at_) +
                           " bytes away");
        }
        const std::string_view value(at_, length);
        at_ += length;
        return value;
    }
    std::string_view text(const char* name) {
        const std::string_view value = bytes(name);
        if (!is_utf8(value)) fail(name, "is not UTF-8");
        return value;
    }
    Reader message(const char* name, const char* inner) {
        const std::string_view value = bytes(name);
        return Reader(origin_, value.data(), value.data() + value.size(), inner);
    }

    // One element, or any number of packed ones, as bytes of whole elements.
    template <class T>
    std::string_view elements(const char* name) {
        constexpr Type single = sizeof(T) == 8 ? FIXED64 : FIXED32;
        if (type_ == single) {
            if (static_cast<size_t>(end_ - at_) < sizeof(T)) fail(name, "is cut off");
            at_ += sizeof(T);
            return {at_ - sizeof(T), sizeof(T)};
        }
        const std::string_view packed = bytes(name);
        if (packed.size() % sizeof(T) != 0) {
            fail(name, std::to_string(packed.size()) + " bytes are no whole number of " + std::to_string(sizeof(T)) +
                           "-byte values");
        }
        return packed;
    }
    template <class T>
    void column(const char* name, Column<T>& into) {
        const std::string_view packed = elements<T>(name);
        if (packed.empty()) return;
        const size_t before = into.size();
        into.resize(before + packed.size() / sizeof(T));
        std::memcpy(into.data() + before, packed.data(), packed.size());
    }

    void skip() {
        if (type_ == GROUP_START) {
            skip_group();
        } else {
            skip_value();
        }
    }

    [[noreturn]] void fail(const char* name, const std::string& what) const {
        throw Malformed(std::string(name_) + ": " + name + " at byte " + std::to_string(field_at_ - origin_) + ": " + what);
    }

  private:
    Reader(const char* origin, const char* begin, const char* end, const char* name)
        : origin_(origin), at_(begin), field_at_(begin), end_(end), name_(name) {}

    void expect(const char* name, Type type) const {
        if (type_ != type) fail(name, "has wire type " + std::to_string(type_) + " where " + std::to_string(type) + " belongs");
    }
    uint64_t varint_of(const char* name, int length_max) {
        uint64_t value = 0;
        for (int i = 0; i < length_max; ++i) {
            if (at_ == end_) fail(name, "is cut off");
            const auto byte = static_cast<unsigned char>(*at_++);
            value |= static_cast<uint64_t>(byte & 0x7F) << (7 * i);  // of a tenth byte one bit counts, as in every parser
            if (byte < 0x80) return value;
        }
        fail(name, "is a varint that does not end in time");
    }
    template <class T>
    T load(const char* name) {
        if (static_cast<size_t>(end_ - at_) < sizeof(T)) fail(name, "is cut off");
        T value;
        std::memcpy(&value, at_, sizeof(T));
        at_ += sizeof(T);
        return value;
    }
    void skip_value() {
        switch (type_) {
            case VARINT: varint_of("an unknown field", 10); break;
            case FIXED64: load<uint64_t>("an unknown field"); break;
            case FIXED32: load<uint32_t>("an unknown field"); break;
            case LENGTH: bytes("an unknown field"); break;
            default: fail("an unknown field", "has wire type " + std::to_string(type_) + ", which cannot stand here");
        }
    }
    // Groups nest; a stack of their numbers proves that each is closed by its own end.
    void skip_group() {
        uint32_t open[GROUP_DEPTH_MAX];
        int depth = 0;
        open[depth++] = field_;
        while (depth > 0) {
            if (!next()) fail("an unknown group", "is not closed");
            if (type_ == GROUP_START) {
                if (depth == GROUP_DEPTH_MAX) fail("an unknown group", "is nested too deeply");
                open[depth++] = field_;
            } else if (type_ == GROUP_END) {
                if (open[--depth] != field_) fail("an unknown group", "is closed by another one's end");
            } else {
                skip_value();
            }
        }
    }

    const char* origin_;
    const char* at_;
    const char* field_at_;
    const char* end_;
    const char* name_;
    uint32_t field_ = 0;
    Type type_ = VARINT;
};

// Writing: a message is described once, by a function over an `out`. With a Sizer it is measured, with a Filler written.
class Sizer {
  public:
    size_t size = 0;
    void varint(uint64_t value) {
        do ++size;
        while (value >>= 7);
    }
    void raw(const void*, size_t count) { size += count; }
    char* room(size_t count) {
        size += count;
        return nullptr;
    }
};

// Writes into memory that a Sizer has measured.
class Filler {
  public:
    explicit Filler(char* into) : at(into) {}
    char* at;
    void varint(uint64_t value) {
        while (value >= 0x80) {
            *at++ = static_cast<char>(value | 0x80);
            value >>= 7;
        }
        *at++ = static_cast<char>(value);
    }
    void raw(const void* from, size_t count) {
        if (count == 0) return;
        std::memcpy(at, from, count);
        at += count;
    }
    // For whoever fills it later.
    char* room(size_t count) {
        at += count;
        return at - count;
    }
};

template <class Out>
void put_tag(Out& out, uint32_t field, Type type) {
    out.varint(field << 3 | type);
}
// Fields without presence: the default is not written.
template <class Out>
void put_varint(Out& out, uint32_t field, uint64_t value) {
    if (value == 0) return;
    put_tag(out, field, VARINT);
    out.varint(value);
}
template <class Out>
void put_enum(Out& out, uint32_t field, int32_t value) {
    put_varint(out, field, static_cast<uint64_t>(static_cast<int64_t>(value)));
}
template <class Out>
void put_fixed64(Out& out, uint32_t field, uint64_t value) {
    if (value == 0) return;
    put_tag(out, field, FIXED64);
    out.raw(&value, sizeof value);
}
// Fields with presence, and elements of repeated fields.
template <class Out>
void put_bytes_always(Out& out, uint32_t field, std::string_view value) {
    put_tag(out, field, LENGTH);
    out.varint(value.size());
    out.raw(value.data(), value.size());
}
template <class Out>
void put_bytes(Out& out, uint32_t field, std::string_view value) {
    if (!value.empty()) put_bytes_always(out, field, value);
}
template <class Out>
void put_double(Out& out, uint32_t field, double value) {
    uint64_t bits;
    std::memcpy(&bits, &value, sizeof(bits));
    put_fixed64(out, field, bits);
}
template <class Out, class Body>
void put_message(Out& out, uint32_t field, const Body& body) {
    Sizer inner;
    body(inner);
    put_tag(out, field, LENGTH);
    out.varint(inner.size);
    body(out);
}

// Elements begin..end of a column.
struct Run {
    size_t begin, end;
};
template <class Out, class T, class A>
void put_column(Out& out, uint32_t field, const std::vector<T, A>& column) {
    if (column.empty()) return;
    put_tag(out, field, LENGTH);
    out.varint(column.size() * sizeof(T));
    out.raw(column.data(), column.size() * sizeof(T));
}

}  // namespace midstream::wire
