// Scalar functions that the formulas are written with. Each exists for float, double, Dual<T, N>
// (dual.h) and Pack<T, N> (simd/pack.h), so that one formula serves them all.
#pragma once

#if defined(__CUDACC_RTC__)
// NVRTC has no standard headers, but the mathematical functions themselves.
namespace std {
using int16_t = short;
using int32_t = int;
using int64_t = long long;
using uint8_t = unsigned char;
using uint16_t = unsigned short;
using uint32_t = unsigned int;
using uint64_t = unsigned long long;
}  // namespace std
#else
#include <cmath>
#include <cstdint>
#endif

#if defined(__CUDACC__)
#define HD __host__ __device__ __forceinline__
#else
#define HD inline
#endif

// Every instruction set compiles these headers into a namespace of its own: without it the linker
// would fold the inline functions of all variants into one, built for whichever came first.
#ifndef GABORSPLAT_ISA
#define GABORSPLAT_ISA portable
#endif
#define GABORSPLAT_BEGIN   \
    namespace gaborsplat { \
    inline namespace GABORSPLAT_ISA {
#define GABORSPLAT_END \
    }                  \
    }

GABORSPLAT_BEGIN

template <class S>
struct CosSin {
    S cosine, sine;
};

HD float sqrt_(float x) { return ::sqrtf(x); }
HD double sqrt_(double x) { return ::sqrt(x); }
HD float exp_(float x) { return ::expf(x); }
HD double exp_(double x) { return ::exp(x); }
HD float log_(float x) { return ::logf(x); }
HD double log_(double x) { return ::log(x); }
HD float abs_(float x) { return ::fabsf(x); }
HD double abs_(double x) { return ::fabs(x); }
HD float exp2_(float x) { return ::exp2f(x); }
HD double exp2_(double x) { return ::exp2(x); }
/// a b + c, rounded once where the machine has an instruction for it.
#if defined(__FMA__) || defined(__CUDACC__)
HD float fma_(float a, float b, float c) { return ::fmaf(a, b, c); }
#else
HD float fma_(float a, float b, float c) { return a * b + c; }
#endif
#if defined(__CUDACC__)
HD double fma_(double a, double b, double c) { return ::fma(a, b, c); }
#else
HD double fma_(double a, double b, double c) { return a * b + c; }
#endif

/// What no comparison holds with.
#if defined(__CUDACC__)
HD float not_a_number() { return ::nanf(""); }
#else
HD float not_a_number() { return __builtin_nanf(""); }
#endif

HD float select(bool where, float yes, float no) { return where ? yes : no; }
HD double select(bool where, double yes, double no) { return where ? yes : no; }
HD bool any(bool mask) { return mask; }
/// What comparing two values gives: bool, or one truth value a lane.
template <class V>
using MaskOf = decltype(V() > V());
HD float ceil_(float x) { return ::ceilf(x); }
HD double ceil_(double x) { return ::ceil(x); }
HD float floor_(float x) { return ::floorf(x); }
HD double floor_(double x) { return ::floor(x); }

/// The second operand where the comparison fails, so `min_(NaN, bound)` is the bound.
HD float min_(float x, float bound) { return x < bound ? x : bound; }
HD double min_(double x, double bound) { return x < bound ? x : bound; }
HD float max_(float x, float bound) { return x > bound ? x : bound; }
HD double max_(double x, double bound) { return x > bound ? x : bound; }

// Splats with a projected number beyond this are culled: products of two would leave float.
constexpr double kLargest = 1e15;

/// Positively phrased, so NaN is not bounded.
template <class V>
HD MaskOf<V> bounded(V x) {
    return abs_(x) < V(kLargest);
}

/// Cosine and sine of `turns` full turns. The whole turns are taken off first: the remainder is
/// exact, while a large angle in radians would lose its fraction in float.
HD CosSin<float> cos_sin_turns(float turns) {
    constexpr float kTurn = 6.283185307179586f;
#if defined(__CUDA_ARCH__)
    // Beside a number this large there is no room for a fraction, as long as there are fewer than
    // 2^22 turns; with more, a float's own fraction is a quarter at best. rintf would take the
    // special function unit, which is what limits waves; within half a turn that is right to 2^-21.
    constexpr float kLarge = 12582912.0f;
    float angle = kTurn * (turns - ((turns + kLarge) - kLarge));
    return {::__cosf(angle), ::__sinf(angle)};
#else
    float angle = kTurn * (turns - ::rintf(turns));
    return {::cosf(angle), ::sinf(angle)};
#endif
}
HD CosSin<double> cos_sin_turns(double turns) {
    double angle = 6.283185307179586 * (turns - ::rint(turns));
    return {::cos(angle), ::sin(angle)};
}

GABORSPLAT_END
