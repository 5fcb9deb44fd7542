// gaborsplat.renderer._native: the passes on the CPU, NVIDIA's driver, and what both backends
// share.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "../cpu/passes.h"
#include "../math/harmonics.h"
#include "../math/moments.h"
#include "../threads/thread_pool.h"
#include "arguments.h"
#include "launcher.h"

using namespace gaborsplat;

namespace {

/// Binds a struct of arguments, to be filled by keywords.
template <template <class> class A>
void bind_arguments(nb::module_& m, const char* name) {
    static const std::string signature = FieldNames::of<A<float>>().signature();
    nb::class_<Block<A>, ArgumentBlock>(m, name)
        .def(
            "__init__",
            [name](Block<A>* self, nb::kwargs arguments) { new (self) Block<A>(name, arguments); },
            nb::sig(signature.c_str()))
        .def(
            "set", [](Block<A>& self, nb::kwargs arguments) { self.set(arguments); },
            nb::sig("def set(self, **fields: object) -> None"), "Changes some fields.")
        .def("copy", [](const Block<A>& self) { return self; });
}

/// Binds a struct of options.
template <template <class> class O>
void bind_options(nb::module_& m, const char* name) {
    static const std::string signature = FieldNames::of<O<double>>().signature();
    auto fill = [name](O<double>& values, nb::handle arguments, bool all) {
        std::vector<HeldArray> none;
        Filler filler(name, FieldNames::of<O<double>>(), arguments, all, none);
        values.for_each_field(filler);
        filler.finish();
    };
    nb::class_<Options<O>>(m, name)
        .def(
            "__init__",
            [fill](Options<O>* self, nb::kwargs arguments) {
                new (self) Options<O>{};
                fill(self->values, arguments, true);
            },
            nb::sig(signature.c_str()))
        .def(
            "replaced",
            [fill](const Options<O>& self, nb::kwargs arguments) {
                Options<O> changed = self;
                fill(changed.values, arguments, false);
                return changed;
            },
            nb::sig("def replaced(self, **fields: object) -> Self"),
            "The same with some fields changed.")
        .def(
            "__getitem__",
            [](Options<O> self, const std::string& field) {
                return find_field(self.values, field);
            },
            nb::arg("field"), nb::sig("def __getitem__(self, field: str) -> float"));
}

/// Runs a pass with the GIL released.
template <class Result, template <class> class A>
Result run(const Block<A>& block, Result (*Passes<float>::*single)(const A<float>&),
           Result (*Passes<double>::*precise)(const A<double>&)) {
    if (block.device() != kCpu) throw nb::type_error("the CPU's passes take tensors on the CPU");
    nb::gil_scoped_release release;
    return block.visit([&](const auto& arguments) {
        if constexpr (std::is_same_v<std::decay_t<decltype(arguments)>, A<float>>)
            return (passes_for<float>().*single)(arguments);
        else
            return (passes_for<double>().*precise)(arguments);
    });
}

/// What `_native.cpu` and `_native.constants` hang on.
struct Cpu {};
struct Constants {};

#define BIND_PASS(name, A)                                               \
    cpu.def_static(                                                      \
        #name,                                                           \
        [](const Block<A>& arguments) {                                  \
            run(arguments, &Passes<float>::name, &Passes<double>::name); \
        },                                                               \
        nb::arg("arguments"))

/// A NumPy array that owns the memory.
template <class T>
nb::object owned(OwnedArray<T>&& values) {
    std::size_t size = values.size;
    T* memory = values.data.release();
    nb::capsule owner(memory, [](void* p) noexcept { delete[] static_cast<T*>(p); });
    return nb::cast(nb::ndarray<nb::numpy, T>(memory, {size}, owner));
}

nb::tuple bin(const Block<BinArguments>& block) {
    Bins bins = run(block, &Passes<float>::bin, &Passes<double>::bin);
    return nb::make_tuple(owned(std::move(bins.splat_ids)), owned(std::move(bins.offsets)),
                          owned(std::move(bins.slots)), owned(std::move(bins.first_slot)));
}

/// The gradient of blending adds pairs in the order of their slots.
void blend_backward(const Block<BlendBackwardArguments>& block) {
    block.visit([](const auto& p) {
        if (!p.slot_begins || (!p.slots && p.in.pairs > 0))
            throw nb::type_error("blend_backward on the CPU needs slots");
    });
    run(block, &Passes<float>::blend_backward, &Passes<double>::blend_backward);
}

void bind_cpu(nb::module_& m) {
    nb::class_<Cpu> cpu(m, "cpu", "The passes on the CPU.");
    BIND_PASS(project, ProjectArguments);
    BIND_PASS(project_backward, ProjectBackwardArguments);
    BIND_PASS(shade, ShadeArguments);
    BIND_PASS(shade_backward, ShadeBackwardArguments);
    cpu.def_static("bin", &bin, nb::arg("arguments"),
                   nb::sig("def bin(arguments: BinArguments) -> "
                           "tuple[NDArray[numpy.int32], NDArray[numpy.int64], "
                           "NDArray[numpy.int32], NDArray[numpy.int64]]"),
                   "splat_ids, offsets, slots, first_slot: see Tiles of backends/stages.py.");
    BIND_PASS(blend, BlendArguments);
    cpu.def_static("blend_backward", &blend_backward, nb::arg("arguments"));
    BIND_PASS(photometric_loss, LossArguments);
    BIND_PASS(begin_step, BeginStepArguments);
    BIND_PASS(shade_step, ShadeStepArguments);
    BIND_PASS(project_step, ProjectStepArguments);
    BIND_PASS(finish_step, FinishStepArguments);
    BIND_PASS(catch_up, CatchUpArguments);
    cpu.def_static("threads", &threads, "Threads that work on one pass.");
    cpu.def_static("set_threads", &set_threads, nb::arg("count"));
    cpu.def_static(
        "isa", [] { return std::string(isa().name); }, "Instruction set of the float passes.");
}

void bind_constants(nb::module_& m) {
    nb::class_<Constants> constants(m, "constants", "Thresholds and layouts, from C++.");
    constants.attr("NEAR_PLANE") = kNearPlane;
    constants.attr("FAR_PLANE") = kFarPlane;
    constants.attr("EPS2D") = kEps2d;
    constants.attr("ALPHA_MIN") = kAlphaMin;
    constants.attr("ALPHA_MAX") = kAlphaMax;
    constants.attr("TRANSMITTANCE_MIN") = kTransmittanceMin;
    constants.attr("TILE_SIZE") = kTileSize;
    constants.attr("MOST_BINS") = kMostBins;
    constants.attr("LIST_WARPS") = kListWarps;
    constants.attr("DEPTH_CHANNELS") = kDepthChannels;
    constants.attr("STEP_COUNTERS") = int(kCounters);
    constants.attr("STEP_RATES") = int(kRates);
    constants.attr("STEP_REPORTS") = int(kReports);
    constants.attr("SH_C0") = kShC0;
    constants.attr("FIRST_WAVE") = Gabor<1>::kFirstWave;
}

std::vector<std::string> kinds() {
    std::vector<std::string> names;
#define GABORSPLAT_NAME(name, Kind) names.push_back(#name);
    GABORSPLAT_KINDS(GABORSPLAT_NAME)
#undef GABORSPLAT_NAME
    return names;
}

/// What the codes of a `SmallFloat` stand for.
template <class Code>
std::vector<float> numbers_of(int count) {
    std::vector<float> numbers;
    for (int code = 0; code < count; ++code) numbers.push_back(Code::decode(std::uint32_t(code)));
    return numbers;
}

int blend_sum_size_of(int waves, int channels, bool absolute) {
    int size = 0;
    with_kind(waves,
              [&](auto kind) { size = blend_sum_size(decltype(kind)::kSums, channels, absolute); });
    return size;
}

}  // namespace

