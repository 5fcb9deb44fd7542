// What must hold of a struct's sizes, besides that its arrays are as large as they say.
#pragma once

#include <nanobind/nanobind.h>

#include <string>

#include "../passes/blend.h"
#include "../passes/launch.h"
#include "../passes/project.h"
#include "../passes/shade.h"
#include "../primitives/kinds.h"

namespace gaborsplat {

/// Kind::kModulationSize, of the kind with this many waves. Throws nb::value_error.
inline int modulation_size(int waves) {
    int size = -1;
    with_kind(waves, [&](auto kind) { size = decltype(kind)::kModulationSize; });
    if (size < 0)
        throw nanobind::value_error(
            ("no kind of splat has " + std::to_string(waves) + " waves").c_str());
    return size;
}

inline void require_size(const char* name, std::int64_t found, std::int64_t expected) {
    if (found != expected)
        throw nanobind::value_error((std::string(name) + " must be " + std::to_string(expected) +
                                     ", not " + std::to_string(found))
                                        .c_str());
}

template <class Arguments>
void check_sizes(const Arguments&) {}

template <class S>
void check_sizes(const ProjectInputs<S>& in) {
    require_size("modulation_size", in.modulation_size, modulation_size(in.waves));
}
template <class S>
void check_sizes(const ShadeInputs<S>& in) {
    if (in.degree < 0 || in.degree > 3 || (in.degree + 1) * (in.degree + 1) > in.sh_coeffs)
        throw nanobind::value_error(("SH degree " + std::to_string(in.degree) +
                                     " needs more than " + std::to_string(in.sh_coeffs) +
                                     " coefficients")
                                        .c_str());
    bool apart = in.sh0_coeffs == 1 && in.sh_coeffs != 1;
    if (!apart || !in.sh_rest) require_size("sh0_coeffs", in.sh0_coeffs, in.sh_coeffs);
}
template <class S>
void check_sizes(const BlendInputs<S>& in) {
    require_size("modulation_size", in.modulation_size, modulation_size(in.waves));
    std::int64_t tiles = std::int64_t(tiles_along(in.width)) * tiles_along(in.height);
    require_size("tiles", in.tiles, in.cameras * tiles);
}

template <class S>
void check_sizes(const ProjectArguments<S>& p) {
    check_sizes(p.in);
}
template <class S>
void check_sizes(const ProjectBackwardArguments<S>& p) {
    check_sizes(p.in);
}
template <class S>
void check_sizes(const ShadeArguments<S>& p) {
    check_sizes(p.in);
}
template <class S>
void check_sizes(const ShadeBackwardArguments<S>& p) {
    check_sizes(p.in);
}
template <class S>
void check_sizes(const BlendArguments<S>& p) {
    check_sizes(p.in);
}
template <class S>
void check_sizes(const BlendBackwardArguments<S>& p) {
    check_sizes(p.in);
}

}  // namespace gaborsplat
