// Splats on the image, and the gradient of that: a splat a thread.
#include "../math/projection.h"
#include "device.h"

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
    p.means2d[2 * at] = seen ? out.mean2d.x : S(0);
    p.means2d[2 * at + 1] = seen ? out.mean2d.y : S(0);
    p.depths[at] = seen ? out.depth : S(0);
    p.conics[3 * at] = seen ? out.conic.xx : S(0);
    p.conics[3 * at + 1] = seen ? out.conic.xy : S(0);
    p.conics[3 * at + 2] = seen ? out.conic.yy : S(0);
    p.opacities2d[at] = seen ? out.opacity : S(0);
    p.cutoffs[at] = seen ? out.cutoff : S(0);
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
    std::int64_t i = thread_number();
    bool inside = i < p.in.splats;
    SplatGradient<S> sum = {};
    S v_frequencies[3 * kWaveRoom] = {}, v_coefficients[2 * kWaveRoom] = {};
    for (int camera = 0; camera < p.in.cameras; ++camera) {
        std::int64_t at = camera * p.in.splats + i;
        PoseGradient<S> pose = {};
        if (inside && p.visible[at] != 0) {
            ProjectedGradient<S> v = {{p.v_means2d[2 * at], p.v_means2d[2 * at + 1]},
                                      p.v_depths ? p.v_depths[at] : S(0),
                                      load3(p.v_conics + 3 * at),
                                      p.v_opacities2d[at],
                                      p.v_modulation2d + Kind::kModulationSize * at};
            SplatGradient<S> out = project_splat_vjp<Kind>(
                load_splat(p.in, i), load_view(p.in, camera), p.in.options, p.in.raw != 0, v,
                WaveGradients<S>{v_frequencies, v_coefficients}, pose);
            sum.mean = sum.mean + out.mean;
            sum.scale = sum.scale + out.scale;
            sum.quat = {sum.quat.w + out.quat.w, sum.quat.x + out.quat.x, sum.quat.y + out.quat.y,
                        sum.quat.z + out.quat.z};
            sum.opacity += out.opacity;
        }
        if (p.v_poses) store_pose(pose, p.v_poses + 12 * (i / kWarp * p.in.cameras + camera));
    }
    if (!inside) return;
    if (p.v_directions) sum.mean = sum.mean + load3(p.v_directions + 3 * i);
    store3(p.v_means + 3 * i, sum.mean);
    store3(p.v_scales + 3 * i, sum.scale);
    p.v_quats[4 * i] = sum.quat.w;
    p.v_quats[4 * i + 1] = sum.quat.x;
    p.v_quats[4 * i + 2] = sum.quat.y;
    p.v_quats[4 * i + 3] = sum.quat.z;
    p.v_opacities[i] = sum.opacity;
    for (int k = 0; k < 3 * Kind::kWaves; ++k)
        p.v_frequencies[3 * Kind::kWaves * i + k] = v_frequencies[k];
    for (int k = 0; k < 2 * Kind::kWaves; ++k)
        p.v_coefficients[2 * Kind::kWaves * i + k] = v_coefficients[k];
}

GABORSPLAT_END
