// N numbers computed at once, on the compiler's vector extensions (GCC, Clang): the same source
// becomes AVX-512, AVX2, NEON or SSE2 by compiler flags alone.
#pragma once

#include <cstdint>

#if defined(__SSE2__)
#include <immintrin.h>
#endif

#include "../math/scalar.h"

GABORSPLAT_BEGIN

// Spelled out: GCC drops a vector_size that depends on a template parameter when it resolves
// overloads.
template <class T, int Bytes>
struct VectorTypes;
#define GABORSPLAT_VECTOR(T, Bits, Bytes)                      \
    template <>                                                \
    struct VectorTypes<T, Bytes> {                             \
        typedef T Vector __attribute__((vector_size(Bytes)));  \
        typedef Bits Mask __attribute__((vector_size(Bytes))); \
    };
GABORSPLAT_VECTOR(float, std::int32_t, 16)
GABORSPLAT_VECTOR(float, std::int32_t, 32)
GABORSPLAT_VECTOR(float, std::int32_t, 64)
GABORSPLAT_VECTOR(double, std::int64_t, 16)
#undef GABORSPLAT_VECTOR

template <class T, int N>
struct Pack {
    using Vector = typename VectorTypes<T, int(sizeof(T)) * N>::Vector;
    using Mask = typename VectorTypes<T, int(sizeof(T)) * N>::Mask;

    Vector v;

    Pack() = default;
    explicit Pack(T x) { v = x - Vector{}; }
    Pack(Vector x) : v(x) {}

    void store(T* p) const { __builtin_memcpy(p, &v, sizeof(v)); }
    /// 0, 1, 2, ...
    static Pack iota() {
        Pack x;
        for (int i = 0; i < N; ++i) x.v[i] = T(i);
        return x;
    }
};

template <class T, int N>
inline Pack<T, N> operator+(Pack<T, N> a, Pack<T, N> b) {
    return a.v + b.v;
}
template <class T, int N>
inline Pack<T, N> operator-(Pack<T, N> a, Pack<T, N> b) {
    return a.v - b.v;
}
template <class T, int N>
inline Pack<T, N> operator*(Pack<T, N> a, Pack<T, N> b) {
    return a.v * b.v;
}
template <class T, int N>
inline Pack<T, N> operator/(Pack<T, N> a, Pack<T, N> b) {
    return a.v / b.v;
}
template <class T, int N>
inline typename Pack<T, N>::Mask operator>(Pack<T, N> a, Pack<T, N> b) {
    return a.v > b.v;
}
template <class T, int N>
inline typename Pack<T, N>::Mask operator>=(Pack<T, N> a, Pack<T, N> b) {
    return a.v >= b.v;
}
template <class T, int N>
inline typename Pack<T, N>::Mask operator<=(Pack<T, N> a, Pack<T, N> b) {
    return a.v <= b.v;
}
template <class T, int N>
inline Pack<T, N> select(typename Pack<T, N>::Mask where, Pack<T, N> yes, Pack<T, N> no) {
    return where ? yes.v : no.v;
}
template <class T, int N>
inline Pack<T, N> min_(Pack<T, N> x, Pack<T, N> bound) {
    return x.v < bound.v ? x.v : bound.v;
}
template <class T, int N>
inline Pack<T, N> max_(Pack<T, N> x, Pack<T, N> bound) {
    return x.v > bound.v ? x.v : bound.v;
}
template <class T, int N>
inline Pack<T, N> abs_(Pack<T, N> x) {
    return x.v < T(0) ? -x.v : x.v;
}

/// Whether any lane of a mask is set.
template <class M>
inline bool any(M mask) {
#if defined(__AVX512DQ__)
    if constexpr (sizeof(M) == 64) return _mm512_test_epi64_mask((__m512i)mask, (__m512i)mask) != 0;
#endif
#if defined(__AVX2__)
    if constexpr (sizeof(M) == 32) return !_mm256_testz_si256((__m256i)mask, (__m256i)mask);
#endif
#if defined(__SSE2__)
    if constexpr (sizeof(M) == 16) return _mm_movemask_epi8((__m128i)mask) != 0;
#endif
    auto all = mask[0];
    for (unsigned i = 1; i < sizeof(M) / sizeof(mask[0]); ++i) all |= mask[i];
    return all != 0;
}

