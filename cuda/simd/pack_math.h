// Functions of packs: polynomials of our own in float, with stated errors; the C library in double.
#pragma once

#include "pack.h"

GABORSPLAT_BEGIN

/// 1.5 * 2^23: adding it to |x| < 2^22 leaves no bits for the fraction, so that taking it off again
/// gives the nearest whole number, and the lowest bits of the sum are that number.
constexpr float kRounder = 12582912.0f;

template <int N>
inline Pack<float, N> nearest(Pack<float, N> x) {
    return (x + Pack<float, N>(kRounder)) - Pack<float, N>(kRounder);
}

/// 1 / x, to 2 units in the last place.
template <class T, int N>
inline Pack<T, N> reciprocal(Pack<T, N> x) {
    return Pack<T, N>(T(1)) / x;
}
#if defined(__AVX512F__)
/// A guess of 14 bits and a step of Newton's; a division keeps the processor for 16 cycles.
inline Pack16 reciprocal(Pack16 x) {
    Pack16 guess = _mm512_rcp14_ps(x.v);
    return guess * fma_(-x, guess, Pack16(2.0f));
}
#endif

/// Exact for |x| < 2^22 in float.
template <int N>
inline Pack<float, N> ceil_(Pack<float, N> x) {
    Pack<float, N> whole = nearest(x);
    return whole + select(x > whole, Pack<float, N>(1.0f), Pack<float, N>(0.0f));
}

/// c[0] + c[1] x + ... + c[M - 1] x^(M - 1).
template <class P, int M>
inline P polynomial(P x, const float (&c)[M]) {
    P value(c[M - 1]);
    for (int i = M - 2; i >= 0; --i) value = fma_(value, x, P(c[i]));
    return value;
}

/// x times 2 to the whole number in the lowest bits of `exponent`.
template <int N>
[[gnu::always_inline]] inline Pack<float, N> raised(Pack<float, N> x, Pack<float, N> exponent) {
    if constexpr (Pack<float, N>::kSplit) {
        return {raised(x.low, exponent.low), raised(x.high, exponent.high)};
    } else {
        using Unsigned = typename Pack<float, N>::Unsigned;
        return (typename Pack<float, N>::Vector)((Unsigned)x.v + ((Unsigned)exponent.v << 23));
    }
}

/// 2^x. Least largest error for a polynomial of degree 5 on half a unit around whole x, which is
/// exact at 0: relative error under 2e-7. Below -126 it stays at 2^-126.
template <int N>
inline Pack<float, N> exp2_(Pack<float, N> x) {
    using P = Pack<float, N>;
    x = max_(x, P(-126.0f));
    P shifted = x + P(kRounder);
    P fraction = x - (shifted - P(kRounder));
    constexpr float kTerms[] = {1.0f,          0.693146978f,   0.240222421f,
                                0.0555073374f, 0.00967151266f, 0.00132647269f};
    return raised(polynomial(fraction, kTerms), shifted);
}

/// Natural logarithm: exponent, and the series of artanh on a mantissa between sqrt(1/2) and
/// sqrt(2); error under 3e-7 of max(1, |log x|). Below the least normal number, and of what is not
/// a number, it is that number's.
template <int N>
inline Pack<float, N> log_(Pack<float, N> x) {
    using P = Pack<float, N>;
    using Bits = typename P::Bits;
    using Unsigned = typename P::Unsigned;
    x = max_(x, P(1.17549435e-38f));
    Bits exponent = (Bits)((Unsigned)x.v - 0x3F3504F3u) >> 23;  // of x / sqrt(1/2)
    P m((typename P::Vector)((Unsigned)x.v - ((Unsigned)exponent << 23)));
    P n(__builtin_convertvector(exponent, typename P::Vector));
    P t = (m - P(1.0f)) / (m + P(1.0f));
    constexpr float kTerms[] = {2.0f, 2.0f / 3, 2.0f / 5, 2.0f / 7, 2.0f / 9};
    return fma_(n, P(0.693147181f), t * polynomial(t * t, kTerms));
}

/// exp(x), relative error under 1e-6 for |x| <= 87.
template <int N>
inline Pack<float, N> exp_(Pack<float, N> x) {
    return exp2_(x * Pack<float, N>(1.44269504f));
}

/// Cosine and sine of `turns` full turns, by those of half the angle: polynomials of least largest
/// error for sine and cosine of pi r, |r| <= 1/2. Absolute error under 5e-7. Not-a-number and
/// beyond 2^22 turns give some finite angle.
template <int N>
inline CosSin<Pack<float, N>> cos_sin_turns(Pack<float, N> turns) {
    using P = Pack<float, N>;
    P r = max_(min_(turns - nearest(turns), P(0.5f)), P(-0.5f));
    P r2 = r * r;
    constexpr float kSine[] = {3.14159258f, -5.1677069f, 2.55003164f, -0.598046451f, 0.077222249f};
    constexpr float kCosine[] = {1.0f, -4.93479552f, 4.05845134f, -1.33209386f, 0.220080652f};
    P s = r * polynomial(r2, kSine), c = polynomial(r2, kCosine);
    return {fma_(c, c, -(s * s)), P(2.0f) * s * c};
}

#define GABORSPLAT_BY_LANES(name)                                      \
    template <int N>                                                   \
    inline Pack<double, N> name(Pack<double, N> x) {                   \
        if constexpr (Pack<double, N>::kSplit)                         \
            return {name(x.low), name(x.high)};                        \
        else                                                           \
            for (int i = 0; i < N; ++i) x.v[i] = name(double(x.v[i])); \
        return x;                                                      \
    }
GABORSPLAT_BY_LANES(exp2_)
GABORSPLAT_BY_LANES(exp_)
GABORSPLAT_BY_LANES(log_)
GABORSPLAT_BY_LANES(ceil_)
#undef GABORSPLAT_BY_LANES
template <int N>
inline CosSin<Pack<double, N>> cos_sin_turns(Pack<double, N> turns) {
    double in[N], cosine[N], sine[N];
    turns.store(in);
    for (int i = 0; i < N; ++i) {
        CosSin<double> one = cos_sin_turns(in[i]);
        cosine[i] = one.cosine, sine[i] = one.sine;
    }
    return {Pack<double, N>::load(cosine), Pack<double, N>::load(sine)};
}

GABORSPLAT_END
