#include "bin.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <type_traits>
#include <utility>

#include "../math/compositing.h"

namespace gaborsplat {
namespace {

/// A run of tiles in one tile row that one splat touches.
struct Span {
    std::int32_t splat;
    std::int32_t tile;  // first one, counted over all cameras
    std::int32_t count;
};

/// Indices of the visible splats of one camera by ascending depth: radix sort of the float's bits,
/// whose order is that of the values since depths are positive.
template <class S>
std::vector<std::int32_t> by_depth(const BinParams<S>& p, std::int64_t camera) {
    using Key = std::conditional_t<sizeof(S) == 4, std::uint32_t, std::uint64_t>;
    struct Entry {
        Key key;
        std::int32_t splat;
    };
    std::vector<Entry> entries, sorted;
    for (std::int64_t i = 0; i < p.splats; ++i) {
        std::int64_t at = camera * p.splats + i;
        if (p.radii[2 * at] == 0) continue;
        Key key;
        std::memcpy(&key, p.depths + at, sizeof key);
        entries.push_back({key, static_cast<std::int32_t>(at)});
    }
    constexpr int kDigit = 11;
    sorted.resize(entries.size());
    for (unsigned shift = 0; shift < 8 * sizeof(Key); shift += kDigit) {
        std::int64_t places[1 << kDigit] = {};
        auto digit = [&](const Entry& e) { return (e.key >> shift) & ((1 << kDigit) - 1); };
        for (const Entry& e : entries) ++places[digit(e)];
        std::int64_t next = 0;
        for (std::int64_t& place : places) next += std::exchange(place, next);
        for (const Entry& e : entries) sorted[places[digit(e)]++] = e;
        entries.swap(sorted);
    }
    std::vector<std::int32_t> order(entries.size());
    for (std::size_t k = 0; k < entries.size(); ++k) order[k] = entries[k].splat;
    return order;
}

/// The ellipse conic <= 2 cutoff around a mean. In double: for a needle, det(conic) cancels.
struct Ellipse {
    double xx, xy, yy, level, determinant;

    bool bounded() const { return xx > 0 && determinant > 0 && std::isfinite(level); }
    Ellipse mirrored() const { return {xx, -xy, yy, level, determinant}; }

    /// Largest x [px from the mean] that the ellipse reaches between y = low and y = high; negative
    /// infinity when it does not reach that band at all.
    double right(double low, double high) const {
        double tallest = std::sqrt(level * xx / determinant);
        low = std::max(low, -tallest), high = std::min(high, tallest);
        if (!(low <= high)) return -INFINITY;
        double y = -xy / yy * std::sqrt(level * yy / determinant);  // where x is largest
        y = std::min(std::max(y, low), high);
        return (-xy * y + std::sqrt(std::max(0.0, level * xx - determinant * y * y))) / xx;
    }
};

int clamped(double value, int low, int high) {
    return value < low ? low : value > high ? high : static_cast<int>(value);
}

template <class S>
class Binner {
  public:
    explicit Binner(const BinParams<S>& p)
        : p_(p),
          across_((p.width + kTileSize - 1) / kTileSize),
          down_((p.height + kTileSize - 1) / kTileSize) {}

    Bins run() {
        Bins bins;
        bins.first_slot.assign(p_.cameras * p_.splats + 1, 0);
        for (std::int64_t camera = 0; camera < p_.cameras; ++camera)
            for (std::int32_t splat : by_depth(p_, camera)) add_spans(splat, camera, bins);
        for (std::size_t i = 1; i < bins.first_slot.size(); ++i)
            bins.first_slot[i] += bins.first_slot[i - 1];
        scatter(bins);
        return bins;
    }

  private:
    /// Notes the tiles of one splat, and their number at first_slot[splat + 1]. Counting and
    /// emitting read the same spans, so they cannot disagree.
    void add_spans(std::int32_t splat, std::int64_t camera, Bins& bins) {
        double x = p_.means2d[2 * splat], y = p_.means2d[2 * splat + 1];
        Range columns = box(x, p_.radii[2 * splat], across_);
        Range rows = box(y, p_.radii[2 * splat + 1], down_);
        const S* conic = p_.conics + 3 * splat;
        double xx = conic[0], xy = conic[1], yy = conic[2];
        Ellipse ellipse = {xx, xy, yy, 2.0 * p_.cutoffs[splat], xx * yy - xy * xy};
        bool test = p_.tile_test && ellipse.bounded();
        for (int row = rows.begin; row < rows.end; ++row) {
            Range reached = test ? tiles_reached(ellipse, x, row * kTileSize + 0.5 - y) : columns;
            if (reached.begin >= reached.end) continue;
            int tile = static_cast<int>((camera * down_ + row) * across_) + reached.begin;
            spans_.push_back({splat, tile, reached.end - reached.begin});
            bins.first_slot[splat + 1] += reached.end - reached.begin;
        }
    }

    struct Range {
        int begin, end;
    };

    /// Tiles along one axis that hold a pixel within `radius` of the centre. Pixel centres are at
    /// whole numbers here, as in Inria's code, whose rule for the last tile (`three_sigma`) leaves
    /// out one that the radius enters by less than a pixel.
    Range box(double centre, double radius, int tiles) const {
        double low = centre - 0.5 - radius, high = centre - 0.5 + radius;
        double end = p_.tile_test ? high / kTileSize + 1 : (high + kTileSize - 1) / kTileSize;
        return {clamped(std::floor(low / kTileSize), 0, tiles), clamped(std::floor(end), 0, tiles)};
    }

    /// Tiles of one row, whose first pixel centres lie `low` below the mean at `x`, that hold a
    /// pixel centre inside the box around the part of the ellipse in that row.
    Range tiles_reached(const Ellipse& ellipse, double x, double low) const {
        double high = low + kTileSize - 1;
        double right = ellipse.right(low, high), left = -ellipse.mirrored().right(low, high);
        if (!(left <= right)) return {0, 0};
        return {clamped(std::ceil((x + left + 0.5) / kTileSize) - 1, 0, across_),
                clamped(std::floor((x + right - 0.5) / kTileSize) + 1, 0, across_)};
    }

    /// Counting sort by tile; stable, so each tile keeps the order of depth.
    void scatter(Bins& bins) const {
        bins.offsets.assign(p_.cameras * down_ * across_ + 1, 0);
        for (const Span& span : spans_)
            for (int k = 0; k < span.count; ++k) ++bins.offsets[span.tile + k + 1];
        for (std::size_t i = 1; i < bins.offsets.size(); ++i)
            bins.offsets[i] += bins.offsets[i - 1];
        bins.splat_ids.resize(bins.offsets.back());
        bins.slots.resize(bins.offsets.back());
        std::vector<std::int64_t> place(bins.offsets.begin(), bins.offsets.end() - 1);
        std::vector<std::int64_t> slot(bins.first_slot.begin(), bins.first_slot.end() - 1);
        for (const Span& span : spans_)
            for (int k = 0; k < span.count; ++k) {
                std::int64_t at = place[span.tile + k]++;
                bins.splat_ids[at] = span.splat;
                bins.slots[at] = slot[span.splat]++;
            }
    }

    const BinParams<S>& p_;
    int across_, down_;
    std::vector<Span> spans_;
};

}  // namespace

template <class S>
Bins bin(const BinParams<S>& params) {
    return Binner<S>(params).run();
}
template Bins bin(const BinParams<float>&);
template Bins bin(const BinParams<double>&);

}  // namespace gaborsplat
