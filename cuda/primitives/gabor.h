// A Gaussian envelope times a bank of K waves, projected exactly (docs/mathematics.md):
//   M(y) = c0 + sum_k a_k cos(2 pi kappa_k.y) + b_k sin(2 pi kappa_k.y),   c0 = 1 - sum_k a_k
// Integrating the affine splat along the ray keeps this form on the image, with each wave's
// frequency projected and its amplitude damped by how much of it runs along the ray.
#pragma once

#include "kind.h"

GABORSPLAT_BEGIN

template <int K>
struct Gabor {
    static constexpr int kWaves = K;
    // Phase centre (x, y) [px], c0, then per wave: frequency (x, y) [cycles/px], cosine, sine.
    static constexpr int kModulationSize = 3 + 4 * K;
    static constexpr int kFirstWave = 3;

    template <class S>
    struct Wave {
        Vec2<S> frequency;
        S cosine, sine;
    };

    template <class S>
    HD static Wave<S> wave(const S* modulation2d, int k) {
        const S* w = modulation2d + kFirstWave + 4 * k;
        return {{w[0], w[1]}, w[2], w[3]};
    }

    /// One wave of the bank, projected (docs/mathematics.md, 2).
    template <class S>
    struct ProjectedWave {
        Vec3<S> kappa;       // [cycles/sigma]
        Vec2<S> covariance;  // r = B kappa, of offset and phase [px cycles]
        Vec2<S> frequency;   // F = C r [cycles/px]
        S damping;           // exp(-2 pi^2 v), v the variance of the phase along the ray
    };

    template <class S>
    HD static ProjectedWave<S> project_wave(WaveParameters<S> world, const Footprint<S>& f, int k) {
        const S* kappa = world.frequencies + 3 * k;
        ProjectedWave<S> p;
        p.kappa = {kappa[0], kappa[1], kappa[2]};
        p.covariance = f.basis * p.kappa;
        p.frequency = f.conic * p.covariance;
        S variance = max_(dot(p.kappa, p.kappa) - dot(p.covariance, p.frequency), S(0));
        p.damping = exp_(S(-19.739208802178716) * variance);
        return p;
    }

    template <class S>
    HD static void project(WaveParameters<S> world, const Footprint<S>& f, Vec2<S> mean2d,
                           S* modulation2d) {
        S rest = S(1);
        for (int k = 0; k < K; ++k) {
            ProjectedWave<S> p = project_wave(world, f, k);
            S cosine = world.coefficients[2 * k], sine = world.coefficients[2 * k + 1];
            rest = rest - cosine;
            S* w = modulation2d + kFirstWave + 4 * k;
            w[0] = p.frequency.x;
            w[1] = p.frequency.y;
            w[2] = p.damping * cosine;
            w[3] = p.damping * sine;
        }
        modulation2d[0] = mean2d.x;
        modulation2d[1] = mean2d.y;
        modulation2d[2] = rest;
    }

    /// docs/mathematics.md, 4.
    template <class S>
    HD static ModulationGradient<S> project_vjp(WaveParameters<S> world, const Footprint<S>& f,
                                                const S* v_modulation2d, WaveGradients<S> v) {
        ModulationGradient<S> out = {};
        out.mean2d = {v_modulation2d[0], v_modulation2d[1]};
        for (int k = 0; k < K; ++k) {
            ProjectedWave<S> p = project_wave(world, f, k);
            Wave<S> g = wave(v_modulation2d, k);
            S cosine = world.coefficients[2 * k], sine = world.coefficients[2 * k + 1];
            v.coefficients[2 * k] += p.damping * g.cosine - v_modulation2d[2];
            v.coefficients[2 * k + 1] += p.damping * g.sine;

            S v_variance = S(-19.739208802178716) * p.damping * (cosine * g.cosine + sine * g.sine);
            Vec2<S> v_covariance = f.conic * g.frequency - (S(2) * v_variance) * p.frequency;
            out.basis = out.basis + outer(v_covariance, p.kappa);
            Vec2<S> r = p.covariance;
            out.conic = out.conic + Sym2<S>{g.frequency.x * r.x - v_variance * r.x * r.x,
                                            S(0.5) * (g.frequency.x * r.y + g.frequency.y * r.x) -
                                                v_variance * r.x * r.y,
                                            g.frequency.y * r.y - v_variance * r.y * r.y};
            Vec3<S> v_kappa = (S(2) * v_variance) * p.kappa + v_covariance * f.basis;
            v.frequencies[3 * k] += v_kappa.x;
            v.frequencies[3 * k + 1] += v_kappa.y;
            v.frequencies[3 * k + 2] += v_kappa.z;
        }
        return out;
    }

    template <class S>
    HD static S peak(const S* modulation2d) {
        S bound = abs_(modulation2d[2]);
        for (int k = 0; k < K; ++k) {
            Wave<S> w = wave(modulation2d, k);
            bound = bound + sqrt_(w.cosine * w.cosine + w.sine * w.sine);
        }
        return bound;
    }

    /// Per wave: its value A cos + B sin at some point and the derivative of that by the phase
    /// [1/rad]; and, when the gradient is wanted too, the cosine and sine of the phase itself.
    template <class V>
    struct Waves {
        V numbers[4 * K];

