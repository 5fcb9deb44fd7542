// The passes as Python calls them: checks shapes, fills the parameter structs, calls the pass with
// the GIL released. Arrays are NumPy or torch, float32 or float64, row-major and never copied.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <stdexcept>
#include <string>

#include "../math/compositing.h"
#include "../primitives/kinds.h"
#include "passes.h"

namespace nb = nanobind;
namespace gaborsplat {

template <class T>
using Array = nb::ndarray<T, nb::c_contig, nb::device::cpu>;

/// Throws unless `array` holds `expected` numbers.
template <class T>
T* data(const Array<T>& array, std::int64_t expected, const char* name) {
    if (static_cast<std::int64_t>(array.size()) != expected)
        throw std::invalid_argument(std::string(name) + " holds " + std::to_string(array.size()) +
                                    " numbers, not " + std::to_string(expected));
    return array.data();
}

template <class S>
const Passes<S>& passes_for();
template <>
inline const Passes<float>& passes_for<float>() {
    return *isa().passes;
}
template <>
inline const Passes<double>& passes_for<double>() {
    return double_passes_portable;
}

/// Numbers on the image per splat, Kind::kScreen.
inline int screen_size(int waves) {
    int size = -1;
    with_kind(waves, [&](auto kind) { size = decltype(kind)::kScreen; });
    if (size < 0) throw std::invalid_argument("no kind has " + std::to_string(waves) + " waves");
    return size;
}

struct ProjectOptions {
    int width, height;
    double near_plane, far_plane, eps2d, compensation_min, alpha_min, radius_clip;
    bool antialiased, three_sigma, raw;
};

/// The splats and cameras of a projection; the same arrays serve forward and backward.
template <class S>
ProjectParams<S> project_params(const std::vector<Array<const S>>& in, int waves,
                                const ProjectOptions& o, const Array<std::int32_t>& radii) {
    if (in.size() != 8) throw std::invalid_argument("projection takes 8 input arrays");
    ProjectParams<S> p = {};
    std::int64_t n = p.splats = in[3].size();
    std::int64_t c = p.cameras = in[6].size() / 16;
    p.waves = waves;
    p.width = o.width, p.height = o.height;
    p.means = data(in[0], 3 * n, "means");
    p.quats = data(in[1], 4 * n, "quats");
    p.scales = data(in[2], 3 * n, "scales");
    p.opacities = data(in[3], n, "opacities");
    p.frequencies = data(in[4], 3 * n * waves, "frequencies");
    p.coefficients = data(in[5], 2 * n * waves, "coefficients");
    p.viewmats = data(in[6], 16 * c, "viewmats");
    p.intrinsics = data(in[7], 9 * c, "Ks");
    p.near_plane = o.near_plane, p.far_plane = o.far_plane;
    p.eps2d = o.eps2d, p.compensation_min = o.compensation_min;
    p.alpha_min = o.alpha_min, p.radius_clip = o.radius_clip;
    p.antialiased = o.antialiased, p.three_sigma = o.three_sigma, p.raw = o.raw;
    p.radii = data(radii, 2 * c * n, "radii");
    return p;
}

template <class S>
void project(const std::vector<Array<const S>>& in, int waves, const ProjectOptions& options,
             const Array<std::int32_t>& radii, const std::vector<Array<S>>& out) {
    ProjectParams<S> p = project_params(in, waves, options, radii);
    std::int64_t m = p.cameras * p.splats;
    if (out.size() != 6) throw std::invalid_argument("projection fills 6 arrays");
    p.means2d = data(out[0], 2 * m, "means2d");
    p.depths = data(out[1], m, "depths");
    p.conics = data(out[2], 3 * m, "conics");
    p.projected_opacities = data(out[3], m, "projected opacities");
    p.cutoffs = data(out[4], m, "cutoffs");
    p.screen = data(out[5], screen_size(waves) * m, "screen");
    nb::gil_scoped_release release;
    passes_for<S>().project(p);
}

template <class S>
void project_backward(const std::vector<Array<const S>>& in, int waves,
                      const ProjectOptions& options, const Array<std::int32_t>& radii,
                      const std::vector<Array<const S>>& v_out, const std::vector<Array<S>>& v_in) {
    ProjectParams<S> p = project_params(in, waves, options, radii);
    std::int64_t n = p.splats, m = p.cameras * n;
    if (v_out.size() != 5 || v_in.size() != 7)
        throw std::invalid_argument("projection backward takes 5 gradients and fills 7");
    ProjectGradients<S> g;
    g.v_means2d = data(v_out[0], 2 * m, "v_means2d");
    g.v_depths = data(v_out[1], m, "v_depths");
    g.v_conics = data(v_out[2], 3 * m, "v_conics");
    g.v_projected_opacities = data(v_out[3], m, "v_projected_opacities");
    g.v_screen = data(v_out[4], screen_size(waves) * m, "v_screen");
    g.v_means = data(v_in[0], 3 * n, "v_means");
    g.v_quats = data(v_in[1], 4 * n, "v_quats");
    g.v_scales = data(v_in[2], 3 * n, "v_scales");
    g.v_opacities = data(v_in[3], n, "v_opacities");
    g.v_frequencies = data(v_in[4], 3 * n * waves, "v_frequencies");
    g.v_coefficients = data(v_in[5], 2 * n * waves, "v_coefficients");
    g.v_viewmats = data(v_in[6], 16 * p.cameras, "v_viewmats");
    nb::gil_scoped_release release;
    passes_for<S>().project_backward(p, g);
}

/// Harmonics come as one array [N, bands, 3], or as [N, 1, 3] and [N, bands - 1, 3].
template <class S>
ShadeParams<S> shade_params(const std::vector<Array<const S>>& in, int degree,
                            const Array<std::int32_t>& radii, const Array<S>& colors) {
    if (in.size() != 3 && in.size() != 4)
        throw std::invalid_argument("shading takes 3 or 4 input arrays");
    ShadeParams<S> p;
    std::int64_t n = p.splats = in[0].size() / 3;
    std::int64_t c = p.cameras = in[1].size() / 3;
    bool apart = in.size() == 4;
    std::int64_t numbers = in[2].size() + (apart ? in[3].size() : 0);
    p.bands = n ? static_cast<int>(numbers / (3 * n)) : 16;
    p.degree = degree;
    if (degree < 0 || degree > 3 || (degree + 1) * (degree + 1) > p.bands)
        throw std::invalid_argument("SH degree " + std::to_string(degree) + " needs more than " +
                                    std::to_string(p.bands) + " coefficients");
    p.means = data(in[0], 3 * n, "means");
    p.positions = data(in[1], 3 * c, "camera positions");
    p.sh0_width = apart ? 3 : 3 * p.bands;
    p.rest_width = apart ? 3 * (p.bands - 1) : 3 * p.bands;
    p.sh0 = data(in[2], n * p.sh0_width, "sh");
    p.sh_rest = apart ? data(in[3], n * p.rest_width, "sh of degree 1 and up") : p.sh0 + 3;
    p.radii = data(radii, 2 * c * n, "radii");
    p.colors = data(colors, 3 * c * n, "colors");
    return p;
}

template <class S>
void shade(const std::vector<Array<const S>>& in, int degree, const Array<std::int32_t>& radii,
           const Array<S>& colors) {
    ShadeParams<S> p = shade_params(in, degree, radii, colors);
    nb::gil_scoped_release release;
    passes_for<S>().shade(p);
}

template <class S>
void shade_backward(const std::vector<Array<const S>>& in, int degree,
                    const Array<std::int32_t>& radii, const Array<S>& colors,
                    const Array<const S>& v_colors, const std::vector<Array<S>>& v_in) {
    ShadeParams<S> p = shade_params(in, degree, radii, colors);
    if (v_in.size() != in.size())
        throw std::invalid_argument("shading backward fills a gradient for every input");
    ShadeGradients<S> g;
    g.v_colors = data(v_colors, 3 * p.cameras * p.splats, "v_colors");
    g.v_means = data(v_in[0], 3 * p.splats, "v_means");
    g.v_positions = data(v_in[1], 3 * p.cameras, "v_positions");
    g.v_sh0 = data(v_in[2], p.splats * p.sh0_width, "v_sh");
    g.v_sh_rest = in.size() == 4 ? data(v_in[3], p.splats * p.rest_width, "v_sh of degree 1 and up")
                                 : g.v_sh0 + 3;
    nb::gil_scoped_release release;
    passes_for<S>().shade_backward(p, g);
}

/// A NumPy array that owns the memory.
template <class T>
nb::object owned(OwnedArray<T>&& values) {
    std::size_t size = values.size;
    T* memory = values.data.release();
    nb::capsule owner(memory, [](void* p) noexcept { delete[] static_cast<T*>(p); });
    return nb::cast(nb::ndarray<nb::numpy, T>(memory, {size}, owner));
}

template <class S>
nb::tuple bin_to_tiles(const std::vector<Array<const S>>& in, const Array<std::int32_t>& radii,
                       int cameras, int width, int height, bool tile_test, bool slots) {
    if (in.size() != 4) throw std::invalid_argument("binning takes 4 input arrays");
    BinParams<S> p;
    std::int64_t m = in[1].size();
    p.cameras = cameras;
    p.splats = cameras ? m / cameras : 0;
    p.width = width, p.height = height;
    p.tile_test = tile_test;
    p.slots = slots;
    p.radii = data(radii, 2 * m, "radii");
    p.means2d = data(in[0], 2 * m, "means2d");
    p.depths = data(in[1], m, "depths");
    p.conics = data(in[2], 3 * m, "conics");
    p.cutoffs = data(in[3], m, "cutoffs");
    Bins bins;
    {
        nb::gil_scoped_release release;
        bins = passes_for<S>().bin(p);
    }
    return nb::make_tuple(owned(std::move(bins.splat_ids)), owned(std::move(bins.offsets)),
                          owned(std::move(bins.slots)), owned(std::move(bins.first_slot)));
}

struct BlendOptions {
    int waves, cameras, width, height;
    double alpha_min, alpha_max, transmittance_min;
};

/// All but what the blend writes, or reads on its way back.
template <class S>
BlendParams<S> blend_params(const std::vector<Array<const S>>& in, const BlendOptions& o,
                            const Array<std::int32_t>& ids, const Array<std::int64_t>& offsets,
                            int channels) {
    if (in.size() != 6) throw std::invalid_argument("blending takes 6 input arrays");
    BlendParams<S> p = {};
    std::int64_t m = in[2].size();
    std::int64_t tiles = std::int64_t(tiles_along(o.width)) * tiles_along(o.height);
    p.cameras = o.cameras;
    p.splats = m;
    p.instances = ids.size();
    p.waves = o.waves;
    p.channels = channels;
    p.width = o.width, p.height = o.height;
    p.alpha_min = o.alpha_min, p.alpha_max = o.alpha_max;
    p.transmittance_min = o.transmittance_min;
    p.means2d = data(in[0], 2 * m, "means2d");
    p.conics = data(in[1], 3 * m, "conics");
    p.opacities = data(in[2], m, "opacities");
    p.cutoffs = data(in[3], m, "cutoffs");
    p.colors = data(in[4], channels * m, "colors");
    p.screen = data(in[5], screen_size(o.waves) * m, "screen");
    p.splat_ids = data(ids, p.instances, "splat ids");
    p.offsets = data(offsets, o.cameras * tiles + 1, "tile offsets");
    return p;
}

template <class S>
BlendParams<S> blend_params(const std::vector<Array<const S>>& in, const BlendOptions& o,
                            const Array<std::int32_t>& ids, const Array<std::int64_t>& offsets,
                            const Array<S>& image, const Array<S>& transmittance) {
    std::int64_t pixels = std::int64_t(o.cameras) * o.width * o.height;
    int channels = pixels ? static_cast<int>(image.size() / pixels) : 0;
    BlendParams<S> p = blend_params(in, o, ids, offsets, channels);
    p.image = data(image, channels * pixels, "image");
    p.transmittance = data(transmittance, pixels, "transmittance");
    return p;
}

template <class S>
void blend_bytes(const std::vector<Array<const S>>& in, const BlendOptions& options,
                 const Array<std::int32_t>& ids, const Array<std::int64_t>& offsets,
                 const std::vector<double>& background, const Array<std::uint8_t>& bytes) {
    if (background.size() != 3) throw std::invalid_argument("a background has 3 channels");
    BlendParams<S> p = blend_params(in, options, ids, offsets, 3);
    p.bytes = data(bytes, 3 * p.cameras * p.width * p.height, "bytes");
    for (int k = 0; k < 3; ++k) p.background[k] = background[k];
    nb::gil_scoped_release release;
    passes_for<S>().blend(p);
}

template <class S>
void blend(const std::vector<Array<const S>>& in, const BlendOptions& options,
           const Array<std::int32_t>& ids, const Array<std::int64_t>& offsets,
           const Array<S>& image, const Array<S>& transmittance) {
    BlendParams<S> p = blend_params(in, options, ids, offsets, image, transmittance);
    nb::gil_scoped_release release;
    passes_for<S>().blend(p);
}

template <class S>
void blend_backward(const std::vector<Array<const S>>& in, const BlendOptions& options,
                    const Array<std::int32_t>& ids, const Array<std::int64_t>& offsets,
                    const Array<S>& image, const Array<S>& transmittance,
                    const std::vector<Array<const S>>& v_out, const Array<std::int32_t>& slots,
                    const Array<std::int64_t>& first_slot, const std::vector<Array<S>>& v_in) {
    BlendParams<S> p = blend_params(in, options, ids, offsets, image, transmittance);
    if (v_out.size() != 2 || v_in.size() < 5)
        throw std::invalid_argument("blending backward takes 2 gradients and fills 5 or 6");
    std::int64_t m = in[2].size(), pixels = p.cameras * p.width * p.height;
    BlendGradients<S> g;
    g.v_image = data(v_out[0], p.channels * pixels, "v_image");
    g.v_transmittance = data(v_out[1], pixels, "v_transmittance");
    g.slots = data(slots, p.instances, "slots");
    g.first_slot = data(first_slot, m + 1, "first slots");
    g.v_means2d = data(v_in[0], 2 * m, "v_means2d");
    g.v_conics = data(v_in[1], 3 * m, "v_conics");
    g.v_opacities = data(v_in[2], m, "v_opacities");
    g.v_colors = data(v_in[3], p.channels * m, "v_colors");
    g.v_screen = data(v_in[4], screen_size(p.waves) * m, "v_screen");
    g.v_means2d_abs = v_in.size() > 5 ? data(v_in[5], 2 * m, "v_means2d_abs") : nullptr;
    nb::gil_scoped_release release;
    passes_for<S>().blend_backward(p, g);
}

}  // namespace gaborsplat
