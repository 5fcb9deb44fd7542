// Projection and shading of all splats, threaded over blocks of splats and computed a pack of
// splats at a time. Every sum over splats is taken block by block in order, so results do not
// depend on the number of threads.
#pragma once

#include <algorithm>
#include <memory>

#include "../math/harmonics.h"
#include "../math/projection.h"
#include "../simd/pack_math.h"
#include "../threads/thread_pool.h"

GABORSPLAT_BEGIN

constexpr std::int64_t kBlock = 512;  // splats a thread takes at a time

template <class Body>
void for_blocks(std::int64_t splats, const Body& body) {
    parallel_for((splats + kBlock - 1) / kBlock, [&](std::int64_t block) {
        body(block, block * kBlock, std::min(splats, (block + 1) * kBlock));
    });
}

/// The rows of some splats in arrays of rows, a splat a lane.
template <class S>
class Rows {
  public:
    static constexpr int kSize = kLanes<S>;
    using V = Pack<S, kSize>;

    /// Splats first + ids[0], first + ids[1], ...; lanes beyond `count` repeat the last one.
    Rows(std::int64_t first, const std::int32_t* ids, int count) : first_(first), count_(count) {
        for (int i = 0; i < kSize; ++i) ids_[i] = ids[std::min(i, count - 1)];
    }

    /// The same rows of arrays that begin with splat `first`.
    Rows within_block() const {
        Rows rows = *this;
        rows.first_ = 0;
        return rows;
    }

    int count() const { return count_; }
    std::int64_t splat(int lane) const { return first_ + ids_[lane]; }

    /// Number `column` of each row of an array with `width` numbers a row.
    V load(const S* array, int width, int column) const {
        std::int32_t index[kSize];
        for (int i = 0; i < kSize; ++i) index[i] = ids_[i] * width;
        return gather<S, kSize>(array + first_ * width + column, index);
    }
    Vec3<V> load3(const S* array, int width = 3, int column = 0) const {
        return {load(array, width, column), load(array, width, column + 1),
                load(array, width, column + 2)};
    }
    void store(S* array, int width, int column, V x) const {
        each(x, [&](std::int64_t row, S value) { array[row * width + column] = value; });
    }
    void add(S* array, int width, int column, V x) const {
        each(x, [&](std::int64_t row, S value) { array[row * width + column] += value; });
    }
    void add3(S* array, Vec3<V> x) const {
        add(array, 3, 0, x.x);
        add(array, 3, 1, x.y);
        add(array, 3, 2, x.z);
    }

  private:
    template <class Visit>
    void each(V x, const Visit& visit) const {
        S lanes[kSize];
        x.store(lanes);
        for (int i = 0; i < count_; ++i) visit(first_ + ids_[i], lanes[i]);
    }

    std::int64_t first_;
    int count_;
    std::int32_t ids_[kSize];
};

/// body(rows) for the splats from `begin` to `end` that `wanted` names, a pack at a time.
template <class S, class Wanted, class Body>
void for_packs(std::int64_t begin, std::int64_t end, const Wanted& wanted, const Body& body) {
    std::int32_t ids[kBlock];
    int count = 0;
    for (std::int64_t i = begin; i < end; ++i) {
        ids[count] = std::int32_t(i - begin);
        count += wanted(i);
    }
    for (int i = 0; i < count; i += Rows<S>::kSize)
        body(Rows<S>(begin, ids + i, std::min(Rows<S>::kSize, count - i)));
}

template <class V, class S>
Vec3<V> broadcast3(const S* p) {
    return {V(p[0]), V(p[1]), V(p[2])};
}
template <class S>
void add3(S* p, Vec3<S> v) {
    p[0] += v.x, p[1] += v.y, p[2] += v.z;
}
template <class V>
auto sum3(Vec3<V> v) {
    return Vec3<decltype(sum(v.x))>{sum(v.x), sum(v.y), sum(v.z)};
}

template <class V, class S>
View<V> load_view(const ProjectInputs<S>& p, std::int64_t camera) {
    const S* m = p.viewmats + 16 * camera;
    const S* k = p.intrinsics + 9 * camera;
    return {{broadcast3<V>(m), broadcast3<V>(m + 4), broadcast3<V>(m + 8)},
            {V(m[3]), V(m[7]), V(m[11])},
            {V(k[0]), V(k[4])},
            {V(k[2]), V(k[5])},
            {V(S(p.width)), V(S(p.height))}};
}

/// Parameters of a pack of splats; the waves lie in here, the splats point to them.
template <class Kind, class S>
struct LoadedSplats {
    using V = typename Rows<S>::V;
    static constexpr int kWaves = Kind::kWaves > 0 ? Kind::kWaves : 1;

