// The loss (1 - w) L1 + w (1 - SSIM) of a picture and its gradient. Both blurs are separable; the
// channels of a pixel lie side by side, so that a row of numbers is blurred with a stride of 3.
#pragma once

#include <algorithm>
#include <vector>

#include "../math/similarity.h"
#include "../passes/loss.h"
#include "../simd/pack_math.h"
#include "../threads/scratch.h"
#include "../threads/thread_pool.h"

GABORSPLAT_BEGIN

template <class S>
class PhotometricLoss {
  public:
    using V = Pack<S, kLanes<S>>;

    explicit PhotometricLoss(const LossArguments<S>& p)
        : p_(p),
          row_((3 * p.width + V::kSize - 1) / V::kSize * V::kSize),
          pitch_(row_ + 2 * kMargin),
          planes_(std::size_t(kPlanes) * (p.height + 2 * kSsimRadius) * pitch_) {
        for (int k = 0; k < kTaps; ++k) taps_[k] = S(ssim_tap(k - kSsimRadius));
    }

    void run() {
        double valid = 0;
        for (std::int64_t i = 0; p_.mask && i < std::int64_t(p_.width) * p_.height; ++i)
            valid += p_.mask[i] ? 1 : 0;
        if (!p_.mask) valid = double(p_.width) * p_.height;
        weight_ = S(1.0 / (3 * std::max(valid, 1.0)));
        for_rows(-kSsimRadius, p_.height + kSsimRadius, [&](int y) { load_row(y); });
        std::vector<RowSums> rows(p_.height);
        for_rows(0, p_.height, [&](int y) { rows[y] = compare_row(y); });
        if (p_.gradient) for_rows(0, p_.height, [&](int y) { find_gradient(y); });
        double sums[3] = {};
        for (const RowSums& row : rows)
            for (int n = 0; n < 3; ++n) sums[n] += row.of[n];
        store_means(sums, valid, p_.ssim_weight, p_.means);
    }

  private:
    struct RowSums {
        double of[3];  // L1, similarity, squares
    };

    static constexpr int kTaps = 2 * kSsimRadius + 1;
    static constexpr int kMargin = (3 * kSsimRadius + V::kSize - 1) / V::kSize * V::kSize;
    // Picture and photo, black outside and where masked; then the derivatives of the similarity.
    enum { kImage, kPhoto, kVX, kVEnergy, kVProduct, kPlanes };

    template <class Body>
    void for_rows(int begin, int end, const Body& body) {
        constexpr int kRows = 8;  // a thread takes at a time
        parallel_for((end - begin + kRows - 1) / kRows, [&](std::int64_t block) {
            int first = begin + int(block) * kRows;
            for (int y = first; y < std::min(end, first + kRows); ++y) body(y);
        });
    }

    /// Row y of a plane, from its first pixel on; there are margins on all sides.
    S* row(int plane, int y) {
        std::int64_t at = std::int64_t(plane) * (p_.height + 2 * kSsimRadius) + y + kSsimRadius;
        return planes_.data() + at * pitch_ + kMargin;
    }
    bool valid(int y, int x) const { return !p_.mask || p_.mask[std::int64_t(y) * p_.width + x]; }

    void load_row(int y) {
        for (int plane = 0; plane < kPlanes; ++plane)
            std::fill_n(row(plane, y) - kMargin, pitch_, S(0));
        if (y < 0 || y >= p_.height) return;
        std::int64_t start = std::int64_t(y) * p_.width * 3;
        S *image = row(kImage, y), *photo = row(kPhoto, y);
        std::copy_n(p_.image + start, 3 * p_.width, image);
        if (p_.photo)
            std::copy_n(p_.photo + start, 3 * p_.width, photo);
        else
            for (int i = 0; i < 3 * p_.width; ++i) photo[i] = S(p_.photo_bytes[start + i]) / S(255);
        if (!p_.mask) return;
        for (int i = 0; i < 3 * p_.width; ++i)
            if (!valid(y, i / 3)) image[i] = photo[i] = S(0);
    }

    /// Blurs `Count` numbers down the columns, which moments(x, out) finds from those of `Planes`
    /// planes from number `first` on.
    template <int Planes, int Count, class Moments>
    void blur_columns(int y, int first, S* const* out, const Moments& moments) {
        const S* from[Planes][kTaps];
        for (int n = 0; n < Planes; ++n)
            for (int k = 0; k < kTaps; ++k) from[n][k] = row(first + n, y + k - kSsimRadius);
        for (int i = 0; i < row_; i += V::kSize) {
            V sum[Count] = {};
            for (int k = 0; k < kTaps; ++k) {
                V x[Planes], found[Count];
                for (int n = 0; n < Planes; ++n) x[n] = V::load(from[n][k] + i);
                moments(x, found);
                for (int n = 0; n < Count; ++n) sum[n] = fma_(V(taps_[k]), found[n], sum[n]);
            }
            for (int n = 0; n < Count; ++n) sum[n].store(out[n] + i);
        }
    }
    /// Blurs along the row, at the numbers from `i` on.
    V blur_row(const S* blurred, int i) const {
        V sum(S(0));
        for (int k = 0; k < kTaps; ++k)
            sum = fma_(V(taps_[k]), V::load(blurred + i + 3 * (k - kSsimRadius)), sum);
        return sum;
    }

