// The passes of a fit as Python calls them, as in bindings.h.
#pragma once

#include <nanobind/stl/tuple.h>

#include <tuple>
#include <type_traits>

#include "bindings.h"

namespace gaborsplat {

/// `photo` is of the image's type or bytes; `mask` and `gradient` may be empty.
template <class S, class Photo>
std::tuple<double, double, double> photometric_loss(const Array<const S>& image,
                                                    const Array<const Photo>& photo,
                                                    const Array<const std::uint8_t>& mask,
                                                    int width, double ssim_weight,
                                                    const Array<S>& gradient) {
    LossParams<S> p = {};
    std::int64_t numbers = image.size();
    p.width = width;
    p.height = width > 0 ? static_cast<int>(numbers / (3 * std::int64_t(width))) : 0;
    std::int64_t pixels = std::int64_t(p.width) * p.height;
    p.ssim_weight = ssim_weight;
    p.image = data(image, 3 * pixels, "image");
    const Photo* photos = data(photo, 3 * pixels, "photo");
    if constexpr (std::is_same_v<Photo, S>)
        p.photo = photos;
    else
        p.photo_bytes = photos;
    if (mask.size() != 0) p.mask = data(mask, pixels, "mask");
    if (gradient.size() != 0) p.gradient = data(gradient, 3 * pixels, "gradient");
    LossResult r;
    {
        nb::gil_scoped_release release;
        r = passes_for<S>().photometric_loss(p);
    }
    return {r.l1, r.similarity, r.squares};
}

/// `state` is values, means and squares, all three changed; `visible` [rows] may be empty.
template <class S>
void adam_step(const std::vector<Array<S>>& state, const Array<const S>& gradients,
               const Array<const std::uint8_t>& visible, std::int64_t rows,
               const std::vector<double>& rates) {
    if (state.size() != 3) throw std::invalid_argument("Adam changes 3 arrays");
    if (rates.size() != 5) throw std::invalid_argument("Adam has 5 rates");
    AdamParams<S> p = {};
    std::int64_t numbers = gradients.size();
    p.rows = rows;
    p.width = rows ? static_cast<int>(numbers / rows) : 0;
    p.values = data(state[0], p.rows * p.width, "values");
    p.means = data(state[1], numbers, "means");
    p.squares = data(state[2], numbers, "squares");
    p.gradients = gradients.data();
    if (visible.size() != 0) p.visible = data(visible, rows, "visible");
    p.rate = rates[0], p.beta1 = rates[1], p.beta2 = rates[2];
    p.root_remainder = rates[3], p.eps = rates[4];
    nb::gil_scoped_release release;
    passes_for<S>().adam_step(p);
}

template <class S>
void shake(const Array<S>& means, const std::vector<Array<const S>>& in, double strength,
           const std::vector<double>& gate, std::uint64_t seed) {
    if (in.size() != 3) throw std::invalid_argument("shaking takes 3 input arrays");
    if (gate.size() != 3) throw std::invalid_argument("a gate has 3 numbers");
    ShakeParams<S> p = {};
    std::int64_t n = p.splats = in[2].size();
    p.means = data(means, 3 * n, "means");
    p.quats = data(in[0], 4 * n, "quats");
    p.scales = data(in[1], 3 * n, "scales");
    p.opacities = in[2].data();
    p.strength = strength;
    p.gate = {gate[0], gate[1], gate[2]};
    p.seed = seed;
    nb::gil_scoped_release release;
    passes_for<S>().shake(p);
}

}  // namespace gaborsplat
