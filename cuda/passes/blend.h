// Splats blended front to back, and the gradient of that (math/compositing.h).
#pragma once

#include "fields.h"

namespace gaborsplat {

template <class S>
struct BlendOptions {
    ARGUMENTS;
    VALUE(S, alpha_min);          // contributions below this are skipped
    VALUE(S, alpha_max);          // alpha is clamped to this
    VALUE(S, transmittance_min);  // a pixel ends before it comes down to this
    VALUES(S, background, 3);     // behind the first channels of the splats
    END_ARGUMENTS;
};

/// Projected splats, those of all cameras or those that are left of them, and the lists of tiles.
template <class S>
struct BlendInputs {
    ARGUMENTS;
    SIZE(std::int64_t, cameras);
    SIZE(std::int64_t, splats);
    SIZE(std::int64_t, pairs);  // of splat and tile: room of the lists
    SIZE(std::int64_t, tiles);  // of all cameras
    SIZE(int, waves);
    SIZE(int, modulation_size);
    SIZE(int, channels);        // numbers that are blended
    SIZE(int, color_channels);  // of these, those that lie in `colors`: all, or all but the depth
    SIZE(int, width);           // [px]
    SIZE(int, height);          // [px]
    OPTIONS(BlendOptions<S>, options);
    IN(S, means2d, splats, 2);
    IN(S, conics, splats, 3);
    IN(S, opacities2d, splats);
    IN(S, cutoffs, splats);  // 0 for culled ones
    IN(S, colors, splats, color_channels);
    OPTIONAL_IN(S, depths, splats);  // the last channel
    IN(S, modulation2d, splats, modulation_size);
    IN(std::int32_t, splat_ids, pairs);    // by camera and tile, then by depth
    IN(std::int64_t, offsets, tiles + 1);  // into splat_ids
    END_ARGUMENTS;
};

/// Image and transmittance, or, instead of both, the first 3 channels as bytes.
template <class S>
struct BlendArguments {
    ARGUMENTS;
    PART(BlendInputs<S>, in);
    OPTIONAL_OUT(S, image, in.cameras, in.height, in.width, in.channels);
    OPTIONAL_OUT(S, transmittance, in.cameras, in.height, in.width);
    OPTIONAL_OUT(std::uint8_t, bytes, in.cameras, in.height, in.width, 3);  // 255 for 1
    END_ARGUMENTS;
};

/// With slots, every pair of splat and tile has a place of its own, and these are added in order.
template <class S>
struct BlendBackwardArguments {
    ARGUMENTS;
    PART(BlendInputs<S>, in);
    OPTIONAL_SIZE(std::int64_t, sum_rows);  // GPU only, as `sums` below
    OPTIONAL_SIZE(int, sum_size);
    OPTIONAL_VALUE(int, skip_culled);  // GPU: leave their gradients as they were
    IN(S, image, in.cameras, in.height, in.width, in.channels);
    IN(S, transmittance, in.cameras, in.height, in.width);
    IN(S, v_image, in.cameras, in.height, in.width, in.channels);
    OPTIONAL_IN(S, v_transmittance, in.cameras, in.height, in.width);  // null: zero
    OPTIONAL_IN(std::int32_t, slots, in.pairs);         // of each pair; a splat's are side by side
    OPTIONAL_IN(std::int64_t, slot_begins, in.splats);  // where they begin
    OPTIONAL_IN(std::int64_t, slot_ends, in.splats);
    OUT(S, v_means2d, in.splats, 2);               // of the envelope alone
    OPTIONAL_OUT(S, v_means2d_abs, in.splats, 2);  // sum over pixels of |gradient|
    OUT(S, v_conics, in.splats, 3);
    OUT(S, v_opacities2d, in.splats);
    OUT(S, v_colors, in.splats, in.color_channels);
    OPTIONAL_OUT(S, v_depths, in.splats);                   // where depths are blended
    OUT(S, v_modulation2d, in.splats, in.modulation_size);  // GPU: of culled ones as it was
    // Zeros, a row a splat, or a slot; zeros again in the end where it is a splat.
    OPTIONAL_OUT(S, sums, sum_rows, sum_size);
    OPTIONAL_OUT(std::int32_t, not_finite, 1);  // becomes 1 if a gradient is not finite
    END_ARGUMENTS;
};

}  // namespace gaborsplat
