// Colours from spherical harmonics, a pack of visible splats at a time.
#pragma once

#include "../math/moments.h"
#include "../passes/shade.h"
#include "project.h"

GABORSPLAT_BEGIN

/// Where the coefficients of the constant harmonic and of all others lie, and the numbers from
/// splat to splat; T is S, const or not.
template <class T>
struct HarmonicRows {
    T *first, *rest;
    int first_width, rest_width;

    template <class S>
    HarmonicRows(const ShadeInputs<S>& in, T* sh0, T* sh_rest)
        : first(sh0),
          rest(sh_rest ? sh_rest : sh0 + 3),
          first_width(3 * in.sh0_coeffs),
          rest_width(3 * (sh_rest ? in.sh_coeffs - in.sh0_coeffs : in.sh0_coeffs)) {}

    /// Coefficients of the j-th harmonic.
    template <class S>
    auto load(const Rows<S>& rows, int j) const {
        return j == 0 ? rows.load3(first, first_width) : rows.load3(rest, rest_width, 3 * j - 3);
    }
};

/// Harmonics of a pack of splats, with what steps that they have missed did to them.
template <class S>
class PackHarmonics {
  public:
    using V = typename Rows<S>::V;

    PackHarmonics(const ShadeInputs<S>& in, const Rows<S>& rows)
        : rows_(rows), harmonics_(in, in.sh0, in.sh_rest) {
        const LateHarmonics<S>& late = in.late;
        for (int lane = 0; late.last_steps && lane < rows.count(); ++lane)
            late_ |= late.missed[late.last_steps[rows.splat(lane)]] != S(0);
        if (!late_) return;
        const int rest = 3 * (in.degree + 1) * (in.degree + 1) - 3;
        for (int lane = 0; lane < V::kSize; ++lane) {
            std::int64_t i = rows.splat(lane);
            const S* missed = late.missed + late.last_steps[i];
            copy(lane, 0, 3, in.sh0 + 3 * i, late.sh0_quotients + 3 * i, missed[0]);
            copy(lane, 3, rest, in.sh_rest + harmonics_.rest_width * i,
                 late.sh_rest_quotients + harmonics_.rest_width * i, missed[late.late_steps]);
        }
    }

    /// Coefficients of the j-th harmonic.
    Vec3<V> load(int j) const {
        if (!late_) return harmonics_.load(rows_, j);
        return {V::load(numbers_[3 * j]), V::load(numbers_[3 * j + 1]),
                V::load(numbers_[3 * j + 2])};
    }

  private:
    void copy(int lane, int to, int count, const S* from, const std::uint8_t* quotients, S missed) {
        for (int n = 0; n < count; ++n)
            numbers_[to + n][lane] = from[n] - missed * S(decode_quotient(quotients[n]));
    }

    const Rows<S>& rows_;
    HarmonicRows<const S> harmonics_;
    bool late_ = false;
    S numbers_[48][V::kSize];
};

/// The camera's centre, -R^T t.
template <class S>
Vec3<S> camera_centre(const S* m) {
    Mat3<S> rotation = {{m[0], m[1], m[2]}, {m[4], m[5], m[6]}, {m[8], m[9], m[10]}};
    return S(-1) * (Vec3<S>{m[3], m[7], m[11]} * rotation);
}

template <class S>
void shade_forward(const ShadeArguments<S>& p) {
    using V = typename Rows<S>::V;
    const ShadeInputs<S>& in = p.in;
    for_blocks(in.splats, [&](std::int64_t, std::int64_t begin, std::int64_t end) {
        for (std::int64_t camera = 0; camera < in.cameras; ++camera) {
            Vec3<S> centre = camera_centre(in.viewmats + 16 * camera);
            Vec3<V> position = {V(centre.x), V(centre.y), V(centre.z)};
            const std::uint8_t* projected = p.projected + camera * in.splats;
            std::uint8_t* seen = p.visible + camera * in.splats;
            S* colors = p.colors + 3 * camera * in.splats;
            std::fill(seen + begin, seen + end, std::uint8_t(0));
            std::fill(colors + 3 * begin, colors + 3 * end, S(0));
            auto wanted = [&](std::int64_t i) { return projected[i] != 0; };
            for_packs<S>(begin, end, wanted, [&](const Rows<S>& rows) {
                PackHarmonics<S> now(in, rows);
                Vec3<V> color = shade(in.degree, rows.load3(in.means) - position,
                                      [&](int j) { return now.load(j); });
                auto kept = bounded(color.x) & bounded(color.y) & bounded(color.z);
                V zero(S(0));
                rows.store(colors, 3, 0, select(kept, color.x, zero));
                rows.store(colors, 3, 1, select(kept, color.y, zero));
                rows.store(colors, 3, 2, select(kept, color.z, zero));
                for (int lane = 0; lane < rows.count(); ++lane)
                    seen[rows.splat(lane)] = bits(kept) >> lane & 1u;
            });
        }
    });
}

