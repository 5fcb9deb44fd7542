// N numbers computed at once, on the compiler's vector extensions (GCC, Clang): the same source
// becomes AVX-512, AVX2, NEON or SSE2 by compiler flags. Intrinsics stand only where a compiler
// does not find the instruction by itself.
#pragma once

#include <cstdint>

#if defined(__SSE2__)
#include <immintrin.h>
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#endif

#include "../math/scalar.h"

GABORSPLAT_BEGIN

/// Numbers that the instruction set computes at once.
#if defined(__AVX512F__)
constexpr int kFloatLanes = 16;
#elif defined(__AVX2__)
constexpr int kFloatLanes = 8;
#else
constexpr int kFloatLanes = 4;
#endif
// Double is there for accuracy, not for speed.
template <class T>
constexpr int kLanes = sizeof(T) == 4 ? kFloatLanes : 4;

// Spelled out: GCC drops a vector_size that depends on a template parameter when it resolves
// overloads.
template <class T, int N>
struct VectorTypes;
#define GABORSPLAT_VECTOR(T, Bytes, N, Integer, Whole)              \
    template <>                                                     \
    struct VectorTypes<T, N> {                                      \
        typedef T Vector __attribute__((vector_size(Bytes)));       \
        typedef Integer Bits __attribute__((vector_size(Bytes)));   \
        typedef Whole Unsigned __attribute__((vector_size(Bytes))); \
    };
GABORSPLAT_VECTOR(float, 16, 4, std::int32_t, std::uint32_t)
GABORSPLAT_VECTOR(float, 32, 8, std::int32_t, std::uint32_t)
GABORSPLAT_VECTOR(float, 64, 16, std::int32_t, std::uint32_t)
GABORSPLAT_VECTOR(double, 32, 4, std::int64_t, std::uint64_t)
#undef GABORSPLAT_VECTOR

/// One truth value a lane. A mask or pack of more lanes than the machine has is split in two.
template <class T, int N, bool Split = (N > kLanes<T>)>
struct Mask {
    static constexpr bool kSplit = false;
    typename VectorTypes<T, N>::Bits v;  // all ones or all zeros
};
template <class T, int N>
struct Mask<T, N, true> {
    static constexpr bool kSplit = true;
    Mask<T, N / 2> low, high;
};

template <class T, int N, bool Split = (N > kLanes<T>)>
struct Pack {
    using Vector = typename VectorTypes<T, N>::Vector;
    using Bits = typename VectorTypes<T, N>::Bits;
    using Unsigned = typename VectorTypes<T, N>::Unsigned;
    using Mask = gaborsplat::Mask<T, N>;
    static constexpr int kSize = N;
    static constexpr bool kSplit = false;

    Vector v;

    Pack() = default;
    explicit Pack(T x) { v = x - Vector{}; }
    Pack(Vector x) : v(x) {}

    static Pack load(const T* p) {
        Pack x;
        __builtin_memcpy(&x.v, p, sizeof(x.v));
        return x;
    }
    void store(T* p) const { __builtin_memcpy(p, &v, sizeof(v)); }
};
template <class T, int N>
struct Pack<T, N, true> {
    using Half = Pack<T, N / 2>;
    using Mask = gaborsplat::Mask<T, N>;
    static constexpr int kSize = N;
    static constexpr bool kSplit = true;

    Half low, high;

    Pack() = default;
    explicit Pack(T x) : low(x), high(x) {}
    Pack(Half a, Half b) : low(a), high(b) {}

    static Pack load(const T* p) { return {Half::load(p), Half::load(p + N / 2)}; }
    void store(T* p) const {
        low.store(p);
        high.store(p + N / 2);
    }
};

#define GABORSPLAT_BINARY(Result, name, expression)                               \
    template <class T, int N>                                                     \
    [[gnu::always_inline]] inline Result<T, N> name(Pack<T, N> a, Pack<T, N> b) { \
        if constexpr (Pack<T, N>::kSplit)                                         \
            return {name(a.low, b.low), name(a.high, b.high)};                    \
        else                                                                      \
            return {expression};                                                  \
    }
