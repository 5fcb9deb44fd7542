// Stands for NVIDIA's driver, libcuda: notes what is asked of it, line by line, and answers as
// told. Its CUDA is 13.5 until told. GPU 0 has compute capability 9.0, GPU 1 8.6; there is no
// other.
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <string>
#include <vector>

namespace {

std::mutex mutex;  // guards the notes
std::string notes;
thread_local std::intptr_t current = 0;  // context: 100 + the GPU's number
int failure = 0;                         // what launches answer
int graph_failure = 0;                   // what cuGraphCreate answers

using Graph = std::vector<void*>;  // functions

/// CUDA_KERNEL_NODE_PARAMS_v1.
struct KernelNode {
    void* function;
    unsigned sizes[7];
    void** arguments;
    void** extra;
};
int version = 13050;

void note(const std::string& line) {
    std::lock_guard<std::mutex> lock(mutex);
    notes += line + "\n";
}
std::string text(std::int64_t number) { return std::to_string(number); }

}  // namespace

extern "C" {

int cuInit(unsigned) { return 0; }
int cuDriverGetVersion(int* out) {
    *out = version;
    return 0;
}
int cuDeviceGet(int* handle, int number) {
    *handle = number;
    return number < 2 ? 0 : 101;
}
int cuDeviceGetAttribute(int* out, int attribute, int device) {
    *out = attribute == 75 ? (device == 0 ? 9 : 8) : (device == 0 ? 0 : 6);
    return 0;
}
int cuDevicePrimaryCtxRetain(void** context, int device) {
    *context = reinterpret_cast<void*>(std::intptr_t(100 + device));
    note("retain " + text(device));
    return 0;
}
int cuCtxGetCurrent(void** context) {
    *context = reinterpret_cast<void*>(current);
    return 0;
}
int cuCtxPushCurrent_v2(void* context) {
    current = reinterpret_cast<std::intptr_t>(context);
    note("push " + text(current));
    return 0;
}
int cuCtxPopCurrent_v2(void** context) {
    *context = reinterpret_cast<void*>(current);
    current = 0;
    note("pop");
    return 0;
}
int cuModuleLoadData(void** module, const void* cubin) {
    if (std::strcmp(static_cast<const char*>(cubin), "damaged") == 0) return 200;
    note(std::string("load ") + static_cast<const char*>(cubin));
    *module = reinterpret_cast<void*>(std::intptr_t(7));
    return 0;
}
int cuModuleGetFunction(void** function, void*, const char* name) {
    *function = reinterpret_cast<void*>(std::intptr_t(std::strlen(name)));
    return 0;
}
int cuLaunchKernel(void* function, unsigned x, unsigned y, unsigned, unsigned threads, unsigned,
                   unsigned, unsigned, void* stream, void** arguments, void**) {
    if (failure != 0) return failure;
    note("launch " + text(reinterpret_cast<std::intptr_t>(function)) + " on stream " +
         text(reinterpret_cast<std::intptr_t>(stream)) + ": " + text(x) + " x " + text(y) + " of " +
         text(threads) + ", first " + text(*static_cast<std::int64_t*>(arguments[0])));
    return 0;
}
int cuMemcpyAsync(std::uintptr_t to, std::uintptr_t from, std::size_t size, void*) {
    note("copy " + text(std::int64_t(size)));
    std::memcpy(reinterpret_cast<void*>(to), reinterpret_cast<const void*>(from), size);
    return 0;
}
int cuGraphCreate(void** graph, unsigned) {
    if (graph_failure != 0) return graph_failure;
    *graph = new Graph;
    return 0;
}
int cuGraphAddKernelNode(void** node, void* graph, void* const* after, std::size_t count,
                         const KernelNode* added) {
    auto* nodes = static_cast<Graph*>(graph);
    bool in_order = nodes->empty() ? count == 0 : count == 1 && *after == nodes->back();
    nodes->push_back(added->function);
    *node = added->function;
    note("node " + text(reinterpret_cast<std::intptr_t>(added->function)) + ": " +
         text(added->sizes[0]) + " x " + text(added->sizes[1]) + " of " + text(added->sizes[3]) +
         ", first " + text(*static_cast<std::int64_t*>(added->arguments[0])) +
         (in_order ? "" : ", out of order"));
    return 0;
}
int cuGraphInstantiateWithFlags(void** ready, void* graph, unsigned long long) {
    *ready = new Graph(*static_cast<Graph*>(graph));
    return 0;
}
int cuGraphLaunch(void* graph, void* stream) {
    if (failure != 0) return failure;
    note("graph of " + text(std::int64_t(static_cast<Graph*>(graph)->size())) + " on stream " +
         text(reinterpret_cast<std::intptr_t>(stream)));
    return 0;
}
int cuGraphExecDestroy(void* graph) {
    delete static_cast<Graph*>(graph);
    note("forget graph");
    return 0;
}
int cuGraphDestroy(void* graph) {
    delete static_cast<Graph*>(graph);
    return 0;
}
int cuGetErrorName(int status, const char** name) {
    *name = status == 1     ? "CUDA_ERROR_INVALID_VALUE"
            : status == 101 ? "CUDA_ERROR_INVALID_DEVICE"
            : status == 200 ? "CUDA_ERROR_INVALID_IMAGE"
                            : nullptr;
    return *name ? 0 : 1;
}

// For the tests.
const char* fake_notes() { return notes.c_str(); }
void fake_forget() { notes.clear(); }
void fake_context(std::intptr_t context) { current = context; }
void fake_version(int number) { version = number; }
void fake_failure(int status) { failure = status; }
void fake_graph_failure(int status) { graph_failure = status; }
}
