// Colours from spherical harmonics, and the gradient of that (math/harmonics.h).
#pragma once

#include "fields.h"

namespace gaborsplat {

/// Steps of a fit that harmonics have missed, because no photo showed their splat since: whoever
/// reads a number subtracts missed[last step] times the quotient of its moments (math/moments.h).
/// missed[t] is by how much the steps behind step t move a number whose moments have the
/// quotient 1.
template <class S>
struct LateHarmonics {
    ARGUMENTS;
    OPTIONAL_SIZE(std::int64_t, late_splats);
    OPTIONAL_SIZE(int, late_sh0_coeffs);
    OPTIONAL_SIZE(int, late_sh_rest_coeffs);
    OPTIONAL_SIZE(std::int64_t, late_steps);
    OPTIONAL_OUT(S, missed, 2, late_steps);  // by sh0, by sh_rest
    OPTIONAL_OUT(std::int32_t, last_steps, late_splats);
    OPTIONAL_OUT(std::uint8_t, sh0_quotients, late_splats, late_sh0_coeffs, 3);
    OPTIONAL_OUT(std::uint8_t, sh_rest_quotients, late_splats, late_sh_rest_coeffs, 3);
    END_ARGUMENTS;
};

/// A splat's coefficients lie in one array, or the constant harmonic's in an array of its own.
template <class S>
struct ShadeInputs {
    ARGUMENTS;
    SIZE(std::int64_t, cameras);
    SIZE(std::int64_t, splats);
    SIZE(int, sh_coeffs);   // of a splat, each with three channels
    SIZE(int, sh0_coeffs);  // those that lie in `sh0`: one, or all
    VALUE(int, degree);     // that is evaluated
    IN(S, means, splats, 3);
    IN(S, viewmats, cameras, 4, 4);  // world to camera
    IN(S, sh0, splats, sh0_coeffs, 3);
    OPTIONAL_IN(S, sh_rest, splats, sh_coeffs - sh0_coeffs, 3);
    PART(LateHarmonics<S>, late);  // of the same sizes, or none
    END_ARGUMENTS;
};

template <class S>
struct ShadeArguments {
    ARGUMENTS;
    PART(ShadeInputs<S>, in);
    OPTIONAL_VALUE(int, skip_culled);                    // GPU: leave their colours as they were
    IN(std::uint8_t, projected, in.cameras, in.splats);  // `visible` of the projection
    OUT(std::uint8_t, visible, in.cameras, in.splats);   // and of a colour that is bounded
    OUT(S, colors, in.cameras, in.splats, 3);            // 0 where not visible
    END_ARGUMENTS;
};

/// What the gradient is found from.
template <class S>
struct ShadeGradientInputs {
    ARGUMENTS;
    PART(ShadeInputs<S>, in);
    IN(std::uint8_t, visible, in.cameras, in.splats);
    IN(S, colors, in.cameras, in.splats, 3);
    IN(S, v_colors, in.cameras, in.splats, 3);
    END_ARGUMENTS;
};

template <class S>
struct ShadeBackwardArguments {
    ARGUMENTS;
    PART(ShadeGradientInputs<S>, given);
    SIZE(std::int64_t, parts);  // rows of the sums over splats: see pose_parts
    OUT(S, v_means, given.in.splats, 3);
    OUT(S, v_sh0, given.in.splats, given.in.sh0_coeffs, 3);
    OPTIONAL_OUT(S, v_sh_rest, given.in.splats, given.in.sh_coeffs - given.in.sh0_coeffs, 3);
    OPTIONAL_OUT(S, v_positions, parts, given.in.cameras, 3);  // of the camera centres
    END_ARGUMENTS;
};

}  // namespace gaborsplat
