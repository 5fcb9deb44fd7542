// Front-to-back blending of one tile at a time, a row of pixels per step, and its gradient by
// replaying the same steps in the same order.
#pragma once

#include <algorithm>
#include <cmath>
#include <memory>

#include "../math/compositing.h"
#include "../math/linalg.h"
#include "pack.h"
#include "params.h"
#include "thread_pool.h"

GABORSPLAT_BEGIN

#if defined(__AVX512F__)
constexpr int kVectorBytes = 64;
#elif defined(__AVX2__)
constexpr int kVectorBytes = 32;
#else
constexpr int kVectorBytes = 16;
#endif

/// A splat as the blend sees it.
template <class S>
struct Instance {
    Vec2<S> mean;
    Sym2<S> conic;
    S opacity, cutoff;
    const S* color;   // [D]
    const S* screen;  // [F]
};

template <class S>
Instance<S> load_instance(const BlendParams<S>& p, std::int64_t splat, int features) {
    const S* conic = p.conics + 3 * splat;
    return {{p.means2d[2 * splat], p.means2d[2 * splat + 1]},
            {conic[0], conic[1], conic[2]},
            p.opacities[splat],
            p.cutoffs[splat],
            p.colors + p.channels * splat,
            p.screen + features * splat};
}

/// What one splat does to a row of pixels. Forward and backward both decide by this function, so
/// they accept the same pixels and stop at the same splat.
template <class Kind, class V>
struct Contribution {
    typename V::Mask blended;  // pixels it is blended into
    typename V::Mask clamped;  // of these, the ones at alpha_max
    V alpha;                   // 0 where not blended
    V raw_alpha;               // before the clamp
    V envelope;
    typename Kind::template Evaluation<V> evaluation;
};

template <class S>
struct Thresholds {
    S alpha_min, alpha_max, transmittance_min;
};

/// `transmittance` becomes that behind the splat; `open` loses the pixels that are finished, which
/// happens in front of the splat that would bring them to transmittance_min or below.
template <class Kind, class V, class S>
[[gnu::always_inline]] inline bool contribute(const Instance<S>& splat, Vec2<V> pixel,
                                              const Thresholds<S>& limits, V& transmittance,
                                              typename V::Mask& open, Contribution<Kind, V>& out) {
    Vec2<V> d = {pixel.x - V(splat.mean.x), pixel.y - V(splat.mean.y)};
    V power = envelope_power(Sym2<V>{V(splat.conic.xx), V(splat.conic.xy), V(splat.conic.yy)}, d);
    auto near = open & (power >= V(S(0))) & (power <= V(splat.cutoff));
    if (!any(near)) return false;
    out.envelope = exp_(V(S(0)) - power);
    out.evaluation = Kind::template evaluate<V>(splat.screen, pixel);
    out.raw_alpha = V(splat.opacity) * out.envelope * out.evaluation.modulation;
    V alpha = min_(out.raw_alpha, V(limits.alpha_max));
    auto counts = near & (alpha >= V(limits.alpha_min));
    V next = transmittance * (V(S(1)) - alpha);
    auto goes_on = next > V(limits.transmittance_min);
    out.blended = counts & goes_on;
    open = open & (~counts | goes_on);
    out.clamped = out.raw_alpha > V(limits.alpha_max);
    out.alpha = select(out.blended, alpha, V(S(0)));
    transmittance = select(out.blended, next, transmittance);
    return any(out.blended);
}

/// One tile of one camera, and its walk over splats and rows.
template <class Kind, class S>
class Tile {
  public:
    static constexpr int kLanes = kVectorBytes / int(sizeof(S));
    static constexpr int kRowVectors = kTileSize / kLanes;
    using V = Pack<S, kLanes>;
    using Mask = typename V::Mask;

