// Splats on the image, the gradient of that, and the step of a fit along it: a splat a thread.
//   GABORSPLAT_STEP  whether the step is compiled, or else the two others
#include "../math/optimizer.h"
#include "../math/projection.h"
#include "device.h"

#ifndef GABORSPLAT_STEP
#define GABORSPLAT_STEP 0
#endif

GABORSPLAT_BEGIN

constexpr int kWaveRoom = Kind::kWaves > 0 ? Kind::kWaves : 1;

HD SplatParameters<S> load_splat(const ProjectInputs<S>& p, std::int64_t i) {
    const S* q = p.quats + 4 * i;
    return {load3(p.means + 3 * i),
            {q[0], q[1], q[2], q[3]},
            load3(p.scales + 3 * i),
            p.opacities[i],
            {p.frequencies + 3 * Kind::kWaves * i, p.coefficients + 2 * Kind::kWaves * i}};
}

HD View<S> load_view(const ProjectInputs<S>& p, int camera) {
    const S *m = p.viewmats + 16 * camera, *k = p.intrinsics + 9 * camera;
    return {{load3(m), load3(m + 4), load3(m + 8)},
            {m[3], m[7], m[11]},
            {k[0], k[4]},
            {k[2], k[5]},
            {S(p.width), S(p.height)}};
}

/// A gradient of a splat, its waves' included.
struct WholeGradient {
    SplatGradient<S> splat;
    S frequencies[3 * kWaveRoom], coefficients[2 * kWaveRoom];
};
/// Adds what a camera that sees the splat gives.
HD void add_gradient(const ProjectGradientInputs<S>& p, std::int64_t i, int camera,
                     WholeGradient& sum, PoseGradient<S>& pose) {
    std::int64_t at = camera * p.in.splats + i;
    ProjectedGradient<S> v = {{p.v_means2d[2 * at], p.v_means2d[2 * at + 1]},
                              p.v_depths ? p.v_depths[at] : S(0),
                              load3(p.v_conics + 3 * at),
                              p.v_opacities2d[at],
                              p.v_modulation2d + Kind::kModulationSize * at};
    SplatGradient<S> out = project_splat_vjp<Kind>(
        load_splat(p.in, i), load_view(p.in, camera), p.in.options, p.in.raw != 0, v,
        WaveGradients<S>{sum.frequencies, sum.coefficients}, pose);
    SplatGradient<S>& splat = sum.splat;
    splat.mean = splat.mean + out.mean;
    splat.scale = splat.scale + out.scale;
    splat.quat = {splat.quat.w + out.quat.w, splat.quat.x + out.quat.x, splat.quat.y + out.quat.y,
                  splat.quat.z + out.quat.z};
    splat.opacity += out.opacity;
}

#if !GABORSPLAT_STEP

/// The grid's second axis are the cameras.
KERNEL(project, ProjectArguments<S>, kSplatThreads) {
    std::int64_t i = thread_number();
    if (i >= p.in.splats) return;
    int camera = int(blockIdx.y);
    ProjectedSplat<S, Kind> out = project_splat<Kind>(load_splat(p.in, i), load_view(p.in, camera),
                                                      p.in.options, p.in.raw != 0);
    std::int64_t at = camera * p.in.splats + i;
    bool seen = out.visible;
    p.visible[at] = seen;
    p.radii[2 * at] = seen ? int(out.radius.x) : 0;
    p.radii[2 * at + 1] = seen ? int(out.radius.y) : 0;
    p.cutoffs[at] = seen ? out.cutoff : S(0);
    if (!seen && p.skip_culled) return;
    p.means2d[2 * at] = seen ? out.mean2d.x : S(0);
    p.means2d[2 * at + 1] = seen ? out.mean2d.y : S(0);
    p.depths[at] = seen ? out.depth : S(0);
    p.conics[3 * at] = seen ? out.conic.xx : S(0);
    p.conics[3 * at + 1] = seen ? out.conic.xy : S(0);
    p.conics[3 * at + 2] = seen ? out.conic.yy : S(0);
    p.opacities2d[at] = seen ? out.opacity : S(0);
    for (int f = 0; f < Kind::kModulationSize; ++f)
        p.modulation2d[Kind::kModulationSize * at + f] = seen ? out.modulation[f] : S(0);
}

/// Sums a warp's share of a camera's pose gradient.
HD void store_pose(const PoseGradient<S>& pose, S* v_pose) {
    S numbers[12] = {pose.rotation.row0.x, pose.rotation.row0.y, pose.rotation.row0.z,
                     pose.rotation.row1.x, pose.rotation.row1.y, pose.rotation.row1.z,
                     pose.rotation.row2.x, pose.rotation.row2.y, pose.rotation.row2.z,
                     pose.translation.x,   pose.translation.y,   pose.translation.z};
    S total = WarpSums<12>::add(numbers);
    int owned = WarpSums<12>::owned_sum();
    if (owned >= 0) v_pose[owned] = total;
}

