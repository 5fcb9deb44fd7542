#include "launcher.h"

#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/unique_ptr.h>
#include <nanobind/stl/vector.h>

#include <map>
#include <memory>
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

/// Tensors that are copied before kernels run: (to, from) each, contiguous, of one type and size.
std::vector<Copy> copies_of(const nb::sequence& pairs, int device) {
    std::vector<Copy> copies;
    for (nb::handle pair : pairs) {
        TensorView to, from;
        bool known = view_tensor(pair[0], to) && view_tensor(pair[1], from);
        if (!known || !to.contiguous || !from.contiguous || to.number != from.number ||
            to.count != from.count || to.number == Number::kOther)
            throw nb::type_error("what is copied must be contiguous, of one type and size");
        if (to.device != device || (from.device != device && from.device != kCpu))
            throw nb::type_error("what is copied must go to the GPU of the kernels");
        copies.push_back(
            {to.data, from.data, static_cast<std::size_t>(to.count) * size_of(to.number)});
    }
    return copies;
}

/// Kernels on their way to a GPU, and what they point to.
struct LaunchList {
    int device = kCpu;
    std::vector<Launch> launches;
    std::vector<nb::object> blocks;
};

class DriverLauncher {
  public:
    DriverLauncher(nb::callable compile, const std::string& library)
        : compile_(std::move(compile)), driver_(library) {}

    LaunchList prepare(const nb::sequence& items) {
        LaunchList list;
        if (nb::len(items) == 0) return list;
        list.device = nb::cast<const ArgumentBlock&>(items[0][1]).device();
        list.launches.reserve(nb::len(items));
        for (nb::handle item : items) {
            const auto& name = nb::cast<std::string>(item[0]);
            auto& block = nb::cast<const ArgumentBlock&>(item[1]);
            if (block.device() != list.device)
                throw nb::type_error(
                    ("kernel " + name + ": its tensors are on another device").c_str());
            PlannedLaunch planned = plan(name, block);
            if (planned.call.grid.x == 0 || planned.call.grid.y == 0) continue;
            if (planned.call.grid.x > kMostBlocks || planned.call.grid.y > kMostPictures)
                throw nb::value_error(("kernel " + name + ": too many splats or pictures").c_str());
            list.launches.push_back({find(planned, list.device), planned.kernel->name,
                                     static_cast<unsigned>(planned.call.grid.x),
                                     static_cast<unsigned>(planned.call.grid.y),
                                     static_cast<unsigned>(planned.kernel->threads),
                                     const_cast<void*>(block.data())});
        }
        return list;
    }

    void launch(const nb::sequence& items) {
        LaunchList list = prepare(items);
        if (list.launches.empty()) return;
        std::uintptr_t stream = current_stream(list.device);
        nb::gil_scoped_release release;
        driver_.launch(list.device, reinterpret_cast<Stream>(stream), {}, list.launches);
    }

    Driver& driver() { return driver_; }

    std::tuple<int, int> version() {
        int version = driver_.version();
        return {version / 1000, version % 1000 / 10};
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

/// Kernels with their arguments, to be queued again and again.
class DriverProgram {
  public:
    DriverProgram(DriverLauncher& launcher, const nb::sequence& items)
        : driver_(launcher.driver()), list_(launcher.prepare(items)) {
        for (nb::handle item : items) list_.blocks.push_back(nb::borrow(item[1]));
        if (!list_.launches.empty()) graph_ = driver_.record(list_.device, list_.launches);
    }
    ~DriverProgram() {
        if (graph_) driver_.forget(list_.device, graph_);
    }
    DriverProgram(const DriverProgram&) = delete;
    DriverProgram& operator=(const DriverProgram&) = delete;

    void launch(const nb::sequence& inputs) {
        if (list_.launches.empty()) return;
        std::vector<Copy> copies = copies_of(inputs, list_.device);
        auto stream = reinterpret_cast<Stream>(current_stream(list_.device));
        nb::gil_scoped_release release;
        if (graph_)
            driver_.launch(list_.device, stream, copies, graph_);
        else
            driver_.launch(list_.device, stream, copies, list_.launches);
    }

    bool is_graph() const { return graph_ != nullptr; }

  private:
    Driver& driver_;
    LaunchList list_;
    GraphExec graph_ = nullptr;
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
    nb::class_<DriverProgram>(m, "DriverProgram",
                              "Kernels with their arguments, to be queued again and again.")
        .def(
            "launch", &DriverProgram::launch, nb::arg("inputs"),
            nb::sig("def launch(self, inputs: Sequence[tuple[Tensor, Tensor]], /) -> None"),
            "Copies inputs, each a tensor on the GPU and what it becomes, then queues the kernels, "
            "on torch's current stream. Raises DriverError.")
        .def_prop_ro("is_graph", &DriverProgram::is_graph,
                     "Whether the driver queues all in one call.");
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
        .def(
            "record",
            [](DriverLauncher& self, const nb::sequence& items) {
                return std::make_unique<DriverProgram>(self, items);
            },
            nb::arg("launches"), nb::keep_alive<0, 1>(),
            nb::sig("def record(self, launches: Sequence[tuple[str, ArgumentBlock]], /) -> "
                    "DriverProgram"),
            "What `launch` would queue, to be queued again and again. Changing the arguments "
            "afterwards has no effect that can be relied on.")
        .def_prop_ro("version", &DriverLauncher::version,
                     "The newest CUDA that the driver serves, major and minor.")
        .def("architecture", &DriverLauncher::architecture, nb::arg("device"), "Such as sm_90.");
}

}  // namespace gaborsplat
