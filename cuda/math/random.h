// Random numbers that depend on a seed and a counter alone, so that any number of threads, on any
// device, draws the same ones.
#pragma once

#include "linalg.h"

GABORSPLAT_BEGIN

/// Four words.
struct Words {
    std::uint32_t a, b, c, d;
};

/// Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3").
HD Words philox(Words counter, std::uint32_t key0, std::uint32_t key1) {
    for (int round = 0; round < 10; ++round) {
        std::uint64_t left = std::uint64_t(0xD2511F53u) * counter.a;
        std::uint64_t right = std::uint64_t(0xCD9E8D57u) * counter.c;
        counter = {std::uint32_t(right >> 32) ^ counter.b ^ key0, std::uint32_t(right),
                   std::uint32_t(left >> 32) ^ counter.d ^ key1, std::uint32_t(left)};
        key0 += 0x9E3779B9u, key1 += 0xBB67AE85u;
    }
    return counter;
}

/// Two independent standard normal numbers of two random words (Box and Muller 1958).
template <class S>
HD Vec2<S> normal_pair(std::uint32_t radial, std::uint32_t angular) {
    constexpr S step = S(1.0 / 4294967296.0);
    // Never 0. Rounding may give 1 in float, whose logarithm is 0 as it should be.
    S uniform = S(radial) * step + S(0.5) * step;
    S radius = sqrt_(S(-2) * log_(uniform));
    CosSin<S> direction = cos_sin_turns(S(angular) * step);
    return {radius * direction.cosine, radius * direction.sine};
}

/// The `index`-th standard normal vector of a seed.
template <class S>
HD Vec3<S> normal_vector(std::uint64_t seed, std::uint64_t index) {
    Words words = philox({std::uint32_t(index), std::uint32_t(index >> 32), 0, 0},
                         std::uint32_t(seed), std::uint32_t(seed >> 32));
    Vec2<S> first = normal_pair<S>(words.a, words.b), second = normal_pair<S>(words.c, words.d);
    return {first.x, first.y, second.x};
}

GABORSPLAT_END