/// Adds basis[j] times the colour's gradient to the coefficients of every splat.
template <class S, class V>
void add_coefficients(int degree, const HarmonicRows<S>& to, const Rows<S>& rows,
                      const ShadeGradient<V>& v) {
    const int harmonics = (degree + 1) * (degree + 1);
    S basis[16][V::kSize], color[3][V::kSize];
    for (int j = 0; j < harmonics; ++j) v.basis[j].store(basis[j]);
    v.color.x.store(color[0]);
    v.color.y.store(color[1]);
    v.color.z.store(color[2]);
    for (int i = 0; i < rows.count(); ++i) {
        S* first = to.first + to.first_width * rows.splat(i);
        S* rest = to.rest + to.rest_width * rows.splat(i);
        for (int c = 0; c < 3; ++c) first[c] += basis[0][i] * color[c][i];
        for (int j = 1; j < harmonics; ++j)
            for (int c = 0; c < 3; ++c) rest[3 * j - 3 + c] += basis[j][i] * color[c][i];
    }
}

template <class S>
void shade_backward(const ShadeBackwardArguments<S>& p) {
    using V = typename Rows<S>::V;
    const ShadeInputs<S>& in = p.given.in;
    HarmonicRows<const S> harmonics(in, in.sh0, in.sh_rest);
    HarmonicRows<S> v_harmonics(in, p.v_sh0, p.v_sh_rest);
    std::int64_t blocks = (in.splats + kBlock - 1) / kBlock;
    std::unique_ptr<Vec3<S>[]> positions(new Vec3<S>[blocks * in.cameras]());
    for_blocks(in.splats, [&](std::int64_t block, std::int64_t begin, std::int64_t end) {
        std::fill(p.v_means + 3 * begin, p.v_means + 3 * end, S(0));
        for (std::int64_t i = begin; i < end; ++i) {
            std::fill_n(v_harmonics.first + v_harmonics.first_width * i, 3, S(0));
            std::fill_n(v_harmonics.rest + v_harmonics.rest_width * i, 3 * (in.sh_coeffs - 1),
                        S(0));
        }
        for (std::int64_t camera = 0; camera < in.cameras; ++camera) {
            Vec3<S> centre = camera_centre(in.viewmats + 16 * camera);
            Vec3<V> position = {V(centre.x), V(centre.y), V(centre.z)};
            const std::uint8_t* visible = p.given.visible + camera * in.splats;
            auto wanted = [&](std::int64_t i) { return visible[i] != 0; };
            for_packs<S>(begin, end, wanted, [&](const Rows<S>& rows) {
                std::int64_t at = 3 * camera * in.splats;
                auto v = shade_vjp(
                    in.degree, rows.load3(in.means) - position,
                    [&](int j) { return harmonics.load(rows, j); }, rows.load3(p.given.colors + at),
                    rows.load3(p.given.v_colors + at));
                add_coefficients(in.degree, v_harmonics, rows, v);
                rows.add3(p.v_means, v.direction);
                S lanes[3][V::kSize];
                v.direction.x.store(lanes[0]);
                v.direction.y.store(lanes[1]);
                v.direction.z.store(lanes[2]);
                Vec3<S>& sum = positions[block * in.cameras + camera];
                for (int i = 0; i < rows.count(); ++i)
                    sum = sum - Vec3<S>{lanes[0][i], lanes[1][i], lanes[2][i]};
            });
        }
    });
    if (!p.v_positions) return;
    std::fill_n(p.v_positions, 3 * in.cameras, S(0));
    for (std::int64_t block = 0; block < blocks; ++block)
        for (std::int64_t camera = 0; camera < in.cameras; ++camera)
            add3(p.v_positions + 3 * camera, positions[block * in.cameras + camera]);
}

GABORSPLAT_END
