// Front-to-back blending, and its gradient by replaying the same steps in the same order.
#pragma once

#include <memory>
#include <vector>

#include "../threads/scratch.h"
#include "../threads/thread_pool.h"
#include "tile.h"

GABORSPLAT_BEGIN

/// `Count` values, or as many as asked for when Count is 0.
template <class V, int Count>
struct Values {
    V data[Count];
    explicit Values(int) : data{} {}
    V& operator[](int i) { return data[i]; }
};
template <class V>
struct Values<V, 0> {
    std::unique_ptr<V[]> data;
    explicit Values(int count) : data(new V[count]()) {}
    V& operator[](int i) { return data[i]; }
};

/// Calls body(tile) for every tile, the few heaviest ones first so that none is left for the
/// end.
template <class S, class Body>
void for_tiles(const BlendInputs<S>& p, const Body& body) {
    std::int64_t count = p.tiles;
    std::vector<std::int32_t> order(count);
    for (std::int64_t i = 0; i < count; ++i) order[i] = std::int32_t(i);
    std::int64_t heavy = 4 * p.pairs / std::max<std::int64_t>(count, 1);
    auto light = std::stable_partition(order.begin(), order.end(), [&](std::int32_t tile) {
        return p.offsets[tile + 1] - p.offsets[tile] > heavy;
    });
    std::stable_sort(order.begin(), light, [&](std::int32_t a, std::int32_t b) {
        return p.offsets[a + 1] - p.offsets[a] > p.offsets[b + 1] - p.offsets[b];
    });
    parallel_for(count, [&](std::int64_t i) { body(order[i]); });
}

/// Calls visit(Channels<D>{}) with the number of channels known at compile time where it is common.
template <int D>
struct Channels {
    static constexpr int kCount = D;  // 0: known at run time alone
};
template <class Visitor>
void with_channels(int channels, const Visitor& visit) {
    if (channels == 3) return visit(Channels<3>{});
    if (channels == 4) return visit(Channels<4>{});
    visit(Channels<0>{});
}

/// Writes `count` numbers of each pixel of a subtile, value(k) being the k-th of all its pixels, to
/// rows of the image.
template <int D, class Out, class T, class Value>
void store_subtile(const T& tile, int subtile, int count, Out* image, const Value& value) {
    using S = typename T::Number;
    const int width = D > 0 ? D : count;
    Values<S, D * kSubtilePixels> lanes(width * kSubtilePixels);
    for (int k = 0; k < (D > 0 ? D : count); ++k) value(k).store(&lanes[k * kSubtilePixels]);
    tile.for_rows(subtile, [&](int lane, std::int64_t pixel, int pixels) {
        Out* out = image + pixel * width;
        for (int x = 0; x < pixels; ++x)
            for (int k = 0; k < (D > 0 ? D : count); ++k)
                out[x * (D > 0 ? D : count) + k] = Out(lanes[k * kSubtilePixels + lane + x]);
    });
}

template <class Kind, int D, class S>
void blend_tile(const BlendArguments<S>& p, const Record<S>* records, std::int64_t index) {
    using T = Tile<Kind, S, false>;
    using Lanes = typename T::Lanes;
    T tile(p.in, records, index);
    const int channels = D > 0 ? D : p.in.channels;
    Values<Lanes, D * kSubtiles> image(channels * kSubtiles);  // [subtiles, D]
    tile.walk([&](T& t, typename T::Batch& batch) {
        for (int i = 0; i < batch.pairs; ++i) {
            Contribution<Lanes> c = t.contribute(batch, i);
            const S* color = batch.instances[batch.owner[i]].color;
            for (int k = 0; k < (D > 0 ? D : channels); ++k) {
                Lanes& sum = image[batch.subtile[i] * (D > 0 ? D : channels) + k];
                sum = fma_(c.weight, Lanes(color[k]), sum);
            }
        }
    });
    for (int subtile = 0; subtile < kSubtiles; ++subtile) {
        const Lanes* colors = &image[subtile * channels];
        Lanes transmittance = tile.transmittance()[subtile];
        auto over_background = [&](int k) {
            return fma_(transmittance, Lanes(S(p.in.options.background[k])), colors[k]);
        };
        if (p.bytes) {
            store_subtile<3>(tile, subtile, 3, p.bytes, [&](int k) {
                Lanes color = min_(max_(over_background(k), Lanes(S(0))), Lanes(S(1)));
                return fma_(color, Lanes(S(255)), Lanes(S(0.5)));
            });
            continue;
        }
        store_subtile<D>(tile, subtile, channels, p.image,
                         [&](int k) { return k < 3 ? over_background(k) : colors[k]; });
        store_subtile<1>(tile, subtile, 1, p.transmittance, [&](int) { return transmittance; });
    }
}

