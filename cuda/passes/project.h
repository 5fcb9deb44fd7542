// Splats onto the image, and the gradient of that (math/projection.h).
#pragma once

#include "fields.h"

namespace gaborsplat {

template <class S>
struct ProjectOptions {
    ARGUMENTS;
    VALUE(S, near_plane);            // splats whose centre is nearer are culled, and
    VALUE(S, far_plane);             // those whose centre is farther
    VALUE(S, eps2d);                 // added to the diagonal of every 2D covariance [px^2]
    VALUE(S, compensation_min);      // bound of the determinants' ratio when antialiased
    VALUE(S, alpha_min);             // what is fainter everywhere is culled
    OPTIONAL_VALUE(S, radius_clip);  // splats of no larger radius are culled [px]
    VALUE(int, antialiased);         // whether opacity makes up for eps2d
    VALUE(int, three_sigma);         // whether a splat ends at 3 sigma, as in Inria's code
    END_ARGUMENTS;
};

/// Splats and cameras.
template <class S>
struct ProjectInputs {
    ARGUMENTS;
    SIZE(std::int64_t, cameras);
    SIZE(std::int64_t, splats);
    SIZE(int, waves);            // of a splat, K
    SIZE(int, modulation_size);  // numbers that describe its waves on the image
    VALUE(int, width);           // [px]
    VALUE(int, height);          // [px]
    VALUE(int, raw);  // whether scales are logarithms and opacities logits, as a fit moves them
    OPTIONS(ProjectOptions<S>, options);
    IN(S, means, splats, 3);
    IN(S, quats, splats, 4);  // wxyz, of any length but 0
    IN(S, scales, splats, 3);
    IN(S, opacities, splats);
    IN(S, frequencies, splats, waves, 3);   // [cycles/sigma]
    IN(S, coefficients, splats, waves, 2);  // cosine, sine
    IN(S, viewmats, cameras, 4, 4);         // world to camera
    IN(S, intrinsics, cameras, 3, 3);       // [px]
    END_ARGUMENTS;
};

/// What is not visible is 0 everywhere.
template <class S>
struct ProjectArguments {
    ARGUMENTS;
    PART(ProjectInputs<S>, in);
    OPTIONAL_VALUE(int, skip_culled);  // GPU: but in radii and cutoffs may be as it was
    OUT(std::uint8_t, visible, in.cameras, in.splats);
    OUT(std::int32_t, radii, in.cameras, in.splats, 2);  // half extents [px]
    OUT(S, means2d, in.cameras, in.splats, 2);           // [px]
    OUT(S, depths, in.cameras, in.splats);               // camera z
    OUT(S, conics, in.cameras, in.splats, 3);            // xx, xy, yy of the inverse [px^-2]
    OUT(S, opacities2d, in.cameras, in.splats);          // compensated when antialiased
    OUT(S, cutoffs, in.cameras, in.splats);  // envelope power beyond which alpha < alpha_min
    OUT(S, modulation2d, in.cameras, in.splats, in.modulation_size);
    END_ARGUMENTS;
};

/// What the gradient is found from.
template <class S>
struct ProjectGradientInputs {
    ARGUMENTS;
    PART(ProjectInputs<S>, in);
    IN(std::uint8_t, visible, in.cameras, in.splats);
    IN(S, v_means2d, in.cameras, in.splats, 2);
    OPTIONAL_IN(S, v_depths, in.cameras, in.splats);  // null: zero
    IN(S, v_conics, in.cameras, in.splats, 3);
    IN(S, v_opacities2d, in.cameras, in.splats);
    IN(S, v_modulation2d, in.cameras, in.splats, in.modulation_size);
    OPTIONAL_IN(S, v_directions, in.splats, 3);  // what colours add to v_means
    END_ARGUMENTS;
};

template <class S>
struct ProjectBackwardArguments {
    ARGUMENTS;
    PART(ProjectGradientInputs<S>, given);
    SIZE(std::int64_t, parts);  // rows of the sums over splats: see pose_parts
    OUT(S, v_means, given.in.splats, 3);
    OUT(S, v_quats, given.in.splats, 4);
    OUT(S, v_scales, given.in.splats, 3);
    OUT(S, v_opacities, given.in.splats);
    OUT(S, v_frequencies, given.in.splats, given.in.waves, 3);
    OUT(S, v_coefficients, given.in.splats, given.in.waves, 2);
    OPTIONAL_OUT(S, v_poses, parts, given.in.cameras, 12);  // rotation by rows, translation
    END_ARGUMENTS;
};

}  // namespace gaborsplat
