// The plain 3D Gaussian of 3DGS (Kerbl et al. 2023): an envelope that nothing modulates.
#pragma once

#include "kind.h"

GABORSPLAT_BEGIN

struct Gaussian {
    static constexpr int kWaves = 0;
    static constexpr int kScreen = 0;

    template <class V>
    struct Evaluation {
        V modulation;
    };

    template <class S>
    HD static void to_screen(WaveParameters<S>, const Footprint<S>&, Vec2<S>, S*) {}

    template <class S>
    HD static ScreenGradient<S> to_screen_vjp(WaveParameters<S>, const Footprint<S>&, const S*,
                                              WaveGradients<S>) {
        return {};
    }

    template <class S>
    HD static S peak(const S*) {
        return S(1);
    }

    template <class V, class S>
    HD static Evaluation<V> evaluate(const S*, Vec2<V>) {
        return {V(S(1))};
    }

    template <class V, class S>
    HD static void evaluate_vjp(const S*, Vec2<V>, const Evaluation<V>&, V, V*) {}
};

GABORSPLAT_END