template <class Kind, class S>
void blend_forward(const BlendArguments<S>& p) {
    Scratch<Record<S>> records(p.in.splats);
    fill_records(p.in, records.data());
    with_channels(p.in.channels, [&](auto channels) {
        for_tiles(p.in, [&](std::int64_t index) {
            blend_tile<Kind, decltype(channels)::kCount>(p, records.data(), index);
        });
    });
}

/// Gradient numbers of one splat in one tile, in the order they lie in the buffer of pairs.
template <class Kind>
struct PairGradient {
    static constexpr int kMean = 0, kAbs = 2, kConic = 4, kOpacity = 7, kModulation = 8;
    static constexpr int kColor = kModulation + Kind::kModulationSize;  // then D channels
};

/// Finds the gradient of each splat in one tile and writes it to that instance's own slot. With g
/// the gradient of a pixel's colour, walking front to back,
///   dL/dalpha_i = T_i c_i.g - behind_i / (1 - alpha_i),
/// where behind_i is what all later splats and the background add to the loss.
template <class Kind, int D, class S>
class TileBackward {
  public:
    using T = Tile<Kind, S, true>;
    using Lanes = typename T::Lanes;
    using Batch = typename T::Batch;
    using At = PairGradient<Kind>;

    TileBackward(const BlendBackwardArguments<S>& p, S* pairs)
        : p_(p),
          in_(p.in),
          pairs_(pairs),
          width_(At::kColor + in_.channels),
          v_image_(in_.channels * kSubtiles),
          v_color_(in_.channels) {}

    void run(T& tile) {
        for (int subtile = 0; subtile < kSubtiles; ++subtile) load_subtile(tile, subtile);
        std::int64_t end = tile.walk([&](T& t, Batch& batch) {
            for (int pair = 0; pair < batch.pairs; ++pair) find_gradient(t, batch, pair);
            for (int i = 0; i < batch.splats; ++i) sum_splat(t, batch, i);
        });
        for (std::int64_t slot = end; slot < tile.last(); ++slot) clear(slot);
    }

  private:
    /// Sums over pixels of one splat, kept per lane until the splat is done. Of the gradient to the
    /// logarithm of alpha: itself, then times the offset x, y, xx, xy, yy; then the kind's own,
    /// then the colour's.
    static constexpr int kKind = 6, kColor = kKind + Kind::kSums;
    static constexpr int kSums = (kColor + D + 3) / 4 * 4;
    struct Sums {
        Lanes of[kSums];
    };

    int channels() const { return D > 0 ? D : in_.channels; }
    S* numbers_of(std::int64_t slot) { return pairs_ + p_.slots[slot] * width_; }
    void clear(std::int64_t slot) { std::fill_n(numbers_of(slot), width_, S(0)); }

    void load_subtile(const T& tile, int subtile) {
        S total[kSubtilePixels] = {};
        Values<S, D * kSubtilePixels> v(channels() * kSubtilePixels);
        tile.for_rows(subtile, [&](int lane, std::int64_t pixel, int pixels) {
            const S* v_image = p_.v_image + pixel * channels();
            const S* image = p_.image + pixel * channels();
            for (int x = 0; x < pixels; ++x) {
                for (int k = 0; k < channels(); ++k) {
                    v[k * kSubtilePixels + lane + x] = v_image[x * channels() + k];
                    total[lane + x] += v_image[x * channels() + k] * image[x * channels() + k];
                }
                if (p_.v_transmittance)
                    total[lane + x] += p_.transmittance[pixel + x] * p_.v_transmittance[pixel + x];
            }
        });
        for (int k = 0; k < channels(); ++k)
            v_image_[subtile * channels() + k] = Lanes::load(&v[k * kSubtilePixels]);
        behind_[subtile] = Lanes::load(total);
    }

