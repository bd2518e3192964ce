// SHA-256 (FIPS 180-4) whose inner state can be stored and taken up again, which the standard library's cannot.
// Uses the processor's SHA instructions where it has them.
#pragma once
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#if defined(__x86_64__) && defined(__GNUC__)
#define MIDSTREAM_SHA_INSTRUCTIONS 1
#include <cpuid.h>
#include <immintrin.h>
#endif

namespace midstream {

namespace sha256 {

constexpr size_t BLOCK = 64;

// The first 32 bits of the fractional parts of the cube roots of the first 64 primes.
alignas(16) constexpr uint32_t ROUND[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

inline uint32_t rotate(uint32_t x, int count) { return x >> count | x << (32 - count); }

inline uint32_t load_big_endian(const unsigned char* at) {
    return uint32_t{at[0]} << 24 | uint32_t{at[1]} << 16 | uint32_t{at[2]} << 8 | uint32_t{at[3]};
}

inline void compress_portable(uint32_t* state, const unsigned char* block, size_t count) {
    for (; count > 0; --count, block += BLOCK) {
        uint32_t w[64];
        for (int i = 0; i < 16; ++i) w[i] = load_big_endian(block + 4 * i);
        for (int i = 16; i < 64; ++i) {
            const uint32_t s0 = rotate(w[i - 15], 7) ^ rotate(w[i - 15], 18) ^ w[i - 15] >> 3;
            const uint32_t s1 = rotate(w[i - 2], 17) ^ rotate(w[i - 2], 19) ^ w[i - 2] >> 10;
            w[i] = w[i - 16] + s0 + w[i - 7] + s1;
        }
        uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
        uint32_t e = state[4], f = state[5], g = state[6], h = state[7];
        for (int i = 0; i < 64; ++i) {
            const uint32_t t1 = h + (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) + ((e & f) ^ (~e & g)) + ROUND[i] + w[i];
            const uint32_t t2 = (rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
            h = g, g = f, f = e, e = d + t1;
            d = c, c = b, b = a, a = t1 + t2;
        }
        state[0] += a, state[1] += b, state[2] += c, state[3] += d;
        state[4] += e, state[5] += f, state[6] += g, state[7] += h;
    }
}

#ifdef MIDSTREAM_SHA_INSTRUCTIONS

inline bool has_instructions() {
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_SSSE3) || !(c & bit_SSE4_1)) return false;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & (1u << 29));
}

__attribute__((target("sha,ssse3,sse4.1"))) inline void compress_instructions(uint32_t* state, const unsigned char* block,
                                                                              size_t count) {
    const __m128i big_endian = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
    // The instructions want the eight words as (a b e f) and (c d g h), highest lane first.
    const __m128i abcd = _mm_shuffle_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(state)), 0xB1);
    const __m128i efgh = _mm_shuffle_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(state + 4)), 0x1B);
    __m128i abef = _mm_alignr_epi8(abcd, efgh, 8);
    __m128i cdgh = _mm_blend_epi16(efgh, abcd, 0xF0);
    for (; count > 0; --count, block += BLOCK) {
        const __m128i abef_before = abef, cdgh_before = cdgh;
        __m128i w[4];  // the last 16 words of the message schedule, four to an element
#pragma GCC unroll 16
        for (int i = 0; i < 16; ++i) {
            if (i < 4) {
                const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(block) + i);
                w[i] = _mm_shuffle_epi8(bytes, big_endian);
            } else {
                const __m128i earlier = _mm_sha256msg1_epu32(w[i % 4], w[(i + 1) % 4]);
                const __m128i seven_back = _mm_alignr_epi8(w[(i + 3) % 4], w[(i + 2) % 4], 4);
                w[i % 4] = _mm_sha256msg2_epu32(_mm_add_epi32(earlier, seven_back), w[(i + 3) % 4]);
            }
            const __m128i keyed = _mm_add_epi32(w[i % 4], _mm_load_si128(reinterpret_cast<const __m128i*>(ROUND) + i));
            cdgh = _mm_sha256rnds2_epu32(cdgh, abef, keyed);
            abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(keyed, 0x0E));
        }
        abef = _mm_add_epi32(abef, abef_before);
        cdgh = _mm_add_epi32(cdgh, cdgh_before);
    }
    const __m128i feba = _mm_shuffle_epi32(abef, 0x1B);
    const __m128i dchg = _mm_shuffle_epi32(cdgh, 0xB1);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(state), _mm_blend_epi16(feba, dchg, 0xF0));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(state + 4), _mm_alignr_epi8(dchg, feba, 8));
}

inline void compress(uint32_t* state, const unsigned char* block, size_t count) {
    static const bool fast = has_instructions();
    fast ? compress_instructions(state, block, count) : compress_portable(state, block, count);
}

#else

inline bool has_instructions() { return false; }
inline void compress(uint32_t* state, const unsigned char* block, size_t count) { compress_portable(state, block, count); }

#endif

}  // namespace sha256

// A running digest. Input collects in a buffer of many blocks, so that short records cost a copy and little else.
class Sha256 {
  public:
    explicit Sha256(bool portable = false) : compress_(portable ? sha256::compress_portable : sha256::compress) {}

    void update(std::string_view bytes) {
        while (!bytes.empty()) {
            if (used_ == CAPACITY) flush();
            const size_t part = std::min(bytes.size(), CAPACITY - used_);
            std::memcpy(buffer_ + used_, bytes.data(), part);
            used_ += part;
            bytes.remove_prefix(part);
        }
    }
    template <class T>
    void update_number(T number) {  // little-endian
        update({reinterpret_cast<const char*>(&number), sizeof number});
    }

    std::string digest() const {
        Sha256 last = *this;
        last.flush();
        const uint64_t bits = (last.compressed_ + last.used_) * 8;
        last.update(std::string_view("\x80", 1));
        while (last.used_ % sha256::BLOCK != sha256::BLOCK - 8) last.update(std::string_view("\0", 1));
        for (int shift = 56; shift >= 0; shift -= 8) last.update_number(static_cast<unsigned char>(bits >> shift));
        last.flush();
        std::string digest;
        for (const uint32_t word : last.state_) {
            for (int shift = 24; shift >= 0; shift -= 8) digest.push_back(static_cast<char>(word >> shift));
        }
        return digest;
    }

    // What a store needs: eight words, bytes compressed so far, and fewer than 64 bytes that are not yet.
    void flush() {
        const size_t blocks = used_ / sha256::BLOCK;
        if (blocks == 0) return;
        compress_(state_.data(), buffer_, blocks);
        const size_t whole = blocks * sha256::BLOCK;
        compressed_ += whole;
        used_ -= whole;
        std::memmove(buffer_, buffer_ + whole, used_);
    }
    uint32_t word(size_t i) const { return state_[i]; }
    uint64_t compressed() const { return compressed_; }
    std::string tail() const { return {reinterpret_cast<const char*>(buffer_), used_}; }
    void restore(const uint32_t* words, uint64_t compressed, std::string_view tail) {
        std::memcpy(state_.data(), words, sizeof state_);
        compressed_ = compressed;
        used_ = 0;
        update(tail);
    }

  private:
    static constexpr size_t CAPACITY = 64 * sha256::BLOCK;

    void (*compress_)(uint32_t*, const unsigned char*, size_t);
    // The first 32 bits of the fractional parts of the square roots of the first 8 primes.
    std::array<uint32_t, 8> state_ = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                      0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    uint64_t compressed_ = 0;
    size_t used_ = 0;
    unsigned char buffer_[CAPACITY];
};

}  // namespace midstream