GABORSPLAT_BINARY(Pack, operator+, a.v + b.v)
GABORSPLAT_BINARY(Pack, operator-, a.v - b.v)
GABORSPLAT_BINARY(Pack, operator*, a.v* b.v)
GABORSPLAT_BINARY(Pack, operator/, a.v / b.v)
GABORSPLAT_BINARY(Mask, operator>, a.v > b.v)
GABORSPLAT_BINARY(Mask, operator>=, a.v >= b.v)
GABORSPLAT_BINARY(Mask, operator==, a.v == b.v)
GABORSPLAT_BINARY(Pack, min_, a.v < b.v ? a.v : b.v)
GABORSPLAT_BINARY(Pack, max_, a.v > b.v ? a.v : b.v)
#undef GABORSPLAT_BINARY

template <class T, int N>
inline Pack<T, N>& operator+=(Pack<T, N>& a, Pack<T, N> b) {
    return a = a + b;
}
template <class T, int N>
inline Mask<T, N> operator<(Pack<T, N> a, Pack<T, N> b) {
    return b > a;
}
template <class T, int N>
inline Mask<T, N> operator<=(Pack<T, N> a, Pack<T, N> b) {
    return b >= a;
}
template <class T, int N>
inline Pack<T, N> operator-(Pack<T, N> a) {
    if constexpr (Pack<T, N>::kSplit)
        return {-a.low, -a.high};
    else
        return -a.v;
}
template <class T, int N>
inline Mask<T, N> operator&(Mask<T, N> a, Mask<T, N> b) {
    if constexpr (Mask<T, N>::kSplit)
        return {a.low & b.low, a.high & b.high};
    else
        return {a.v & b.v};
}
template <class T, int N>
inline Mask<T, N> operator|(Mask<T, N> a, Mask<T, N> b) {
    if constexpr (Mask<T, N>::kSplit)
        return {a.low | b.low, a.high | b.high};
    else
        return {a.v | b.v};
}
template <class T, int N>
inline Mask<T, N> operator~(Mask<T, N> a) {
    if constexpr (Mask<T, N>::kSplit)
        return {~a.low, ~a.high};
    else
        return {~a.v};
}
template <class T, int N>
[[gnu::always_inline]] inline Pack<T, N> select(Mask<T, N> where, Pack<T, N> yes, Pack<T, N> no) {
    if constexpr (Pack<T, N>::kSplit)
        return {select(where.low, yes.low, no.low), select(where.high, yes.high, no.high)};
    else
        return where.v ? yes.v : no.v;
}
template <class T, int N>
[[gnu::always_inline]] inline Pack<T, N> fma_(Pack<T, N> a, Pack<T, N> b, Pack<T, N> c) {
    if constexpr (Pack<T, N>::kSplit)
        return {fma_(a.low, b.low, c.low), fma_(a.high, b.high, c.high)};
    else
        return a.v * b.v + c.v;
}
template <class T, int N>
inline Pack<T, N> abs_(Pack<T, N> x) {
    return max_(x, -x);
}
template <class T, int N>
inline Pack<T, N> sqrt_(Pack<T, N> x) {
    if constexpr (Pack<T, N>::kSplit) {
        return {sqrt_(x.low), sqrt_(x.high)};
    } else {
        for (int i = 0; i < N; ++i) x.v[i] = sqrt_(T(x.v[i]));
        return x;
    }
}
/// Bit i is lane i.
template <class T, int N>
inline unsigned bits(Mask<T, N> mask) {
    unsigned out = 0;
    if constexpr (Mask<T, N>::kSplit)
        out = bits(mask.low) | bits(mask.high) << (N / 2);
    else
        for (int i = 0; i < N; ++i) out |= unsigned(mask.v[i] & 1) << i;
    return out;
}

