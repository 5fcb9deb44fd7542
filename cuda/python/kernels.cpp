#include "kernels.h"

#include <unordered_map>

#include "../passes/launch.h"

namespace gaborsplat {
namespace {

// Blocks and macros of each kernel.

template <class S>
KernelCall project(const ProjectArguments<S>& p) {
    return {{blocks_for(p.in.splats, kSplatThreads), p.in.cameras}, {{"WAVES", p.in.waves}}};
}
template <class S>
KernelCall project_backward(const ProjectBackwardArguments<S>& p) {
    const ProjectInputs<S>& in = p.given.in;
    return {{blocks_for(in.splats, kSplatThreads), 1}, {{"WAVES", in.waves}}};
}
template <class S>
KernelCall project_step(const ProjectStepArguments<S>& p) {
    const ProjectInputs<S>& in = p.given.in;
    return {{blocks_for(in.splats, kSplatThreads), 1}, {{"WAVES", in.waves}, {"STEP", 1}}};
}
template <class S>
KernelCall shade(const ShadeArguments<S>& p) {
    return {{blocks_for(p.in.splats, kSplatThreads), p.in.cameras}, {{"DEGREE", p.in.degree}}};
}
template <class S>
KernelCall shade_backward(const ShadeBackwardArguments<S>& p) {
    const ShadeInputs<S>& in = p.given.in;
    return {{blocks_for(in.splats, kSplatThreads), 1}, {{"DEGREE", in.degree}}};
}
template <class S>
KernelCall shade_step(const ShadeStepArguments<S>& p) {
    const ShadeInputs<S>& in = p.given.in;
    return {{blocks_for(in.splats, kSplatThreads), 1}, {{"DEGREE", in.degree}, {"STEP", 1}}};
}
template <class S>
KernelCall clear(const ClearArguments<S>& p) {
    return {{blocks_for(blocks_for(p.size, kClearedBytes), kNumberThreads), 1}, {}};
}
template <class S>
KernelCall sort_pass(const SortPassArguments<S>& p) {
    return {{p.blocks, 1}, {{"KEY_SIZE", p.key_size}}};
}
template <class S>
KernelCall sort_digits(const SortPassArguments<S>& p) {
    bool few = p.blocks <= kFewSortBlocks;
    return {{few ? blocks_for(p.bins, kSortThreads) : p.bins, 1}, {{"KEY_SIZE", p.key_size}}};
}
template <class S>
KernelCall list_tiles(const ListTilesArguments<S>& p) {
    return {{p.blocks, 1}, {{"KEY_SIZE", p.key_size}}};
}
template <class S>
KernelCall scan_tiles(const ListTilesArguments<S>& p) {
    return {{1, 1}, {{"KEY_SIZE", p.key_size}}};
}
template <class S>
KernelCall find_offsets(const ListTilesArguments<S>& p) {
    return {{blocks_for(p.room + 1, kNumberThreads), 1}, {{"KEY_SIZE", p.key_size}}};
}
template <class S>
KernelCall blend(const BlendArguments<S>& p) {
    int bytes = p.bytes != nullptr;
    int depth = p.in.depths != nullptr;
    return {
        {p.in.tiles, 1},
        {{"WAVES", p.in.waves}, {"CHANNELS", p.in.channels}, {"DEPTH", depth}, {"BYTES", bytes}}};
}
template <class S>
std::vector<Macro> blend_backward_macros(const BlendBackwardArguments<S>& p) {
    int absolute = p.v_means2d_abs != nullptr, deterministic = p.slots != nullptr;
    int depth = p.in.depths != nullptr;
    return {{"WAVES", p.in.waves},
            {"CHANNELS", p.in.channels},
            {"DEPTH", depth},
            {"ABSOLUTE", absolute},
            {"DETERMINISTIC", deterministic}};
}
template <class S>
KernelCall blend_backward(const BlendBackwardArguments<S>& p) {
    return {{p.in.tiles, 1}, blend_backward_macros(p)};
}
template <class S>
KernelCall finish_blend(const BlendBackwardArguments<S>& p) {
    return {{blocks_for(p.in.splats, kSplatThreads), 1}, blend_backward_macros(p)};
}
template <class S>
KernelCall count_valid(const LossArguments<S>& p) {
    return {{p.mask_parts, 1}, {}};
}
template <class S>
KernelCall compare_pictures(const LossArguments<S>& p) {
    return {
        {blocks_for(p.width, kStripWidth), blocks_for(p.height, strip_height(p.width, p.height))},
        {}};
}
template <class S>
KernelCall finish_loss(const LossArguments<S>&) {
    return {{1, 1}, {}};
}
template <class S>
KernelCall begin_step(const BeginStepArguments<S>&) {
    return {{1, 1}, {}};
}
template <class S>
KernelCall finish_step(const FinishStepArguments<S>&) {
    return {{1, 1}, {}};
}
template <class S>
KernelCall catch_up(const CatchUpArguments<S>& p) {
    return {{blocks_for(p.splats * p.size, kNumberThreads), 1}, {}};
}

/// A kernel whose arguments are an A and whose calls `find` finds.
#define KERNEL_OF(name, source, A, threads, find)                                       \
    {#name, source, threads, [](const ArgumentBlock& block) {                           \
         auto* arguments = dynamic_cast<const Block<A>*>(&block);                       \
         if (!arguments) throw nb::type_error("kernel " #name " takes another struct"); \
         return arguments->visit([](const auto& a) { return find(a); });                \
     }}

}  // namespace

const std::vector<Kernel>& kernels() {
    static const std::vector<Kernel> all = {
        KERNEL_OF(project, "project", ProjectArguments, kSplatThreads, project),
        KERNEL_OF(project_backward, "project", ProjectBackwardArguments, kSplatThreads,
                  project_backward),
        KERNEL_OF(shade, "shade", ShadeArguments, kSplatThreads, shade),
        KERNEL_OF(shade_backward, "shade", ShadeBackwardArguments, kSplatThreads, shade_backward),
        KERNEL_OF(clear, "clear", ClearArguments, kNumberThreads, clear),
        KERNEL_OF(count_digits, "sort", SortPassArguments, kSortThreads, sort_pass),
        KERNEL_OF(scan_digits, "sort", SortPassArguments, kSortThreads, sort_digits),
        KERNEL_OF(place_items, "sort", SortPassArguments, kSortThreads, sort_pass),
        KERNEL_OF(count_tiles, "tiles", ListTilesArguments, kListThreads, list_tiles),
        KERNEL_OF(scan_tiles, "tiles", ListTilesArguments, kListThreads, scan_tiles),
        KERNEL_OF(list_tiles, "tiles", ListTilesArguments, kListThreads, list_tiles),
        KERNEL_OF(find_offsets, "tiles", ListTilesArguments, kNumberThreads, find_offsets),
        KERNEL_OF(blend, "blend", BlendArguments, kTileThreads, blend),
        KERNEL_OF(blend_backward, "blend_backward", BlendBackwardArguments, kTileThreads,
                  blend_backward),
        KERNEL_OF(finish_blend, "blend_backward", BlendBackwardArguments, kSplatThreads,
                  finish_blend),
        KERNEL_OF(count_valid, "loss", LossArguments, kNumberThreads, count_valid),
        KERNEL_OF(compare_pictures, "loss", LossArguments, kStripThreads, compare_pictures),
        KERNEL_OF(finish_loss, "loss", LossArguments, kNumberThreads, finish_loss),
        KERNEL_OF(begin_step, "optimizer", BeginStepArguments, kWarp, begin_step),
        KERNEL_OF(shade_step, "shade", ShadeStepArguments, kSplatThreads, shade_step),
        KERNEL_OF(project_step, "project", ProjectStepArguments, kSplatThreads, project_step),
        KERNEL_OF(finish_step, "optimizer", FinishStepArguments, kNumberThreads, finish_step),
        KERNEL_OF(catch_up, "optimizer", CatchUpArguments, kNumberThreads, catch_up),
    };
    return all;
}

const Kernel& find_kernel(std::string_view name) {
    static const std::unordered_map<std::string_view, const Kernel*> by_name = [] {
        std::unordered_map<std::string_view, const Kernel*> found;
        for (const Kernel& kernel : kernels()) found[kernel.name] = &kernel;
        return found;
    }();
    auto found = by_name.find(name);
    if (found == by_name.end())
        throw nb::key_error(("there is no kernel " + std::string(name)).c_str());
    return *found->second;
}

}  // namespace gaborsplat
