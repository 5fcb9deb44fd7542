// What a step of a fit does to one number, or to one splat.
#pragma once

#include "../passes/optimizer.h"
#include "linalg.h"
#include "moments.h"

GABORSPLAT_BEGIN

/// Adam's epsilon: gradients of an averaged loss are tiny, and 1e-8 would damp them.
constexpr double kAdamEps = 1e-15;

/// Of one parameter in one step.
template <class S>
struct AdamRates {
    S step_size;  // the learning rate over 1 - beta1^t
    S bias2;      // sqrt(1 - beta2^t)
    S beta1, beta2;
};
template <class S>
HD AdamRates<S> adam_rates(const StepInputs<S>& p, int parameter) {
    return {p.rates[parameter], p.rates[kBias2 + parameter], p.beta1, p.beta2};
}

/// A number with the running means of its gradient and of the gradient's square.
template <class S>
struct AdamState {
    S value;
    AdamMoments<S> moments;
};
/// A step of Adam (Kingma and Ba 2015, algorithm 1).
template <class S>
HD AdamState<S> adam(const AdamState<S>& old, S gradient, const AdamRates<S>& p) {
    S first = old.moments.first + (S(1) - p.beta1) * (gradient - old.moments.first);
    S second = p.beta2 * old.moments.second + (S(1) - p.beta2) * gradient * gradient;
    S spread = sqrt_(second) / p.bias2 + S(kAdamEps);
    return {old.value - p.step_size * first / spread, {first, second}};
}

/// What is left of a moment after `count` steps without a gradient.
template <class S>
HD S faded(S beta, std::int64_t count) {
    return count == 0 ? S(1) : exp_(S(count) * log_(beta));
}

/// What steps that a splat has missed do to one parameter of its harmonics.
template <class S>
struct MissedSteps {
    S moved;          // a number of quotient 1
    S first, second;  // what they leave of the moments
};
/// `parameter` is kSh0 or kShRest.
template <class S>
HD MissedSteps<S> missed_steps(const ShadeStepArguments<S>& p, std::int64_t splat, int parameter) {
    const LateHarmonics<S>& late = p.given.in.late;
    std::int64_t last = late.last_steps[splat];
    std::int64_t count = p.step.visible_only ? 0 : p.step.counters[kClock] - 1 - last;
    return {late.missed[(parameter - kSh0) * late.late_steps + last], faded(p.step.beta1, count),
            faded(p.step.beta2, count)};
}

/// What a step does to one parameter of the harmonics.
template <class S>
struct HarmonicStep {
    AdamRates<S> rates;
    std::uint32_t key;  // of its random numbers
};
template <class S>
HD HarmonicStep<S> harmonic_step(const StepInputs<S>& p, int parameter) {
    return {adam_rates(p, parameter),
            scrambled(std::uint32_t(p.counters[kSeed]) + std::uint32_t(parameter))};
}
/// A step of Adam for one number whose moments are bytes, the `index`-th of its parameter. Without
/// a gradient that is bounded, as if that were zero.
template <class S>
HD S step_harmonic(const HarmonicStep<S>& p, const MissedSteps<S>& missed, S value, S gradient,
                   std::uint32_t index, std::uint8_t& quotient, std::uint8_t& root) {
    AdamMoments<S> old = decode_moments<S>(quotient, root);
    value -= missed.moved * S(decode_quotient(quotient));
    S found = select(bounded(gradient), gradient, S(0));
    AdamState<S> next =
        adam({value, {missed.first * old.first, missed.second * old.second}}, found, p.rates);
    encode_moments(next.moments, scrambled(index ^ p.key), quotient, root);
    return next.value;
}

/// What steps of Adam that a number has missed do to it, which had no gradient: as what is divided
/// by is the first moment's own root, they move it by its quotient and what they all share.
template <class S>
HD void make_good(const CatchUpArguments<S>& p, std::int64_t at, std::int64_t splat) {
    std::int64_t last = p.last_steps[splat], count = p.counters[kClock] - last;
    if (count <= 0) return;
    p.values[at] -= p.missed[last] * S(decode_quotient(p.quotients[at]));
    if (!p.roots) return;
    AdamMoments<S> old = decode_moments<S>(p.quotients[at], p.roots[at]);
    std::uint32_t key = scrambled(std::uint32_t(p.counters[kSeed]));
    encode_moments(
        AdamMoments<S>{faded(p.beta1, count) * old.first, faded(p.beta2, count) * old.second},
        scrambled(std::uint32_t(at) ^ key), p.quotients[at], p.roots[at]);
}

