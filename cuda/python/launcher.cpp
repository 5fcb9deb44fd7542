#include "launcher.h"

#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <map>
#include <mutex>
#include <string_view>
#include <tuple>

#include "../driver/driver.h"
#include "kernels.h"

namespace gaborsplat {
namespace {

/// What specialises a kernel, as macros of the preprocessor without their prefix.
using Defines = std::vector<std::tuple<std::string, std::string>>;

// What a grid may have along x and y.
constexpr std::int64_t kMostBlocks = 2147483647, kMostPictures = 65535;

/// A kernel with all that it takes to run it, for launchers in Python.
struct PlannedLaunch {
    const Kernel* kernel;
    KernelCall call;
    const ArgumentBlock* block;

    Defines defines() const {
        Defines found = {{"REAL", block->is_double() ? "double" : "float"}};
        for (const Macro& macro : call.macros)
            found.emplace_back(macro.name, std::to_string(macro.value));
        return found;
    }
};

PlannedLaunch plan(const std::string& name, const ArgumentBlock& block) {
    const Kernel& kernel = find_kernel(name);
    return {&kernel, kernel.call(block), &block};
}

/// A kernel, or its source, on a GPU, specialised.
struct Specialisation {
    int device;
    std::string_view name;
    bool is_double;
    std::vector<int> macros;

    bool operator<(const Specialisation& other) const {
        return std::tie(device, name, is_double, macros) <
               std::tie(other.device, other.name, other.is_double, other.macros);
    }
};

class DriverLauncher {
  public:
    DriverLauncher(nb::callable compile, const std::string& library)
        : compile_(std::move(compile)), driver_(library) {}

    void launch(const nb::sequence& items) {
        if (nb::len(items) == 0) return;
        int device = nb::cast<const ArgumentBlock&>(items[0][1]).device();
        std::vector<Launch> launches;
        launches.reserve(nb::len(items));
        for (nb::handle item : items) {
            const auto& name = nb::cast<std::string>(item[0]);
            auto& block = nb::cast<const ArgumentBlock&>(item[1]);
            if (block.device() != device)
                throw nb::type_error(
                    ("kernel " + name + ": its tensors are on another device").c_str());
            PlannedLaunch planned = plan(name, block);
            if (planned.call.grid.x == 0 || planned.call.grid.y == 0) continue;
            if (planned.call.grid.x > kMostBlocks || planned.call.grid.y > kMostPictures)
                throw nb::value_error(("kernel " + name + ": too many splats or pictures").c_str());
            launches.push_back({find(planned, device), planned.kernel->name,
                                static_cast<unsigned>(planned.call.grid.x),
                                static_cast<unsigned>(planned.call.grid.y),
                                static_cast<unsigned>(planned.kernel->threads),
                                const_cast<void*>(block.data())});
        }
        std::uintptr_t stream = current_stream(device);
        nb::gil_scoped_release release;
        driver_.launch(device, reinterpret_cast<Stream>(stream), launches);
    }

    std::string architecture(int device) { return driver_.architecture(device); }

  private:
    Function find(const PlannedLaunch& planned, int device) {
        Specialisation wanted = {device, planned.kernel->name, planned.block->is_double(), {}};
        for (const Macro& macro : planned.call.macros) wanted.macros.push_back(macro.value);
        {
            std::lock_guard<std::mutex> lock(mutex_);
            auto found = functions_.find(wanted);
            if (found != functions_.end()) return found->second;
        }
        wanted.name = planned.kernel->source;
        Function function = driver_.function(device, module(planned, wanted), planned.kernel->name);
        wanted.name = planned.kernel->name;
        std::lock_guard<std::mutex> lock(mutex_);
        return functions_[wanted] = function;
    }

    /// Compiles and loads a source that is not there yet. Two threads may do so at once.
    Module module(const PlannedLaunch& planned, const Specialisation& wanted) {
        {
            std::lock_guard<std::mutex> lock(mutex_);
            auto found = modules_.find(wanted);
            if (found != modules_.end()) return found->second;
        }
        auto cubin =
            nb::cast<nb::bytes>(compile_(planned.kernel->source, planned.kernel->name,
                                         planned.defines(), driver_.architecture(wanted.device)));
        nb::gil_scoped_release release;  // the GPU may be waited for
        Module loaded = driver_.load(wanted.device, cubin.c_str(), planned.kernel->source);
        std::lock_guard<std::mutex> lock(mutex_);
        return modules_[wanted] = loaded;
    }

    nb::callable compile_;
    Driver driver_;
    std::mutex mutex_;  // guards what follows
    std::map<Specialisation, Module> modules_;
    std::map<Specialisation, Function> functions_;
};

}  // namespace

void bind_launcher(nb::module_& m) {
    nb::exception<DriverError>(m, "DriverError", PyExc_RuntimeError);
    nb::class_<Kernel>(m, "Kernel", "A kernel of cuda/kernels.")
        .def_ro("name", &Kernel::name)
        .def_ro("source", &Kernel::source, "Its file, without ending.")
        .def_ro("threads", &Kernel::threads, "Of a block.");
    nb::class_<PlannedLaunch>(m, "PlannedLaunch", "A kernel with all that it takes to run it.")
        .def_prop_ro("kernel", [](const PlannedLaunch& p) -> const Kernel& { return *p.kernel; })
        .def_prop_ro(
            "grid",
            [](const PlannedLaunch& p) { return std::make_tuple(p.call.grid.x, p.call.grid.y); },
            "Blocks along x and y.")
        .def_prop_ro("defines", &PlannedLaunch::defines,
                     "Macros that specialise it, without their prefix GABORSPLAT_.")
        .def_prop_ro(
            "arguments",
            [](const PlannedLaunch& p) {
                return nb::bytes(static_cast<const char*>(p.block->data()), p.block->size());
            },
            "Its struct.");
    m.def("plan", &plan, nb::arg("kernel"), nb::arg("arguments"), nb::keep_alive<0, 2>(),
          "What a call of a kernel with these arguments takes. Raises KeyError, TypeError.");
    m.def("kernels", [] { return kernels(); }, "All kernels.");
    nb::class_<DriverLauncher>(m, "Driver", "Runs kernels by NVIDIA's driver.")
        .def(nb::init<nb::callable, const std::string&>(), nb::arg("compile"),
             nb::arg("library") = "",
             nb::sig("def __init__(self, compile: Callable[[str, str, list[tuple[str, str]], str], "
                     "bytes], library: str = '') -> None"),
             "`compile(source, kernel, defines, architecture)` gives the cubin of a source, of "
             "which "
             "`kernel` is wanted first; a thread asks once for each. Raises DriverError.")
        .def("launch", &DriverLauncher::launch, nb::arg("launches"),
             nb::sig("def launch(self, launches: Sequence[tuple[str, ArgumentBlock]], /) -> None"),
             "Queues kernels, each with its arguments, in order on torch's current stream of the "
             "GPU "
             "where the arrays are. Raises DriverError.")
        .def("architecture", &DriverLauncher::architecture, nb::arg("device"), "Such as sm_90.");
}

}  // namespace gaborsplat
