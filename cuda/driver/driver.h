// NVIDIA's driver, opened when it is first wanted: no toolkit, no link to it. Loads machine code
// that somebody else has compiled and launches kernels.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <stdexcept>
#include <string>
#include <vector>

namespace gaborsplat {

/// What the driver refused, in one line.
struct DriverError : std::runtime_error {
    using std::runtime_error::runtime_error;
};

using Module = struct CUmod_st*;
using Function = struct CUfunc_st*;
using Context = struct CUctx_st*;
using Stream = struct CUstream_st*;
using Graph = struct CUgraph_st*;
using GraphNode = struct CUgraphNode_st*;
using GraphExec = struct CUgraphExec_st*;

/// One kernel on its way to the GPU.
struct Launch {
    Function function;
    const char* name;  // for errors
    unsigned grid_x, grid_y, threads;
    void* arguments;  // its struct
};

/// Memory that is copied, on the GPU or to it.
struct Copy {
    void* to;
    const void* from;
    std::size_t size;  // [bytes]
};

class Driver {
  public:
    /// `library` is a path; empty for the one that the system knows. Throws DriverError.
    explicit Driver(const std::string& library);

    /// The newest CUDA that it serves, such as 12040 for 12.4.
    int version();

    /// Such as sm_90.
    std::string architecture(int device);

    /// The kernels of a cubin, in the primary context of a GPU, where they stay loaded. `source` is
    /// for errors.
    Module load(int device, const void* cubin, const char* source);

    /// One of them.
    Function function(int device, Module module, const char* name);

    /// Queues copies, then kernels in order on a stream of a GPU, whatever context is current. What
    /// is copied from ordinary memory may change as soon as this returns.
    void launch(int device, Stream stream, const std::vector<Copy>& copies,
                const std::vector<Launch>& launches);

    /// The same kernels, each after the one before, for the driver to queue in one call; null where
    /// it refuses. Arguments are copied.
    GraphExec record(int device, const std::vector<Launch>& launches);
    void launch(int device, Stream stream, const std::vector<Copy>& copies, GraphExec graph);
    void forget(int device, GraphExec graph) noexcept;

  private:
    /// CUDA_KERNEL_NODE_PARAMS_v1.
    struct KernelNode {
        Function function;
        unsigned grid_x, grid_y, grid_z, threads_x, threads_y, threads_z, shared_bytes;
        void** arguments;
        void** extra;
    };

    /// The driver's functions, by its own names.
    struct Api {
        int (*cuInit)(unsigned);
        int (*cuDriverGetVersion)(int*);
        int (*cuDeviceGet)(int*, int);
        int (*cuDeviceGetAttribute)(int*, int, int);
        int (*cuDevicePrimaryCtxRetain)(Context*, int);
        int (*cuCtxGetCurrent)(Context*);
        int (*cuCtxPushCurrent)(Context);
        int (*cuCtxPopCurrent)(Context*);
        int (*cuModuleLoadData)(Module*, const void*);
        int (*cuModuleGetFunction)(Function*, Module, const char*);
        int (*cuLaunchKernel)(Function, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned,
                              unsigned, Stream, void**, void**);
        int (*cuMemcpyAsync)(std::uintptr_t, std::uintptr_t, std::size_t, Stream);
        int (*cuGetErrorName)(int, const char**);
        // Null in drivers that are too old.
        int (*cuGraphCreate)(Graph*, unsigned);
        int (*cuGraphAddKernelNode)(GraphNode*, Graph, const GraphNode*, std::size_t,
                                    const KernelNode*);
        int (*cuGraphInstantiate)(GraphExec*, Graph, unsigned long long);
        int (*cuGraphLaunch)(GraphExec, Stream);
        int (*cuGraphExecDestroy)(GraphExec);
        int (*cuGraphDestroy)(Graph);
    };

    /// Makes the primary context of a GPU current while it lives.
    class InContext;

    bool add_nodes(Graph graph, const std::vector<Launch>& launches);
    void copy(Stream stream, const std::vector<Copy>& copies);
    Context primary_context(int device);
    int device_handle(int device);
    void check(int status, const std::string& what);

    Api api_;
    std::mutex mutex_;  // guards what follows
    std::map<int, Context> contexts_;
};

}  // namespace gaborsplat
