// Front-to-back blending, and its gradient by replaying the same steps in the same order.
#pragma once

#include <memory>
#include <vector>

#include "scratch.h"
#include "thread_pool.h"
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

template <class S>
std::int64_t tile_count(const BlendParams<S>& p) {
    return p.cameras * tiles_along(p.width) * tiles_along(p.height);
}

/// Calls body(tile) for every tile, the few heaviest ones first so that none is left for the
/// end.
template <class S, class Body>
void for_tiles(const BlendParams<S>& p, const Body& body) {
    std::int64_t count = tile_count(p);
    std::vector<std::int32_t> order(count);
    for (std::int64_t i = 0; i < count; ++i) order[i] = std::int32_t(i);
    std::int64_t heavy = 4 * p.instances / std::max<std::int64_t>(count, 1);
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

/// Writes `count` numbers of each pixel of a cell, value(k) being the k-th of all its pixels, to
/// rows of the image.
template <int D, class Out, class T, class Value>
void store_cell(const T& tile, int cell, int count, Out* image, const Value& value) {
    using S = typename T::Number;
    const int width = D > 0 ? D : count;
    Values<S, D * kCellPixels> lanes(width * kCellPixels);
    for (int k = 0; k < (D > 0 ? D : count); ++k) value(k).store(&lanes[k * kCellPixels]);
    tile.for_rows(cell, [&](int lane, std::int64_t pixel, int pixels) {
        Out* out = image + pixel * width;
        for (int x = 0; x < pixels; ++x)
            for (int k = 0; k < (D > 0 ? D : count); ++k)
                out[x * (D > 0 ? D : count) + k] = Out(lanes[k * kCellPixels + lane + x]);
    });
}

template <class Kind, int D, class S>
void blend_tile(const BlendParams<S>& p, const Record<S>* records, std::int64_t index) {
    using T = Tile<Kind, S, false>;
    using Cell = typename T::Cell;
    T tile(p, records, index);
    const int channels = D > 0 ? D : p.channels;
    Values<Cell, D * kCells> image(channels * kCells);  // [cells, D]
    tile.walk([&](T& t, typename T::Batch& batch) {
        for (int i = 0; i < batch.items; ++i) {
            Contribution<Cell> c = t.contribute(batch, i);
            const S* color = batch.instances[batch.owner[i]].color;
            for (int k = 0; k < (D > 0 ? D : channels); ++k) {
                Cell& sum = image[batch.cell[i] * (D > 0 ? D : channels) + k];
                sum = fma_(c.weight, Cell(color[k]), sum);
            }
        }
    });
    for (int cell = 0; cell < kCells; ++cell) {
        const Cell* colors = &image[cell * channels];
        Cell transmittance = tile.transmittance()[cell];
        if (p.bytes) {
            store_cell<3>(tile, cell, 3, p.bytes, [&](int k) {
                Cell color = fma_(transmittance, Cell(S(p.background[k])), colors[k]);
                color = min_(max_(color, Cell(S(0))), Cell(S(1)));
                return fma_(color, Cell(S(255)), Cell(S(0.5)));
            });
            continue;
        }
        store_cell<D>(tile, cell, channels, p.image, [&](int k) { return colors[k]; });
        store_cell<1>(tile, cell, 1, p.transmittance, [&](int) { return transmittance; });
    }
}

template <class Kind, class S>
void blend_forward(const BlendParams<S>& p) {
    Scratch<Record<S>> records(p.splats);
    fill_records(p, records.data());
    with_channels(p.channels, [&](auto channels) {
        for_tiles(p, [&](std::int64_t index) {
            blend_tile<Kind, decltype(channels)::kCount>(p, records.data(), index);
        });
    });
}

/// Gradient numbers of one splat in one tile, in the order they lie in the instance buffer.
template <class Kind>
struct InstanceGradient {
    static constexpr int kMean = 0, kAbs = 2, kConic = 4, kOpacity = 7, kScreen = 8;
    static constexpr int kColor = kScreen + Kind::kScreen;  // then D channels
};

/// Finds the gradient of each splat in one tile and writes it to that instance's own slot. With g
/// the gradient of a pixel's colour, walking front to back,
///   dL/dalpha_i = T_i c_i.g - behind_i / (1 - alpha_i),
/// where behind_i is what all later splats and the background add to the loss.
template <class Kind, int D, class S>
class TileBackward {
  public:
    using T = Tile<Kind, S, true>;
    using Cell = typename T::Cell;
    using Batch = typename T::Batch;
    using At = InstanceGradient<Kind>;

    TileBackward(const BlendParams<S>& p, const BlendGradients<S>& g, S* instances)
        : p_(p),
          g_(g),
          instances_(instances),
          width_(At::kColor + p.channels),
          v_image_(p.channels * kCells),
          v_color_(p.channels) {}

    void run(T& tile) {
        for (int cell = 0; cell < kCells; ++cell) load_cell(tile, cell);
        std::int64_t end = tile.walk([&](T& t, Batch& batch) {
            for (int item = 0; item < batch.items; ++item) find_gradient(t, batch, item);
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
        Cell of[kSums];
    };

    int channels() const { return D > 0 ? D : p_.channels; }
    S* instance(std::int64_t slot) { return instances_ + g_.slots[slot] * width_; }
    void clear(std::int64_t slot) { std::fill_n(instance(slot), width_, S(0)); }

    void load_cell(const T& tile, int cell) {
        S total[kCellPixels] = {};
        Values<S, D * kCellPixels> v(channels() * kCellPixels);
        tile.for_rows(cell, [&](int lane, std::int64_t pixel, int pixels) {
            const S* v_image = g_.v_image + pixel * channels();
            const S* image = p_.image + pixel * channels();
            for (int x = 0; x < pixels; ++x) {
                for (int k = 0; k < channels(); ++k) {
                    v[k * kCellPixels + lane + x] = v_image[x * channels() + k];
                    total[lane + x] += v_image[x * channels() + k] * image[x * channels() + k];
                }
                total[lane + x] += p_.transmittance[pixel + x] * g_.v_transmittance[pixel + x];
            }
        });
        for (int k = 0; k < channels(); ++k)
            v_image_[cell * channels() + k] = Cell::load(&v[k * kCellPixels]);
        behind_[cell] = Cell::load(total);
    }

    /// Replaces an item's alpha by the gradient to alpha's logarithm and its envelope by that to
    /// the modulation; notes its weight.
    [[gnu::always_inline]] void find_gradient(T& tile, Batch& batch, int item) {
        int cell = batch.cell[item];
        const S* color = batch.instances[batch.owner[item]].color;
        Cell before = tile.transmittance()[cell], raw_alpha = batch.raw_alpha[item];
        Contribution<Cell> c = tile.contribute(batch, item);
        Cell zero(S(0)), shade = zero;  // c_i . g
        for (int k = 0; k < channels(); ++k)
            shade = fma_(Cell(color[k]), v_image_[cell * channels() + k], shade);
        Cell behind = fma_(-c.weight, shade, behind_[cell]);
        behind_[cell] = behind;
        // before / next is 1 / (1 - alpha) where the splat is blended.
        Cell v_alpha = before * fma_(-behind, reciprocal(c.next), shade);
        auto free = c.blended & (raw_alpha <= Cell(S(p_.alpha_max)));
        batch.weight[item] = c.weight;
        batch.raw_alpha[item] = select(free, v_alpha * raw_alpha, zero);
        if constexpr (Kind::kWaves > 0)
            batch.envelope[item] = select(free, v_alpha * batch.envelope[item], zero);
    }

    void sum_splat(const T& tile, const Batch& batch, int i) {
        int begin = batch.first_item[i], end = batch.first_item[i + 1];
        if (begin == end) return clear(batch.first_slot + i);
        const Instance<S>& splat = batch.instances[i];
        Sums sums = {};
        for (int item = begin; item < end; ++item) {
            int cell = batch.cell[item];
            Vec2<Cell> d = tile.offsets(*splat.record, cell);
            Cell v_log = batch.raw_alpha[item], px = v_log * d.x, py = v_log * d.y;
            sums.of[0] = sums.of[0] + v_log;
            sums.of[1] = sums.of[1] + px;
            sums.of[2] = sums.of[2] + py;
            sums.of[3] = fma_(px, d.x, sums.of[3]);
            sums.of[4] = fma_(px, d.y, sums.of[4]);
            sums.of[5] = fma_(py, d.y, sums.of[5]);
            if constexpr (Kind::kWaves > 0)
                Kind::add_vjp(T::waves(batch, item), batch.turns[i], d, batch.envelope[item],
                              sums.of + kKind);
            for (int k = 0; k < channels(); ++k) {
                Cell& sum = D > 0 ? sums.of[kColor + k] : v_color_[k];
                sum = fma_(batch.weight[item], v_image_[cell * channels() + k], sum);
            }
            if (g_.v_means2d_abs) add_absolute(splat, px, py);
        }
        store(sums, splat, batch.first_slot + i);
    }

    void store(const Sums& sums, const Instance<S>& splat, std::int64_t slot) {
        S* out = instance(slot);
        S total[kSums];
#pragma GCC unroll 8
        for (int i = 0; i < kSums; i += 4) sum4(sums.of + i, total + i);
        Sym2<S> q = conic(splat.record->log_alpha);
        out[At::kMean] = q.xx * total[1] + q.xy * total[2];
        out[At::kMean + 1] = q.xy * total[1] + q.yy * total[2];
        out[At::kAbs] = out[At::kAbs + 1] = S(0);
        if (g_.v_means2d_abs) take_absolute(out + At::kAbs);
        out[At::kConic] = S(-0.5) * total[3];
        out[At::kConic + 1] = -total[4];
        out[At::kConic + 2] = S(-0.5) * total[5];
        out[At::kOpacity] = total[0] / p_.opacities[splat.splat];
        Kind::screen_vjp(splat.screen, splat.record->mean, total + kKind, out + At::kScreen);
        for (int k = 0; k < channels(); ++k) {
            if constexpr (D > 0) {
                out[At::kColor + k] = total[kColor + k];
            } else {
                out[At::kColor + k] = sum(v_color_[k]);
                v_color_[k] = Cell(S(0));
            }
        }
    }

    [[gnu::noinline]] void add_absolute(const Instance<S>& splat, Cell px, Cell py) {
        Sym2<S> q = conic(splat.record->log_alpha);
        Cell xx(q.xx), xy(q.xy), yy(q.yy);
        absolute_[0] = absolute_[0] + abs_(xx * px + xy * py);
        absolute_[1] = absolute_[1] + abs_(xy * px + yy * py);
    }
    void take_absolute(S* out) {
        for (int i = 0; i < 2; ++i) {
            out[i] = sum(absolute_[i]);
            absolute_[i] = Cell(S(0));
        }
    }

    const BlendParams<S>& p_;
    const BlendGradients<S>& g_;
    S* instances_;
    int width_;
    Values<Cell, D * kCells> v_image_;  // [cells, D]
    Values<Cell, D> v_color_;           // where D is not known at compile time
    Cell behind_[kCells] = {};
    Cell absolute_[2] = {};
};

/// Adds up the instances of each splat in the order they were emitted: the same sum, to the bit,
/// for any number of threads.
template <class Kind, int D, class S>
void sum_instances(const BlendParams<S>& p, const BlendGradients<S>& g, const S* instances) {
    using At = InstanceGradient<Kind>;
    constexpr std::int64_t kSplats = 1024;  // a thread takes at a time
    parallel_for((p.splats + kSplats - 1) / kSplats, [&](std::int64_t block) {
        const int channels = D > 0 ? D : p.channels;
        const int width = At::kColor + (D > 0 ? D : channels);
        Values<S, D == 0 ? 0 : At::kColor + D> total(width);
        std::int64_t end = std::min(p.splats, (block + 1) * kSplats);
        for (std::int64_t i = block * kSplats; i < end; ++i) {
            S* t = &total[0];
            std::fill_n(t, width, S(0));
            for (std::int64_t slot = g.first_slot[i]; slot < g.first_slot[i + 1]; ++slot)
                for (int k = 0; k < At::kColor + (D > 0 ? D : channels); ++k)
                    t[k] += instances[slot * width + k];
            std::copy_n(t + At::kMean, 2, g.v_means2d + 2 * i);
            if (g.v_means2d_abs) std::copy_n(t + At::kAbs, 2, g.v_means2d_abs + 2 * i);
            std::copy_n(t + At::kConic, 3, g.v_conics + 3 * i);
            g.v_opacities[i] = t[At::kOpacity];
            std::copy_n(t + At::kScreen, Kind::kScreen, g.v_screen + Kind::kScreen * i);
            std::copy_n(t + At::kColor, channels, g.v_colors + channels * i);
        }
    });
}

template <class Kind, class S>
void blend_backward(const BlendParams<S>& p, const BlendGradients<S>& g) {
    int width = InstanceGradient<Kind>::kColor + p.channels;
    Scratch<S> instances(p.instances * width);
    Scratch<Record<S>> records(p.splats);
    fill_records(p, records.data());
    with_channels(p.channels, [&](auto channels) {
        constexpr int kChannels = decltype(channels)::kCount;
        for_tiles(p, [&](std::int64_t index) {
            Tile<Kind, S, true> tile(p, records.data(), index);
            TileBackward<Kind, kChannels, S>(p, g, instances.data()).run(tile);
        });
        sum_instances<Kind, kChannels>(p, g, instances.data());
    });
}

GABORSPLAT_END
