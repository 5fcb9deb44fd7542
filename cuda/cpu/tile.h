// One tile and its walk over splats, front to back. A tile is 4 x 4 cells of 4 x 4 pixels: a splat
// is taken to the cells that its ellipse touches, with the pixels of a cell in the lanes of packs.
#pragma once

#include <algorithm>

#include "../math/compositing.h"
#include "../math/linalg.h"
#include "pack_math.h"
#include "params.h"
#include "thread_pool.h"

GABORSPLAT_BEGIN

constexpr int kCellSize = 4;  // [px]
constexpr int kCellsAcross = kTileSize / kCellSize;
constexpr int kCells = kCellsAcross * kCellsAcross;
constexpr int kCellPixels = kCellSize * kCellSize;

constexpr int kRecordColors = 4;

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
void fill_records(const BlendParams<S>& p, Record<S>* records) {
    constexpr std::int64_t kSplats = 2048;  // a thread takes at a time
    parallel_for((p.splats + kSplats - 1) / kSplats, [&](std::int64_t block) {
        std::int64_t end = std::min(p.splats, (block + 1) * kSplats);
        for (std::int64_t i = block * kSplats; i < end; ++i) {
            if (!(p.cutoffs[i] > S(0))) continue;  // culled
            const S* c = p.conics + 3 * i;
            Record<S>& out = records[i];
            out.mean = {p.means2d[2 * i], p.means2d[2 * i + 1]};
            out.log_alpha = log_alpha(Sym2<S>{c[0], c[1], c[2]}, p.opacities[i]);
            out.drop = S(kLog2E) * p.cutoffs[i];
            out.slope = ridge_slopes(Sym2<S>{c[0], c[1], c[2]});
            for (int k = 0; k < std::min(p.channels, kRecordColors); ++k)
                out.color[k] = p.colors[p.channels * i + k];
        }
    });
}

/// A splat in the list of a tile.
template <class S>
struct Instance {
    const Record<S>* record;
    std::int64_t splat;
    const S* color;   // [D]
    const S* screen;  // [F]
};

/// With `Gradient`, batches hold what the gradient of the waves needs.
template <class Kind, class S, bool Gradient>
class Tile {
  public:
    using Number = S;
    /// The pixels of a cell row by row, or a number of each cell.
    using Cell = Pack<S, kCellPixels>;
    static_assert(kCells == kCellPixels, "one type serves both");
    using Mask = typename Cell::Mask;
    using Turns = typename Kind::template Turns<Cell>;
    using Waves = typename Kind::template Waves<Cell>;
    static constexpr int kWaveNumbers = (Gradient ? 2 : 1) * Kind::kWaveNumbers;

    /// Some consecutive splats of the tile's list and the cells that they may touch. Taken through
    /// each step together: one splat alone has too few cells to keep a processor busy, which waits
    /// for each result to compute the next, and for each loop's end to know what follows.
    struct Batch {
        static constexpr int kSplats = 16, kRoom = (kSplats + 1) * kCells;

        int splats, items;
        std::int64_t first_slot;
        Instance<S> instances[kSplats];
        int first_item[kSplats + 1];
        Cell curvature[kSplats];
        Turns turns[kSplats];
        // A cell that a splat may touch, by splat.
        std::int32_t cell[kRoom], owner[kRoom];
        S value[kRoom], slope_x[kRoom], slope_y[kRoom];  // expansion about the cell's corner
        S waves[kWaveNumbers > 0 ? kWaveNumbers : 1][kRoom];
        Cell raw_alpha[kRoom];
        Cell envelope[kWaveNumbers > 0 && Gradient ? kRoom : 1];  // times opacity
        Cell weight[Gradient ? kRoom : 1];                        // for `blend` to use
    };