KERNEL(project_backward, ProjectBackwardArguments<S>, kSplatThreads) {
    const ProjectGradientInputs<S>& given = p.given;
    std::int64_t i = thread_number();
    bool inside = i < given.in.splats;
    WholeGradient sum = {};
    for (int camera = 0; camera < given.in.cameras; ++camera) {
        PoseGradient<S> pose = {};
        if (inside && given.visible[camera * given.in.splats + i] != 0)
            add_gradient(given, i, camera, sum, pose);
        if (p.v_poses) store_pose(pose, p.v_poses + 12 * (i / kWarp * given.in.cameras + camera));
    }
    if (!inside) return;
    SplatGradient<S>& splat = sum.splat;
    if (given.v_directions) splat.mean = splat.mean + load3(given.v_directions + 3 * i);
    store3(p.v_means + 3 * i, splat.mean);
    store3(p.v_scales + 3 * i, splat.scale);
    p.v_quats[4 * i] = splat.quat.w;
    p.v_quats[4 * i + 1] = splat.quat.x;
    p.v_quats[4 * i + 2] = splat.quat.y;
    p.v_quats[4 * i + 3] = splat.quat.z;
    p.v_opacities[i] = splat.opacity;
    for (int k = 0; k < 3 * Kind::kWaves; ++k)
        p.v_frequencies[3 * Kind::kWaves * i + k] = sum.frequencies[k];
    for (int k = 0; k < 2 * Kind::kWaves; ++k)
        p.v_coefficients[2 * Kind::kWaves * i + k] = sum.coefficients[k];
}

#else

/// A step of Adam for a splat's numbers of one parameter.
template <int Count>
HD void step_numbers(const StepInputs<S>& p, Parameter parameter, std::int64_t i, S* values, S* avg,
                     S* avg_sq, const S* gradients) {
    AdamRates<S> rates = adam_rates(p, parameter);
#pragma unroll
    for (int k = 0; k < Count; ++k) {
        std::int64_t at = Count * i + k;
        AdamState<S> next = adam({values[at], {avg[at], avg_sq[at]}}, gradients[k], rates);
        values[at] = next.value;
        avg[at] = next.moments.first;
        avg_sq[at] = next.moments.second;
    }
}

HD void step_splat(const ProjectStepArguments<S>& p, std::int64_t i) {
    const bool visible = p.given.visible[i] != 0;
    WholeGradient v = {};
    if (visible) {
        PoseGradient<S> pose = {};
        add_gradient(p.given, i, 0, v, pose);
        v.splat.mean = v.splat.mean + load3(p.given.v_directions + 3 * i);
    }
    S mean[3] = {v.splat.mean.x, v.splat.mean.y, v.splat.mean.z};
    S quat[4] = {v.splat.quat.w, v.splat.quat.x, v.splat.quat.y, v.splat.quat.z};
    S scale[3] = {v.splat.scale.x, v.splat.scale.y, v.splat.scale.z};
    S opacity = v.splat.opacity;
    regularize(p, i, opacity, scale);
    S sum = opacity;  // which no number that is not bounded leaves bounded
    for (int k = 0; k < 3; ++k) sum += abs_(mean[k]) + abs_(scale[k]);
    for (int k = 0; k < 4; ++k) sum += abs_(quat[k]);
    for (int k = 0; k < 3 * Kind::kWaves; ++k) sum += abs_(v.frequencies[k]);
    for (int k = 0; k < 2 * Kind::kWaves; ++k) sum += abs_(v.coefficients[k]);
    if (!bounded(sum)) {
        p.step.counters[kBroken] = 1;
        for (int k = 0; k < 3; ++k) mean[k] = scale[k] = S(0);
        for (int k = 0; k < 4; ++k) quat[k] = S(0);
        opacity = S(0);
        for (int k = 0; k < 3 * Kind::kWaves; ++k) v.frequencies[k] = S(0);
        for (int k = 0; k < 2 * Kind::kWaves; ++k) v.coefficients[k] = S(0);
    }
    if (visible || !p.step.visible_only) {
        const StepInputs<S>& step = p.step;
        step_numbers<3>(step, kMeans, i, p.next_means, p.means_avg, p.means_avg_sq, mean);
        step_numbers<4>(step, kQuats, i, p.next_quats, p.quats_avg, p.quats_avg_sq, quat);
        step_numbers<3>(step, kScales, i, p.next_scales, p.scales_avg, p.scales_avg_sq, scale);
        step_numbers<1>(step, kOpacities, i, p.next_opacities, p.opacities_avg, p.opacities_avg_sq,
                        &opacity);
        step_numbers<3 * Kind::kWaves>(step, kFrequencies, i, p.next_frequencies, p.frequencies_avg,
                                       p.frequencies_avg_sq, v.frequencies);
        step_numbers<2 * Kind::kWaves>(step, kCoefficients, i, p.next_coefficients,
                                       p.coefficients_avg, p.coefficients_avg_sq, v.coefficients);
    }
    add_noise(p, i);
}

KERNEL(project_step, ProjectStepArguments<S>, kSplatThreads) {
    std::int64_t i = thread_number();
    if (p.step.counters[kOpen] != 0 && i < p.given.in.splats) step_splat(p, i);
}

#endif

GABORSPLAT_END
