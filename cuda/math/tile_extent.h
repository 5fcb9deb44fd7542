// Which tiles of the image a splat touches.
#pragma once

#include "compositing.h"

GABORSPLAT_BEGIN

/// The ellipse conic <= level around a mean. R is float on GPUs, many of which take 64 times as
/// long over a double.
template <class R>
class Ellipse {
  public:
    HD Ellipse(Sym2<R> conic, R level) : xy_(conic.xy), inverse_xx_(R(1) / conic.xx) {
        // For a needle this cancels.
        determinant_ = R(double(conic.xx) * double(conic.yy) - double(conic.xy) * double(conic.xy));
        bounded_ = conic.xx > R(0) && determinant_ > R(0) && level < R(kUnbounded);
        if (!bounded_) return;
        R scale = level / determinant_;
        level_xx_ = level * conic.xx;
        tallest_ = sqrt_(scale * conic.xx);
        rightmost_y_ = -conic.xy / conic.yy * sqrt_(scale * conic.yy);
    }

    HD bool bounded() const { return bounded_; }

    /// Least and largest x [px from the mean] between y = low and y = high; false when the ellipse
    /// does not reach that band.
    HD bool between(R low, R high, R& left, R& right) const {
        low = max_(-tallest_, low), high = min_(tallest_, high);
        if (!(low <= high)) return false;
        R y = min_(max_(rightmost_y_, low), high);
        right = (half_width(y) - xy_ * y) * inverse_xx_;
        y = min_(max_(-rightmost_y_, low), high);
        left = (-half_width(y) - xy_ * y) * inverse_xx_;
        return left <= right;
    }

  private:
    static constexpr double kUnbounded = sizeof(R) == 4 ? 1e30 : 1e300;

    HD R half_width(R y) const { return sqrt_(max_(level_xx_ - determinant_ * y * y, R(0))); }

    R xy_, inverse_xx_, determinant_, level_xx_ = 0, tallest_ = 0, rightmost_y_ = 0;
    bool bounded_;
};

struct TileRange {
    int begin, end;

    HD int count() const { return end > begin ? end - begin : 0; }
};

/// The tiles of one splat, row by row.
template <class R>
class TileExtent {
  public:
    /// `radius` [px] and the conic [px^-2] about `mean` [px]; `cutoff` is the envelope power up to
    /// which it is seen. Without `exact`, all tiles of the box of the radius, by Inria's rule.
    HD TileExtent(Vec2<R> mean, Vec2<R> radius, Sym2<R> conic, R cutoff, bool exact, int across,
                  int down)
        : mean_(mean),
          across_(across),
          exact_(exact),
          ellipse_(conic, R(2) * cutoff),
          columns_(box(mean.x, radius.x, across)),
          rows_(box(mean.y, radius.y, down)) {}

    /// Rows that may have tiles.
    HD TileRange rows() const { return rows_; }

    /// The tiles of a row.
    HD TileRange of_row(int row) const {
        if (!exact_ || !ellipse_.bounded()) return columns_;
        R low = R(row * kTileSize) + R(0.5) - mean_.y, left, right;
        if (!ellipse_.between(low, low + R(kTileSize - 1), left, right)) return {0, 0};
        // Those that hold a pixel centre inside the box around the part of the ellipse in the row.
        left = mean_.x + left - slack(left), right = mean_.x + right + slack(right);
        return {clamped(ceil_((left + R(0.5)) / R(kTileSize)) - R(1), across_),
                clamped(floor_((right - R(0.5)) / R(kTileSize)) + R(1), across_)};
    }

    /// Calls visit(row, begin, end) for every row that has tiles.
    template <class Visit>
    HD void for_rows(const Visit& visit) const {
        for (int row = rows_.begin; row < rows_.end; ++row) {
            TileRange reached = of_row(row);
            if (reached.count() > 0) visit(row, reached.begin, reached.end);
        }
    }

  private:
    /// More than rounding moves the end of a row that is `x` from the mean, in pictures up to
    /// 16,000 across [px]. What it does to the ellipse's size is within the margin of the cutoff.
    HD static R slack(R x) { return sizeof(R) == 4 ? R(2e-3) + R(2e-6) * abs_(x) : R(0); }

    HD static int clamped(R value, int high) {
        return value < R(0) ? 0 : value > R(high) ? high : static_cast<int>(value);
    }

    /// Tiles along one axis that hold a pixel within `radius` of the centre. Pixel centres are at
    /// whole numbers here, as in Inria's code, whose rule for the last tile leaves out one that the
    /// radius enters by less than a pixel.
    HD TileRange box(R centre, R radius, int tiles) const {
        R low = centre - R(0.5) - radius, high = centre - R(0.5) + radius, size = R(kTileSize);
        R end = exact_ ? high / size + R(1) : (high + size - R(1)) / size;
        return {clamped(floor_(low / size), tiles), clamped(floor_(end), tiles)};
    }

    Vec2<R> mean_;
    int across_;
    bool exact_;
    Ellipse<R> ellipse_;
    TileRange columns_, rows_;
};

GABORSPLAT_END
