// In the place of NVIDIA's driver, for gpu_host.py beside this: every function does nothing, but
// that every splat is counted in one tile, and that every step of a fit says that it was taken.
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "passes/optimizer.h"
#include "passes/tiles.h"

namespace {

/// CUDA_KERNEL_NODE_PARAMS_v1.
struct KernelNode {
    void* function;
    unsigned sizes[7];
    void** arguments;
    void** extra;
};

void count_one_tile_each(void** arguments) {
    auto* p = static_cast<gaborsplat::ListTilesArguments<float>*>(arguments[0]);
    *p->pair_count = static_cast<std::int32_t>(p->in.cameras * p->in.splats);
}
void tell_step(void** arguments) {
    auto* p = static_cast<gaborsplat::FinishStepArguments<float>*>(arguments[0]);
    p->report[gaborsplat::kWasOpen] = p->report[gaborsplat::kHadRoom] = 1;
    p->report[gaborsplat::kPairs] = *p->pair_count;
}

/// What kernels do that do something, by their names.
struct Kernel {
    const char* name;
    void (*run)(void** arguments);
};
const Kernel kKernels[] = {{"scan_tiles", count_one_tile_each}, {"finish_step", tell_step}};

/// `function` is one of these, or null.
void run(void* function, void** arguments) {
    if (function) static_cast<const Kernel*>(function)->run(arguments);
}

}  // namespace

extern "C" {

int cuInit(unsigned) { return 0; }
int cuDriverGetVersion(int* version) { return *version = 0; }
int cuDeviceGet(int* handle, int) { return *handle = 0; }
int cuDeviceGetAttribute(int* value, int, int) { return *value = 0; }
int cuDevicePrimaryCtxRetain(void** context, int) {
    *context = reinterpret_cast<void*>(std::intptr_t(1));
    return 0;
}
int cuCtxGetCurrent(void** context) {
    *context = reinterpret_cast<void*>(std::intptr_t(1));
    return 0;
}
int cuCtxPushCurrent_v2(void*) { return 0; }
int cuCtxPopCurrent_v2(void**) { return 0; }
int cuModuleLoadData(void** module, const void*) {
    *module = nullptr;
    return 0;
}
int cuModuleGetFunction(void** function, void*, const char* name) {
    *function = nullptr;
    for (const Kernel& kernel : kKernels)
        if (std::strcmp(name, kernel.name) == 0) *function = const_cast<Kernel*>(&kernel);
    return 0;
}
int cuLaunchKernel(void* function, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned,
                   unsigned, void*, void** arguments, void**) {
    run(function, arguments);
    return 0;
}
int cuMemcpyAsync(std::uintptr_t to, std::uintptr_t from, std::size_t size, void*) {
    std::memcpy(reinterpret_cast<void*>(to), reinterpret_cast<const void*>(from), size);
    return 0;
}
int cuGraphCreate(void**, unsigned) { return 0; }
int cuGraphAddKernelNode(void** node, void*, const void*, std::size_t, const KernelNode* added) {
    run(added->function, added->arguments);
    *node = reinterpret_cast<void*>(std::intptr_t(1));
    return 0;
}
int cuGraphInstantiateWithFlags(void** graph, void*, unsigned long long) {
    *graph = reinterpret_cast<void*>(std::intptr_t(1));
    return 0;
}
int cuGraphLaunch(void*, void*) { return 0; }
int cuGraphExecDestroy(void*) { return 0; }
int cuGraphDestroy(void*) { return 0; }
int cuGetErrorName(int, const char**) { return 1; }
}
