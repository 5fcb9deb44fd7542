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

/// One kernel on its way to the GPU.
struct Launch {
    Function function;
    const char* name;  // for errors
    unsigned grid_x, grid_y, threads;
    void* arguments;  // its struct
};

class Driver {
  public:
    /// `library` is a path; empty for the one that the system knows. Throws DriverError.
    explicit Driver(const std::string& library);

    /// Such as sm_90.
    std::string architecture(int device);

    /// The kernels of a cubin, in the primary context of a GPU, where they stay loaded. `source` is
    /// for errors.
    Module load(int device, const void* cubin, const char* source);

    /// One of them.
    Function function(int device, Module module, const char* name);

    /// Queues kernels in order on a stream of a GPU, whatever context is current.
    void launch(int device, Stream stream, const std::vector<Launch>& launches);

  private:
    /// The driver's functions, by its own names.
    struct Api {
        int (*cuInit)(unsigned);
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
        int (*cuGetErrorName)(int, const char**);
    };

    /// Makes the primary context of a GPU current while it lives.
    class InContext;

    Context primary_context(int device);
    int device_handle(int device);
    void check(int status, const std::string& what);

    Api api_;
    std::mutex mutex_;  // guards what follows
    std::map<int, Context> contexts_;
};

}  // namespace gaborsplat
