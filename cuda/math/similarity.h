// Structural similarity of two images (SSIM, Wang et al. 2004) and its derivative.
#pragma once

#include "scalar.h"

GABORSPLAT_BEGIN

constexpr int kSsimRadius = 5;                    // an 11-pixel window, Gaussian with sigma 1.5
constexpr double kSsimC1 = 1e-4, kSsimC2 = 9e-4;  // (0.01 L)^2, (0.03 L)^2 for values up to L = 1

/// Weight of the window at an offset, exp(-offset^2 / (2 sigma^2)) over the sum of all.
HD double ssim_tap(int offset) {
    constexpr double taps[kSsimRadius + 1] = {0.2660117248617943,   0.21300553771125366,
                                              0.1093606895097,      0.03600077212843082,
                                              0.007598758135239184, 0.0010283800844791099};
    return taps[offset < 0 ? -offset : offset];
}

/// Means over the window around one pixel, of x, y, x^2 + y^2 and x y.
template <class V>
struct Moments {
    V x, y, energy, product;
};

/// Similarity, and the derivative by the moments: of x, energy and product. That of y is not
/// needed, as y is the photo.
template <class V>
struct Similarity {
    V value;
    V v_x, v_energy, v_product;
};

/// 1 / x.
struct Reciprocal {
    template <class V>
    HD V operator()(V x) const {
        return V(1.0f) / x;
    }
};

/// `invert` finds 1 / x, of numbers that lie around C1 C2 or above.
template <class V, class Invert = Reciprocal>
HD Similarity<V> similarity(const Moments<V>& m, Invert invert = {}) {
    V two(2.0f), c1(kSsimC1), c2(kSsimC2);
    V squares = m.x * m.x + m.y * m.y, product = m.x * m.y;
    V mean_top = two * product + c1, covariance_top = two * (m.product - product) + c2;
    V mean_bottom = squares + c1, variance_bottom = m.energy - squares + c2;
    V scale = invert(mean_bottom * variance_bottom);
    Similarity<V> s;
    s.value = mean_top * covariance_top * scale;
    s.v_energy = -s.value * mean_bottom * scale;
    s.v_product = two * mean_top * scale;
    s.v_x = two * (m.y * (covariance_top - mean_top) * scale -
                   m.x * s.value * (variance_bottom - mean_bottom) * scale);
    return s;
}

/// L1, SSIM, squared error and the loss (1 - w) L1 + w (1 - SSIM), from sums of the first three
/// over the channels of `valid` pixels; without any there is no loss.
HD void store_means(const double* sums, double valid, double ssim_weight, double* means) {
    double scale = 1 / (3 * (valid > 1 ? valid : 1)), most = valid > 0 ? 1 : 0;
    for (int n = 0; n < 3; ++n) means[n] = sums[n] * scale;
    means[3] = (1 - ssim_weight) * means[0] + ssim_weight * (most - means[1]);
}

GABORSPLAT_END