    V frequencies[3 * kWaves], coefficients[2 * kWaves];
    SplatParameters<V> splats;

    LoadedSplats(const ProjectInputs<S>& p, const Rows<S>& rows) {
        for (int k = 0; k < 3 * p.waves; ++k)
            frequencies[k] = rows.load(p.frequencies, 3 * p.waves, k);
        for (int k = 0; k < 2 * p.waves; ++k)
            coefficients[k] = rows.load(p.coefficients, 2 * p.waves, k);
        splats = {rows.load3(p.means),
                  {rows.load(p.quats, 4, 0), rows.load(p.quats, 4, 1), rows.load(p.quats, 4, 2),
                   rows.load(p.quats, 4, 3)},
                  rows.load3(p.scales),
                  rows.load(p.opacities, 1, 0),
                  {frequencies, coefficients}};
    }
};

/// Writes what is on the image, zeros where a splat is not visible.
template <class Kind, class S, class V>
void store_projected(const ProjectArguments<S>& p, std::int64_t camera, const Rows<S>& rows,
                     const ProjectedSplat<V, Kind>& out) {
    V zero(S(0));
    auto store = [&](S* array, int width, int column, V x) {
        rows.store(array + camera * p.in.splats * width, width, column,
                   select(out.visible, x, zero));
    };
    S radius_x[V::kSize], radius_y[V::kSize];
    select(out.visible, out.radius.x, zero).store(radius_x);
    select(out.visible, out.radius.y, zero).store(radius_y);
    for (int i = 0; i < rows.count(); ++i) {
        std::int64_t at = camera * p.in.splats + rows.splat(i);
        p.visible[at] = radius_x[i] > S(0);
        p.radii[2 * at] = std::int32_t(radius_x[i]);
        p.radii[2 * at + 1] = std::int32_t(radius_y[i]);
    }
    store(p.means2d, 2, 0, out.mean2d.x);
    store(p.means2d, 2, 1, out.mean2d.y);
    store(p.depths, 1, 0, out.depth);
    store(p.conics, 3, 0, out.conic.xx);
    store(p.conics, 3, 1, out.conic.xy);
    store(p.conics, 3, 2, out.conic.yy);
    store(p.opacities2d, 1, 0, out.opacity);
    store(p.cutoffs, 1, 0, out.cutoff);
    for (int f = 0; f < Kind::kModulationSize; ++f)
        store(p.modulation2d, Kind::kModulationSize, f, out.modulation[f]);
}

template <class Kind, class S>
void project_forward(const ProjectArguments<S>& p) {
    using V = typename Rows<S>::V;
    for_blocks(p.in.splats, [&](std::int64_t, std::int64_t begin, std::int64_t end) {
        for (std::int64_t camera = 0; camera < p.in.cameras; ++camera) {
            auto view = load_view<V>(p.in, camera);
            auto all = [](std::int64_t) { return true; };
            for_packs<S>(begin, end, all, [&](const Rows<S>& rows) {
                LoadedSplats<Kind, S> in(p.in, rows);
                store_projected(p, camera, rows,
                                project_splat<Kind>(in.splats, view, p.in.options, p.in.raw != 0));
            });
        }
    });
}

/// Adds the sums over lanes to a pose's 12 numbers: rotation by rows, translation.
template <class S, class V>
void add_pose(S* v_pose, const PoseGradient<V>& v) {
    add3(v_pose, sum3(v.rotation.row0));
    add3(v_pose + 3, sum3(v.rotation.row1));
    add3(v_pose + 6, sum3(v.rotation.row2));
    add3(v_pose + 9, sum3(v.translation));
}

/// A pack of gradients; the waves' lie in here.
template <class Kind, class S>
struct GradientPack {
    using V = typename Rows<S>::V;
    static constexpr int kWaves = LoadedSplats<Kind, S>::kWaves;

    V frequencies[3 * kWaves] = {}, coefficients[2 * kWaves] = {};
    SplatGradient<V> splats;
    PoseGradient<V> pose = {};

    GradientPack(const ProjectGradientInputs<S>& p, std::int64_t camera, const Rows<S>& rows,
                 const View<V>& view) {
        const ProjectInputs<S>& in = p.in;
        auto load = [&](const S* array, int width, int column) {
            return rows.load(array + camera * in.splats * width, width, column);
        };
        LoadedSplats<Kind, S> loaded(in, rows);
        V v_modulation[Kind::kModulationSize > 0 ? Kind::kModulationSize : 1];
        for (int f = 0; f < Kind::kModulationSize; ++f)
            v_modulation[f] = load(p.v_modulation2d, Kind::kModulationSize, f);
        ProjectedGradient<V> v = {
            {load(p.v_means2d, 2, 0), load(p.v_means2d, 2, 1)},
            p.v_depths ? load(p.v_depths, 1, 0) : V(S(0)),
            {load(p.v_conics, 3, 0), load(p.v_conics, 3, 1), load(p.v_conics, 3, 2)},
            load(p.v_opacities2d, 1, 0),
            v_modulation};
        splats = project_splat_vjp<Kind>(loaded.splats, view, in.options, in.raw != 0, v,
                                         WaveGradients<V>{frequencies, coefficients}, pose);
    }
};