    Tile(const BlendParams<S>& p, std::int64_t index) : p_(p) {
        int across = (p.width + kTileSize - 1) / kTileSize;
        int down = (p.height + kTileSize - 1) / kTileSize;
        camera_ = index / (across * down);
        int in_camera = int(index % (across * down));
        x0_ = in_camera % across * kTileSize;
        y0_ = in_camera / across * kTileSize;
        columns_ = std::min(kTileSize, p.width - x0_);
        rows_ = std::min(kTileSize, p.height - y0_);
        first_ = p.offsets[index];
        last_ = p.offsets[index + 1];
        limits_ = {S(p.alpha_min), S(p.alpha_max), S(p.transmittance_min)};
        V inside(static_cast<S>(columns_));
        for (int row = 0; row < rows_; ++row)
            for (int j = 0; j < kRowVectors; ++j) {
                transmittance_[row][j] = V(S(1));
                open_[row][j] = inside > V::iota() + V(S(j * kLanes));
            }
    }

    std::int64_t pixel(int row) const { return (camera_ * p_.height + y0_ + row) * p_.width + x0_; }
    int rows() const { return rows_; }
    int columns() const { return columns_; }
    V& transmittance(int row, int j) { return transmittance_[row][j]; }

    /// Calls visit(instance, slot, row, j, pixel, contribution, T before) wherever a splat is
    /// blended, and finish(instance, slot) after each splat that reached the tile; stops once no
    /// pixel is open.
    template <class Visit, class Finish>
    void walk(const Visit& visit, const Finish& finish) {
        int first_open = 0;
        for (std::int64_t slot = first_; slot < last_; ++slot) {
            std::int64_t splat = p_.splat_ids[slot];
            Instance<S> instance = load_instance(p_, splat, Kind::kScreen);
            int begin = first_open, end = rows_;
            if (p_.row_cut) {
                // Row r has its pixel centres at y0 + r + 0.5.
                S top = instance.mean.y - S(p_.radii[2 * splat + 1]) - S(y0_) - S(0.5);
                S bottom = instance.mean.y + S(p_.radii[2 * splat + 1]) - S(y0_) - S(0.5);
                if (top > S(begin)) begin = int(std::min(top, S(rows_)));
                if (bottom < S(end - 1)) end = bottom < S(0) ? 0 : int(bottom) + 1;
            }
            for (int row = begin; row < end; ++row) visit_row(instance, slot, row, visit);
            finish(instance, slot);
            while (first_open < rows_ && !row_open(first_open)) ++first_open;
            if (first_open == rows_) return;
        }
    }

  private:
    template <class Visit>
    [[gnu::always_inline]] void visit_row(const Instance<S>& instance, std::int64_t slot, int row,
                                          const Visit& visit) {
        for (int j = 0; j < kRowVectors; ++j) {
            Vec2<V> pixel = {V::iota() + V(S(x0_ + j * kLanes) + S(0.5)), V(S(y0_ + row) + S(0.5))};
            V before = transmittance_[row][j];
            Contribution<Kind, V> c;
            if (contribute(instance, pixel, limits_, transmittance_[row][j], open_[row][j], c))
                visit(instance, slot, row, j, pixel, c, before);
        }
    }

    bool row_open(int row) const {
        Mask open = open_[row][0];
        for (int j = 1; j < kRowVectors; ++j) open |= open_[row][j];
        return any(open);
    }

    const BlendParams<S>& p_;
    std::int64_t camera_, first_, last_;
    int x0_, y0_, columns_, rows_;
    Thresholds<S> limits_;
    V transmittance_[kTileSize][kRowVectors];
    Mask open_[kTileSize][kRowVectors];
};

template <class S>
std::int64_t tile_count(const BlendParams<S>& p) {
    std::int64_t across = (p.width + kTileSize - 1) / kTileSize;
    std::int64_t down = (p.height + kTileSize - 1) / kTileSize;
    return p.cameras * across * down;
}

template <class Kind, class S>
void blend_forward(const BlendParams<S>& p) {
    parallel_for(tile_count(p), [&](std::int64_t index) {
        using T = Tile<Kind, S>;
        using V = typename T::V;
        T tile(p, index);
        int channels = p.channels;
        std::unique_ptr<V[]> sums(new V[kTileSize * T::kRowVectors * channels]());
        tile.walk(
            [&](const Instance<S>& splat, std::int64_t, int row, int j, Vec2<V>,
                const Contribution<Kind, V>& c, V before) {
                V weight = c.alpha * before;
                V* sum = sums.get() + (row * T::kRowVectors + j) * channels;
                for (int k = 0; k < channels; ++k) sum[k] = sum[k] + weight * V(splat.color[k]);
            },
            [](const Instance<S>&, std::int64_t) {});
        for (int row = 0; row < tile.rows(); ++row)
            for (int x = 0; x < tile.columns(); ++x) {
                int j = x / T::kLanes, lane = x % T::kLanes;
                const V* sum = sums.get() + (row * T::kRowVectors + j) * channels;
                std::int64_t pixel = tile.pixel(row) + x;
                for (int k = 0; k < channels; ++k) p.image[pixel * channels + k] = sum[k].v[lane];
                p.transmittance[pixel] = tile.transmittance(row, j).v[lane];
            }
    });
}

