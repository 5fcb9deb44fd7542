// The loss (1 - w) L1 + w (1 - SSIM) of a picture against a photo, and its gradient
// (math/similarity.h).
#pragma once

#include "fields.h"

namespace gaborsplat {

/// Pixels where the mask is 0 count as black and carry no loss; means run over the others.
template <class S>
struct LossArguments {
    ARGUMENTS;
    SIZE(int, width);                // [px]
    SIZE(int, height);               // [px]
    OPTIONAL_SIZE(int, parts);       // GPU only: rows of the sums over pixels, see loss_parts
    OPTIONAL_SIZE(int, mask_parts);  // GPU only: of counts of the mask, see mask_parts
    VALUE(double, ssim_weight);      // w; without any, SSIM is not found: 0
    IN(S, image, height, width, 3);
    OPTIONAL_IN(S, photo, height, width, 3);  // either this, or bytes: 255 for 1
    OPTIONAL_IN(std::uint8_t, photo_bytes, height, width, 3);
    OPTIONAL_IN(std::uint8_t, mask, height, width);
    OPTIONAL_OUT(S, gradient, height, width, 3);
    OUT(double, means, 4);  // L1, SSIM, squared error, loss
    // GPU only.
    OPTIONAL_OUT(S, sums, parts, 3);                      // L1, SSIM, squared error
    OPTIONAL_OUT(std::int32_t, mask_counts, mask_parts);  // valid pixels
    END_ARGUMENTS;
};

}  // namespace gaborsplat
