// One tile and its walk over splats, front to back. A tile is 4 x 4 subtiles of 4 x 4 pixels: a
// splat is taken to the subtiles that its ellipse touches, with the pixels of a subtile in the
// lanes of packs.
#pragma once

#include <algorithm>

#include "../math/compositing.h"
#include "../math/linalg.h"
#include "../passes/blend.h"
#include "../passes/launch.h"
#include "../simd/pack_math.h"
#include "../threads/thread_pool.h"

GABORSPLAT_BEGIN

constexpr int kSubtileSize = 4;  // [px]
constexpr int kSubtilesAcross = kTileSize / kSubtileSize;
constexpr int kSubtiles = kSubtilesAcross * kSubtilesAcross;
constexpr int kSubtilePixels = kSubtileSize * kSubtileSize;

constexpr int kRecordColors = kDepthChannels;

/// A splat as the walk sees it, found once for all tiles. In float it fills one line of cache.
template <class S>
struct alignas(16 * sizeof(S)) Record {
    Vec2<S> mean;
    LogAlpha<S> log_alpha;
    S drop;                  // no pixel where log_alpha is this far under its peak gets alpha_min
    Vec2<S> slope;           // of the ridges of log_alpha
    S color[kRecordColors];  // unused where there are more channels
};

template <class S>
void fill_records(const BlendInputs<S>& p, Record<S>* records) {
    constexpr std::int64_t kSplats = 2048;  // a thread takes at a time
    parallel_for((p.splats + kSplats - 1) / kSplats, [&](std::int64_t block) {
        std::int64_t end = std::min(p.splats, (block + 1) * kSplats);
        for (std::int64_t i = block * kSplats; i < end; ++i) {
            if (!(p.cutoffs[i] > S(0))) continue;  // culled
            const S* c = p.conics + 3 * i;
            Record<S>& out = records[i];
            out.mean = {p.means2d[2 * i], p.means2d[2 * i + 1]};
            out.log_alpha = log_alpha(Sym2<S>{c[0], c[1], c[2]}, p.opacities2d[i]);
            out.drop = S(kLog2E) * p.cutoffs[i];
            out.slope = ridge_slopes(Sym2<S>{c[0], c[1], c[2]});
            for (int k = 0; k < std::min(p.color_channels, kRecordColors); ++k)
                out.color[k] = p.colors[p.color_channels * i + k];
            if (p.depths) out.color[p.color_channels] = p.depths[i];
        }
    });
}

/// A splat in the list of a tile.
template <class S>
struct Instance {
    const Record<S>* record;
    std::int64_t splat;
    const S* color;         // [D]
    const S* modulation2d;  // [F]
};

/// With `Gradient`, batches hold what the gradient of the waves needs.
template <class Kind, class S, bool Gradient>
class Tile {
  public:
    using Number = S;
    /// The pixels of a subtile row by row, or a number of each subtile.
    using Lanes = Pack<S, kSubtilePixels>;
    static_assert(kSubtiles == kSubtilePixels, "one type serves both");
    using Mask = typename Lanes::Mask;
    using Turns = typename Kind::template Turns<Lanes>;
    using Waves = typename Kind::template Waves<Lanes>;
    static constexpr int kWaveNumbers = (Gradient ? 2 : 1) * Kind::kWaveNumbers;

    /// Some consecutive splats of the tile's list and the subtiles that they may touch. Taken
    /// through each step together: one splat alone has too few subtiles to keep a processor busy,
    /// which waits for each result to compute the next, and for each loop's end to know what
    /// follows.
    struct Batch {
        static constexpr int kSplats = 16, kRoom = (kSplats + 1) * kSubtiles;

        int splats, pairs;
        std::int64_t first_slot;
        Instance<S> instances[kSplats];
        int first_pair[kSplats + 1];
        Lanes curvature[kSplats];
        Turns turns[kSplats];
        // A subtile that a splat may touch, by splat.
        std::int32_t subtile[kRoom], owner[kRoom];
        S value[kRoom], slope_x[kRoom], slope_y[kRoom];  // expansion about the subtile's corner
        S waves[kWaveNumbers > 0 ? kWaveNumbers : 1][kRoom];
        Lanes raw_alpha[kRoom];
        Lanes envelope[kWaveNumbers > 0 && Gradient ? kRoom : 1];  // times opacity
        Lanes weight[Gradient ? kRoom : 1];                        // for `blend` to use
    };

