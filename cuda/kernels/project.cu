// Splats on the image, and the gradient of that: a splat a thread.
#include "device.h"

GABORSPLAT_BEGIN

constexpr int kWaveRoom = Kind::kWaves > 0 ? Kind::kWaves : 1;

/// C cameras, N splats, K waves, F numbers of modulation on the image.
struct ProjectArguments {
    const S* means;         // [N, 3]
    const S* quats;         // [N, 4]
    const S* scales;        // [N, 3]
    const S* opacities;     // [N]
    const S* frequencies;   // [N, K, 3]
    const S* coefficients;  // [N, K, 2]
    const S* viewmats;      // [C, 4, 4]
    const S* intrinsics;    // [C, 3, 3]
    std::int32_t* radii;    // [C, N, 2]
    S* means2d;             // [C, N, 2]
    S* depths;              // [C, N]
    S* conics;              // [C, N, 3]
    S* opacities2d;         // [C, N]
    S* cutoffs;             // [C, N]
    S* screen;              // [C, N, F]
    std::int64_t splats;
    S near_plane;
    S far_plane;
    S eps2d;
    S compensation_min;
    S alpha_min;
    S radius_clip;
    int width;
    int height;
    int antialiased;
    int three_sigma;
    int raw;
};

struct ProjectBackwardArguments {
    const S* means;
    const S* quats;
    const S* scales;
    const S* opacities;
    const S* frequencies;
    const S* coefficients;
    const S* viewmats;
    const S* intrinsics;
    const std::int32_t* radii;
    const S* v_means2d;
    const S* v_depths;  // null: zero
    const S* v_conics;
    const S* v_opacities2d;
    const S* v_screen;
    S* v_means;
    S* v_quats;
    S* v_scales;
    S* v_opacities;
    S* v_frequencies;
    S* v_coefficients;
    S* v_poses;  // [warps of the grid, C, 12] rotation by rows, translation; null: not wanted
    std::int64_t splats;
    S near_plane;
    S far_plane;
    S eps2d;
    S compensation_min;
    S alpha_min;
    S radius_clip;
    int cameras;
    int width;
    int height;
    int antialiased;
    int three_sigma;
    int raw;
};

template <class Arguments>
HD SplatParameters<S> load_splat(const Arguments& p, std::int64_t i) {
    const S* q = p.quats + 4 * i;
    return {load3(p.means + 3 * i),
            {q[0], q[1], q[2], q[3]},
            load3(p.scales + 3 * i),
            p.opacities[i],
            {p.frequencies + 3 * Kind::kWaves * i, p.coefficients + 2 * Kind::kWaves * i}};
}

template <class Arguments>
HD View<S> load_view(const Arguments& p, int camera) {
    const S *m = p.viewmats + 16 * camera, *k = p.intrinsics + 9 * camera;
    return {{load3(m), load3(m + 4), load3(m + 8)},
            {m[3], m[7], m[11]},
            {k[0], k[4]},
            {k[2], k[5]},
            {S(p.width), S(p.height)}};
}

template <class Arguments>
HD ProjectionSettings<S> load_settings(const Arguments& p) {
    return {p.near_plane,       p.far_plane,        p.eps2d,
            p.compensation_min, p.alpha_min,        p.radius_clip,
            p.antialiased != 0, p.three_sigma != 0, p.raw != 0};
}

/// The grid's second axis are the cameras.
KERNEL(project, ProjectArguments, 128) {
    std::int64_t i = thread_number();
    if (i >= p.splats) return;
    int camera = int(blockIdx.y);
    ProjectedSplat<S, Kind> out =
        project_splat<Kind>(load_splat(p, i), load_view(p, camera), load_settings(p));
    std::int64_t at = camera * p.splats + i;
    bool seen = out.visible;
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
    for (int f = 0; f < Kind::kScreen; ++f)
        p.screen[Kind::kScreen * at + f] = seen ? out.screen[f] : S(0);
}

/// Sums a warp's share of a camera's pose gradient.
HD void store_pose(const PoseGradient<S>& pose, S* v_pose) {
    S numbers[12] = {pose.rotation.row0.x, pose.rotation.row0.y, pose.rotation.row0.z,
                     pose.rotation.row1.x, pose.rotation.row1.y, pose.rotation.row1.z,
                     pose.rotation.row2.x, pose.rotation.row2.y, pose.rotation.row2.z,
                     pose.translation.x,   pose.translation.y,   pose.translation.z};
    S total = WarpSums<12>::add(numbers);
    int role = WarpSums<12>::role();
    if (role >= 0) v_pose[role] = total;
}

KERNEL(project_backward, ProjectBackwardArguments, 128) {
    std::int64_t i = thread_number();
    bool inside = i < p.splats;
    SplatGradient<S> sum = {};
    S v_frequencies[3 * kWaveRoom] = {}, v_coefficients[2 * kWaveRoom] = {};
    for (int camera = 0; camera < p.cameras; ++camera) {
        std::int64_t at = camera * p.splats + i;
        PoseGradient<S> pose = {};
        if (inside && p.radii[2 * at] != 0) {
            ProjectedGradient<S> v = {{p.v_means2d[2 * at], p.v_means2d[2 * at + 1]},
                                      p.v_depths ? p.v_depths[at] : S(0),
                                      load3(p.v_conics + 3 * at),
                                      p.v_opacities2d[at],
                                      p.v_screen + Kind::kScreen * at};
            SplatGradient<S> out =
                project_splat_vjp<Kind>(load_splat(p, i), load_view(p, camera), load_settings(p), v,
                                        WaveGradients<S>{v_frequencies, v_coefficients}, pose);
            sum.mean = sum.mean + out.mean;
            sum.scale = sum.scale + out.scale;
            sum.quat = {sum.quat.w + out.quat.w, sum.quat.x + out.quat.x, sum.quat.y + out.quat.y,
                        sum.quat.z + out.quat.z};
            sum.opacity += out.opacity;
        }
        if (p.v_poses) store_pose(pose, p.v_poses + 12 * (i / kWarp * p.cameras + camera));
    }
    if (!inside) return;
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
