// What changes the parameters of a fit (math/optimizer.h).
#pragma once

#include "fields.h"

namespace gaborsplat {

/// Adam for one parameter of all splats, all three arrays changed.
template <class S>
struct AdamArguments {
    ARGUMENTS;
    SIZE(std::int64_t, splats);
    SIZE(int, size);               // numbers of a splat
    OPTIONAL_VALUE(S, step_size);  // the learning rate over 1 - beta1^t
    VALUE(S, beta1);
    VALUE(S, beta2);
    OPTIONAL_VALUE(S, bias_correction2_sqrt);  // sqrt(1 - beta2^t)
    VALUE(S, eps);
    OPTIONAL_IN(S, rates, 2);  // in the place of step_size and bias_correction2_sqrt
    OUT(S, values, splats, size);
    OUT(S, exp_avg, splats, size);
    OUT(S, exp_avg_sq, splats, size);
    IN(S, gradients, splats, size);
    OPTIONAL_IN(std::uint8_t, visible, splats);  // 0 for splats to leave alone
    END_ARGUMENTS;
};

/// The noise of 3DGS-MCMC, added to the means of faint splats.
template <class S>
struct NoiseArguments {
    ARGUMENTS;
    SIZE(std::int64_t, splats);
    VALUE(std::int64_t, seed);
    VALUE(S, strength);
    VALUE(S, slope);              // a splat gets sigmoid(slope (opacity_threshold - opacity))
    VALUE(S, opacity_threshold);  // of the noise,
    VALUE(S, min_logit);          // and none where that sigmoid's logit is not above this
    OUT(S, means, splats, 3);
    IN(S, quats, splats, 4);
    IN(S, log_scales, splats, 3);
    IN(S, opacity_logits, splats);
    END_ARGUMENTS;
};

}  // namespace gaborsplat
