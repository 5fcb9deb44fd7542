// The registry: one line a kind, in the order of its number of waves.
#pragma once

#include "gabor.h"
#include "gaussian.h"

#define GABORSPLAT_KINDS(KIND) \
    KIND(gaussian, Gaussian)   \
    KIND(gabor1, Gabor<1>)     \
    KIND(gabor2, Gabor<2>)     \
    KIND(gabor4, Gabor<4>)

GABORSPLAT_BEGIN

/// The kind with K waves, as KindOf<K>::Type.
template <int K>
struct KindOf;
#define GABORSPLAT_KIND_OF(name, Kind) \
    template <>                        \
    struct KindOf<Kind::kWaves> {      \
        using Type = Kind;             \
    };
GABORSPLAT_KINDS(GABORSPLAT_KIND_OF)
#undef GABORSPLAT_KIND_OF

/// Calls `visit(Kind{})` for the kind with this many waves; false when there is none.
template <class Visitor>
HD bool with_kind(int waves, Visitor&& visit) {
#define GABORSPLAT_VISIT(name, Kind) \
    if (waves == Kind::kWaves) {     \
        visit(Kind{});               \
        return true;                 \
    }
    GABORSPLAT_KINDS(GABORSPLAT_VISIT)
#undef GABORSPLAT_VISIT
    return false;
}

GABORSPLAT_END