/// Sums over pixels of one splat in one tile, kept per lane until the splat is done.
template <class Kind, class V>
struct PixelSums {
    V power{}, power_x{}, power_y{}, power_xx{}, power_xy{}, power_yy{};  // v_power times offsets
    V abs_x{}, abs_y{};
    V screen[Kind::kScreen > 0 ? Kind::kScreen : 1]{};
};

/// Gradient of one blended row: `v_alpha` is that of the loss to the splat's alpha.
template <class Kind, class V, class S>
void add_pixels(const Instance<S>& splat, Vec2<V> pixel, const Contribution<Kind, V>& c, V v_alpha,
                bool absolute, PixelSums<Kind, V>& sums) {
    V v_raw = select(c.blended & ~c.clamped, v_alpha, V(S(0)));
    V v_power = V(S(0)) - v_raw * c.raw_alpha;
    Vec2<V> d = {pixel.x - V(splat.mean.x), pixel.y - V(splat.mean.y)};
    V px = v_power * d.x, py = v_power * d.y;
    sums.power = sums.power + v_power;
    sums.power_x = sums.power_x + px;
    sums.power_y = sums.power_y + py;
    sums.power_xx = sums.power_xx + px * d.x;
    sums.power_xy = sums.power_xy + px * d.y;
    sums.power_yy = sums.power_yy + py * d.y;
    if (absolute) {
        sums.abs_x = sums.abs_x + abs_(V(splat.conic.xx) * px + V(splat.conic.xy) * py);
        sums.abs_y = sums.abs_y + abs_(V(splat.conic.xy) * px + V(splat.conic.yy) * py);
    }
    Kind::template evaluate_vjp<V>(splat.screen, pixel, c.evaluation,
                                   v_raw * V(splat.opacity) * c.envelope, sums.screen);
}

/// Gradient numbers of one splat in one tile, in the order they lie in the instance buffer.
template <class Kind>
struct InstanceGradient {
    static constexpr int kMean = 0, kAbs = 2, kConic = 4, kOpacity = 7, kScreen = 8;
    static constexpr int kColor = kScreen + Kind::kScreen;  // then D channels
};

template <class Kind, class V, class S>
void store_sums(const Instance<S>& splat, const PixelSums<Kind, V>& sums, S* out) {
    using At = InstanceGradient<Kind>;
    S x = sum(sums.power_x), y = sum(sums.power_y);
    out[At::kMean] = -(splat.conic.xx * x + splat.conic.xy * y);
    out[At::kMean + 1] = -(splat.conic.xy * x + splat.conic.yy * y);
    out[At::kAbs] = sum(sums.abs_x);
    out[At::kAbs + 1] = sum(sums.abs_y);
    out[At::kConic] = S(0.5) * sum(sums.power_xx);
    out[At::kConic + 1] = sum(sums.power_xy);
    out[At::kConic + 2] = S(0.5) * sum(sums.power_yy);
    out[At::kOpacity] = -sum(sums.power) / splat.opacity;
    for (int f = 0; f < Kind::kScreen; ++f) out[At::kScreen + f] = sum(sums.screen[f]);
}

