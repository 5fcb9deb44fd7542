// Adam's moments of the harmonics, a byte each: the root of the second, and the first over that
// root. Harmonics are most of a splat's numbers, and their moments were half of what a step moves.
//
// A byte is a small floating-point number, rounded up or down at random so that it is right on
// average: rounded to the nearest, a decay by 0.999 would never happen. The quotient's size is free
// of the capture's and of the photos', and at most 7.27 (Cauchy and Schwarz, for 0.9 and 0.999).
#pragma once

#include "scalar.h"

#if !defined(__CUDACC_RTC__)
#include <cstring>
#endif

GABORSPLAT_BEGIN

HD std::uint32_t bits_of(float x) {
#if defined(__CUDA_ARCH__)
    return ::__float_as_uint(x);
#else
    std::uint32_t bits;
    std::memcpy(&bits, &x, sizeof bits);
    return bits;
#endif
}
HD float float_of(std::uint32_t bits) {
#if defined(__CUDA_ARCH__)
    return ::__uint_as_float(bits);
#else
    float x;
    std::memcpy(&x, &bits, sizeof x);
    return x;
#endif
}

/// A float's exponent and the first three bits of its fraction, counted from the smallest number,
/// 2^Smallest, on: 0 is zero, 1 that number, and `Largest` the largest.
template <int Smallest, int Largest>
struct SmallFloat {
    static constexpr int kDropped = 20;  // bits of a float's fraction
    static constexpr std::uint32_t kZero = ((127 + Smallest) << 3) - 1;

    HD static float decode(std::uint32_t code) {
        return code == 0 ? 0.0f : float_of((code + kZero) << kDropped);
    }
    /// The code below x >= 0 or the one above, each as likely as x is near to it. `random` has 16
    /// bits.
    HD static std::uint32_t encode(float x, std::uint32_t random) {
        const float smallest = float_of((1 + kZero) << kDropped);
        const float largest = float_of((Largest + kZero) << kDropped);
        x = x < largest ? x : largest;
        std::uint32_t tiny = x > float(random) * (smallest / 65536.0f) ? 1 : 0;
        std::uint32_t code = ((bits_of(x) + (random << (kDropped - 16))) >> kDropped) - kZero;
        return x < smallest ? tiny : code;
    }
};
using RootCode = SmallFloat<-36, 255>;      // to 0.055
using QuotientCode = SmallFloat<-13, 127>;  // to 7; the byte's upper bit is the sign

HD float decode_quotient(std::uint8_t code) {
    float size = QuotientCode::decode(code & 127u);
    return code & 128u ? -size : size;
}
HD std::uint8_t encode_quotient(float x, std::uint32_t random) {
    std::uint32_t code = QuotientCode::encode(x < 0.0f ? -x : x, random);
    return std::uint8_t(x < 0.0f ? code | 128u : code);
}

/// The two moments of a number.
template <class S>
struct AdamMoments {
    S first, second;
};
template <class S>
HD AdamMoments<S> decode_moments(std::uint8_t quotient, std::uint8_t root) {
    S spread = S(RootCode::decode(root));
    return {S(decode_quotient(quotient)) * spread, spread * spread};
}
/// The bytes of two moments. `random` is any word: another one each time.
template <class S>
HD void encode_moments(AdamMoments<S> moments, std::uint32_t random, std::uint8_t& quotient,
                       std::uint8_t& root) {
    std::uint32_t code = RootCode::encode(float(sqrt_(moments.second)), random & 0xffffu);
    float spread = RootCode::decode(code);
    root = std::uint8_t(code);
    // Over what was kept of the root, so that their product is the first moment on average.
    float found = float(moments.first) / (code ? spread : 1.0f);
    quotient = code ? encode_quotient(found, random >> 16) : std::uint8_t(0);
}

/// A word that looks random, of one that need not ("lowbias32" of Wellons 2018, a bijection).
HD std::uint32_t scrambled(std::uint32_t x) {
    x ^= x >> 16;
    x *= 0x21f0aaadu;
    x ^= x >> 15;
    x *= 0x735a2d97u;
    return x ^ x >> 15;
}

GABORSPLAT_END