/// Where gradients of splats are added up, a row a splat.
template <class S>
struct GradientRows {
    S *means, *quats, *scales, *opacities, *frequencies, *coefficients;
    int waves;

    template <class Kind>
    void add(const Rows<S>& rows, const GradientPack<Kind, S>& v) const {
        rows.add3(means, v.splats.mean);
        rows.add3(scales, v.splats.scale);
        rows.add(quats, 4, 0, v.splats.quat.w);
        rows.add(quats, 4, 1, v.splats.quat.x);
        rows.add(quats, 4, 2, v.splats.quat.y);
        rows.add(quats, 4, 3, v.splats.quat.z);
        rows.add(opacities, 1, 0, v.splats.opacity);
        for (int k = 0; k < 3 * waves; ++k) rows.add(frequencies, 3 * waves, k, v.frequencies[k]);
        for (int k = 0; k < 2 * waves; ++k) rows.add(coefficients, 2 * waves, k, v.coefficients[k]);
    }
    /// Makes rows zero.
    void clear(std::int64_t begin, std::int64_t end) const {
        auto zero = [&](S* array, int width) {
            std::fill(array + begin * width, array + end * width, S(0));
        };
        zero(means, 3);
        zero(quats, 4);
        zero(scales, 3);
        zero(opacities, 1);
        zero(frequencies, 3 * waves);
        zero(coefficients, 2 * waves);
    }
};

/// Adds up a pack's gradients of a pose. Lanes beyond `count` repeat a splat and do not count.
template <class S, class V>
void add_lanes(const PoseGradient<V>& pose, int count, PoseGradient<V>& sum) {
    S number[V::kSize];
    for (int i = 0; i < V::kSize; ++i) number[i] = S(i);
    auto real = V::load(number) < V(S(count));
    auto kept = [&](Vec3<V> v) {
        V zero(S(0));
        return Vec3<V>{select(real, v.x, zero), select(real, v.y, zero), select(real, v.z, zero)};
    };
    sum.rotation = sum.rotation + Mat3<V>{kept(pose.rotation.row0), kept(pose.rotation.row1),
                                          kept(pose.rotation.row2)};
    sum.translation = sum.translation + kept(pose.translation);
}

template <class Kind, class S>
void project_backward(const ProjectBackwardArguments<S>& p) {
    using V = typename Rows<S>::V;
    const ProjectGradientInputs<S>& given = p.given;
    const ProjectInputs<S>& in = given.in;
    GradientRows<S> sums{p.v_means,       p.v_quats,        p.v_scales, p.v_opacities,
                         p.v_frequencies, p.v_coefficients, in.waves};
    std::int64_t blocks = (in.splats + kBlock - 1) / kBlock;
    std::unique_ptr<PoseGradient<V>[]> poses(new PoseGradient<V>[blocks * in.cameras]());
    for_blocks(in.splats, [&](std::int64_t block, std::int64_t begin, std::int64_t end) {
        sums.clear(begin, end);
        if (given.v_directions)
            std::copy(given.v_directions + 3 * begin, given.v_directions + 3 * end,
                      p.v_means + 3 * begin);
        for (std::int64_t camera = 0; camera < in.cameras; ++camera) {
            auto view = load_view<V>(in, camera);
            const std::uint8_t* visible = given.visible + camera * in.splats;
            auto wanted = [&](std::int64_t i) { return visible[i] != 0; };
            for_packs<S>(begin, end, wanted, [&](const Rows<S>& rows) {
                GradientPack<Kind, S> v(given, camera, rows, view);
                sums.add(rows, v);
                if (p.v_poses)
                    add_lanes<S>(v.pose, rows.count(), poses[block * in.cameras + camera]);
            });
        }
    });
    if (!p.v_poses) return;
    std::fill_n(p.v_poses, 12 * in.cameras, S(0));
    for (std::int64_t block = 0; block < blocks; ++block)
        for (std::int64_t camera = 0; camera < in.cameras; ++camera)
            add_pose(p.v_poses + 12 * camera, poses[block * in.cameras + camera]);
}

GABORSPLAT_END