        HD V value(int k) const { return numbers[2 * k]; }
        HD V slope(int k) const { return numbers[2 * k + 1]; }
        HD V cosine(int k) const { return numbers[2 * K + 2 * k]; }
        HD V sine(int k) const { return numbers[2 * K + 2 * k + 1]; }
    };
    static constexpr int kWaveNumbers = 2 * K;  // first of `numbers`, enough for `modulation`

    template <class V, class S>
    HD static Waves<V> waves_at(const S* modulation2d, Vec2<V> p) {
        Vec2<V> d = {p.x - V(modulation2d[0]), p.y - V(modulation2d[1])};
        Waves<V> out;
        for (int k = 0; k < K; ++k) {
            Wave<S> w = wave(modulation2d, k);
            CosSin<V> c = cos_sin_turns(fma_(V(w.frequency.x), d.x, V(w.frequency.y) * d.y));
            out.numbers[2 * k] = fma_(V(w.cosine), c.cosine, V(w.sine) * c.sine);
            out.numbers[2 * k + 1] = fma_(V(w.sine), c.cosine, -(V(w.cosine) * c.sine));
            out.numbers[2 * K + 2 * k] = c.cosine;
            out.numbers[2 * K + 2 * k + 1] = c.sine;
        }
        return out;
    }

    template <class V>
    struct Turns {
        CosSin<V> of[K];
    };

    template <class V, class S>
    HD static Turns<V> turns(const S* modulation2d, Vec2<V> step) {
        Turns<V> out;
        for (int k = 0; k < K; ++k) {
            Vec2<S> f = wave(modulation2d, k).frequency;
            out.of[k] = cos_sin_turns(fma_(V(f.x), step.x, V(f.y) * step.y));
        }
        return out;
    }

    template <class V, class S>
    HD static V modulation(const S* modulation2d, const Waves<V>& waves, const Turns<V>& turns) {
        V m(modulation2d[2]);
        for (int k = 0; k < K; ++k)
            m = fma_(waves.value(k), turns.of[k].cosine, fma_(waves.slope(k), turns.of[k].sine, m));
        return m;
    }

    template <class V, class S>
    HD static V modulation(const S* modulation2d, const Waves<V>& waves) {
        V m(modulation2d[2]);
        for (int k = 0; k < K; ++k) m = m + waves.value(k);
        return m;
    }

    // Sum of the modulation's gradient g; then per wave: g times the cosine and the sine of the
    // phase, and g times the wave's slope times the offset from the mean.
    static constexpr int kSums = 1 + 4 * K;

    template <class V>
    HD static void add_vjp(const Waves<V>& waves, const Turns<V>& turns, Vec2<V> d, V g, V* sums) {
        sums[0] = sums[0] + g;
        for (int k = 0; k < K; ++k) {
            V* s = sums + 1 + 4 * k;
            CosSin<V> t = turns.of[k];
            V cosine = fma_(waves.cosine(k), t.cosine, -(waves.sine(k) * t.sine));
            V sine = fma_(waves.sine(k), t.cosine, waves.cosine(k) * t.sine);
            V w = g * fma_(waves.slope(k), t.cosine, -(waves.value(k) * t.sine));
            s[0] = fma_(g, cosine, s[0]);
            s[1] = fma_(g, sine, s[1]);
            s[2] = fma_(w, d.x, s[2]);
            s[3] = fma_(w, d.y, s[3]);
        }
    }

    template <class V>
    HD static void add_vjp(const Waves<V>& waves, Vec2<V> d, V g, V* sums) {
        sums[0] = sums[0] + g;
        for (int k = 0; k < K; ++k) {
            V *s = sums + 1 + 4 * k, w = g * waves.slope(k);
            s[0] = fma_(g, waves.cosine(k), s[0]);
            s[1] = fma_(g, waves.sine(k), s[1]);
            s[2] = fma_(w, d.x, s[2]);
            s[3] = fma_(w, d.y, s[3]);
        }
    }

    /// docs/mathematics.md, 4.
    template <class S>
    HD static void modulation2d_vjp(const S* modulation2d, Vec2<S> mean, const S* sums,
                                    S* v_modulation2d) {
        constexpr S kTurn = S(6.283185307179586);
        Vec2<S> shift = {mean.x - modulation2d[0], mean.y - modulation2d[1]};
        v_modulation2d[0] = v_modulation2d[1] = S(0);
        v_modulation2d[2] = sums[0];
        for (int k = 0; k < K; ++k) {
            const S* s = sums + 1 + 4 * k;
            Wave<S> w = wave(modulation2d, k);
            S v_turns = kTurn * (w.sine * s[0] - w.cosine * s[1]);
            S* v = v_modulation2d + kFirstWave + 4 * k;
            v[0] = kTurn * s[2] + v_turns * shift.x;
            v[1] = kTurn * s[3] + v_turns * shift.y;
            v[2] = s[0];
            v[3] = s[1];
            v_modulation2d[0] -= w.frequency.x * v_turns;
            v_modulation2d[1] -= w.frequency.y * v_turns;
        }
    }
};

GABORSPLAT_END
