// Projection and shading of all splats, threaded over blocks of splats. Every sum over splats is
// taken block by block in order, so results do not depend on the number of threads.
#pragma once

#include <algorithm>
#include <memory>

#include "../math/harmonics.h"
#include "../math/projection.h"
#include "params.h"
#include "thread_pool.h"

GABORSPLAT_BEGIN

constexpr std::int64_t kBlock = 512;  // splats a thread takes at a time

template <class Body>
void for_blocks(std::int64_t splats, const Body& body) {
    parallel_for((splats + kBlock - 1) / kBlock, [&](std::int64_t block) {
        body(block, block * kBlock, std::min(splats, (block + 1) * kBlock));
    });
}

template <class S>
HD Vec3<S> load3(const S* p) {
    return {p[0], p[1], p[2]};
}
template <class S>
HD void store3(S* p, Vec3<S> v) {
    p[0] = v.x, p[1] = v.y, p[2] = v.z;
}
template <class S>
HD void add3(S* p, Vec3<S> v) {
    p[0] += v.x, p[1] += v.y, p[2] += v.z;
}

template <class S>
View<S> load_view(const ProjectParams<S>& p, std::int64_t camera) {
    const S* m = p.viewmats + 16 * camera;
    const S* k = p.intrinsics + 9 * camera;
    return {{load3(m), load3(m + 4), load3(m + 8)},
            {m[3], m[7], m[11]},
            {k[0], k[4]},
            {k[2], k[5]},
            {S(p.width), S(p.height)}};
}

template <class S>
SplatParameters<S> load_splat(const ProjectParams<S>& p, std::int64_t i) {
    const S* q = p.quats + 4 * i;
    return {load3(p.means + 3 * i),
            {q[0], q[1], q[2], q[3]},
            load3(p.scales + 3 * i),
            p.opacities[i],
            {p.frequencies + 3 * p.waves * i, p.coefficients + 2 * p.waves * i}};
}

template <class S>
ProjectionSettings<S> load_settings(const ProjectParams<S>& p) {
    return {S(p.near_plane), S(p.far_plane),   S(p.eps2d),    S(p.compensation_min),
            S(p.alpha_min),  S(p.radius_clip), p.antialiased, p.three_sigma};
}

template <class Kind, class S>
void project_forward(const ProjectParams<S>& p) {
    ProjectionSettings<S> settings = load_settings(p);
    for_blocks(p.splats, [&](std::int64_t, std::int64_t begin, std::int64_t end) {
        for (std::int64_t camera = 0; camera < p.cameras; ++camera) {
            View<S> view = load_view(p, camera);
            for (std::int64_t i = begin; i < end; ++i) {
                std::int64_t at = camera * p.splats + i;
                auto out = project_splat<Kind>(load_splat(p, i), view, settings);
                p.radii[2 * at] = out.radius_x, p.radii[2 * at + 1] = out.radius_y;
                bool culled = out.radius_x == 0;
                if (culled) out = {};
                p.means2d[2 * at] = out.mean2d.x, p.means2d[2 * at + 1] = out.mean2d.y;
                p.depths[at] = out.depth;
                store3(p.conics + 3 * at, {out.conic.xx, out.conic.xy, out.conic.yy});
                p.projected_opacities[at] = out.opacity;
                p.cutoffs[at] = out.cutoff;
                for (int f = 0; f < Kind::kScreen; ++f)
                    p.screen[Kind::kScreen * at + f] = out.screen[f];
            }
        }
    });
}

template <class S>
void store_pose(S* v_viewmat, const PoseGradient<S>& v) {
    const Vec3<S> rows[3] = {v.rotation.row0, v.rotation.row1, v.rotation.row2};
    const S shifts[3] = {v.translation.x, v.translation.y, v.translation.z};
    for (int r = 0; r < 3; ++r) {
        add3(v_viewmat + 4 * r, rows[r]);
        v_viewmat[4 * r + 3] += shifts[r];
    }
}