/// Sum of all lanes, halving: the order depends on N alone.
template <class T, int N>
inline T sum(Pack<T, N> x) {
    T lanes[N];
    x.store(lanes);
    for (int width = N / 2; width > 0; width /= 2)
        for (int i = 0; i < width; ++i) lanes[i] += lanes[i + width];
    return lanes[0];
}

/// Nearest whole number, exact for |x| < 2^22: adding 1.5 * 2^23 leaves no bits for the fraction.
template <int N>
inline Pack<float, N> nearest(Pack<float, N> x) {
    Pack<float, N> shift(12582912.0f);
    return (x + shift) - shift;
}

/// exp(x) for x <= 0: Taylor of degree 6 on |r| <= ln(2) / 2, relative error under 2e-7. Below
/// -87 it stays at exp(-87).
template <int N>
inline Pack<float, N> exp_(Pack<float, N> x) {
    using P = Pack<float, N>;
    x = max_(x, P(-87.0f));
    P n = nearest(x * P(1.44269504f));
    P r = (x - n * P(0.693359375f)) - n * P(-2.12194440e-4f);  // ln 2 in two parts
    P p = P(1.0f / 720.0f);
    p = p * r + P(1.0f / 120.0f);
    p = p * r + P(1.0f / 24.0f);
    p = p * r + P(1.0f / 6.0f);
    p = p * r + P(0.5f);
    p = p * r + P(1.0f);
    p = p * r + P(1.0f);
    using Mask = typename P::Mask;
    Mask exponent = __builtin_convertvector(n.v, Mask) << 23;
    return (typename P::Vector)((Mask)p.v + exponent);
}

/// Cosine and sine of `turns` full turns: quadrant by rounding, then Taylor on |x| <= pi / 4,
/// absolute error under 1e-7. Not-a-number and beyond 2^22 turns give some finite angle.
template <int N>
inline CosSin<Pack<float, N>> cos_sin_turns(Pack<float, N> turns) {
    using P = Pack<float, N>;
    using Mask = typename P::Mask;
    P r = max_(min_(turns - nearest(turns), P(0.5f)), P(-0.5f));
    P quadrant = nearest(r * P(4.0f));
    P x = (r - quadrant * P(0.25f)) * P(6.28318531f);
    P x2 = x * x;
    P s = P(1.0f / 362880.0f);
    s = s * x2 - P(1.0f / 5040.0f);
    s = s * x2 + P(1.0f / 120.0f);
    s = s * x2 - P(1.0f / 6.0f);
    s = s * x2 * x + x;
    P c = P(1.0f / 40320.0f);
    c = c * x2 - P(1.0f / 720.0f);
    c = c * x2 + P(1.0f / 24.0f);
    c = c * x2 - P(0.5f);
    c = c * x2 + P(1.0f);
    Mask q = __builtin_convertvector(quadrant.v, Mask) & 3;
    Mask odd = (q & 1) != 0;
    P cosine = select(odd, s, c), sine = select(odd, c, s);
    Mask cosine_sign = ((q + 1) & 2) << 30, sine_sign = (q & 2) << 30;
    return {P((typename P::Vector)((Mask)cosine.v ^ cosine_sign)),
            P((typename P::Vector)((Mask)sine.v ^ sine_sign))};
}

template <int N>
inline Pack<double, N> exp_(Pack<double, N> x) {
    for (int i = 0; i < N; ++i) x.v[i] = exp_(x.v[i]);
    return x;
}
template <int N>
inline CosSin<Pack<double, N>> cos_sin_turns(Pack<double, N> turns) {
    CosSin<Pack<double, N>> out;
    for (int i = 0; i < N; ++i) {
        CosSin<double> one = cos_sin_turns(double(turns.v[i]));
        out.cosine.v[i] = one.cosine;
        out.sine.v[i] = one.sine;
    }
    return out;
}

GABORSPLAT_END
