// What a step of a fit does to one number, or to one splat.
#pragma once

#include "../passes/optimizer.h"
#include "linalg.h"
#include "random.h"

GABORSPLAT_BEGIN

/// A number with the running means of its gradient and of the gradient's square.
template <class S>
struct AdamState {
    S value, exp_avg, exp_avg_sq;
};
/// The same arguments with what is in `rates`, if that is given.
template <class S>
HD AdamArguments<S> with_rates(AdamArguments<S> p) {
    if (p.rates) p.step_size = p.rates[0], p.bias_correction2_sqrt = p.rates[1];
    return p;
}
/// A step of Adam (Kingma and Ba 2015, algorithm 1), by `with_rates`.
template <class S>
HD AdamState<S> adam(const AdamState<S>& old, S gradient, const AdamArguments<S>& p) {
    S exp_avg = old.exp_avg + (S(1) - p.beta1) * (gradient - old.exp_avg);
    S exp_avg_sq = p.beta2 * old.exp_avg_sq + (S(1) - p.beta2) * gradient * gradient;
    S spread = sqrt_(exp_avg_sq) / p.bias_correction2_sqrt + p.eps;
    return {old.value - p.step_size * exp_avg / spread, exp_avg, exp_avg_sq};
}

template <class S>
HD S sigmoid(S x) {
    return S(1) / (S(1) + exp_(-x));
}
/// Logit of the share of the noise that a splat gets.
template <class S>
HD S noise_logit(const NoiseArguments<S>& p, S opacity_logit) {
    return p.slope * (p.opacity_threshold - sigmoid(opacity_logit));
}
/// Sigma n = R S^2 R^T n of a standard normal vector n: noise whose covariance is the square of the
/// splat's (3DGS-MCMC, arXiv 2404.09591, section 3.2).
template <class S>
HD Vec3<S> splat_noise(Quat<S> quat, Vec3<S> log_scales, Vec3<S> normal) {
    S norm = sqrt_(quat.w * quat.w + quat.x * quat.x + quat.y * quat.y + quat.z * quat.z);
    S inverse = S(1) / norm;
    Mat3<S> r =
        rotation(Quat<S>{inverse * quat.w, inverse * quat.x, inverse * quat.y, inverse * quat.z});
    Vec3<S> variances = {exp_(S(2) * log_scales.x), exp_(S(2) * log_scales.y),
                         exp_(S(2) * log_scales.z)};
    return r * scaled(variances, normal * r);
}

GABORSPLAT_END
