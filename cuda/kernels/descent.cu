// The steps of a fit that change parameters: a number, or a splat, a thread.
#include "../math/descent.h"
#include "device.h"

GABORSPLAT_BEGIN

/// One parameter of N splats, `width` numbers each.
struct AdamArguments {
    S* values;                    // [N, width]
    S* means;                     // [N, width] of the gradient
    S* squares;                   // [N, width]
    const S* gradients;           // [N, width]
    const std::uint8_t* visible;  // [N] 0 for splats to leave alone; null: none
    std::int64_t numbers;         // N width
    S rate;
    S beta1;
    S beta2;
    S root_remainder;
    S eps;
    int width;
};

struct ShakeArguments {
    S* means;            // [N, 3]
    const S* quats;      // [N, 4]
    const S* scales;     // [N, 3] logarithms
    const S* opacities;  // [N] logits
    std::int64_t splats;
    std::int64_t seed;
    S strength;
    S slope;
    S faint;
    S least;
};

KERNEL(adam_step, AdamArguments, 256) {
    std::int64_t i = thread_number();
    if (i >= p.numbers || (p.visible && p.visible[i / p.width] == 0)) return;
    AdamRates<S> rates = {p.rate, p.beta1, p.beta2, p.root_remainder, p.eps};
    AdamState<S> next = adam({p.values[i], p.means[i], p.squares[i]}, p.gradients[i], rates);
    p.values[i] = next.value;
    p.means[i] = next.mean;
    p.squares[i] = next.square;
}

KERNEL(shake, ShakeArguments, 256) {
    std::int64_t i = thread_number();
    if (i >= p.splats) return;
    NoiseGate gate = {p.slope, p.faint, p.least};
    S logit = gate_logit(gate, p.opacities[i]);
    if (!(logit > p.least)) return;
    const S* q = p.quats + 4 * i;
    Vec3<S> noise = splat_noise(Quat<S>{q[0], q[1], q[2], q[3]}, load3(p.scales + 3 * i),
                                normal_vector<S>(std::uint64_t(p.seed), std::uint64_t(i)));
    store3(p.means + 3 * i, load3(p.means + 3 * i) + p.strength * sigmoid(logit) * noise);
}

GABORSPLAT_END
