// Compiled once per instruction set, with GABORSPLAT_ISA naming it and the matching compiler flags.
#include "passes.h"

#include "../primitives/kinds.h"
#include "bin.h"
#include "blend.h"
#include "loss.h"
#include "optimizer.h"
#include "project.h"
#include "shade.h"

GABORSPLAT_BEGIN

template <class S>
constexpr Passes<S> passes() {
    return {
        [](const ProjectArguments<S>& p) {
            with_kind(p.in.waves, [&](auto kind) { project_forward<decltype(kind)>(p); });
        },
        [](const ProjectBackwardArguments<S>& p) {
            with_kind(p.given.in.waves, [&](auto kind) { project_backward<decltype(kind)>(p); });
        },
        shade_forward<S>,
        shade_backward<S>,
        bin<S>,
        [](const BlendArguments<S>& p) {
            with_kind(p.in.waves, [&](auto kind) { blend_forward<decltype(kind)>(p); });
        },
        [](const BlendBackwardArguments<S>& p) {
            with_kind(p.in.waves, [&](auto kind) { blend_backward<decltype(kind)>(p); });
        },
        photometric_loss<S>,
        begin_step<S>,
        shade_step<S>,
        [](const ProjectStepArguments<S>& p) {
            with_kind(p.given.in.waves, [&](auto kind) { project_step<decltype(kind)>(p); });
        },
        finish_step<S>,
        catch_up<S>,
    };
}

GABORSPLAT_END

#define GABORSPLAT_JOIN(prefix, isa) prefix##isa
#define GABORSPLAT_TABLE(prefix, isa) GABORSPLAT_JOIN(prefix, isa)

namespace gaborsplat {
// Declared first: a const object would otherwise be invisible to the other files.
extern const Passes<float> GABORSPLAT_TABLE(float_passes_, GABORSPLAT_ISA);
const Passes<float> GABORSPLAT_TABLE(float_passes_, GABORSPLAT_ISA) = passes<float>();
#if defined(GABORSPLAT_DOUBLE)
const Passes<double> GABORSPLAT_TABLE(double_passes_, GABORSPLAT_ISA) = passes<double>();
#endif
}  // namespace gaborsplat