    Tile(const BlendInputs<S>& p, const Record<S>* records, std::int64_t index)
        : p_(p), records_(records) {
        int across = tiles_along(p.width), down = tiles_along(p.height);
        camera_ = index / (across * down);
        int in_camera = int(index % (across * down));
        x0_ = in_camera % across * kTileSize;
        y0_ = in_camera / across * kTileSize;
        columns_ = std::min(kTileSize, p.width - x0_);
        rows_ = std::min(kTileSize, p.height - y0_);
        first_ = p.offsets[index];
        last_ = p.offsets[index + 1];
        limits_ = {p.options.alpha_min, p.options.alpha_max, p.options.transmittance_min};
        S x[kSubtilePixels], y[kSubtilePixels];
        for (int i = 0; i < kSubtilePixels; ++i)
            x[i] = S(i % kSubtileSize), y[i] = S(i / kSubtileSize);
        steps_ = {Lanes::load(x), Lanes::load(y)};
        for (int subtile = 0; subtile < kSubtiles; ++subtile) open_subtile(subtile);
    }

    /// Slot after the last one of the tile's list.
    std::int64_t last() const { return last_; }
    const Lanes* transmittance() const { return transmittance_; }
    /// Pixels of a subtile, from the mean of a splat.
    Vec2<Lanes> offsets(const Record<S>& splat, int subtile) const {
        Vec2<Lanes> corner = {Lanes(corner_x_[subtile] - splat.mean.x),
                              Lanes(corner_y_[subtile] - splat.mean.y)};
        return corner + steps_;
    }
    /// Calls visit(lane, number of the pixel among those of all cameras, count) for the rows of a
    /// subtile that are in the image: `count` pixels each, in consecutive lanes.
    template <class Visit>
    void for_rows(int subtile, const Visit& visit) const {
        int x = subtile % kSubtilesAcross * kSubtileSize,
            y = subtile / kSubtilesAcross * kSubtileSize;
        int count = std::min(kSubtileSize, columns_ - x);
        for (int row = 0; row < std::min(kSubtileSize, rows_ - y); ++row)
            visit(row * kSubtileSize, (camera_ * p_.height + y0_ + y + row) * p_.width + x0_ + x,
                  count);
    }

    /// Takes the splats to the subtiles that they may touch, front to back, until no pixel is open;
    /// returns the slot after the last one that was looked at. `blend(tile, batch)` is called for
    /// every batch and shall call `contribute` for all of its pairs, in order.
    template <class Blend>
    std::int64_t walk(const Blend& blend) {
        Batch batch;
        std::int64_t slot = first_;
        while (slot < last_ && open_subtiles_ != 0) {
            batch.first_slot = slot;
            batch.splats = int(std::min<std::int64_t>(Batch::kSplats, last_ - slot));
            slot += batch.splats;
            for (std::int64_t next = slot; next < std::min(slot + Batch::kSplats, last_); ++next)
                prefetch(p_.splat_ids[next]);
            collect(batch);
            find_alpha(batch);
            blend(*this, batch);
        }
        return slot;
    }

    /// Blends pair number `i` of the batch.
    [[gnu::always_inline]] Contribution<Lanes> contribute(const Batch& batch, int i) {
        int subtile = batch.subtile[i];
        Lanes before = transmittance_[subtile];
        Contribution<Lanes> c = composite(batch.raw_alpha[i], before, open_[subtile], limits_);
        transmittance_[subtile] = select(c.blended, c.next, before);
        open_[subtile] = still_open(open_[subtile], c.counts, c.blended);
        if (!any(open_[subtile])) open_subtiles_ &= ~(1u << subtile);
        return c;
    }

    /// The waves of pair number `i` at its subtile's corner.
    [[gnu::always_inline]] static Waves waves(const Batch& batch, int i) {
        Waves out;
        if constexpr (kWaveNumbers > 0)
            for (int n = 0; n < kWaveNumbers; ++n) out.numbers[n] = Lanes(batch.waves[n][i]);
        return out;
    }

