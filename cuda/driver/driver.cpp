#include "driver.h"

#if defined(_WIN32)
#include <windows.h>
#else
#include <dlfcn.h>
#endif

namespace gaborsplat {
namespace {

constexpr int kComputeMajor = 75, kComputeMinor = 76;  // CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_*

#if defined(_WIN32)
constexpr const char* kLibrary = "nvcuda.dll";

void* open_library(const char* name) {
    bool given = name != kLibrary;
    return LoadLibraryExA(name, nullptr, given ? 0 : LOAD_LIBRARY_SEARCH_SYSTEM32);
}
std::string why_not_opened() { return "error " + std::to_string(GetLastError()); }
void* find_symbol(void* library, const char* name) {
    return reinterpret_cast<void*>(GetProcAddress(static_cast<HMODULE>(library), name));
}
#else
constexpr const char* kLibrary = "libcuda.so.1";

void* open_library(const char* name) { return dlopen(name, RTLD_NOW | RTLD_LOCAL); }
std::string why_not_opened() {
    const char* reason = dlerror();
    return reason ? reason : "no reason given";
}
void* find_symbol(void* library, const char* name) { return dlsym(library, name); }
#endif

template <class Function>
void find_if_there(void* library, const char* name, Function& out) {
    out = reinterpret_cast<Function>(find_symbol(library, name));
}
template <class Function>
void find(void* library, const char* name, Function& out) {
    find_if_there(library, name, out);
    if (!out) throw DriverError(std::string("NVIDIA's driver has no ") + name + ": it is too old");
}

}  // namespace

Driver::Driver(const std::string& library) {
    const char* name = library.empty() ? kLibrary : library.c_str();
    void* opened = open_library(name);
    if (!opened)
        throw DriverError("NVIDIA's driver is not installed or cannot be used: " +
                          why_not_opened());
    find(opened, "cuInit", api_.cuInit);
    find(opened, "cuDriverGetVersion", api_.cuDriverGetVersion);
    find(opened, "cuDeviceGet", api_.cuDeviceGet);
    find(opened, "cuDeviceGetAttribute", api_.cuDeviceGetAttribute);
    find(opened, "cuDevicePrimaryCtxRetain", api_.cuDevicePrimaryCtxRetain);
    find(opened, "cuCtxGetCurrent", api_.cuCtxGetCurrent);
    find(opened, "cuCtxPushCurrent_v2", api_.cuCtxPushCurrent);
    find(opened, "cuCtxPopCurrent_v2", api_.cuCtxPopCurrent);
    find(opened, "cuModuleLoadData", api_.cuModuleLoadData);
    find(opened, "cuModuleGetFunction", api_.cuModuleGetFunction);
    find(opened, "cuLaunchKernel", api_.cuLaunchKernel);
    find(opened, "cuMemcpyAsync", api_.cuMemcpyAsync);
    find(opened, "cuGetErrorName", api_.cuGetErrorName);
    find_if_there(opened, "cuGraphCreate", api_.cuGraphCreate);
    find_if_there(opened, "cuGraphAddKernelNode", api_.cuGraphAddKernelNode);
    find_if_there(opened, "cuGraphInstantiateWithFlags", api_.cuGraphInstantiate);
    find_if_there(opened, "cuGraphLaunch", api_.cuGraphLaunch);
    find_if_there(opened, "cuGraphExecDestroy", api_.cuGraphExecDestroy);
    find_if_there(opened, "cuGraphDestroy", api_.cuGraphDestroy);
    check(api_.cuInit(0), "NVIDIA's driver does not start");
}

void Driver::check(int status, const std::string& what) {
    if (status == 0) return;
    const char* name = nullptr;
    if (api_.cuGetErrorName(status, &name) != 0 || !name) name = "an unknown error";
    throw DriverError(what + ": " + name);
}

int Driver::device_handle(int device) {
    int handle = 0;
    check(api_.cuDeviceGet(&handle, device), "there is no GPU " + std::to_string(device));
    return handle;
}

Context Driver::primary_context(int device) {
    std::lock_guard<std::mutex> lock(mutex_);
    Context& context = contexts_[device];
    // torch's runtime works in the primary context too; it is kept as long as the process lives.
    if (!context)
        check(api_.cuDevicePrimaryCtxRetain(&context, device_handle(device)),
              "GPU " + std::to_string(device) + " cannot be used");
    return context;
}

class Driver::InContext {
  public:
    InContext(Driver& driver, int device) : driver_(driver) {
        Context wanted = driver.primary_context(device), current = nullptr;
        // A thread that nobody used CUDA on has none.
        driver.check(driver.api_.cuCtxGetCurrent(&current), "no context");
        if (current == wanted) return;
        driver.check(driver.api_.cuCtxPushCurrent(wanted), "no context");
        pushed_ = true;
    }
    ~InContext() {
        Context ignored;
        if (pushed_) driver_.api_.cuCtxPopCurrent(&ignored);
    }
    InContext(const InContext&) = delete;
    InContext& operator=(const InContext&) = delete;

