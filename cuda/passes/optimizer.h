// A step of a fit: Adam, 3DGS-MCMC's terms, and whether there is to be one (math/optimizer.h).
#pragma once

#include "project.h"
#include "shade.h"

namespace gaborsplat {

/// Parameters that have a learning rate of their own.
enum Parameter : int {
    kMeans,
    kQuats,
    kScales,
    kOpacities,
    kSh0,
    kShRest,
    kFrequencies,
    kCoefficients,
    kParameters
};
/// Places in `wanted`, behind a learning rate for each.
enum Wanted : int { kWantedNoise = kParameters, kWantedSeed, kWantedNumbers };
/// Places in `rates`, behind the learning rate over 1 - beta1^t for each: sqrt(1 - beta2^t) for
/// each.
enum Rate : int { kBias2 = kParameters, kNoise = 2 * kParameters, kRates };
/// Places in `counters`: Adam's steps so far, and those of the waves; whether this one changes
/// anything; whether the lists of pairs had room; whether numbers of a splat were not finite; what
/// random numbers follow from.
enum Counter : int { kClock, kWaveClock, kOpen, kFits, kBroken, kSeed, kCounters };
/// Places in `report`: photometric loss; squared error; three of the counters; pairs of
/// splat and tile.
enum Report : int { kLoss, kSquaredError, kWasOpen, kHadRoom, kWasBroken, kPairs, kReports };

/// What the passes of one step share.
template <class S>
struct StepInputs {
    ARGUMENTS;
    VALUE(int, visible_only);  // leave alone what is not visible
    VALUE(S, beta1);
    VALUE(S, beta2);
    OUT(std::int64_t, counters, kCounters);
    OUT(S, rates, kRates);
    END_ARGUMENTS;
};

/// Decides whether a step changes anything, and finds its rates.
template <class S>
struct BeginStepArguments {
    ARGUMENTS;
    PART(StepInputs<S>, step);
    OPTIONAL_SIZE(std::int64_t, room);  // of the lists of pairs
    VALUE(int, waves);                  // whether they are learnt in this step
    IN(double, wanted, kWantedNumbers);
    IN(double, loss_means, 4);                 // not finite: nothing changes
    OUT(std::int32_t, not_finite, 1);          // nor if this is set; it is cleared
    OPTIONAL_IN(std::int32_t, pair_count, 1);  // nor if there is no room for these
    END_ARGUMENTS;
};

/// The gradient of shading, and the step along it, of splats that are visible in the one camera.
/// `next_` arrays are those that are read.
template <class S>
struct ShadeStepArguments {
    ARGUMENTS;
    PART(ShadeGradientInputs<S>, given);
    PART(StepInputs<S>, step);
    OUT(S, v_means, given.in.splats, 3);
    OUT(S, next_sh0, given.in.splats, given.in.sh0_coeffs, 3);
    OUT(S, next_sh_rest, given.in.splats, given.in.sh_coeffs - given.in.sh0_coeffs, 3);
    OUT(std::uint8_t, sh0_roots, given.in.splats, given.in.sh0_coeffs, 3);
    OUT(std::uint8_t, sh_rest_roots, given.in.splats, given.in.sh_coeffs - given.in.sh0_coeffs, 3);
    END_ARGUMENTS;
};

/// The gradient of the projection, and the step along it, which ends with 3DGS-MCMC's noise.
/// `next_` arrays are those that are read.
template <class S>
struct ProjectStepArguments {
    ARGUMENTS;
    PART(ProjectGradientInputs<S>, given);
    PART(StepInputs<S>, step);
    VALUE(S, opacity_weight);     // of the sum of opacities in the loss,
    VALUE(S, scale_weight);       // and of that of standard deviations
    VALUE(S, noise_slope);        // a splat gets sigmoid(slope (opacity_threshold - opacity))
    VALUE(S, opacity_threshold);  // of the noise,
    VALUE(S, noise_min_logit);    // and none where that sigmoid's logit is not above this
    OUT(S, next_means, given.in.splats, 3);
    OUT(S, means_avg, given.in.splats, 3);
    OUT(S, means_avg_sq, given.in.splats, 3);
    OUT(S, next_quats, given.in.splats, 4);
    OUT(S, quats_avg, given.in.splats, 4);
    OUT(S, quats_avg_sq, given.in.splats, 4);
    OUT(S, next_scales, given.in.splats, 3);
    OUT(S, scales_avg, given.in.splats, 3);
    OUT(S, scales_avg_sq, given.in.splats, 3);
    OUT(S, next_opacities, given.in.splats);
    OUT(S, opacities_avg, given.in.splats);
    OUT(S, opacities_avg_sq, given.in.splats);
    OUT(S, next_frequencies, given.in.splats, given.in.waves, 3);
    OUT(S, frequencies_avg, given.in.splats, given.in.waves, 3);
    OUT(S, frequencies_avg_sq, given.in.splats, given.in.waves, 3);
    OUT(S, next_coefficients, given.in.splats, given.in.waves, 2);
    OUT(S, coefficients_avg, given.in.splats, given.in.waves, 2);
    OUT(S, coefficients_avg_sq, given.in.splats, given.in.waves, 2);
    END_ARGUMENTS;
};

/// Tells what a step did, and notes it for the harmonics that missed it.
template <class S>
struct FinishStepArguments {
    ARGUMENTS;
    PART(StepInputs<S>, step);
    SIZE(std::int64_t, steps);  // for which `missed` has room
    OUT(S, missed, 2, steps);   // see LateHarmonics
    IN(double, loss_means, 4);
    OPTIONAL_IN(std::int32_t, pair_count, 1);
    OUT(double, report, kReports);
    END_ARGUMENTS;
};

/// What steps that were missed do to one parameter of the harmonics; with `roots`, to its moments
/// too: then the caller notes that they are done.
template <class S>
struct CatchUpArguments {
    ARGUMENTS;
    SIZE(std::int64_t, splats);
    SIZE(int, size);            // numbers of a splat
    SIZE(std::int64_t, steps);  // for which `missed` has room
    VALUE(S, beta1);
    VALUE(S, beta2);
    IN(S, missed, steps);
    IN(std::int64_t, counters, kCounters);
    IN(std::int32_t, last_steps, splats);
    OUT(S, values, splats, size);
    OUT(std::uint8_t, quotients, splats, size);
    OPTIONAL_OUT(std::uint8_t, roots, splats, size);
    END_ARGUMENTS;
};

}  // namespace gaborsplat
