// Colours from spherical harmonics, and their gradient: a splat a thread.
//   GABORSPLAT_DEGREE  that of the harmonics
#include "../math/harmonics.h"
#include "device.h"

#ifndef GABORSPLAT_DEGREE
#define GABORSPLAT_DEGREE 3
#endif

GABORSPLAT_BEGIN

constexpr int kDegree = GABORSPLAT_DEGREE;
constexpr int kHarmonics = (kDegree + 1) * (kDegree + 1);

struct ShadeArguments {
    const S* means;       // [N, 3]
    const S* positions;   // [C, 3] camera centres
    const S* sh0;         // [N, sh0_width] of which the first three are the constant harmonic's
    const S* sh_rest;     // [N, rest_width] those of the others
    std::int32_t* radii;  // [C, N, 2]; splats of unbounded colour are culled
    S* colors;            // [C, N, 3]
    std::int64_t splats;
    int sh0_width;
    int rest_width;
};

struct ShadeBackwardArguments {
    const S* means;
    const S* positions;
    const S* sh0;
    const S* sh_rest;
    const std::int32_t* radii;
    const S* colors;
    const S* v_colors;
    S* v_means;      // [N, 3]
    S* v_positions;  // [warps of the grid, C, 3]
    S* v_sh0;        // zeros, as v_sh_rest: only what is not zero is added
    S* v_sh_rest;
    std::int64_t splats;
    int cameras;
    int sh0_width;
    int rest_width;
};

template <class Arguments>
HD Vec3<S> load_harmonic(const Arguments& p, std::int64_t i, int j) {
    return load3(j == 0 ? p.sh0 + p.sh0_width * i : p.sh_rest + p.rest_width * i + 3 * j - 3);
}

/// The grid's second axis are the cameras.
KERNEL(shade_splats, ShadeArguments, 128) {
    std::int64_t i = thread_number();
    if (i >= p.splats) return;
    int camera = int(blockIdx.y);
    std::int64_t at = camera * p.splats + i;
    Vec3<S> color = {S(0), S(0), S(0)};
    if (p.radii[2 * at] != 0) {
        Vec3<S> direction = load3(p.means + 3 * i) - load3(p.positions + 3 * camera);
        Vec3<S> found = shade(kDegree, direction, [&](int j) { return load_harmonic(p, i, j); });
        if (bounded(found.x) && bounded(found.y) && bounded(found.z)) {
            color = found;
        } else {
            p.radii[2 * at] = 0;
            p.radii[2 * at + 1] = 0;
        }
    }
    store3(p.colors + 3 * at, color);
}

KERNEL(shade_backward, ShadeBackwardArguments, 128) {
    std::int64_t i = thread_number();
    bool inside = i < p.splats;
    Vec3<S> v_mean = {S(0), S(0), S(0)};
    for (int camera = 0; camera < p.cameras; ++camera) {
        std::int64_t at = camera * p.splats + i;
        Vec3<S> v_direction = {S(0), S(0), S(0)};
        if (inside && p.radii[2 * at] != 0) {
            Vec3<S> direction = load3(p.means + 3 * i) - load3(p.positions + 3 * camera);
            ShadeGradient<S> v = shade_vjp(
                kDegree, direction, [&](int j) { return load_harmonic(p, i, j); },
                load3(p.colors + 3 * at), load3(p.v_colors + 3 * at));
            v_direction = v.direction;
            for (int j = 0; j < kHarmonics; ++j) {
                S* to =
                    j == 0 ? p.v_sh0 + p.sh0_width * i : p.v_sh_rest + p.rest_width * i + 3 * j - 3;
                store3(to, load3(to) + v.basis[j] * v.color);
            }
        }
        v_mean = v_mean + v_direction;
        S numbers[3] = {-v_direction.x, -v_direction.y, -v_direction.z};
        WarpSum sum = sum_over_warp<3>(numbers);
        if (sum.number >= 0)
            p.v_positions[3 * (i / kWarp * p.cameras + camera) + sum.number] = sum.total;
    }
    if (inside) store3(p.v_means + 3 * i, v_mean);
}

GABORSPLAT_END
