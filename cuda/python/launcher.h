// Kernels on GPUs, from Python: what a call of one takes, and the driver that runs them.
#pragma once

#include <nanobind/nanobind.h>

namespace gaborsplat {

void bind_launcher(nanobind::module_& m);

}  // namespace gaborsplat