NB_MODULE(_native, m) {
    // What autograd's graphs hold may live until the interpreter has ended.
    nb::set_leak_warnings(false);
    nb::class_<ArrayField>(m, "ArrayField", "An array of a struct of arguments.")
        .def_ro("name", &ArrayField::name)
        .def_ro("number", &ArrayField::number, "Type of its numbers, as torch calls it.")
        .def_ro("address", &ArrayField::address, "0 where there is none.")
        .def_ro("count", &ArrayField::count, "Of its numbers.")
        .def_ro("written", &ArrayField::written, "Whether the pass writes it.");
    nb::class_<ArgumentBlock>(m, "ArgumentBlock", "The arguments of one call of a pass.")
        .def("__getitem__", &ArgumentBlock::field, nb::arg("field"),
             nb::sig("def __getitem__(self, field: str) -> int"),
             "A number, or the address of an array, which is 0 where there is none.")
        .def("arrays", &ArgumentBlock::arrays, "All arrays.")
        .def_prop_ro("device", &ArgumentBlock::device, "Index of the GPU, -1 for the CPU.")
        .def_prop_ro("is_double", &ArgumentBlock::is_double, "Whether its numbers are float64.");
    bind_options<ProjectOptions>(m, "ProjectOptions");
    bind_options<BlendOptions>(m, "BlendOptions");
    bind_arguments<ProjectArguments>(m, "ProjectArguments");
    bind_arguments<ProjectBackwardArguments>(m, "ProjectBackwardArguments");
    bind_arguments<ShadeArguments>(m, "ShadeArguments");
    bind_arguments<ShadeBackwardArguments>(m, "ShadeBackwardArguments");
    bind_arguments<BinArguments>(m, "BinArguments");
    bind_arguments<ClearArguments>(m, "ClearArguments");
    bind_arguments<SortPassArguments>(m, "SortPassArguments");
    bind_arguments<ListTilesArguments>(m, "ListTilesArguments");
    bind_arguments<BlendArguments>(m, "BlendArguments");
    bind_arguments<BlendBackwardArguments>(m, "BlendBackwardArguments");
    bind_arguments<LossArguments>(m, "LossArguments");
    bind_arguments<BeginStepArguments>(m, "BeginStepArguments");
    bind_arguments<ShadeStepArguments>(m, "ShadeStepArguments");
    bind_arguments<ProjectStepArguments>(m, "ProjectStepArguments");
    bind_arguments<FinishStepArguments>(m, "FinishStepArguments");
    bind_arguments<CatchUpArguments>(m, "CatchUpArguments");
    bind_cpu(m);
    bind_launcher(m);
    bind_constants(m);
    m.def("current_stream", &current_stream, nb::arg("device"),
          "Address of torch's current stream on a GPU, by its number; 0 for the CPU, -1.");
    m.def(
        "alike",
        [](nb::args tensors) {
            TensorView first, view;
            for (std::size_t i = 0; i < tensors.size(); ++i) {
                if (!view_tensor(tensors[i], view) || !view.contiguous) return false;
                if (i == 0) first = view;
                if (view.number != first.number || view.device != first.device) return false;
                if (view.number == Number::kOther || view.device == kOtherDevice) return false;
            }
            return true;
        },
        nb::sig("def alike(*tensors: Tensor) -> bool"),
        "Whether tensors are contiguous, of one type that passes know, and on one device.");
    m.def("kinds", &kinds, "Names of the registered kinds of splat.");
    m.def("modulation_size", &modulation_size, nb::arg("waves"),
          "Numbers that describe one splat's waves on the image.");
    m.def("pose_parts", &pose_parts, nb::arg("splats"),
          "Rows of a GPU's sums over splats, for every camera.");
    m.def(
        "moment_roots", [] { return numbers_of<RootCode>(256); },
        "What a byte stands for that holds the root of Adam's second moment.");
    m.def(
        "moment_quotients", [] { return numbers_of<QuotientCode>(128); },
        "Sizes of the quotients of Adam's moments; a byte's upper bit is their sign.");
    m.def("sort_blocks", &sort_blocks, nb::arg("items"), "Blocks of threads that sort items.");
    m.def("list_blocks", &list_blocks, nb::arg("splats"),
          "Blocks of threads that list the tiles of splats.");
    m.def("loss_parts", &loss_parts, nb::arg("width"), nb::arg("height"),
          "Rows of a GPU's sums over pixels.");
    m.def("mask_parts", &mask_parts, nb::arg("width"), nb::arg("height"),
          "Blocks of a GPU that count the pixels of a mask.");
    m.def("blend_sum_size", &blend_sum_size_of, nb::arg("waves"), nb::arg("channels"),
          nb::arg("absolute"), "Numbers of a splat that a GPU sums over pixels.");
}
