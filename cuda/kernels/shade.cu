// Colours from spherical harmonics, the gradient of that, and the step of a fit along it: a splat a
// thread, and for the step a number a thread.
//   GABORSPLAT_DEGREE  that of the harmonics
//   GABORSPLAT_STEP    whether the step is compiled, or else the two others
#include "../math/harmonics.h"
#include "../math/optimizer.h"
#include "device.h"

#ifndef GABORSPLAT_DEGREE
#define GABORSPLAT_DEGREE 3
#endif
#ifndef GABORSPLAT_STEP
#define GABORSPLAT_STEP 0
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

/// A splat's harmonics, with what steps that they have missed did to them.
struct CurrentHarmonics {
    const ShadeInputs<S>& p;
    std::int64_t i;
    S missed0 = S(0), missed_rest = S(0);

    HD CurrentHarmonics(const ShadeInputs<S>& p, std::int64_t i) : p(p), i(i) {
        if (!p.late.missed) return;
        const S* missed = p.late.missed + p.late.last_steps[i];
        missed0 = missed[0];
        missed_rest = missed[p.late.late_steps];
    }
    HD Vec3<S> load(int j) const {
        Vec3<S> found = load3(harmonic_at(p, p.sh0, p.sh_rest, i, j));
        S missed = j == 0 ? missed0 : missed_rest;
        if (missed == S(0)) return found;
        const std::uint8_t* q =
            harmonic_at(p, p.late.sh0_quotients, p.late.sh_rest_quotients, i, j);
        return found - missed * Vec3<S>{S(decode_quotient(q[0])), S(decode_quotient(q[1])),
                                        S(decode_quotient(q[2]))};
    }
};

/// From the camera to the splat, -R^T t being the camera's centre.
HD Vec3<S> direction_of(const ShadeInputs<S>& p, std::int64_t i, int camera) {
    const S* m = p.viewmats + 16 * camera;
    Mat3<S> rotation = {load3(m), load3(m + 4), load3(m + 8)};
    return load3(p.means + 3 * i) + Vec3<S>{m[3], m[7], m[11]} * rotation;
}

// Harmonics whose gradients a block collects before it does something with them: a splat's numbers
// lie together, and threads that took them one by one would each touch memory of their own.
constexpr int kStaged = kHarmonics < 8 ? kHarmonics : 8;
constexpr int kStride = 3 * kStaged | 1;  // odd: lanes side by side meet no bank twice

/// Puts a thread's numbers of harmonics First and up where the block can see them: those of a splat
/// side by side.
template <int First, int Count, class Staged>
HD void stage_harmonics(const Vec3<S>* mine, Staged& staged) {
#pragma unroll
    for (int j = 0; j < Count; ++j) {
        int at = kStride * int(threadIdx.x) + 3 * j;
        staged[at] = mine[First + j].x;
        staged[at + 1] = mine[First + j].y;
        staged[at + 2] = mine[First + j].z;
    }
}
/// Splats of this block.
HD int rows_of_block(const ShadeInputs<S>& p) {
    std::int64_t left = p.splats - std::int64_t(blockIdx.x) * kSplatThreads;
    return int(left < kSplatThreads ? left : kSplatThreads);
}

#if !GABORSPLAT_STEP

/// The grid's second axis are the cameras.
KERNEL(shade, ShadeArguments<S>, kSplatThreads) {
    std::int64_t i = thread_number();
    if (i >= p.in.splats) return;
    int camera = int(blockIdx.y);
    std::int64_t at = camera * p.in.splats + i;
    Vec3<S> color = {S(0), S(0), S(0)};
    bool kept = false;
    if (p.projected[at] != 0) {
        CurrentHarmonics now(p.in, i);
        Vec3<S> found =
            shade(kDegree, direction_of(p.in, i, camera), [&](int j) { return now.load(j); });
        kept = bounded(found.x) && bounded(found.y) && bounded(found.z);
        if (kept) color = found;
    }
    p.visible[at] = kept;
    if (kept || !p.skip_culled) store3(p.colors + 3 * at, color);
}

HD S* harmonic_gradient(const ShadeBackwardArguments<S>& p, std::int64_t i, int j) {
    return harmonic_at(p.given.in, p.v_sh0, p.v_sh_rest, i, j);
}

