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

template <class Kind, class S>
class ProjectBackward {
  public:
    using V = typename Rows<S>::V;

    explicit ProjectBackward(const ProjectBackwardArguments<S>& p) : p_(p), in_(p.in) {}

    void run() {
        std::int64_t blocks = (in_.splats + kBlock - 1) / kBlock;
        std::unique_ptr<PoseGradient<V>[]> poses(new PoseGradient<V>[blocks * in_.cameras]());
        for_blocks(in_.splats, [&](std::int64_t block, std::int64_t begin, std::int64_t end) {
            clear(begin, end);
            for (std::int64_t camera = 0; camera < in_.cameras; ++camera) {
                auto view = load_view<V>(in_, camera);
                const std::uint8_t* visible = p_.visible + camera * in_.splats;
                auto wanted = [&](std::int64_t i) { return visible[i] != 0; };
                for_packs<S>(begin, end, wanted, [&](const Rows<S>& rows) {
                    add(camera, rows, view, poses[block * in_.cameras + camera]);
                });
            }
        });
        if (!p_.v_poses) return;
        std::fill_n(p_.v_poses, 12 * in_.cameras, S(0));
        for (std::int64_t block = 0; block < blocks; ++block)
            for (std::int64_t camera = 0; camera < in_.cameras; ++camera)
                add_pose(p_.v_poses + 12 * camera, poses[block * in_.cameras + camera]);
    }

  private:
    void clear(std::int64_t begin, std::int64_t end) {
        auto zero = [&](S* array, int width) {
            std::fill(array + begin * width, array + end * width, S(0));
        };
        if (p_.v_directions)
            std::copy(p_.v_directions + 3 * begin, p_.v_directions + 3 * end,
                      p_.v_means + 3 * begin);
        else
            zero(p_.v_means, 3);
        zero(p_.v_quats, 4);
        zero(p_.v_scales, 3);
        zero(p_.v_opacities, 1);
        zero(p_.v_frequencies, 3 * in_.waves);
        zero(p_.v_coefficients, 2 * in_.waves);
    }

    void add(std::int64_t camera, const Rows<S>& rows, const View<V>& view,
             PoseGradient<V>& v_pose) {
        auto load = [&](const S* array, int width, int column) {
            return rows.load(array + camera * in_.splats * width, width, column);
        };
        LoadedSplats<Kind, S> in(in_, rows);
        V v_modulation[Kind::kModulationSize > 0 ? Kind::kModulationSize : 1];
        for (int f = 0; f < Kind::kModulationSize; ++f)
            v_modulation[f] = load(p_.v_modulation2d, Kind::kModulationSize, f);
        ProjectedGradient<V> v = {
            {load(p_.v_means2d, 2, 0), load(p_.v_means2d, 2, 1)},
            p_.v_depths ? load(p_.v_depths, 1, 0) : V(S(0)),
            {load(p_.v_conics, 3, 0), load(p_.v_conics, 3, 1), load(p_.v_conics, 3, 2)},
            load(p_.v_opacities2d, 1, 0),
            v_modulation};
        constexpr int kWaves = LoadedSplats<Kind, S>::kWaves;
        V v_frequencies[3 * kWaves] = {}, v_coefficients[2 * kWaves] = {};
        PoseGradient<V> pose = {};
        SplatGradient<V> out =
            project_splat_vjp<Kind>(in.splats, view, in_.options, in_.raw != 0, v,
                                    WaveGradients<V>{v_frequencies, v_coefficients}, pose);
        rows.add3(p_.v_means, out.mean);
        rows.add3(p_.v_scales, out.scale);
        const V quat[4] = {out.quat.w, out.quat.x, out.quat.y, out.quat.z};
        for (int k = 0; k < 4; ++k) rows.add(p_.v_quats, 4, k, quat[k]);
        rows.add(p_.v_opacities, 1, 0, out.opacity);
        for (int k = 0; k < 3 * in_.waves; ++k)
            rows.add(p_.v_frequencies, 3 * in_.waves, k, v_frequencies[k]);
        for (int k = 0; k < 2 * in_.waves; ++k)
            rows.add(p_.v_coefficients, 2 * in_.waves, k, v_coefficients[k]);
        if (p_.v_poses) add_lanes(pose, rows.count(), v_pose);
    }

    /// Lanes beyond `count` repeat a splat and must not be counted.
    static void add_lanes(const PoseGradient<V>& pose, int count, PoseGradient<V>& sum) {
        S number[V::kSize];
        for (int i = 0; i < V::kSize; ++i) number[i] = S(i);
        auto real = V::load(number) < V(S(count));
        auto kept = [&](Vec3<V> v) {
            V zero(S(0));
            return Vec3<V>{select(real, v.x, zero), select(real, v.y, zero),
                           select(real, v.z, zero)};
        };
        sum.rotation = sum.rotation + Mat3<V>{kept(pose.rotation.row0), kept(pose.rotation.row1),
                                              kept(pose.rotation.row2)};
        sum.translation = sum.translation + kept(pose.translation);
    }

    const ProjectBackwardArguments<S>& p_;
    const ProjectInputs<S>& in_;
};

template <class Kind, class S>
void project_backward(const ProjectBackwardArguments<S>& p) {
    ProjectBackward<Kind, S>(p).run();
}

GABORSPLAT_END
