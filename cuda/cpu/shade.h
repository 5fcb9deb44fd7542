// Colours from spherical harmonics, a pack of visible splats at a time.
#pragma once

#include "project.h"

GABORSPLAT_BEGIN

/// Coefficients of the j-th harmonic: the first one may lie in an array of its own.
template <class S>
auto load_harmonic(const ShadeParams<S>& p, const Rows<S>& rows, int j) {
    return j == 0 ? rows.load3(p.sh0, p.sh0_width) : rows.load3(p.sh_rest, p.rest_width, 3 * j - 3);
}

template <class S>
void shade_forward(const ShadeParams<S>& p) {
    using V = typename Rows<S>::V;
    for_blocks(p.splats, [&](std::int64_t, std::int64_t begin, std::int64_t end) {
        for (std::int64_t camera = 0; camera < p.cameras; ++camera) {
            auto position = broadcast3<V>(p.positions + 3 * camera);
            std::int32_t* radii = p.radii + 2 * camera * p.splats;
            S* colors = p.colors + 3 * camera * p.splats;
            std::fill(colors + 3 * begin, colors + 3 * end, S(0));
            auto visible = [&](std::int64_t i) { return radii[2 * i] != 0; };
            for_packs<S>(begin, end, visible, [&](const Rows<S>& rows) {
                Vec3<V> color = shade(p.degree, rows.load3(p.means) - position,
                                      [&](int j) { return load_harmonic(p, rows, j); });
                auto kept = bounded(color.x) & bounded(color.y) & bounded(color.z);
                V zero(S(0));
                rows.store(colors, 3, 0, select(kept, color.x, zero));
                rows.store(colors, 3, 1, select(kept, color.y, zero));
                rows.store(colors, 3, 2, select(kept, color.z, zero));
                for (unsigned culled = bits(~kept); culled != 0; culled &= culled - 1) {
                    int lane = __builtin_ctz(culled);
                    if (lane >= rows.count()) break;
                    radii[2 * rows.splat(lane)] = radii[2 * rows.splat(lane) + 1] = 0;
                }
            });
        }
    });
}

/// Adds basis[j] times the colour's gradient to the coefficients of every splat.
template <class S, class V>
void add_coefficients(const ShadeParams<S>& p, const ShadeGradients<S>& g, const Rows<S>& rows,
                      const ShadeGradient<V>& v) {
    const int harmonics = (p.degree + 1) * (p.degree + 1);
    S basis[16][V::kSize], color[3][V::kSize];
    for (int j = 0; j < harmonics; ++j) v.basis[j].store(basis[j]);
    v.color.x.store(color[0]);
    v.color.y.store(color[1]);
    v.color.z.store(color[2]);
    for (int i = 0; i < rows.count(); ++i) {
        S* first = g.v_sh0 + p.sh0_width * rows.splat(i);
        S* rest = g.v_sh_rest + p.rest_width * rows.splat(i);
        for (int c = 0; c < 3; ++c) first[c] += basis[0][i] * color[c][i];
        for (int j = 1; j < harmonics; ++j)
            for (int c = 0; c < 3; ++c) rest[3 * j - 3 + c] += basis[j][i] * color[c][i];
    }
}

template <class S>
void shade_backward(const ShadeParams<S>& p, const ShadeGradients<S>& g) {
    using V = typename Rows<S>::V;
    std::int64_t blocks = (p.splats + kBlock - 1) / kBlock;
    std::unique_ptr<Vec3<S>[]> positions(new Vec3<S>[blocks * p.cameras]());
    for_blocks(p.splats, [&](std::int64_t block, std::int64_t begin, std::int64_t end) {
        std::fill(g.v_means + 3 * begin, g.v_means + 3 * end, S(0));
        for (std::int64_t i = begin; i < end; ++i) {
            std::fill_n(g.v_sh0 + p.sh0_width * i, 3, S(0));
            std::fill_n(g.v_sh_rest + p.rest_width * i, 3 * (p.bands - 1), S(0));
        }
        for (std::int64_t camera = 0; camera < p.cameras; ++camera) {
            auto position = broadcast3<V>(p.positions + 3 * camera);
            const std::int32_t* radii = p.radii + 2 * camera * p.splats;
            auto visible = [&](std::int64_t i) { return radii[2 * i] != 0; };
            for_packs<S>(begin, end, visible, [&](const Rows<S>& rows) {
                std::int64_t at = 3 * camera * p.splats;
                auto v = shade_vjp(
                    p.degree, rows.load3(p.means) - position,
                    [&](int j) { return load_harmonic(p, rows, j); }, rows.load3(p.colors + at),
                    rows.load3(g.v_colors + at));
                add_coefficients(p, g, rows, v);
                rows.add3(g.v_means, v.direction);
                S lanes[3][V::kSize];
                v.direction.x.store(lanes[0]);
                v.direction.y.store(lanes[1]);
                v.direction.z.store(lanes[2]);
                Vec3<S>& sum = positions[block * p.cameras + camera];
                for (int i = 0; i < rows.count(); ++i)
                    sum = sum - Vec3<S>{lanes[0][i], lanes[1][i], lanes[2][i]};
            });
        }
    });
    std::fill_n(g.v_positions, 3 * p.cameras, S(0));
    for (std::int64_t block = 0; block < blocks; ++block)
        for (std::int64_t camera = 0; camera < p.cameras; ++camera)
            add3(g.v_positions + 3 * camera, positions[block * p.cameras + camera]);
}

GABORSPLAT_END
