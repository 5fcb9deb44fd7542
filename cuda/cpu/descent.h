// The passes of a fit that change parameters.
#pragma once

#include "../math/descent.h"
#include "params.h"
#include "thread_pool.h"

GABORSPLAT_BEGIN

/// One step of Adam for every number, or for those of the visible splats alone.
template <class S>
void adam_step(const AdamParams<S>& p) {
    constexpr std::int64_t kBlock = 1 << 14;  // numbers
    AdamRates<S> rates = {S(p.rate), S(p.beta1), S(p.beta2), S(p.root_remainder), S(p.eps)};
    auto step = [&](std::int64_t begin, std::int64_t end) {
        S* __restrict__ values = p.values;
        S* __restrict__ means = p.means;
        S* __restrict__ squares = p.squares;
        const S* __restrict__ gradients = p.gradients;
        for (std::int64_t i = begin; i < end; ++i) {
            AdamState<S> next = adam({values[i], means[i], squares[i]}, gradients[i], rates);
            values[i] = next.value, means[i] = next.mean, squares[i] = next.square;
        }
    };
    std::int64_t rows = std::max<std::int64_t>(1, kBlock / std::max(1, p.width));
    parallel_for((p.rows + rows - 1) / rows, [&](std::int64_t block) {
        std::int64_t row = block * rows, last = std::min(p.rows, row + rows);
        if (!p.visible) return step(row * p.width, last * p.width);
        for (; row < last; ++row)
            if (p.visible[row]) step(row * p.width, (row + 1) * p.width);
    });
}

/// Moves faint splats by noise.
template <class S>
void shake(const ShakeParams<S>& p) {
    constexpr std::int64_t kBlock = 1024;
    parallel_for((p.splats + kBlock - 1) / kBlock, [&](std::int64_t block) {
        std::int64_t last = std::min(p.splats, (block + 1) * kBlock);
        for (std::int64_t i = block * kBlock; i < last; ++i) {
            S logit = gate_logit(p.gate, p.opacities[i]);
            if (!(logit > S(p.gate.least))) continue;
            const S *quat = p.quats + 4 * i, *scale = p.scales + 3 * i;
            Vec3<S> noise = S(p.strength) * sigmoid(logit) *
                            splat_noise(Quat<S>{quat[0], quat[1], quat[2], quat[3]},
                                        Vec3<S>{scale[0], scale[1], scale[2]},
                                        normal_vector<S>(p.seed, std::uint64_t(i)));
            p.means[3 * i] += noise.x;
            p.means[3 * i + 1] += noise.y;
            p.means[3 * i + 2] += noise.z;
        }
    });
}

GABORSPLAT_END
