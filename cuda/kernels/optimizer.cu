// The steps of a fit that change parameters: a number, or a splat, a thread.
#include "../math/optimizer.h"
#include "device.h"

GABORSPLAT_BEGIN

KERNEL(adam_step, AdamArguments<S>, kNumberThreads) {
    std::int64_t i = thread_number();
    if (i >= p.splats * p.size || (p.visible && p.visible[i / p.size] == 0)) return;
    AdamState<S> next =
        adam({p.values[i], p.exp_avg[i], p.exp_avg_sq[i]}, p.gradients[i], with_rates(p));
    p.values[i] = next.value;
    p.exp_avg[i] = next.exp_avg;
    p.exp_avg_sq[i] = next.exp_avg_sq;
}

KERNEL(inject_noise, NoiseArguments<S>, kSplatThreads) {
    std::int64_t i = thread_number();
    if (i >= p.splats) return;
    S logit = noise_logit(p, p.opacity_logits[i]);
    if (!(logit > p.min_logit)) return;
    const S* q = p.quats + 4 * i;
    Vec3<S> noise = splat_noise(Quat<S>{q[0], q[1], q[2], q[3]}, load3(p.log_scales + 3 * i),
                                normal_vector<S>(std::uint64_t(p.seed), std::uint64_t(i)));
    store3(p.means + 3 * i, load3(p.means + 3 * i) + p.strength * sigmoid(logit) * noise);
}

GABORSPLAT_END
