// Thresholds, the envelope, and what one splat does to one pixel.
#pragma once

#include "linalg.h"

GABORSPLAT_BEGIN

// The only place these stand; Python reads them from the native module.
constexpr double kNearPlane = 0.01;
constexpr double kFarPlane = 1e10;
constexpr double kEps2d = 0.3;  // [px^2]
constexpr double kAlphaMin = 1.0 / 255.0;
constexpr double kAlphaMax = 0.99;
constexpr double kTransmittanceMin = 1e-4;
constexpr int kTileSize = 16;  // [px]

/// Half the squared Mahalanobis distance at the offset d [px]: -log of the envelope.
template <class S>
HD S envelope_power(Sym2<S> conic, Vec2<S> d) {
    return S(0.5) * (conic.xx * d.x * d.x + conic.yy * d.y * d.y) + conic.xy * d.x * d.y;
}

/// Envelope power beyond which opacity * peak * exp(-power) is under alpha_min. The margin covers
/// the rounding of the power itself: the exact test on alpha follows wherever this one passes.
/// Not a number, which no power is within, when the splat is under alpha_min everywhere.
template <class S>
HD S cutoff_power(S opacity, S peak, S alpha_min) {
    return log_(opacity * peak / alpha_min) * S(1.0001) + S(1e-3);
}

GABORSPLAT_END