    Tile(const BlendParams<S>& p, const Record<S>* records, std::int64_t index)
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
        limits_ = {S(p.alpha_min), S(p.alpha_max), S(p.transmittance_min)};
        S x[kCellPixels], y[kCellPixels];
        for (int i = 0; i < kCellPixels; ++i) x[i] = S(i % kCellSize), y[i] = S(i / kCellSize);
        steps_ = {Cell::load(x), Cell::load(y)};
        for (int cell = 0; cell < kCells; ++cell) open_cell(cell);
    }

    /// Slot after the last one of the tile's list.
    std::int64_t last() const { return last_; }
    const Cell* transmittance() const { return transmittance_; }
    /// Pixels of a cell, from the mean of a splat.
    Vec2<Cell> offsets(const Record<S>& splat, int cell) const {
        Vec2<Cell> corner = {Cell(corner_x_[cell] - splat.mean.x),
                             Cell(corner_y_[cell] - splat.mean.y)};
        return corner + steps_;
    }
    /// Calls visit(lane, number of the pixel among those of all cameras, count) for the rows of a
    /// cell that are in the image: `count` pixels each, in consecutive lanes.
    template <class Visit>
    void for_rows(int cell, const Visit& visit) const {
        int x = cell % kCellsAcross * kCellSize, y = cell / kCellsAcross * kCellSize;
        int count = std::min(kCellSize, columns_ - x);
        for (int row = 0; row < std::min(kCellSize, rows_ - y); ++row)
            visit(row * kCellSize, (camera_ * p_.height + y0_ + y + row) * p_.width + x0_ + x,
                  count);
    }

    /// Takes the splats to the cells that they may touch, front to back, until no pixel is open;
    /// returns the slot after the last one that was looked at. `blend(tile, batch)` is called for
    /// every batch and shall call `contribute` for all of its items, in order.
    template <class Blend>
    std::int64_t walk(const Blend& blend) {
        Batch batch;
        std::int64_t slot = first_;
        while (slot < last_ && open_cells_ != 0) {
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

    /// Blends item number `i` of the batch.
    [[gnu::always_inline]] Contribution<Cell> contribute(const Batch& batch, int i) {
        int cell = batch.cell[i];
        Cell before = transmittance_[cell];
        Contribution<Cell> c = composite(batch.raw_alpha[i], before, open_[cell], limits_);
        transmittance_[cell] = select(c.blended, c.next, before);
        open_[cell] = still_open(open_[cell], c.counts, c.blended);
        if (!any(open_[cell])) open_cells_ &= ~(1u << cell);
        return c;
    }

    /// The waves of item number `i` at its cell's corner.
    [[gnu::always_inline]] static Waves waves(const Batch& batch, int i) {
        Waves out;
        if constexpr (kWaveNumbers > 0)
            for (int n = 0; n < kWaveNumbers; ++n) out.numbers[n] = Cell(batch.waves[n][i]);
        return out;
    }

  private:
    /// Opens the pixels of a cell that are inside the image.
    void open_cell(int cell) {
        int x = cell % kCellsAcross * kCellSize, y = cell / kCellsAcross * kCellSize;
        corner_x_[cell] = S(x0_ + x) + S(0.5);
        corner_y_[cell] = S(y0_ + y) + S(0.5);
        transmittance_[cell] = Cell(S(1));
        open_[cell] = (Cell(S(columns_ - x)) > steps_.x) & (Cell(S(rows_ - y)) > steps_.y);
        if (any(open_[cell])) open_cells_ |= 1u << cell;
    }

    void prefetch(std::int64_t splat) const {
        __builtin_prefetch(records_ + splat);
        if (Kind::kScreen > 0) __builtin_prefetch(p_.screen + Kind::kScreen * splat);
    }

    /// Lists the open cells that each splat may touch.
    void collect(Batch& batch) {
        batch.items = 0;
        for (int i = 0; i < batch.splats; ++i) {
            std::int64_t splat = p_.splat_ids[batch.first_slot + i];
            const Record<S>& record = records_[splat];
            const S* color =
                p_.channels <= kRecordColors ? record.color : p_.colors + p_.channels * splat;
            batch.instances[i] = {&record, splat, color, p_.screen + Kind::kScreen * splat};
            batch.curvature[i] = quadratic(record.log_alpha, steps_);
            batch.first_item[i] = batch.items;
            add_items(batch, i);
        }
        batch.first_item[batch.splats] = batch.items;
    }

    [[gnu::always_inline]] void add_items(Batch& batch, int i) {
        const Record<S>& splat = *batch.instances[i].record;
        Cell width(S(kCellSize - 1));
        Cell left = Cell::load(corner_x_) - Cell(splat.mean.x);
        Cell top = Cell::load(corner_y_) - Cell(splat.mean.y);
        Cell most = highest(splat.log_alpha, splat.slope, Vec2<Cell>{left, top},
                            Vec2<Cell>{left + width, top + width});
        unsigned cells = bits(most >= Cell(-splat.drop)) & open_cells_;

        int at = batch.items;
        batch.items += __builtin_popcount(cells);
        compress_numbers<S, kCells>(cells, batch.cell + at);
        std::fill_n(batch.owner + at, kCells, i);
        Expansion<Cell> corner = expand(splat.log_alpha, Vec2<Cell>{left, top});
        compress(cells, corner.value, batch.value + at);
        compress(cells, corner.slope.x, batch.slope_x + at);
        compress(cells, corner.slope.y, batch.slope_y + at);
        if constexpr (Kind::kWaves > 0) {
            if (cells == 0) return;
            const S* screen = batch.instances[i].screen;
            batch.turns[i] = Kind::turns(screen, steps_);
            Vec2<Cell> corners = {Cell::load(corner_x_), Cell::load(corner_y_)};
            Waves waves = Kind::waves_at(screen, corners);
            for (int n = 0; n < kWaveNumbers; ++n)
                compress(cells, waves.numbers[n], batch.waves[n] + at);
        }
    }

    void find_alpha(Batch& batch) const {
        for (int i = 0; i < batch.items; ++i) {
            int owner = batch.owner[i];
            Cell value = fma_(Cell(batch.slope_x[i]), steps_.x,
                              fma_(Cell(batch.slope_y[i]), steps_.y,
                                   Cell(batch.value[i]) + batch.curvature[owner]));
            Cell envelope = exp2_(value);
            if constexpr (Kind::kWaves > 0) {
                if (Gradient) batch.envelope[i] = envelope;
                envelope = envelope * Kind::modulation(batch.instances[owner].screen,
                                                       waves(batch, i), batch.turns[owner]);
            }
            batch.raw_alpha[i] = envelope;
        }
    }

    const BlendParams<S>& p_;
    const Record<S>* records_;
    std::int64_t camera_, first_, last_;
    int x0_, y0_, columns_, rows_;
    Thresholds<S> limits_;
    unsigned open_cells_ = 0;
    Vec2<Cell> steps_;  // from the top left pixel of a cell to all of its pixels
    Cell transmittance_[kCells];
    Mask open_[kCells];
    S corner_x_[kCells], corner_y_[kCells];  // [px], centre of the top left pixel
};

GABORSPLAT_END