/// Replays one tile and writes the gradient of each of its instances to that instance's own slot.
/// With g the gradient of a pixel's colour, walking front to back,
///   dL/dalpha_i = T_i c_i.g - behind_i / (1 - alpha_i),
/// where behind_i is what all later splats and the background add to the loss.
template <class Kind, class S>
void blend_tile_backward(const BlendParams<S>& p, const BlendGradients<S>& g, std::int64_t index,
                         S* instances, int width) {
    using T = Tile<Kind, S>;
    using V = typename T::V;
    T tile(p, index);
    int channels = p.channels;
    constexpr int kVectors = kTileSize * T::kRowVectors;
    std::unique_ptr<V[]> v_image(new V[kVectors * channels]());
    std::unique_ptr<V[]> v_color(new V[channels]());
    V behind[kVectors] = {};
    for (int row = 0; row < tile.rows(); ++row)
        for (int x = 0; x < tile.columns(); ++x) {
            int at = row * T::kRowVectors + x / T::kLanes, lane = x % T::kLanes;
            std::int64_t pixel = tile.pixel(row) + x;
            S total = p.transmittance[pixel] * g.v_transmittance[pixel];
            for (int k = 0; k < channels; ++k) {
                S v = g.v_image[pixel * channels + k];
                v_image[at * channels + k].v[lane] = v;
                total += v * p.image[pixel * channels + k];
            }
            behind[at].v[lane] = total;
        }

    PixelSums<Kind, V> sums;
    tile.walk(
        [&](const Instance<S>& splat, std::int64_t, int row, int j, Vec2<V> pixel,
            const Contribution<Kind, V>& c, V before) {
            int at = row * T::kRowVectors + j;
            V weight = c.alpha * before;
            V shade(S(0));  // c_i . g
            for (int k = 0; k < channels; ++k) {
                V v = v_image[at * channels + k];
                shade = shade + V(splat.color[k]) * v;
                v_color[k] = v_color[k] + weight * v;
            }
            behind[at] = behind[at] - weight * shade;
            V v_alpha = before * shade - behind[at] / (V(S(1)) - c.alpha);
            add_pixels(splat, pixel, c, v_alpha, g.v_means2d_abs != nullptr, sums);
        },
        [&](const Instance<S>& splat, std::int64_t slot) {
            S* out = instances + g.slots[slot] * width;
            store_sums(splat, sums, out);
            for (int k = 0; k < channels; ++k) {
                out[InstanceGradient<Kind>::kColor + k] = sum(v_color[k]);
                v_color[k] = V(S(0));
            }
            sums = PixelSums<Kind, V>();
        });
}

/// Adds up the instances of each splat in the order they were emitted: the same sum, to the bit,
/// for any number of threads.
template <class Kind, class S>
void sum_instances(const BlendParams<S>& p, const BlendGradients<S>& g, const S* instances,
                   int width) {
    using At = InstanceGradient<Kind>;
    constexpr std::int64_t kSplats = 1024;  // a thread takes at a time
    parallel_for((g.splats + kSplats - 1) / kSplats, [&](std::int64_t block) {
        std::unique_ptr<S[]> total(new S[width]);
        std::int64_t end = std::min(g.splats, (block + 1) * kSplats);
        for (std::int64_t i = block * kSplats; i < end; ++i) {
            std::fill_n(total.get(), width, S(0));
            for (std::int64_t slot = g.first_slot[i]; slot < g.first_slot[i + 1]; ++slot)
                for (int k = 0; k < width; ++k) total[k] += instances[slot * width + k];
            const S* t = total.get();
            std::copy_n(t + At::kMean, 2, g.v_means2d + 2 * i);
            if (g.v_means2d_abs) std::copy_n(t + At::kAbs, 2, g.v_means2d_abs + 2 * i);
            std::copy_n(t + At::kConic, 3, g.v_conics + 3 * i);
            g.v_opacities[i] = t[At::kOpacity];
            std::copy_n(t + At::kScreen, Kind::kScreen, g.v_screen + Kind::kScreen * i);
            std::copy_n(t + At::kColor, p.channels, g.v_colors + p.channels * i);
        }
    });
}

template <class Kind, class S>
void blend_backward(const BlendParams<S>& p, const BlendGradients<S>& g) {
    int width = InstanceGradient<Kind>::kColor + p.channels;
    // Zeroed: a tile that closes early leaves the slots of its remaining splats untouched.
    std::unique_ptr<S[]> instances(new S[p.instances * width]());
    parallel_for(tile_count(p), [&](std::int64_t index) {
        blend_tile_backward<Kind>(p, g, index, instances.get(), width);
    });
    sum_instances<Kind>(p, g, instances.get(), width);
}

GABORSPLAT_END