    /// Replaces a pair's alpha by the gradient to alpha's logarithm and its envelope by that to
    /// the modulation; notes its weight.
    [[gnu::always_inline]] void find_gradient(T& tile, Batch& batch, int pair) {
        int subtile = batch.subtile[pair];
        const S* color = batch.instances[batch.owner[pair]].color;
        Lanes before = tile.transmittance()[subtile], raw_alpha = batch.raw_alpha[pair];
        Contribution<Lanes> c = tile.contribute(batch, pair);
        Lanes zero(S(0)), color_dot_grad = zero;
        for (int k = 0; k < channels(); ++k)
            color_dot_grad =
                fma_(Lanes(color[k]), v_image_[subtile * channels() + k], color_dot_grad);
        Lanes behind = fma_(-c.weight, color_dot_grad, behind_[subtile]);
        behind_[subtile] = behind;
        // before / next is 1 / (1 - alpha) where the splat is blended.
        Lanes v_alpha = before * fma_(-behind, reciprocal(c.next), color_dot_grad);
        auto free = c.blended & (raw_alpha <= Lanes(in_.options.alpha_max));
        batch.weight[pair] = c.weight;
        batch.raw_alpha[pair] = select(free, v_alpha * raw_alpha, zero);
        if constexpr (Kind::kWaves > 0)
            batch.envelope[pair] = select(free, v_alpha * batch.envelope[pair], zero);
    }

    void sum_splat(const T& tile, const Batch& batch, int i) {
        int begin = batch.first_pair[i], end = batch.first_pair[i + 1];
        if (begin == end) return clear(batch.first_slot + i);
        const Instance<S>& splat = batch.instances[i];
        Sums sums = {};
        for (int pair = begin; pair < end; ++pair) {
            int subtile = batch.subtile[pair];
            Vec2<Lanes> d = tile.offsets(*splat.record, subtile);
            Lanes v_log = batch.raw_alpha[pair], px = v_log * d.x, py = v_log * d.y;
            sums.of[0] = sums.of[0] + v_log;
            sums.of[1] = sums.of[1] + px;
            sums.of[2] = sums.of[2] + py;
            sums.of[3] = fma_(px, d.x, sums.of[3]);
            sums.of[4] = fma_(px, d.y, sums.of[4]);
            sums.of[5] = fma_(py, d.y, sums.of[5]);
            if constexpr (Kind::kWaves > 0)
                Kind::add_vjp(T::waves(batch, pair), batch.turns[i], d, batch.envelope[pair],
                              sums.of + kKind);
            for (int k = 0; k < channels(); ++k) {
                Lanes& sum = D > 0 ? sums.of[kColor + k] : v_color_[k];
                sum = fma_(batch.weight[pair], v_image_[subtile * channels() + k], sum);
            }
            if (p_.v_means2d_abs) add_absolute(splat, px, py);
        }
        store(sums, splat, batch.first_slot + i);
    }

    void store(const Sums& sums, const Instance<S>& splat, std::int64_t slot) {
        S* out = numbers_of(slot);
        S total[kSums];
#pragma GCC unroll 8
        for (int i = 0; i < kSums; i += 4) sum4(sums.of + i, total + i);
        Sym2<S> q = conic(splat.record->log_alpha);
        out[At::kMean] = q.xx * total[1] + q.xy * total[2];
        out[At::kMean + 1] = q.xy * total[1] + q.yy * total[2];
        out[At::kAbs] = out[At::kAbs + 1] = S(0);
        if (p_.v_means2d_abs) take_absolute(out + At::kAbs);
        out[At::kConic] = S(-0.5) * total[3];
        out[At::kConic + 1] = -total[4];
        out[At::kConic + 2] = S(-0.5) * total[5];
        out[At::kOpacity] = total[0] / in_.opacities2d[splat.splat];
        Kind::modulation2d_vjp(splat.modulation2d, splat.record->mean, total + kKind,
                               out + At::kModulation);
        for (int k = 0; k < channels(); ++k) {
            if constexpr (D > 0) {
                out[At::kColor + k] = total[kColor + k];
            } else {
                out[At::kColor + k] = sum(v_color_[k]);
                v_color_[k] = Lanes(S(0));
            }
        }
    }

