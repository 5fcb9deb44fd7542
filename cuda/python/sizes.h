// What must hold of a struct's sizes, besides that its arrays are as large as they say.
#pragma once

#include <nanobind/nanobind.h>

#include <string>

#include "../passes/blend.h"
#include "../passes/launch.h"
#include "../passes/loss.h"
#include "../passes/optimizer.h"
#include "../passes/project.h"
#include "../passes/shade.h"
#include "../passes/sort.h"
#include "../passes/tiles.h"
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

inline void require(bool holds, const char* rule) {
    if (!holds) throw nanobind::value_error(rule);
}

template <class Arguments>
void check_sizes(const Arguments&) {}

template <class S>
void check_sizes(const ProjectInputs<S>& in) {
    require_size("modulation_size", in.modulation_size, modulation_size(in.waves));
}
template <class S>
void check_sizes(const ShadeInputs<S>& in) {
    int most = 0;
    while (most < 3 && (most + 2) * (most + 2) <= in.sh_coeffs) ++most;
    if (in.degree < 0 || in.degree > most)
        throw nanobind::value_error(("SH degree " + std::to_string(in.degree) + ": " +
                                     std::to_string(in.sh_coeffs) + " coefficients have 0 to " +
                                     std::to_string(most))
                                        .c_str());
    bool apart = in.sh0_coeffs == 1 && in.sh_coeffs != 1;
    if (!apart || !in.sh_rest) require_size("sh0_coeffs", in.sh0_coeffs, in.sh_coeffs);
    const LateHarmonics<S>& late = in.late;
    bool all = late.last_steps && late.sh0_quotients && late.sh_rest_quotients;
    require(!late.missed || all, "missed needs last_steps and quotients");
    if (!late.missed) return;
    require_size("late_splats", late.late_splats, in.splats);
    require_size("late_sh0_coeffs", late.late_sh0_coeffs, 1);
    require_size("late_sh_rest_coeffs", late.late_sh_rest_coeffs, in.sh_coeffs - 1);
}
template <class S>
void check_sizes(const BlendInputs<S>& in) {
    require_size("modulation_size", in.modulation_size, modulation_size(in.waves));
    require_size("color_channels", in.color_channels, in.channels - (in.depths ? 1 : 0));
    require(!in.depths || in.channels <= kDepthChannels, "depths need few channels");
    std::int64_t tiles = std::int64_t(tiles_along(in.width)) * tiles_along(in.height);
    require_size("tiles", in.tiles, in.cameras * tiles);
}

template <class S>
void check_sizes(const ProjectArguments<S>& p) {
    check_sizes(p.in);
}
template <class S>
void check_sizes(const ProjectBackwardArguments<S>& p) {
    check_sizes(p.given.in);
}
template <class S>
void check_sizes(const ShadeArguments<S>& p) {
    check_sizes(p.in);
}
template <class S>
void check_sizes(const ShadeBackwardArguments<S>& p) {
    check_sizes(p.given.in);
}
template <class S>
void check_sizes(const ShadeStepArguments<S>& p) {
    check_sizes(p.given.in);
    require_size("cameras", p.given.in.cameras, 1);
    require(p.given.in.late.missed, "a step needs missed");
}
template <class S>
void check_sizes(const ProjectStepArguments<S>& p) {
    check_sizes(p.given.in);
    require_size("cameras", p.given.in.cameras, 1);
    require(p.given.in.raw && p.given.v_directions, "a step needs raw splats and v_directions");
}
template <class S>
void check_sizes(const BlendArguments<S>& p) {
    check_sizes(p.in);
    bool numbers = p.image && p.transmittance && !p.bytes;
    require(numbers || (p.bytes && !p.image && !p.transmittance),
            "blending gives image and transmittance, or bytes");
    require(!p.bytes || p.in.channels >= 3, "bytes need 3 channels");
}
template <class S>
void check_sizes(const BlendBackwardArguments<S>& p) {
    check_sizes(p.in);
    require((p.slot_begins != nullptr) == (p.slot_ends != nullptr), "slots begin and end");
    require(!p.v_depths || p.in.depths, "v_depths need depths");
    require(!p.slots || p.slot_begins, "slots need slot_begins");
}
template <class S>
void check_sizes(const SortPassArguments<S>& p) {
    require_size("blocks", p.blocks, sort_blocks(p.room));
    require(p.bins > 0 && p.bins <= kMostBins && (p.bins & (p.bins - 1)) == 0,
            "bins must be a power of two that is not too large");
    if (p.depths) require_size("key_size", p.key_size, sizeof(S));
    require(p.depths ? p.visible && !p.keys : p.keys && p.values && p.item_count,
            "either visible depths are sorted, or keys with values and their count");
}
template <class S>
void check_sizes(const ListTilesArguments<S>& p) {
    require_size("blocks", p.blocks, list_blocks(p.in.cameras * p.in.splats));
    require(p.in.cameras * p.in.splats < std::int64_t(1) << 31, "too many splats");
    require(p.tiles <= 65536 || p.key_size == 4, "so many tiles need keys of 4 bytes");
    require((p.slots != nullptr) == (p.pair_ids != nullptr) &&
                (p.slots != nullptr) == (p.slot_begins != nullptr) &&
                (p.slots != nullptr) == (p.slot_ends != nullptr),
            "slots need pair_ids, slot_begins and slot_ends");
}
template <class S>
void check_sizes(const LossArguments<S>& p) {
    require((p.photo != nullptr) != (p.photo_bytes != nullptr), "one of photo, photo_bytes");
}

}  // namespace gaborsplat