// Where the compiler needs to be told. GCC computes with AVX-512 masks in general registers
// otherwise, and takes min and max apart.
#if defined(__SSE2__)
inline Pack<float, 4> min_(Pack<float, 4> a, Pack<float, 4> b) { return _mm_min_ps(a.v, b.v); }
inline Pack<float, 4> max_(Pack<float, 4> a, Pack<float, 4> b) { return _mm_max_ps(a.v, b.v); }
inline Pack<float, 4> sqrt_(Pack<float, 4> x) { return _mm_sqrt_ps(x.v); }
inline unsigned bits(Mask<float, 4> mask) { return _mm_movemask_ps((__m128)mask.v); }
#elif defined(__ARM_NEON)
inline Pack<float, 4> fma_(Pack<float, 4> a, Pack<float, 4> b, Pack<float, 4> c) {
    return vfmaq_f32(c.v, a.v, b.v);
}
inline Pack<float, 4> sqrt_(Pack<float, 4> x) { return vsqrtq_f32(x.v); }
#endif
#if defined(__AVX2__)
inline Pack<float, 8> min_(Pack<float, 8> a, Pack<float, 8> b) { return _mm256_min_ps(a.v, b.v); }
inline Pack<float, 8> max_(Pack<float, 8> a, Pack<float, 8> b) { return _mm256_max_ps(a.v, b.v); }
inline Pack<float, 8> fma_(Pack<float, 8> a, Pack<float, 8> b, Pack<float, 8> c) {
    return _mm256_fmadd_ps(a.v, b.v, c.v);
}
inline Pack<float, 8> sqrt_(Pack<float, 8> x) { return _mm256_sqrt_ps(x.v); }
inline unsigned bits(Mask<float, 8> mask) { return _mm256_movemask_ps((__m256)mask.v); }
#endif
#if defined(__AVX512F__)
template <>
struct Mask<float, 16, false> {
    static constexpr bool kSplit = false;
    __mmask16 v;
};
using Mask16 = Mask<float, 16>;
using Pack16 = Pack<float, 16>;
inline Mask16 operator&(Mask16 a, Mask16 b) { return {_kand_mask16(a.v, b.v)}; }
inline Mask16 operator|(Mask16 a, Mask16 b) { return {_kor_mask16(a.v, b.v)}; }
inline Mask16 operator~(Mask16 a) { return {_knot_mask16(a.v)}; }
inline unsigned bits(Mask16 mask) { return mask.v; }
inline Mask16 operator>(Pack16 a, Pack16 b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_GT_OQ)}; }
inline Mask16 operator>=(Pack16 a, Pack16 b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_GE_OQ)}; }
inline Mask16 operator==(Pack16 a, Pack16 b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_EQ_OQ)}; }
inline Pack16 select(Mask16 where, Pack16 yes, Pack16 no) {
    return _mm512_mask_blend_ps(where.v, no.v, yes.v);
}
inline Pack16 min_(Pack16 a, Pack16 b) { return _mm512_min_ps(a.v, b.v); }
inline Pack16 max_(Pack16 a, Pack16 b) { return _mm512_max_ps(a.v, b.v); }
inline Pack16 fma_(Pack16 a, Pack16 b, Pack16 c) { return _mm512_fmadd_ps(a.v, b.v, c.v); }
inline Pack16 sqrt_(Pack16 x) { return _mm512_sqrt_ps(x.v); }
#endif

template <class T, int N>
inline bool any(Mask<T, N> mask) {
    return bits(mask) != 0;
}
#if defined(__AVX512F__)
inline bool any(Mask16 mask) { return !_kortestz_mask16_u8(mask.v, mask.v); }
#endif

/// `open` without the lanes of `counts`, but with those of `blended`, a part of `counts`, which is
/// a part of `open`.
template <class T, int N>
inline Mask<T, N> still_open(Mask<T, N> open, Mask<T, N> counts, Mask<T, N> blended) {
    return open & (~counts | blended);
}
#if defined(__AVX512F__)
inline Mask16 still_open(Mask16 open, Mask16 counts, Mask16 blended) {
    return {_kxor_mask16(_kxor_mask16(open.v, counts.v), blended.v)};
}
#endif

