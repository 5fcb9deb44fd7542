// Colours from spherical harmonics, and the gradient of that (math/harmonics.h).
#pragma once

#include "fields.h"

namespace gaborsplat {

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
    END_ARGUMENTS;
};

template <class S>
struct ShadeArguments {
    ARGUMENTS;
    PART(ShadeInputs<S>, in);
    IN(std::uint8_t, projected, in.cameras, in.splats);  // `visible` of the projection
    OUT(std::uint8_t, visible, in.cameras, in.splats);   // and of a colour that is bounded
    OUT(S, colors, in.cameras, in.splats, 3);            // 0 where not visible
    END_ARGUMENTS;
};

template <class S>
struct ShadeBackwardArguments {
    ARGUMENTS;
    PART(ShadeInputs<S>, in);
    SIZE(std::int64_t, parts);  // rows of the sums over splats: see pose_parts
    IN(std::uint8_t, visible, in.cameras, in.splats);
    IN(S, colors, in.cameras, in.splats, 3);
    IN(S, v_colors, in.cameras, in.splats, 3);
    OUT(S, v_means, in.splats, 3);
    OUT(S, v_sh0, in.splats, in.sh0_coeffs, 3);
    OPTIONAL_OUT(S, v_sh_rest, in.splats, in.sh_coeffs - in.sh0_coeffs, 3);
    OPTIONAL_OUT(S, v_positions, parts, in.cameras, 3);  // of the camera centres
    END_ARGUMENTS;
};

}  // namespace gaborsplat
