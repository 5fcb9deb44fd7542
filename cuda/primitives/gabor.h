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
    static constexpr int kScreen = 3 + 4 * K;
    static constexpr int kFirstWave = 3;

    template <class S>
    struct Wave {
        Vec2<S> frequency;
        S cosine, sine;
    };

    template <class S>
    HD static Wave<S> wave(const S* screen, int k) {
        const S* w = screen + kFirstWave + 4 * k;
        return {{w[0], w[1]}, w[2], w[3]};
    }

    /// One wave of the bank, projected (docs/mathematics.md, 2).
    template <class S>
    struct Projected {
        Vec3<S> kappa;      // [cycles/sigma]
        Vec2<S> reach;      // r = B kappa [px cycles/sigma^2]
        Vec2<S> frequency;  // F = C r [cycles/px]
        S damping;          // exp(-2 pi^2 v), v the variance of the phase along the ray
    };

    template <class S>
    HD static Projected<S> project(WaveParameters<S> world, const Footprint<S>& f, int k) {
        const S* kappa = world.frequencies + 3 * k;
        Projected<S> p;
        p.kappa = {kappa[0], kappa[1], kappa[2]};
        p.reach = f.basis * p.kappa;
        p.frequency = f.conic * p.reach;
        S variance = max_(dot(p.kappa, p.kappa) - dot(p.reach, p.frequency), S(0));
        p.damping = exp_(S(-19.739208802178716) * variance);
        return p;
    }

    template <class S>
    HD static void to_screen(WaveParameters<S> world, const Footprint<S>& f, Vec2<S> mean2d,
                             S* screen) {
        S rest = S(1);
        for (int k = 0; k < K; ++k) {
            Projected<S> p = project(world, f, k);
            S cosine = world.coefficients[2 * k], sine = world.coefficients[2 * k + 1];
            rest = rest - cosine;
            S* w = screen + kFirstWave + 4 * k;
            w[0] = p.frequency.x;
            w[1] = p.frequency.y;
            w[2] = p.damping * cosine;
            w[3] = p.damping * sine;
        }
        screen[0] = mean2d.x;
        screen[1] = mean2d.y;
        screen[2] = rest;
    }

    /// docs/mathematics.md, 4.
    template <class S>
    HD static ScreenGradient<S> to_screen_vjp(WaveParameters<S> world, const Footprint<S>& f,
                                              const S* v_screen, WaveGradients<S> v) {
        ScreenGradient<S> out = {};
        out.mean2d = {v_screen[0], v_screen[1]};
        for (int k = 0; k < K; ++k) {
            Projected<S> p = project(world, f, k);
            Wave<S> g = wave(v_screen, k);
            S cosine = world.coefficients[2 * k], sine = world.coefficients[2 * k + 1];
            v.coefficients[2 * k] += p.damping * g.cosine - v_screen[2];
            v.coefficients[2 * k + 1] += p.damping * g.sine;

            S v_variance = S(-19.739208802178716) * p.damping * (cosine * g.cosine + sine * g.sine);
            Vec2<S> v_reach = f.conic * g.frequency - (S(2) * v_variance) * p.frequency;
            out.basis = out.basis + outer(v_reach, p.kappa);
            Vec2<S> r = p.reach;
            out.conic = out.conic + Sym2<S>{g.frequency.x * r.x - v_variance * r.x * r.x,
                                            S(0.5) * (g.frequency.x * r.y + g.frequency.y * r.x) -
                                                v_variance * r.x * r.y,
                                            g.frequency.y * r.y - v_variance * r.y * r.y};
            Vec3<S> v_kappa = (S(2) * v_variance) * p.kappa + v_reach * f.basis;
            v.frequencies[3 * k] += v_kappa.x;
            v.frequencies[3 * k + 1] += v_kappa.y;
            v.frequencies[3 * k + 2] += v_kappa.z;
        }
        return out;
    }

    template <class S>
    HD static S peak(const S* screen) {
        S bound = abs_(screen[2]);
        for (int k = 0; k < K; ++k) {
            Wave<S> w = wave(screen, k);
            bound = bound + sqrt_(w.cosine * w.cosine + w.sine * w.sine);
        }
        return bound;
    }

    template <class V>
    struct Evaluation {
        V modulation;
        CosSin<V> waves[K];
    };

    template <class V, class S>
    HD static Evaluation<V> evaluate(const S* screen, Vec2<V> p) {
        Vec2<V> d = {p.x - V(screen[0]), p.y - V(screen[1])};
        Evaluation<V> e;
        e.modulation = V(screen[2]);
        for (int k = 0; k < K; ++k) {
            Wave<S> w = wave(screen, k);
            e.waves[k] = cos_sin_turns(V(w.frequency.x) * d.x + V(w.frequency.y) * d.y);
            e.modulation =
                e.modulation + V(w.cosine) * e.waves[k].cosine + V(w.sine) * e.waves[k].sine;
        }
        return e;
    }

    /// docs/mathematics.md, 4.
    template <class V, class S>
    HD static void evaluate_vjp(const S* screen, Vec2<V> p, const Evaluation<V>& e, V v_modulation,
                                V* v_screen) {
        Vec2<V> d = {p.x - V(screen[0]), p.y - V(screen[1])};
        v_screen[2] = v_screen[2] + v_modulation;
        for (int k = 0; k < K; ++k) {
            Wave<S> w = wave(screen, k);
            V* v = v_screen + kFirstWave + 4 * k;
            V v_turns = V(S(6.283185307179586)) * v_modulation *
                        (V(w.sine) * e.waves[k].cosine - V(w.cosine) * e.waves[k].sine);
            v[0] = v[0] + v_turns * d.x;
            v[1] = v[1] + v_turns * d.y;
            v[2] = v[2] + v_modulation * e.waves[k].cosine;
            v[3] = v[3] + v_modulation * e.waves[k].sine;
            v_screen[0] = v_screen[0] - V(w.frequency.x) * v_turns;
            v_screen[1] = v_screen[1] - V(w.frequency.y) * v_turns;
        }
    }
};

GABORSPLAT_END