    [[gnu::noinline]] void add_absolute(const Instance<S>& splat, Lanes px, Lanes py) {
        Sym2<S> q = conic(splat.record->log_alpha);
        Lanes xx(q.xx), xy(q.xy), yy(q.yy);
        absolute_[0] = absolute_[0] + abs_(xx * px + xy * py);
        absolute_[1] = absolute_[1] + abs_(xy * px + yy * py);
    }
    void take_absolute(S* out) {
        for (int i = 0; i < 2; ++i) {
            out[i] = sum(absolute_[i]);
            absolute_[i] = Lanes(S(0));
        }
    }

    const BlendBackwardArguments<S>& p_;
    const BlendInputs<S>& in_;
    S* pairs_;  // [pairs, width_]
    int width_;
    Values<Lanes, D * kSubtiles> v_image_;  // [subtiles, D]
    Values<Lanes, D> v_color_;              // where D is not known at compile time
    Lanes behind_[kSubtiles] = {};
    Lanes absolute_[2] = {};
};

/// Adds up the pairs of each splat in the order they were listed: the same sum, to the bit,
/// for any number of threads.
template <class Kind, int D, class S>
void sum_pairs(const BlendBackwardArguments<S>& p, const S* pairs) {
    using At = PairGradient<Kind>;
    constexpr std::int64_t kSplats = 1024;  // a thread takes at a time
    parallel_for((p.in.splats + kSplats - 1) / kSplats, [&](std::int64_t block) {
        const int channels = D > 0 ? D : p.in.channels;
        const int width = At::kColor + (D > 0 ? D : channels);
        Values<S, D == 0 ? 0 : At::kColor + D> total(width);
        S largest = S(0);
        std::int64_t end = std::min(p.in.splats, (block + 1) * kSplats);
        for (std::int64_t i = block * kSplats; i < end; ++i) {
            S* t = &total[0];
            std::fill_n(t, width, S(0));
            for (std::int64_t slot = p.slot_begins[i]; slot < p.slot_ends[i]; ++slot)
                for (int k = 0; k < At::kColor + (D > 0 ? D : channels); ++k)
                    t[k] += pairs[slot * width + k];
            std::copy_n(t + At::kMean, 2, p.v_means2d + 2 * i);
            if (p.v_means2d_abs) std::copy_n(t + At::kAbs, 2, p.v_means2d_abs + 2 * i);
            std::copy_n(t + At::kConic, 3, p.v_conics + 3 * i);
            p.v_opacities2d[i] = t[At::kOpacity];
            std::copy_n(t + At::kModulation, Kind::kModulationSize,
                        p.v_modulation2d + Kind::kModulationSize * i);
            std::copy_n(t + At::kColor, p.in.color_channels, p.v_colors + p.in.color_channels * i);
            if (p.v_depths) p.v_depths[i] = t[At::kColor + p.in.color_channels];
            for (int k = 0; k < At::kColor + (D > 0 ? D : channels); ++k) largest += abs_(t[k]);
        }
        if (p.not_finite && !bounded(largest)) __atomic_store_n(p.not_finite, 1, __ATOMIC_RELAXED);
    });
}

template <class Kind, class S>
void blend_backward(const BlendBackwardArguments<S>& p) {
    int width = PairGradient<Kind>::kColor + p.in.channels;
    Scratch<S> pairs(p.in.pairs * width);
    Scratch<Record<S>> records(p.in.splats);
    fill_records(p.in, records.data());
    with_channels(p.in.channels, [&](auto channels) {
        constexpr int kChannels = decltype(channels)::kCount;
        for_tiles(p.in, [&](std::int64_t index) {
            Tile<Kind, S, true> tile(p.in, records.data(), index);
            TileBackward<Kind, kChannels, S>(p, pairs.data()).run(tile);
        });
        sum_pairs<Kind, kChannels>(p, pairs.data());
    });
}

GABORSPLAT_END
