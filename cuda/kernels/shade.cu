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
    const S* viewmats;    // [C, 4, 4]
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
    const S* viewmats;
    const S* sh0;
    const S* sh_rest;
    const std::int32_t* radii;
    const S* colors;
    const S* v_colors;
    S* v_means;      // [N, 3]
    S* v_positions;  // [warps of the grid, C, 3] of the camera centres; null: not wanted
    S* v_sh0;
    S* v_sh_rest;
    std::int64_t splats;
    int cameras;
    int sh0_width;
    int rest_width;
    int bands;  // harmonics of a splat, used or not
};

template <class Arguments>
HD Vec3<S> load_harmonic(const Arguments& p, std::int64_t i, int j) {
    return load3(j == 0 ? p.sh0 + p.sh0_width * i : p.sh_rest + p.rest_width * i + 3 * j - 3);
}

/// From the camera to the splat, -R^T t being the camera's centre.
template <class Arguments>
HD Vec3<S> direction_of(const Arguments& p, std::int64_t i, int camera) {
    const S* m = p.viewmats + 16 * camera;
    Mat3<S> rotation = {load3(m), load3(m + 4), load3(m + 8)};
    return load3(p.means + 3 * i) + Vec3<S>{m[3], m[7], m[11]} * rotation;
}

/// The grid's second axis are the cameras.
KERNEL(shade_splats, ShadeArguments, 128) {
    std::int64_t i = thread_number();
    if (i >= p.splats) return;
    int camera = int(blockIdx.y);
    std::int64_t at = camera * p.splats + i;
    Vec3<S> color = {S(0), S(0), S(0)};
    if (p.radii[2 * at] != 0) {
        Vec3<S> found = shade(kDegree, direction_of(p, i, camera),
                              [&](int j) { return load_harmonic(p, i, j); });
        if (bounded(found.x) && bounded(found.y) && bounded(found.z)) {
            color = found;
        } else {
            p.radii[2 * at] = 0;
            p.radii[2 * at + 1] = 0;
        }
    }
    store3(p.colors + 3 * at, color);
}

// Harmonics whose gradients a block collects before it writes them: a splat's numbers lie together,
// and threads that write them one by one would each touch a piece of memory of their own.
constexpr int kStaged = kHarmonics < 8 ? kHarmonics : 8;
constexpr int kStride = 3 * kStaged | 1;  // odd: lanes side by side meet no bank twice
constexpr int kShadeThreads = 128;

HD S* harmonic_gradient(const ShadeBackwardArguments& p, std::int64_t splat, int j) {
    return j == 0 ? p.v_sh0 + p.sh0_width * splat
                  : p.v_sh_rest + p.rest_width * splat + 3 * (j - 1);
}

/// Writes the gradient of harmonics First and up of the block's splats.
template <int First, class Staged>
HD void write_harmonics(const ShadeBackwardArguments& p, const Vec3<S>* mine, Staged& staged) {
    constexpr int kCount = kHarmonics - First < kStaged ? kHarmonics - First : kStaged;
#pragma unroll
    for (int j = 0; j < kCount; ++j) {
        int at = kStride * int(threadIdx.x) + 3 * j;
        staged[at] = mine[First + j].x;
        staged[at + 1] = mine[First + j].y;
        staged[at + 2] = mine[First + j].z;
    }
    __syncthreads();
    std::int64_t begin = std::int64_t(blockIdx.x) * kShadeThreads;
    int rows = int(p.splats - begin < kShadeThreads ? p.splats - begin : kShadeThreads);
    for (int k = int(threadIdx.x); k < rows * 3 * kCount; k += kShadeThreads) {
        int row = k / (3 * kCount), number = k % (3 * kCount);
        S* to = harmonic_gradient(p, begin + row, First + number / 3);
        to[number % 3] = staged[kStride * row + number];
    }
    __syncthreads();
    if constexpr (First + kCount < kHarmonics) write_harmonics<First + kCount>(p, mine, staged);
}

KERNEL(shade_backward, ShadeBackwardArguments, 128) {
    SHARED(S, staged, kStride * kShadeThreads);
    std::int64_t i = thread_number();
    bool inside = i < p.splats;
    Vec3<S> v_mean = {S(0), S(0), S(0)}, v_harmonics[kHarmonics] = {};
    for (int camera = 0; camera < p.cameras; ++camera) {
        std::int64_t at = camera * p.splats + i;
        Vec3<S> v_direction = {S(0), S(0), S(0)};
        if (inside && p.radii[2 * at] != 0) {
            ShadeGradient<S> v = shade_vjp(
                kDegree, direction_of(p, i, camera), [&](int j) { return load_harmonic(p, i, j); },
                load3(p.colors + 3 * at), load3(p.v_colors + 3 * at));
            v_direction = v.direction;
#pragma unroll
            for (int j = 0; j < kHarmonics; ++j)
                v_harmonics[j] = v_harmonics[j] + v.basis[j] * v.color;
        }
        v_mean = v_mean + v_direction;
        if (!p.v_positions) continue;
        S numbers[3] = {-v_direction.x, -v_direction.y, -v_direction.z};
        S total = WarpSums<3>::add(numbers);
        int role = WarpSums<3>::role();
        if (role >= 0) p.v_positions[3 * (i / kWarp * p.cameras + camera) + role] = total;
    }
    write_harmonics<0>(p, v_harmonics, staged);
    if (!inside) return;
    store3(p.v_means + 3 * i, v_mean);
    for (int j = kHarmonics; j < p.bands; ++j)  // of a higher degree than is drawn
        store3(harmonic_gradient(p, i, j), {S(0), S(0), S(0)});
}

GABORSPLAT_END
