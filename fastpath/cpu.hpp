// Which instructions this processor has: kernels that are spelled in more than one way choose by it.
#pragma once

#include <cstdlib>
#include <string_view>

#if defined(__x86_64__) && defined(__GNUC__)
#define MIDSTREAM_X86 1
#else
#define MIDSTREAM_X86 0
#endif

namespace midstream {

// In order: whoever has one has those before it.
enum class Simd { PORTABLE, AVX2, AVX512 };

inline Simd best_simd() noexcept {
#if MIDSTREAM_X86
    // Runs while a library is loaded, when the compiler's own initialisation may not have been yet.
    __builtin_cpu_init();
    // What Ice Lake and Zen 4 brought; kernels name these in their `target` attributes.
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx512vbmi2")) {
        return Simd::AVX512;
    }
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2")) {
        return Simd::AVX2;
    }
#endif
    return Simd::PORTABLE;
}

// FASTPATH_SIMD lowers it, so that all spellings can be tested on one machine; the package checks its words when it is imported.
inline Simd chosen_simd() noexcept {
    const Simd best = best_simd();
    const char* setting = std::getenv("FASTPATH_SIMD");
    const std::string_view wanted = setting != nullptr ? setting : "";
    if (wanted == "portable") {
        return Simd::PORTABLE;
    }
    return wanted == "avx2" && best > Simd::AVX2 ? Simd::AVX2 : best;
}

inline const Simd SIMD = chosen_simd();

}  // namespace midstream
