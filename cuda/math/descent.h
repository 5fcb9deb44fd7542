// What a step of a fit does to one number, or to one splat.
#pragma once

#include "linalg.h"
#include "random.h"

GABORSPLAT_BEGIN

/// Step sizes of Adam (Kingma and Ba 2015, algorithm 1) at one step.
template <class S>
struct AdamRates {
    S rate;  // the learning rate over 1 - beta1^t
    S beta1, beta2;
    S root_remainder;  // sqrt(1 - beta2^t)
    S eps;
};
/// A number with the running means of its gradient and of the gradient's square.
template <class S>
struct AdamState {
    S value, mean, square;
};
template <class S>
HD AdamState<S> adam(const AdamState<S>& old, S gradient, const AdamRates<S>& r) {
    S mean = old.mean + (S(1) - r.beta1) * (gradient - old.mean);
    S square = r.beta2 * old.square + (S(1) - r.beta2) * gradient * gradient;
    S spread = sqrt_(square) / r.root_remainder + r.eps;
    return {old.value - r.rate * mean / spread, mean, square};
}

/// How much of the noise a splat gets: sigmoid(slope (faint - opacity)), of an opacity's logit.
struct NoiseGate {
    double slope, faint;
    double least;  // a logit of the gate below which there is none
};
template <class S>
HD S sigmoid(S x) {
    return S(1) / (S(1) + exp_(-x));
}
/// Logit of the gate.
template <class S>
HD S gate_logit(const NoiseGate& gate, S opacity_logit) {
    return S(gate.slope) * (S(gate.faint) - sigmoid(opacity_logit));
}
/// A vector with the covariance of a splat times its covariance, of a standard normal one: R S^2
/// R^T n (3DGS-MCMC, arXiv 2404.09591, section 3.2).
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
