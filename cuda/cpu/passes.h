// The passes that are compiled once per instruction set, as tables of functions.
#pragma once

#include "../passes/blend.h"
#include "../passes/loss.h"
#include "../passes/optimizer.h"
#include "../passes/project.h"
#include "../passes/shade.h"
#include "../passes/tiles.h"
#include "bins.h"

namespace gaborsplat {

/// `waves` in the arguments picks the kind; the caller has checked that there is one.
template <class S>
struct Passes {
    void (*project)(const ProjectArguments<S>&);
    void (*project_backward)(const ProjectBackwardArguments<S>&);
    void (*shade)(const ShadeArguments<S>&);
    void (*shade_backward)(const ShadeBackwardArguments<S>&);
    Bins (*bin)(const BinArguments<S>&);
    void (*blend)(const BlendArguments<S>&);
    void (*blend_backward)(const BlendBackwardArguments<S>&);
    void (*photometric_loss)(const LossArguments<S>&);
    void (*begin_step)(const BeginStepArguments<S>&);
    void (*shade_step)(const ShadeStepArguments<S>&);
    void (*project_step)(const ProjectStepArguments<S>&);
    void (*finish_step)(const FinishStepArguments<S>&);
    void (*catch_up)(const CatchUpArguments<S>&);
};

extern const Passes<float> float_passes_portable;
extern const Passes<double> double_passes_portable;
#if defined(GABORSPLAT_X86)
extern const Passes<float> float_passes_avx2;
extern const Passes<float> float_passes_avx512;
#endif

/// The fastest variant that this processor runs, or the one that GABORSPLAT_ISA names.
struct Isa {
    const char* name;
    const Passes<float>* passes;
};
const Isa& isa();

/// The passes for a type of numbers.
template <class S>
const Passes<S>& passes_for();
template <>
inline const Passes<float>& passes_for<float>() {
    return *isa().passes;
}
template <>
inline const Passes<double>& passes_for<double>() {
    return double_passes_portable;
}

}  // namespace gaborsplat
