// Which tiles of the image a splat touches.
#pragma once

#include "compositing.h"

GABORSPLAT_BEGIN

/// The ellipse conic <= level around a mean. In double: for a needle, the determinant cancels.
class Ellipse {
  public:
    HD Ellipse(double xx, double xy, double yy, double level) : xy_(xy), inverse_xx_(1 / xx) {
        determinant_ = xx * yy - xy * xy;
        bounded_ = xx > 0 && determinant_ > 0 && level < kUnbounded;
        if (!bounded_) return;
        double scale = level / determinant_;
        reach_ = level * xx;
        tallest_ = sqrt_(scale * xx);
        rightmost_y_ = -xy / yy * sqrt_(scale * yy);
    }

    HD bool bounded() const { return bounded_; }

    /// Least and largest x [px from the mean] between y = low and y = high; false when the ellipse
    /// does not reach that band.
    HD bool between(double low, double high, double& left, double& right) const {
        low = max_(-tallest_, low), high = min_(tallest_, high);
        if (!(low <= high)) return false;
        double y = min_(max_(rightmost_y_, low), high);
        right = (half_width(y) - xy_ * y) * inverse_xx_;
        y = min_(max_(-rightmost_y_, low), high);
        left = (-half_width(y) - xy_ * y) * inverse_xx_;
        return left <= right;
    }

  private:
    static constexpr double kUnbounded = 1e300;

    HD double half_width(double y) const { return sqrt_(max_(reach_ - determinant_ * y * y, 0.0)); }

    double xy_, inverse_xx_, determinant_, reach_ = 0, tallest_ = 0, rightmost_y_ = 0;
    bool bounded_;
};

struct TileRange {
    int begin, end;
};

/// The tiles of one splat, row by row.
class TileExtent {
  public:
    /// `radius` [px] and the conic [px^-2] about `mean` [px]; `cutoff` is the envelope power up to
    /// which it is seen. Without `exact`, all tiles of the box of the radius, by Inria's rule.
    HD TileExtent(Vec2<double> mean, Vec2<double> radius, Sym2<double> conic, double cutoff,
                  bool exact, int across, int down)
        : mean_(mean),
          across_(across),
          exact_(exact),
          ellipse_(conic.xx, conic.xy, conic.yy, 2 * cutoff),
          columns_(box(mean.x, radius.x, across)),
          rows_(box(mean.y, radius.y, down)) {}

    /// Calls visit(row, begin, end) for every row that has tiles.
    template <class Visit>
    HD void for_rows(const Visit& visit) const {
        bool test = exact_ && ellipse_.bounded();
        for (int row = rows_.begin; row < rows_.end; ++row) {
            TileRange reached = test ? reached_in(row * kTileSize + 0.5 - mean_.y) : columns_;
            if (reached.begin < reached.end) visit(row, reached.begin, reached.end);
        }
    }

  private:
    HD static int clamped(double value, int high) {
        return value < 0 ? 0 : value > high ? high : static_cast<int>(value);
    }

    /// Tiles along one axis that hold a pixel within `radius` of the centre. Pixel centres are at
    /// whole numbers here, as in Inria's code, whose rule for the last tile leaves out one that the
    /// radius enters by less than a pixel.
    HD TileRange box(double centre, double radius, int tiles) const {
        double low = centre - 0.5 - radius, high = centre - 0.5 + radius;
        double end = exact_ ? high / kTileSize + 1 : (high + kTileSize - 1) / kTileSize;
        return {clamped(floor_(low / kTileSize), tiles), clamped(floor_(end), tiles)};
    }

    /// Tiles of one row, whose first pixel centres lie `low` below the mean, that hold a pixel
    /// centre inside the box around the part of the ellipse in that row.
    HD TileRange reached_in(double low) const {
        double left, right;
        if (!ellipse_.between(low, low + kTileSize - 1, left, right)) return {0, 0};
        return {clamped(ceil_((mean_.x + left + 0.5) / kTileSize) - 1, across_),
                clamped(floor_((mean_.x + right - 0.5) / kTileSize) + 1, across_)};
    }

    Vec2<double> mean_;
    int across_;
    bool exact_;
    Ellipse ellipse_;
    TileRange columns_, rows_;
};

GABORSPLAT_END
