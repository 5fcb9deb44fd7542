// The passes that are compiled once per instruction set, as tables of functions.
#pragma once

#include "params.h"

namespace gaborsplat {

/// `waves` in the parameters picks the kind; the caller has checked that there is one.
template <class S>
struct Passes {
    void (*project)(const ProjectParams<S>&);
    void (*project_backward)(const ProjectParams<S>&, const ProjectGradients<S>&);
    void (*shade)(const ShadeParams<S>&);
    void (*shade_backward)(const ShadeParams<S>&, const ShadeGradients<S>&);
    Bins (*bin)(const BinParams<S>&);
    void (*blend)(const BlendParams<S>&);
    void (*blend_backward)(const BlendParams<S>&, const BlendGradients<S>&);
    LossResult (*photometric_loss)(const LossParams<S>&);
    void (*adam_step)(const AdamParams<S>&);
    void (*shake)(const ShakeParams<S>&);
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

}  // namespace gaborsplat
