// The passes of a fit that change parameters.
#pragma once

#include "../math/optimizer.h"
#include "../threads/thread_pool.h"

GABORSPLAT_BEGIN

/// One step of Adam for every number, or for those of the visible splats alone.
template <class S>
void adam_step(const AdamArguments<S>& p) {
    constexpr std::int64_t kBlock = 1 << 14;  // numbers
    auto step = [rates = with_rates(p)](std::int64_t begin, std::int64_t end) {
        S* __restrict__ values = rates.values;
        S* __restrict__ exp_avg = rates.exp_avg;
        S* __restrict__ exp_avg_sq = rates.exp_avg_sq;
        const S* __restrict__ gradients = rates.gradients;
        for (std::int64_t i = begin; i < end; ++i) {
            AdamState<S> next = adam({values[i], exp_avg[i], exp_avg_sq[i]}, gradients[i], rates);
            values[i] = next.value, exp_avg[i] = next.exp_avg, exp_avg_sq[i] = next.exp_avg_sq;
        }
    };
    std::int64_t rows = std::max<std::int64_t>(1, kBlock / std::max(1, p.size));
    parallel_for((p.splats + rows - 1) / rows, [&](std::int64_t block) {
        std::int64_t row = block * rows, last = std::min(p.splats, row + rows);
        if (!p.visible) return step(row * p.size, last * p.size);
        for (; row < last; ++row)
            if (p.visible[row]) step(row * p.size, (row + 1) * p.size);
    });
}

/// Moves faint splats by noise.
template <class S>
void inject_noise(const NoiseArguments<S>& p) {
    constexpr std::int64_t kBlock = 1024;
    parallel_for((p.splats + kBlock - 1) / kBlock, [&](std::int64_t block) {
        std::int64_t last = std::min(p.splats, (block + 1) * kBlock);
        for (std::int64_t i = block * kBlock; i < last; ++i) {
            S logit = noise_logit(p, p.opacity_logits[i]);
            if (!(logit > p.min_logit)) continue;
            const S *quat = p.quats + 4 * i, *log_scale = p.log_scales + 3 * i;
            Vec3<S> noise = p.strength * sigmoid(logit) *
                            splat_noise(Quat<S>{quat[0], quat[1], quat[2], quat[3]},
                                        Vec3<S>{log_scale[0], log_scale[1], log_scale[2]},
                                        normal_vector<S>(std::uint64_t(p.seed), std::uint64_t(i)));
            p.means[3 * i] += noise.x;
            p.means[3 * i + 1] += noise.y;
            p.means[3 * i + 2] += noise.z;
        }
    });
}

GABORSPLAT_END