/// Writes the lanes that `chosen` has a bit for, in order, to out[0], out[1], ...; what follows
/// them, up to out[N - 1], is overwritten.
template <class T, int N>
inline void compress(unsigned chosen, Pack<T, N> x, T* out) {
    T lanes[N];
    x.store(lanes);
    for (; chosen != 0; chosen &= chosen - 1) *out++ = lanes[__builtin_ctz(chosen)];
}
/// The same for the lanes' numbers 0, 1, ...
template <class T, int N>
inline void compress_numbers(unsigned chosen, std::int32_t* out) {
    for (; chosen != 0; chosen &= chosen - 1) *out++ = __builtin_ctz(chosen);
}
#if defined(__AVX512F__)
inline void compress(unsigned chosen, Pack16 x, float* out) {
    _mm512_storeu_ps(out, _mm512_maskz_compress_ps(__mmask16(chosen), x.v));
}
template <>
inline void compress_numbers<float, 16>(unsigned chosen, std::int32_t* out) {
    __m512i all = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    _mm512_storeu_si512(out, _mm512_maskz_compress_epi32(__mmask16(chosen), all));
}
#endif

/// p[index[0]], p[index[1]], ...
template <class T, int N>
inline Pack<T, N> gather(const T* p, const std::int32_t* index) {
    T lanes[N];
    for (int i = 0; i < N; ++i) lanes[i] = p[index[i]];
    return Pack<T, N>::load(lanes);
}
#if defined(__AVX2__)
template <>
inline Pack<float, 8> gather(const float* p, const std::int32_t* index) {
    return _mm256_i32gather_ps(p, _mm256_loadu_si256((const __m256i*)index), 4);
}
#endif
#if defined(__AVX512F__)
template <>
inline Pack16 gather(const float* p, const std::int32_t* index) {
    return _mm512_i32gather_ps(_mm512_loadu_si512(index), p, 4);
}
#endif

/// Sum of all lanes, halving: the order depends on N alone.
template <class T, int N>
inline T sum(Pack<T, N> x) {
    T lanes[N];
    x.store(lanes);
    for (int width = N / 2; width > 0; width /= 2)
        for (int i = 0; i < width; ++i) lanes[i] += lanes[i + width];
    return lanes[0];
}
/// out[i] = sum of x[i], for four packs.
template <class T, int N>
inline void sum4(const Pack<T, N>* x, T* out) {
    if constexpr (Pack<T, N>::kSplit) {
        Pack<T, N / 2> folded[4];
        for (int i = 0; i < 4; ++i) folded[i] = x[i].low + x[i].high;
        sum4(folded, out);
    } else {
        for (int i = 0; i < 4; ++i) out[i] = sum(x[i]);
    }
}
#if defined(__SSE2__)
inline void sum4(const Pack<float, 4>* x, float* out) {
    __m128 a = x[0].v, b = x[1].v, c = x[2].v, d = x[3].v;
    _MM_TRANSPOSE4_PS(a, b, c, d);
    _mm_storeu_ps(out, (a + c) + (b + d));
}
#endif
#if defined(__AVX2__)
inline void sum4(const Pack<float, 8>* x, float* out) {
    __m256 ab = _mm256_unpacklo_ps(x[0].v, x[1].v) + _mm256_unpackhi_ps(x[0].v, x[1].v);
    __m256 cd = _mm256_unpacklo_ps(x[2].v, x[3].v) + _mm256_unpackhi_ps(x[2].v, x[3].v);
    __m256 all = _mm256_shuffle_ps(ab, cd, 0x44) + _mm256_shuffle_ps(ab, cd, 0xEE);
    _mm_storeu_ps(out, _mm256_castps256_ps128(all) + _mm256_extractf128_ps(all, 1));
}
#endif
#if defined(__AVX512F__)
inline void sum4(const Pack16* x, float* out) {
    __m512 ab = _mm512_unpacklo_ps(x[0].v, x[1].v) + _mm512_unpackhi_ps(x[0].v, x[1].v);
    __m512 cd = _mm512_unpacklo_ps(x[2].v, x[3].v) + _mm512_unpackhi_ps(x[2].v, x[3].v);
    __m512 all = _mm512_shuffle_ps(ab, cd, 0x44) + _mm512_shuffle_ps(ab, cd, 0xEE);
    __m256 half = _mm512_castps512_ps256(all) + _mm512_extractf32x8_ps(all, 1);
    _mm_storeu_ps(out, _mm256_castps256_ps128(half) + _mm256_extractf128_ps(half, 1));
}
#endif

GABORSPLAT_END