  private:
    Driver& driver_;
    bool pushed_ = false;
};

int Driver::version() {
    int version = 0;
    check(api_.cuDriverGetVersion(&version), "NVIDIA's driver has no version");
    return version;
}

std::string Driver::architecture(int device) {
    int handle = device_handle(device), major = 0, minor = 0;
    check(api_.cuDeviceGetAttribute(&major, kComputeMajor, handle), "no compute capability");
    check(api_.cuDeviceGetAttribute(&minor, kComputeMinor, handle), "no compute capability");
    return "sm_" + std::to_string(major) + std::to_string(minor);
}

Module Driver::load(int device, const void* cubin, const char* source) {
    InContext context(*this, device);
    Module module = nullptr;
    check(api_.cuModuleLoadData(&module, cubin), std::string("the kernels of ") + source +
                                                     ".cu do not load on GPU " +
                                                     std::to_string(device));
    return module;
}

Function Driver::function(int device, Module module, const char* name) {
    InContext context(*this, device);
    Function function = nullptr;
    check(api_.cuModuleGetFunction(&function, module, name),
          std::string("kernel ") + name + " is not in its code");
    return function;
}

void Driver::copy(Stream stream, const std::vector<Copy>& copies) {
    for (const Copy& c : copies)
        check(api_.cuMemcpyAsync(reinterpret_cast<std::uintptr_t>(c.to),
                                 reinterpret_cast<std::uintptr_t>(c.from), c.size, stream),
              std::to_string(c.size) + " bytes were not copied");
}

void Driver::launch(int device, Stream stream, const std::vector<Copy>& copies,
                    const std::vector<Launch>& launches) {
    InContext context(*this, device);
    copy(stream, copies);
    for (const Launch& l : launches) {
        void* arguments[] = {l.arguments};
        int status = api_.cuLaunchKernel(l.function, l.grid_x, l.grid_y, 1, l.threads, 1, 1, 0,
                                         stream, arguments, nullptr);
        if (status != 0)
            check(status, std::string("kernel ") + l.name + " was not launched on " +
                              std::to_string(l.grid_x) + " x " + std::to_string(l.grid_y) +
                              " blocks");
    }
}

bool Driver::add_nodes(Graph graph, const std::vector<Launch>& launches) {
    GraphNode last = nullptr;
    for (const Launch& l : launches) {
        void* arguments[] = {l.arguments};
        KernelNode node = {l.function, l.grid_x, l.grid_y, 1,         l.threads,
                           1,          1,        0,        arguments, nullptr};
        GraphNode added = nullptr;
        if (api_.cuGraphAddKernelNode(&added, graph, &last, last ? 1 : 0, &node) != 0) return false;
        last = added;
    }
    return true;
}

GraphExec Driver::record(int device, const std::vector<Launch>& launches) {
    if (!api_.cuGraphCreate || !api_.cuGraphAddKernelNode || !api_.cuGraphInstantiate ||
        !api_.cuGraphLaunch || !api_.cuGraphExecDestroy || !api_.cuGraphDestroy)
        return nullptr;
    InContext context(*this, device);
    Graph graph = nullptr;
    if (api_.cuGraphCreate(&graph, 0) != 0) return nullptr;
    GraphExec ready = nullptr;
    if (!add_nodes(graph, launches) || api_.cuGraphInstantiate(&ready, graph, 0) != 0)
        ready = nullptr;
    api_.cuGraphDestroy(graph);
    return ready;
}

void Driver::launch(int device, Stream stream, const std::vector<Copy>& copies, GraphExec graph) {
    InContext context(*this, device);
    copy(stream, copies);
    check(api_.cuGraphLaunch(graph, stream), "recorded kernels were not launched");
}

void Driver::forget(int device, GraphExec graph) noexcept {
    try {
        InContext context(*this, device);
        api_.cuGraphExecDestroy(graph);
    } catch (const DriverError&) {
        // Without the GPU there is nothing left to free.
    }
}

}  // namespace gaborsplat
