// The kernels of cuda/kernels as a launcher sees them: which source, how many blocks and threads,
// and which macros specialise them for the arguments at hand.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "arguments.h"

namespace gaborsplat {

struct Grid {
    std::int64_t x, y;
};

/// A macro GABORSPLAT_<name>.
struct Macro {
    const char* name;
    int value;
};

/// What one call of a kernel takes, besides arguments.
struct KernelCall {
    Grid grid;
    std::vector<Macro> macros;
};

struct Kernel {
    const char* name;
    const char* source;  // file of cuda/kernels, without its ending
    int threads;         // of a block
    KernelCall (*call)(const ArgumentBlock&);
};

/// All of them, by source.
const std::vector<Kernel>& kernels();

/// The kernel of this name. Throws nb::key_error.
const Kernel& find_kernel(std::string_view name);

}  // namespace gaborsplat