  private:
    /// Opens the pixels of a subtile that are inside the image.
    void open_subtile(int subtile) {
        int x = subtile % kSubtilesAcross * kSubtileSize,
            y = subtile / kSubtilesAcross * kSubtileSize;
        corner_x_[subtile] = S(x0_ + x) + S(0.5);
        corner_y_[subtile] = S(y0_ + y) + S(0.5);
        transmittance_[subtile] = Lanes(S(1));
        open_[subtile] = (Lanes(S(columns_ - x)) > steps_.x) & (Lanes(S(rows_ - y)) > steps_.y);
        if (any(open_[subtile])) open_subtiles_ |= 1u << subtile;
    }

    void prefetch(std::int64_t splat) const {
        __builtin_prefetch(records_ + splat);
        if (Kind::kModulationSize > 0)
            __builtin_prefetch(p_.modulation2d + Kind::kModulationSize * splat);
    }

    /// Lists the open subtiles that each splat may touch.
    void collect(Batch& batch) {
        batch.pairs = 0;
        for (int i = 0; i < batch.splats; ++i) {
            std::int64_t splat = p_.splat_ids[batch.first_slot + i];
            const Record<S>& record = records_[splat];
            const S* color =
                p_.channels <= kRecordColors ? record.color : p_.colors + p_.channels * splat;
            batch.instances[i] = {&record, splat, color,
                                  p_.modulation2d + Kind::kModulationSize * splat};
            batch.curvature[i] = quadratic(record.log_alpha, steps_);
            batch.first_pair[i] = batch.pairs;
            add_pairs(batch, i);
        }
        batch.first_pair[batch.splats] = batch.pairs;
    }

    [[gnu::always_inline]] void add_pairs(Batch& batch, int i) {
        const Record<S>& splat = *batch.instances[i].record;
        Lanes width(S(kSubtileSize - 1));
        Lanes left = Lanes::load(corner_x_) - Lanes(splat.mean.x);
        Lanes top = Lanes::load(corner_y_) - Lanes(splat.mean.y);
        Lanes most = highest(splat.log_alpha, splat.slope, Vec2<Lanes>{left, top},
                             Vec2<Lanes>{left + width, top + width});
        unsigned subtiles = bits(most >= Lanes(-splat.drop)) & open_subtiles_;

        int at = batch.pairs;
        batch.pairs += __builtin_popcount(subtiles);
        compress_numbers<S, kSubtiles>(subtiles, batch.subtile + at);
        std::fill_n(batch.owner + at, kSubtiles, i);
        Expansion<Lanes> corner = expand(splat.log_alpha, Vec2<Lanes>{left, top});
        compress(subtiles, corner.value, batch.value + at);
        compress(subtiles, corner.slope.x, batch.slope_x + at);
        compress(subtiles, corner.slope.y, batch.slope_y + at);
        if constexpr (Kind::kWaves > 0) {
            if (subtiles == 0) return;
            const S* modulation2d = batch.instances[i].modulation2d;
            batch.turns[i] = Kind::turns(modulation2d, steps_);
            Vec2<Lanes> corners = {Lanes::load(corner_x_), Lanes::load(corner_y_)};
            Waves waves = Kind::waves_at(modulation2d, corners);
            for (int n = 0; n < kWaveNumbers; ++n)
                compress(subtiles, waves.numbers[n], batch.waves[n] + at);
        }
    }

    void find_alpha(Batch& batch) const {
        for (int i = 0; i < batch.pairs; ++i) {
            int owner = batch.owner[i];
            Lanes value = fma_(Lanes(batch.slope_x[i]), steps_.x,
                               fma_(Lanes(batch.slope_y[i]), steps_.y,
                                    Lanes(batch.value[i]) + batch.curvature[owner]));
            Lanes envelope = exp2_(value);
            if constexpr (Kind::kWaves > 0) {
                if (Gradient) batch.envelope[i] = envelope;
                envelope = envelope * Kind::modulation(batch.instances[owner].modulation2d,
                                                       waves(batch, i), batch.turns[owner]);
            }
            batch.raw_alpha[i] = envelope;
        }
    }

    const BlendInputs<S>& p_;
    const Record<S>* records_;
    std::int64_t camera_, first_, last_;
    int x0_, y0_, columns_, rows_;
    Thresholds<S> limits_;
    unsigned open_subtiles_ = 0;
    Vec2<Lanes> steps_;  // from the top left pixel of a subtile to all of its pixels
    Lanes transmittance_[kSubtiles];
    Mask open_[kSubtiles];
    S corner_x_[kSubtiles], corner_y_[kSubtiles];  // [px], centre of the top left pixel
};

GABORSPLAT_END
