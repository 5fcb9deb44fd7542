// The plain 3D Gaussian of 3DGS (Kerbl et al. 2023): an envelope that nothing modulates.
#pragma once

#include "kind.h"

GABORSPLAT_BEGIN

struct Gaussian {
    static constexpr int kWaves = 0;
    static constexpr int kModulationSize = 0;

    template <class S>
    HD static void project(WaveParameters<S>, const Footprint<S>&, Vec2<S>, S*) {}

    template <class S>
    HD static ModulationGradient<S> project_vjp(WaveParameters<S>, const Footprint<S>&, const S*,
                                                WaveGradients<S>) {
        return {};
    }

    template <class S>
    HD static S peak(const S*) {
        return S(1);
    }

    template <class V>
    struct Waves {};
    static constexpr int kWaveNumbers = 0;
    template <class V>
    struct Turns {};

    template <class V, class S>
    HD static Waves<V> waves_at(const S*, Vec2<V>) {
        return {};
    }
    template <class V, class S>
    HD static Turns<V> turns(const S*, Vec2<V>) {
        return {};
    }
    template <class V, class S>
    HD static V modulation(const S*, const Waves<V>&, const Turns<V>&) {
        return V(S(1));
    }

    template <class V, class S>
    HD static V modulation(const S*, const Waves<V>&) {
        return V(S(1));
    }

    static constexpr int kSums = 0;

    template <class V>
    HD static void add_vjp(const Waves<V>&, const Turns<V>&, Vec2<V>, V, V*) {}
    template <class V>
    HD static void add_vjp(const Waves<V>&, Vec2<V>, V, V*) {}
    template <class S>
    HD static void modulation2d_vjp(const S*, Vec2<S>, const S*, S*) {}
};

GABORSPLAT_END
