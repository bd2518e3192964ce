// Where the fields and the lines of a window of text end, found 64 bytes at a time.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "lanes.hpp"

#if MIDSTREAM_X86
#define MIDSTREAM_AVX512 "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,bmi,bmi2,popcnt"

namespace midstream {

constexpr size_t BLOCK_BYTES = 64;
constexpr size_t WINDOW_BYTES = 4096;

// Bit i of each says that byte i of a block is one.
struct BlockMarks {
    uint64_t commas;
    uint64_t line_ends;
};

// How many zero bits are below the lowest one.
inline size_t lowest_bit(uint64_t bits) { return bits != 0 ? static_cast<size_t>(__builtin_ctzll(bits)) : 64; }
inline size_t bit_count(uint64_t bits) { return static_cast<size_t>(__builtin_popcountll(bits)); }

// The places of the bits, one by one. Most blocks have no more than eight: these are written whether or not they are there.
[[gnu::always_inline]] inline void write_bit_places(uint64_t bits, uint16_t begin, uint16_t* places) {
    for (size_t i = 0; i < 8 || bits != 0; ++i, bits &= bits - 1) places[i] = static_cast<uint16_t>(begin + lowest_bit(bits));
}

// In a window, a comma or a line end is a mark. Fields are given by where they start, which is behind a mark.
class Marks {
  public:
    size_t line_count = 0;  // of those that end in the window

    // Where each field of a line starts, and behind them where the next line does.
    const uint16_t* starts(size_t line) const { return starts_ + first_[line]; }
    size_t field_count(size_t line) const { return static_cast<size_t>(first_[line + 1] - first_[line]); }
    size_t line_begin(size_t line) const { return *starts(line); }

    void clear() {
        line_count = count_ = 0;
        starts_[0] = first_[0] = 0;
    }

    // The marks of the next block. `Block` writes their places.
    template <class Block>
    [[gnu::always_inline]] inline void add(size_t block_begin, const char* bytes) {
        const BlockMarks block = Block::marks(bytes);
        const uint64_t all = block.commas | block.line_ends;
        Block::write_places(all, static_cast<uint16_t>(block_begin + 1), starts_ + 1 + count_);
        // Most blocks have at most one line end: it is written whether or not it is there, which costs less than a guess.
        uint16_t* const first = first_ + 1 + line_count;
        uint64_t line_ends = block.line_ends;
        const auto next_line = [&] {
            const uint64_t up_to_end = line_ends ^ (line_ends - 1);
            line_ends &= line_ends - 1;
            return static_cast<uint16_t>(count_ + bit_count(all & up_to_end));
        };
        first[0] = next_line();
        for (size_t i = 1; line_ends != 0; ++i) first[i] = next_line();
        count_ += bit_count(all);
        line_count += bit_count(block.line_ends);
    }

  private:
    size_t count_ = 0;
    uint16_t starts_[1 + WINDOW_BYTES + BLOCK_BYTES];
    uint16_t first_[1 + WINDOW_BYTES + 1];  // number of each line's first field
};

namespace avx2 {

[[gnu::target(MIDSTREAM_AVX2)]] inline uint64_t equal_bytes(__m256i low, __m256i high, char byte) {
    const __m256i wanted = _mm256_set1_epi8(byte);
    return static_cast<uint32_t>(_mm256_movemask_epi8(_mm256_cmpeq_epi8(low, wanted))) |
           static_cast<uint64_t>(static_cast<uint32_t>(_mm256_movemask_epi8(_mm256_cmpeq_epi8(high, wanted)))) << 32;
}

struct Block {
    [[gnu::target(MIDSTREAM_AVX2)]] static BlockMarks marks(const char* block) {
        const __m256i low = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(block));
        const __m256i high = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(block + 32));
        return {equal_bytes(low, high, ','), equal_bytes(low, high, '\n')};
    }
    [[gnu::target(MIDSTREAM_AVX2)]] static uint64_t quotes(const char* block) {
        const __m256i low = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(block));
        return equal_bytes(low, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(block + 32)), '"');
    }
    [[gnu::target(MIDSTREAM_AVX2)]] static void write_places(uint64_t bits, uint16_t begin, uint16_t* places) {
        write_bit_places(bits, begin, places);
    }
};

}  // namespace avx2

namespace avx512 {

struct Counting {
    alignas(64) uint8_t numbers[64] = {};
    constexpr Counting() {
        for (uint8_t i = 0; i < 64; ++i) numbers[i] = i;
    }
};
inline constexpr Counting COUNTING;

struct Block {
    [[gnu::target(MIDSTREAM_AVX512)]] static BlockMarks marks(const char* block) {
        const __m512i bytes = _mm512_loadu_si512(block);
        return {_mm512_cmpeq_epi8_mask(bytes, _mm512_set1_epi8(',')), _mm512_cmpeq_epi8_mask(bytes, _mm512_set1_epi8('\n'))};
    }
    [[gnu::target(MIDSTREAM_AVX512)]] static uint64_t quotes(const char* block) {
        return _mm512_cmpeq_epi8_mask(_mm512_loadu_si512(block), _mm512_set1_epi8('"'));
    }
    // The numbers 0 to 63 without those whose bit is not set.
    [[gnu::target(MIDSTREAM_AVX512)]] static void write_places(uint64_t bits, uint16_t begin, uint16_t* places) {
        const __m512i set = _mm512_maskz_compress_epi8(static_cast<__mmask64>(bits), _mm512_load_si512(COUNTING.numbers));
        const __m512i from = _mm512_set1_epi16(static_cast<int16_t>(begin));
        _mm512_storeu_si512(places, _mm512_add_epi16(from, _mm512_cvtepu8_epi16(_mm512_castsi512_si256(set))));
        if (bit_count(bits) > 32)
            _mm512_storeu_si512(places + 32, _mm512_add_epi16(from, _mm512_cvtepu8_epi16(_mm512_extracti64x4_epi64(set, 1))));
    }
};

}  // namespace avx512

// Inlined into a function that is made for the processor whose `Block` it is given.
template <class Block>
[[gnu::always_inline]] inline void find_marks_by(const char* text, size_t size, Marks& marks) {
    marks.clear();
    size_t at = 0;
    for (; at + BLOCK_BYTES <= size; at += BLOCK_BYTES) marks.add<Block>(at, text + at);
    if (at == size) return;
    char last[BLOCK_BYTES] = {};  // nothing behind the text may be loaded
    std::memcpy(last, text + at, size - at);
    marks.add<Block>(at, last);
}

[[gnu::target(MIDSTREAM_AVX2)]] inline void find_marks_avx2(const char* text, size_t size, Marks& marks) {
    find_marks_by<avx2::Block>(text, size, marks);
}
[[gnu::target(MIDSTREAM_AVX512)]] inline void find_marks_avx512(const char* text, size_t size, Marks& marks) {
    find_marks_by<avx512::Block>(text, size, marks);
}

// At most WINDOW_BYTES.
inline void find_marks(const char* text, size_t size, Marks& marks) {
    if (SIMD == Simd::AVX512) find_marks_avx512(text, size, marks);
    else find_marks_avx2(text, size, marks);
}

}  // namespace midstream
#endif
