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

constexpr double kLog2E = 1.4426950408889634, kLn2 = 0.6931471805599453;

/// Tiles that cover `pixels` in one direction.
HD int tiles_along(int pixels) { return (pixels + kTileSize - 1) / kTileSize; }

/// log2 of opacity times envelope, peak + xx x^2 + xy x y + yy y^2 at the offset (x, y) [px] from
/// the mean: powers of two are what machines are good at.
template <class S>
struct LogAlpha {
    S peak, xx, xy, yy;
};
template <class S>
HD LogAlpha<S> log_alpha(Sym2<S> conic, S opacity) {
    constexpr S scale = S(kLog2E);
    return {scale * log_(opacity), S(-0.5) * scale * conic.xx, -scale * conic.xy,
            S(-0.5) * scale * conic.yy};
}
template <class S>
HD Sym2<S> conic(const LogAlpha<S>& f) {
    constexpr S scale = S(kLn2);
    return {S(-2) * scale * f.xx, -scale * f.xy, S(-2) * scale * f.yy};
}
template <class V, class S>
HD V quadratic(const LogAlpha<S>& f, Vec2<V> d) {
    return fma_(d.x, fma_(V(f.xx), d.x, V(f.xy) * d.y), V(f.yy) * d.y * d.y);
}

/// The same about another point than the mean: at a step from there it is
/// value + slope.step + quadratic(step).
template <class V>
struct Expansion {
    V value;
    Vec2<V> slope;
};
template <class V, class S>
HD Expansion<V> expand(const LogAlpha<S>& f, Vec2<V> d) {
    V x = fma_(V(S(2) * f.xx), d.x, V(f.xy) * d.y), y = fma_(V(S(2) * f.yy), d.y, V(f.xy) * d.x);
    return {fma_(V(S(0.5)), fma_(x, d.x, y * d.y), V(f.peak)), {x, y}};
}

/// The largest value that a splat's log_alpha takes on a rectangle of offsets from its mean. A
/// concave function is largest on the edges that face its centre; along a line of constant y it is
/// at x = slope_x y, and of constant x at y = slope_y x.
template <class V, class S>
HD V highest(const LogAlpha<S>& f, Vec2<S> slope, Vec2<V> low, Vec2<V> high) {
    V zero(S(0));
    V x = max_(low.x, zero) + min_(high.x, zero), y = max_(low.y, zero) + min_(high.y, zero);
    V along_x = min_(max_(V(slope.x) * y, low.x), high.x);
    V along_y = min_(max_(V(slope.y) * x, low.y), high.y);
    return max_(quadratic(f, Vec2<V>{x, along_y}), quadratic(f, Vec2<V>{along_x, y}));
}
template <class S>
HD Vec2<S> ridge_slopes(Sym2<S> conic) {
    return {-conic.xy / conic.xx, -conic.xy / conic.yy};
}

template <class S>
struct Thresholds {
    S alpha_min, alpha_max, transmittance_min;
};

/// What one splat does to one pixel, or to a pack of them.
template <class V>
struct Contribution {
    MaskOf<V> counts;   // its alpha is large enough and the pixel open
    MaskOf<V> blended;  // and the pixel stays open: a part of `counts`
    V weight;           // alpha times transmittance in front; 0 where not blended
    V next;             // transmittance behind, where blended
};

/// A pixel is finished in front of the splat that would bring its transmittance to
/// transmittance_min or below. Forward and backward both decide by this function, so they accept
/// the same pixels and stop at the same splat.
template <class V, class S>
HD Contribution<V> composite(V raw_alpha, V transmittance, MaskOf<V> open, Thresholds<S> limits) {
    Contribution<V> c;
    V alpha = min_(raw_alpha, V(limits.alpha_max));
    c.counts = open & (alpha >= V(limits.alpha_min));
    c.next = fma_(-alpha, transmittance, transmittance);
    c.blended = c.counts & (c.next > V(limits.transmittance_min));
    c.weight = select(c.blended, alpha * transmittance, V(S(0)));
    return c;
}

/// Envelope power beyond which opacity * peak * exp(-power) is under alpha_min. The margin covers
/// the rounding of the power itself: the exact test on alpha follows wherever this one passes.
/// Not a number, which no power is within, when the splat is under alpha_min everywhere.
template <class S>
HD S cutoff_power(S opacity, S peak, S alpha_min) {
    return log_(opacity * peak / alpha_min) * S(1.0001) + S(1e-3);
}

GABORSPLAT_END
