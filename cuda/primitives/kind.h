// The contract of a kind of primitive: what modulates the Gaussian envelope of a splat.
//
// A kind is a struct with no data, and these members; everything else (passes, gradients, the
// Python side, tests) is generic over them. `gaussian.h` is the smallest example.
//
//   kWaves                     waves per splat: the width of its parameter arrays
//   kModulationSize            numbers that describe the modulation on the image: `modulation2d`
//   project(world, footprint, mean2d, modulation2d)
//                              parameters in the splat's frame -> modulation2d, for one camera
//   project_vjp(world, footprint, v_modulation2d, v_world) -> ModulationGradient
//   peak(modulation2d)         an upper bound of |modulation|, so that culling stays exact
//
//   Waves<V>, waves_at(modulation2d, p)
//                              what `modulation` needs to know of the point p: its first
//                              kWaveNumbers numbers; and after them as many for `add_vjp`
//   modulation(modulation2d, waves)
//                              the factor at p
// Its gradient is summed over pixels by kSums numbers:
//   add_vjp(waves, d, g, sums) adds a pixel at the offset d from the mean, of gradient g
//   modulation2d_vjp(modulation2d, mean, sums, v_modulation2d)
//                              v_modulation2d[kModulationSize] from the sums
// The blend of the CPU visits pixels in small squares, and finds the modulation of a pixel from
// that at its square's corner and from its place in the square: waves turn by the sum of two
// angles.
//   Turns<V>, turns(modulation2d, step)
//                              what is needed of a step away from p
//   modulation(modulation2d, waves, turns), add_vjp(waves, turns, d, g, sums)
//                              the same at p + step
//
// A modulation is 1 where the kind has nothing to say. Today it multiplies alpha; envelope and
// modulation reach the blend as two numbers, so that a kind may modulate colour instead.
#pragma once

#include "../math/covariance.h"
#include "../math/linalg.h"

GABORSPLAT_BEGIN

/// Parameters of one splat's waves, in its own whitened frame.
template <class S>
struct WaveParameters {
    const S* frequencies;   // [K, 3] cycles per sigma
    const S* coefficients;  // [K, 2] cosine, sine
};
template <class S>
struct WaveGradients {
    S* frequencies;   // [K, 3], added to
    S* coefficients;  // [K, 2], added to
};

/// What `project_vjp` returns besides the gradients of the waves themselves.
template <class S>
struct ModulationGradient {
    Mat23<S> basis;
    Sym2<S> conic;  // of the full symmetric matrix
    Vec2<S> mean2d;
};

GABORSPLAT_END