    template <int Count>
    struct Lines {
        Scratch<S> memory;
        S* of[Count];
        explicit Lines(int pitch) : memory(Count * pitch) {
            std::fill_n(memory.data(), Count * pitch, S(0));
            for (int n = 0; n < Count; ++n) of[n] = memory.data() + n * pitch + kMargin;
        }
    };

    RowSums compare_row(int y) {
        Lines<4> lines(pitch_);
        if (p_.ssim_weight > 0)
            blur_columns<2, 4>(y, kImage, lines.of, [](const V* x, V* out) {
                out[0] = x[0];
                out[1] = x[1];
                out[2] = fma_(x[0], x[0], x[1] * x[1]);
                out[3] = x[0] * x[1];
            });
        V l1(S(0)), similar(S(0)), squares(S(0));
        for (int i = 0; i < row_; i += V::kSize) {
            // Both are black outside.
            V difference = V::load(row(kImage, y) + i) - V::load(row(kPhoto, y) + i);
            l1 = l1 + abs_(difference);
            squares = fma_(difference, difference, squares);
            if (p_.ssim_weight > 0) similar = similar + compare(y, i, lines.of);
        }
        return {{sum(l1), sum(similar), sum(squares)}};
    }

    /// Similarity of the numbers from `i` on; notes its derivatives. All are zero outside.
    V compare(int y, int i, S* const* lines) {
        Similarity<V> s = similarity(Moments<V>{blur_row(lines[0], i), blur_row(lines[1], i),
                                                blur_row(lines[2], i), blur_row(lines[3], i)});
        s.v_x.store(row(kVX, y) + i);
        s.v_energy.store(row(kVEnergy, y) + i);
        s.v_product.store(row(kVProduct, y) + i);
        return inside(i) ? s.value : cleared(y, i, s.value);
    }
    /// Whether all numbers of a pack belong to valid pixels, as far as can be told at a glance.
    bool inside(int i) const { return !p_.mask && i + V::kSize <= 3 * p_.width; }
    V cleared(int y, int i, V similarity) {
        S lanes[V::kSize];
        similarity.store(lanes);
        for (int n = i; n < i + V::kSize; ++n)
            if (n >= 3 * p_.width || !valid(y, n / 3))
                row(kVX, y)[n] = row(kVEnergy, y)[n] = row(kVProduct, y)[n] = lanes[n - i] = S(0);
        return V::load(lanes);
    }

    /// Blurring is its own adjoint: the window is symmetric and the margins are zero.
    void find_gradient(int y) {
        Lines<3> lines(pitch_);
        if (p_.ssim_weight > 0)
            blur_columns<3, 3>(y, kVX, lines.of,
                               [](const V* x, V* out) { std::copy_n(x, 3, out); });
        S* out = p_.gradient + std::int64_t(y) * p_.width * 3;
        V l1_weight(S(1 - p_.ssim_weight) * weight_), ssim_weight(S(-p_.ssim_weight) * weight_);
        V zero(S(0));
        S lanes[V::kSize];
        for (int i = 0; i < row_; i += V::kSize) {
            V x = V::load(row(kImage, y) + i), photo = V::load(row(kPhoto, y) + i);
            V g = select(x > photo, l1_weight, zero) - select(x < photo, l1_weight, zero);
            if (p_.ssim_weight > 0) {
                V v = blur_row(lines.of[0], i) + V(S(2)) * x * blur_row(lines.of[1], i) +
                      photo * blur_row(lines.of[2], i);
                g = fma_(ssim_weight, v, g);
            }
            if (inside(i)) {
                g.store(out + i);
                continue;
            }
            g.store(lanes);
            for (int lane = 0; lane < std::min(V::kSize, 3 * p_.width - i); ++lane)
                out[i + lane] = valid(y, (i + lane) / 3) ? lanes[lane] : S(0);
        }
    }

    const LossArguments<S>& p_;
    int row_, pitch_;  // numbers of a row, in whole packs; and with its margins
    Scratch<S> planes_;
    S taps_[kTaps];
    S weight_;
};

template <class S>
void photometric_loss(const LossArguments<S>& p) {
    PhotometricLoss<S>(p).run();
}

GABORSPLAT_END
