// The Python module of the CPU passes.
#include "../math/harmonics.h"
#include "fit_bindings.h"
#include "thread_pool.h"

namespace nb = nanobind;
using namespace gaborsplat;

namespace {

std::vector<std::string> kinds() {
    std::vector<std::string> names;
#define GABORSPLAT_NAME(name, Kind) names.push_back(#name);
    GABORSPLAT_KINDS(GABORSPLAT_NAME)
#undef GABORSPLAT_NAME
    return names;
}

template <class>
auto unconverted() {
    return nb::arg().noconvert();
}

/// Binds a pass. No argument may be converted: an output that had been would be lost.
template <class Result, class... Arguments>
void bind_pass(nb::module_& m, const char* name, Result (*pass)(Arguments...)) {
    m.def(name, pass, unconverted<Arguments>()...);
}

template <class S>
void bind_passes(nb::module_& m) {
    bind_pass(m, "project", &project<S>);
    bind_pass(m, "project_backward", &project_backward<S>);
    bind_pass(m, "shade", &shade<S>);
    bind_pass(m, "shade_backward", &shade_backward<S>);
    bind_pass(m, "bin_to_tiles", &bin_to_tiles<S>);
    bind_pass(m, "blend", &blend<S>);
    bind_pass(m, "blend_bytes", &blend_bytes<S>);
    bind_pass(m, "blend_backward", &blend_backward<S>);
    bind_pass(m, "photometric_loss", &photometric_loss<S, S>);
    bind_pass(m, "photometric_loss", &photometric_loss<S, std::uint8_t>);
    bind_pass(m, "adam_step", &adam_step<S>);
    bind_pass(m, "shake", &shake<S>);
}

}  // namespace

NB_MODULE(_native, m) {
    nb::class_<ProjectOptions>(m, "ProjectOptions")
        .def(
            "__init__",
            [](ProjectOptions* self, int width, int height, double near_plane, double far_plane,
               double eps2d, double compensation_min, double alpha_min, double radius_clip,
               bool antialiased, bool three_sigma, bool raw) {
                new (self) ProjectOptions{width,       height,           near_plane, far_plane,
                                          eps2d,       compensation_min, alpha_min,  radius_clip,
                                          antialiased, three_sigma,      raw};
            },
            nb::kw_only(), nb::arg("width"), nb::arg("height"), nb::arg("near_plane"),
            nb::arg("far_plane"), nb::arg("eps2d"), nb::arg("compensation_min"),
            nb::arg("alpha_min"), nb::arg("radius_clip"), nb::arg("antialiased"),
            nb::arg("three_sigma"), nb::arg("raw"));
    nb::class_<BlendOptions>(m, "BlendOptions")
        .def(
            "__init__",
            [](BlendOptions* self, int waves, int cameras, int width, int height, double alpha_min,
               double alpha_max, double transmittance_min) {
                new (self) BlendOptions{waves,     cameras,          width, height, alpha_min,
                                        alpha_max, transmittance_min};
            },
            nb::kw_only(), nb::arg("waves"), nb::arg("cameras"), nb::arg("width"),
            nb::arg("height"), nb::arg("alpha_min"), nb::arg("alpha_max"),
            nb::arg("transmittance_min"));
    bind_passes<float>(m);
    bind_passes<double>(m);
    m.def("threads", &threads, "Threads that work on one pass.");
    m.def("set_threads", &set_threads, nb::arg("count"));
    m.def("isa", [] { return std::string(isa().name); }, "Instruction set of the float passes.");
    m.def("kinds", &kinds, "Names of the registered kinds of primitive.");
    m.def("screen_size", &screen_size, nb::arg("waves"),
          "Numbers that describe one splat's modulation on the image.");

    nb::module_ constants = m.def_submodule("constants", "Thresholds, from math/compositing.h.");
    constants.attr("NEAR_PLANE") = kNearPlane;
    constants.attr("FAR_PLANE") = kFarPlane;
    constants.attr("EPS2D") = kEps2d;
    constants.attr("ALPHA_MIN") = kAlphaMin;
    constants.attr("ALPHA_MAX") = kAlphaMax;
    constants.attr("TRANSMITTANCE_MIN") = kTransmittanceMin;
    constants.attr("TILE_SIZE") = kTileSize;
    constants.attr("SH_C0") = kShC0;
}