/// Outputs start at zero.
template <class Kind, class S>
void project_backward(const ProjectParams<S>& p, const ProjectGradients<S>& g) {
    ProjectionSettings<S> settings = load_settings(p);
    std::int64_t blocks = (p.splats + kBlock - 1) / kBlock;
    std::unique_ptr<PoseGradient<S>[]> poses(new PoseGradient<S>[blocks * p.cameras]());
    for_blocks(p.splats, [&](std::int64_t block, std::int64_t begin, std::int64_t end) {
        for (std::int64_t camera = 0; camera < p.cameras; ++camera) {
            View<S> view = load_view(p, camera);
            for (std::int64_t i = begin; i < end; ++i) {
                std::int64_t at = camera * p.splats + i;
                if (p.radii[2 * at] == 0) continue;
                ProjectedGradient<S> v = {{g.v_means2d[2 * at], g.v_means2d[2 * at + 1]},
                                          g.v_depths[at],
                                          load3(g.v_conics + 3 * at),
                                          g.v_projected_opacities[at],
                                          g.v_screen + Kind::kScreen * at};
                WaveGradients<S> v_waves = {g.v_frequencies + 3 * p.waves * i,
                                            g.v_coefficients + 2 * p.waves * i};
                SplatGradient<S> out =
                    project_splat_vjp<Kind>(load_splat(p, i), view, settings, v, v_waves,
                                            poses[block * p.cameras + camera]);
                add3(g.v_means + 3 * i, out.mean);
                add3(g.v_scales + 3 * i, out.scale);
                S* v_quat = g.v_quats + 4 * i;
                v_quat[0] += out.quat.w;
                add3(v_quat + 1, {out.quat.x, out.quat.y, out.quat.z});
                g.v_opacities[i] += out.opacity;
            }
        }
    });
    for (std::int64_t block = 0; block < blocks; ++block)
        for (std::int64_t camera = 0; camera < p.cameras; ++camera)
            store_pose(g.v_viewmats + 16 * camera, poses[block * p.cameras + camera]);
}

template <class S>
void shade_forward(const ShadeParams<S>& p) {
    for_blocks(p.splats, [&](std::int64_t, std::int64_t begin, std::int64_t end) {
        for (std::int64_t camera = 0; camera < p.cameras; ++camera) {
            Vec3<S> position = load3(p.positions + 3 * camera);
            for (std::int64_t i = begin; i < end; ++i) {
                std::int64_t at = camera * p.splats + i;
                Vec3<S> color = {S(0), S(0), S(0)};
                if (p.radii[2 * at] > 0)
                    color =
                        shade(p.degree, load3(p.means + 3 * i) - position, p.sh + 3 * p.bands * i);
                if (!(bounded(color.x) && bounded(color.y) && bounded(color.z))) {
                    p.radii[2 * at] = p.radii[2 * at + 1] = 0;
                    color = {S(0), S(0), S(0)};
                }
                store3(p.colors + 3 * at, color);
            }
        }
    });
}

/// Outputs start at zero.
template <class S>
void shade_backward(const ShadeParams<S>& p, const ShadeGradients<S>& g) {
    std::int64_t blocks = (p.splats + kBlock - 1) / kBlock;
    std::unique_ptr<Vec3<S>[]> positions(new Vec3<S>[blocks * p.cameras]());
    for_blocks(p.splats, [&](std::int64_t block, std::int64_t begin, std::int64_t end) {
        for (std::int64_t camera = 0; camera < p.cameras; ++camera) {
            Vec3<S> position = load3(p.positions + 3 * camera);
            Vec3<S>& v_position = positions[block * p.cameras + camera];
            for (std::int64_t i = begin; i < end; ++i) {
                std::int64_t at = camera * p.splats + i;
                if (p.radii[2 * at] == 0) continue;
                Vec3<S> v = shade_vjp(p.degree, load3(p.means + 3 * i) - position,
                                      p.sh + 3 * p.bands * i, load3(p.colors + 3 * at),
                                      load3(g.v_colors + 3 * at), g.v_sh + 3 * p.bands * i);
                add3(g.v_means + 3 * i, v);
                v_position = v_position - v;
            }
        }
    });
    for (std::int64_t block = 0; block < blocks; ++block)
        for (std::int64_t camera = 0; camera < p.cameras; ++camera)
            add3(g.v_positions + 3 * camera, positions[block * p.cameras + camera]);
}

GABORSPLAT_END
