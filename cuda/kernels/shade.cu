// Colours from spherical harmonics, and their gradient: a splat a thread.
//   GABORSPLAT_DEGREE  that of the harmonics
#include "../math/harmonics.h"
#include "../passes/shade.h"
#include "device.h"

#ifndef GABORSPLAT_DEGREE
#define GABORSPLAT_DEGREE 3
#endif

GABORSPLAT_BEGIN

constexpr int kDegree = GABORSPLAT_DEGREE;
constexpr int kHarmonics = (kDegree + 1) * (kDegree + 1);

/// Where the j-th harmonic's coefficients of a splat are, or their gradient: in `sh0`, which has
/// those of all harmonics where there is no `sh_rest`.
template <class T>
HD T* harmonic_at(const ShadeInputs<S>& p, T* sh0, T* sh_rest, std::int64_t i, int j) {
    if (j == 0 || !sh_rest) return sh0 + 3 * (p.sh0_coeffs * i + j);
    return sh_rest + 3 * ((p.sh_coeffs - p.sh0_coeffs) * i + j - 1);
}
HD Vec3<S> load_harmonic(const ShadeInputs<S>& p, std::int64_t i, int j) {
    return load3(harmonic_at(p, p.sh0, p.sh_rest, i, j));
}

/// From the camera to the splat, -R^T t being the camera's centre.
HD Vec3<S> direction_of(const ShadeInputs<S>& p, std::int64_t i, int camera) {
    const S* m = p.viewmats + 16 * camera;
    Mat3<S> rotation = {load3(m), load3(m + 4), load3(m + 8)};
    return load3(p.means + 3 * i) + Vec3<S>{m[3], m[7], m[11]} * rotation;
}

/// The grid's second axis are the cameras.
KERNEL(shade, ShadeArguments<S>, kSplatThreads) {
    std::int64_t i = thread_number();
    if (i >= p.in.splats) return;
    int camera = int(blockIdx.y);
    std::int64_t at = camera * p.in.splats + i;
    Vec3<S> color = {S(0), S(0), S(0)};
    bool kept = false;
    if (p.projected[at] != 0) {
        Vec3<S> found = shade(kDegree, direction_of(p.in, i, camera),
                              [&](int j) { return load_harmonic(p.in, i, j); });
        kept = bounded(found.x) && bounded(found.y) && bounded(found.z);
        if (kept) color = found;
    }
    p.visible[at] = kept;
    store3(p.colors + 3 * at, color);
}

// Harmonics whose gradients a block collects before it writes them: a splat's numbers lie together,
// and threads that write them one by one would each touch a piece of memory of their own.
constexpr int kStaged = kHarmonics < 8 ? kHarmonics : 8;
constexpr int kStride = 3 * kStaged | 1;  // odd: lanes side by side meet no bank twice

HD S* harmonic_gradient(const ShadeBackwardArguments<S>& p, std::int64_t i, int j) {
    return harmonic_at(p.in, p.v_sh0, p.v_sh_rest, i, j);
}

/// Writes the gradient of harmonics First and up of the block's splats.
template <int First, class Staged>
HD void write_harmonics(const ShadeBackwardArguments<S>& p, const Vec3<S>* mine, Staged& staged) {
    constexpr int kCount = kHarmonics - First < kStaged ? kHarmonics - First : kStaged;
#pragma unroll
    for (int j = 0; j < kCount; ++j) {
        int at = kStride * int(threadIdx.x) + 3 * j;
        staged[at] = mine[First + j].x;
        staged[at + 1] = mine[First + j].y;
        staged[at + 2] = mine[First + j].z;
    }
    __syncthreads();
    std::int64_t begin = std::int64_t(blockIdx.x) * kSplatThreads;
    int rows = int(p.in.splats - begin < kSplatThreads ? p.in.splats - begin : kSplatThreads);
    for (int k = int(threadIdx.x); k < rows * 3 * kCount; k += kSplatThreads) {
        int row = k / (3 * kCount), number = k % (3 * kCount);
        S* to = harmonic_gradient(p, begin + row, First + number / 3);
        to[number % 3] = staged[kStride * row + number];
    }
    __syncthreads();
    if constexpr (First + kCount < kHarmonics) write_harmonics<First + kCount>(p, mine, staged);
}

KERNEL(shade_backward, ShadeBackwardArguments<S>, kSplatThreads) {
    SHARED(S, staged, kStride * kSplatThreads);
    std::int64_t i = thread_number();
    bool inside = i < p.in.splats;
    Vec3<S> v_mean = {S(0), S(0), S(0)}, v_harmonics[kHarmonics] = {};
    for (int camera = 0; camera < p.in.cameras; ++camera) {
        std::int64_t at = camera * p.in.splats + i;
        Vec3<S> v_direction = {S(0), S(0), S(0)};
        if (inside && p.visible[at] != 0) {
            ShadeGradient<S> v = shade_vjp(
                kDegree, direction_of(p.in, i, camera),
                [&](int j) { return load_harmonic(p.in, i, j); }, load3(p.colors + 3 * at),
                load3(p.v_colors + 3 * at));
            v_direction = v.direction;
#pragma unroll
            for (int j = 0; j < kHarmonics; ++j)
                v_harmonics[j] = v_harmonics[j] + v.basis[j] * v.color;
        }
        v_mean = v_mean + v_direction;
        if (!p.v_positions) continue;
        S numbers[3] = {-v_direction.x, -v_direction.y, -v_direction.z};
        S total = WarpSums<3>::add(numbers);
        int owned = WarpSums<3>::owned_sum();
        if (owned >= 0) p.v_positions[3 * (i / kWarp * p.in.cameras + camera) + owned] = total;
    }
    write_harmonics<0>(p, v_harmonics, staged);
    if (!inside) return;
    store3(p.v_means + 3 * i, v_mean);
    for (int j = kHarmonics; j < p.in.sh_coeffs; ++j)  // of a higher degree than is drawn
        store3(harmonic_gradient(p, i, j), {S(0), S(0), S(0)});
}

GABORSPLAT_END