/// Writes the gradient of harmonics First and up of the block's splats.
template <int First, class Staged>
HD void write_harmonics(const ShadeBackwardArguments<S>& p, const Vec3<S>* mine, Staged& staged) {
    constexpr int kCount = kHarmonics - First < kStaged ? kHarmonics - First : kStaged;
    stage_harmonics<First, kCount>(mine, staged);
    __syncthreads();
    std::int64_t begin = std::int64_t(blockIdx.x) * kSplatThreads;
    int rows = rows_of_block(p.given.in);
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
    bool inside = i < p.given.in.splats;
    Vec3<S> v_mean = {S(0), S(0), S(0)}, v_harmonics[kHarmonics] = {};
    for (int camera = 0; camera < p.given.in.cameras; ++camera) {
        std::int64_t at = camera * p.given.in.splats + i;
        Vec3<S> v_direction = {S(0), S(0), S(0)};
        if (inside && p.given.visible[at] != 0) {
            CurrentHarmonics now(p.given.in, i);
            ShadeGradient<S> v = shade_vjp(
                kDegree, direction_of(p.given.in, i, camera), [&](int j) { return now.load(j); },
                load3(p.given.colors + 3 * at), load3(p.given.v_colors + 3 * at));
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
        if (owned >= 0)
            p.v_positions[3 * (i / kWarp * p.given.in.cameras + camera) + owned] = total;
    }
    write_harmonics<0>(p, v_harmonics, staged);
    if (!inside) return;
    store3(p.v_means + 3 * i, v_mean);
    for (int j = kHarmonics; j < p.given.in.sh_coeffs; ++j)  // of a higher degree than is drawn
        store3(harmonic_gradient(p, i, j), {S(0), S(0), S(0)});
}

#else

/// What the threads of a block know of their splats' steps.
template <class Numbers>
struct BlockSteps {
    Numbers &moved0, &moved_rest;  // see MissedSteps
    Numbers &first, &second;       // likewise; `first` is negative where there is no step
};

/// Steps harmonics First and up of the block's splats along their gradients.
template <int First, class Steps, class Staged>
HD void step_block(const ShadeStepArguments<S>& p, const Steps& steps, const Vec3<S>* gradients,
                   Staged& staged) {
    constexpr int kCount = kHarmonics - First < kStaged ? kHarmonics - First : kStaged;
    const ShadeInputs<S>& in = p.given.in;
    stage_harmonics<First, kCount>(gradients, staged);
    __syncthreads();
    const std::int64_t begin = std::int64_t(blockIdx.x) * kSplatThreads;
    const int rows = rows_of_block(in), width = 3 * (in.sh_coeffs - in.sh0_coeffs);
    const HarmonicStep<S> of_sh0 = harmonic_step(p.step, kSh0);
    const HarmonicStep<S> of_rest = harmonic_step(p.step, kShRest);
    for (int k = int(threadIdx.x); k < rows * 3 * kCount; k += kSplatThreads) {
        const int row = k / (3 * kCount), number = k % (3 * kCount);
        if (steps.first[row] < S(0)) continue;
        const bool rest = First > 0 || number >= 3;
        const MissedSteps<S> missed = {rest ? steps.moved_rest[row] : steps.moved0[row],
                                       steps.first[row], steps.second[row]};
        const std::int64_t at =
            rest ? width * (begin + row) + 3 * (First - 1) + number : 3 * (begin + row) + number;
        const S gradient = staged[kStride * row + number];
        S* value = (rest ? p.next_sh_rest : p.next_sh0) + at;
        *value = step_harmonic(rest ? of_rest : of_sh0, missed, *value, gradient, std::uint32_t(at),
                               (rest ? in.late.sh_rest_quotients : in.late.sh0_quotients)[at],
                               (rest ? p.sh_rest_roots : p.sh0_roots)[at]);
    }
    __syncthreads();
    if constexpr (First + kCount < kHarmonics)
        step_block<First + kCount>(p, steps, gradients, staged);
}

KERNEL(shade_step, ShadeStepArguments<S>, kSplatThreads) {
    SHARED(S, staged, kStride * kSplatThreads);
    SHARED(S, moved0, kSplatThreads);
    SHARED(S, moved_rest, kSplatThreads);
    SHARED(S, first, kSplatThreads);
    SHARED(S, second, kSplatThreads);
    if (p.step.counters[kOpen] == 0) return;
    const ShadeInputs<S>& in = p.given.in;
    const std::int64_t i = thread_number();
    const bool visible = i < in.splats && p.given.visible[i] != 0;
    Vec3<S> gradients[kHarmonics] = {};
    first[threadIdx.x] = S(-1);
    if (visible) {
        CurrentHarmonics now(in, i);
        ShadeGradient<S> v = shade_vjp(
            kDegree, direction_of(in, i, 0), [&](int j) { return now.load(j); },
            load3(p.given.colors + 3 * i), load3(p.given.v_colors + 3 * i));
        store3(p.v_means + 3 * i, v.direction);
#pragma unroll
        for (int j = 0; j < kHarmonics; ++j) gradients[j] = v.basis[j] * v.color;
        const MissedSteps<S> missed = missed_steps(p, i, kSh0);
        moved0[threadIdx.x] = now.missed0;
        moved_rest[threadIdx.x] = now.missed_rest;
        first[threadIdx.x] = missed.first;
        second[threadIdx.x] = missed.second;
        in.late.last_steps[i] = std::int32_t(p.step.counters[kClock]);
    }
    BlockSteps<decltype(first)> steps{moved0, moved_rest, first, second};
    step_block<0>(p, steps, gradients, staged);
}

#endif

GABORSPLAT_END