// Random numbers that depend on a seed and a counter alone, so that any number of threads, on any
// device, draws the same ones.

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

template <class S>
HD S sigmoid(S x) {
    return S(1) / (S(1) + exp_(-x));
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
/// Moves a splat's centre by noise, if it is faint.
template <class S>
HD void add_noise(const ProjectStepArguments<S>& p, std::int64_t i) {
    S logit = p.noise_slope * (p.opacity_threshold - sigmoid(p.next_opacities[i]));
    if (!(logit > p.noise_min_logit) || !(p.step.rates[kNoise] > S(0))) return;
    const S *quat = p.next_quats + 4 * i, *log_scale = p.next_scales + 3 * i;
    Vec3<S> noise =
        p.step.rates[kNoise] * sigmoid(logit) *
        splat_noise(Quat<S>{quat[0], quat[1], quat[2], quat[3]},
                    Vec3<S>{log_scale[0], log_scale[1], log_scale[2]},
                    normal_vector<S>(std::uint64_t(p.step.counters[kSeed]), std::uint64_t(i)));
    p.next_means[3 * i] += noise.x;
    p.next_means[3 * i + 1] += noise.y;
    p.next_means[3 * i + 2] += noise.z;
}

/// Adds the gradient of 3DGS-MCMC's terms of the loss (section 3.5), whose weights have the numbers
/// of splats in them.
template <class S>
HD void regularize(const ProjectStepArguments<S>& p, std::int64_t i, S& v_opacity, S* v_scales) {
    S opacity = sigmoid(p.next_opacities[i]);
    v_opacity += p.opacity_weight * opacity * (S(1) - opacity);
    for (int k = 0; k < 3; ++k) v_scales[k] += p.scale_weight * exp_(p.next_scales[3 * i + k]);
}

/// Steps back for which a missed step of Adam still moves a number: 0.9^255 is nothing.
constexpr int kMissedSteps = 256;
/// Adds this step to what those before it had done to numbers that miss it; `back` is how many
/// steps ago these had their last one.
template <class S>
HD void miss_step(const FinishStepArguments<S>& p, int back) {
    const StepInputs<S>& step = p.step;
    std::int64_t last = step.counters[kClock] - back;
    if (step.counters[kOpen] == 0 || step.visible_only || last < 0 || last >= p.steps) return;
    S fading = exp_(S(back) * (log_(step.beta1) - S(0.5) * log_(step.beta2)));
    for (int n = 0; n < 2; ++n)
        p.missed[n * p.steps + last] +=
            step.rates[kSh0 + n] * step.rates[kBias2 + kSh0 + n] * fading;
}

/// The rates of the next step, if there is to be one.
template <class S>
HD void decide_step(const BeginStepArguments<S>& p) {
    const StepInputs<S>& step = p.step;
    bool fits = !p.pair_count || *p.pair_count <= p.room;
    bool open = fits && *p.not_finite == 0 && abs_(p.loss_means[3]) <= 1e300;
    *p.not_finite = 0;
    step.counters[kOpen] = open;
    step.counters[kFits] = fits;
    step.counters[kBroken] = 0;
    step.counters[kSeed] = std::int64_t(p.wanted[kWantedSeed]);
    if (!open) return;
    ++step.counters[kClock];
    step.counters[kWaveClock] += p.waves != 0;
    for (int n = 0; n < kParameters; ++n) {
        bool wave = n == kFrequencies || n == kCoefficients;
        std::int64_t clock = step.counters[wave ? kWaveClock : kClock];
        step.rates[n] = S(p.wanted[n] / (1.0 - faded(double(step.beta1), clock)));
        step.rates[kBias2 + n] = S(sqrt_(1.0 - faded(double(step.beta2), clock)));
    }
    step.rates[kNoise] = S(p.wanted[kWantedNoise]);
}

/// What a step did.
template <class S>
HD void tell_step(const FinishStepArguments<S>& p) {
    p.report[kLoss] = p.loss_means[3];
    p.report[kSquaredError] = p.loss_means[2];
    p.report[kWasOpen] = double(p.step.counters[kOpen]);
    p.report[kHadRoom] = double(p.step.counters[kFits]);
    p.report[kWasBroken] = double(p.step.counters[kBroken]);
    p.report[kPairs] = p.pair_count ? double(*p.pair_count) : 0.0;
}

GABORSPLAT_END
