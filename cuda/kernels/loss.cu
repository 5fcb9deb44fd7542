// The loss (1 - w) L1 + w (1 - SSIM) of a picture and its gradient, in one pass: a block goes down
// a strip of the pictures, some rows a step. Blurs are separable. Down the columns, a thread is in
// charge of one number of a row and keeps what later rows add to, in registers; along the rows, it
// blurs four pixels of a channel, which lie side by side in shared memory.
#include "../math/similarity.h"
#include "../passes/loss.h"
#include "device.h"

GABORSPLAT_BEGIN

constexpr int kTaps = 2 * kSsimRadius + 1;
constexpr int kRows = 16 / int(sizeof(S));  // of a step; shared memory holds half as many doubles
constexpr int kSide = 4;                    // pixels that a thread blurs along a row
// What a strip's blur sees, and the blur of that, in whole groups of pixels [px].
constexpr int kComparedWidth = kStripWidth + 3 * kSide, kSeenWidth = kComparedWidth + 3 * kSide;
static_assert(kStripWidth % kSide == 0 && 2 * kSsimRadius <= 3 * kSide, "whole groups");
static_assert(3 * kSeenWidth <= kStripThreads, "a thread for every number of a row");

/// What the block's strip of the picture is. What lies beside it is seen, but belongs to others.
struct Strip {
    int left, top, bottom;

    HD bool owns_row(int y) const { return y >= top && y < bottom; }
};
HD Strip find_strip(const LossArguments<S>& p) {
    int rows = strip_height(p.width, p.height), top = int(blockIdx.y) * rows;
    return {int(blockIdx.x) * kStripWidth, top, top + rows < p.height ? top + rows : p.height};
}

/// Whether `x` is one of [0, size): one comparison.
HD bool within(int x, int size) { return unsigned(x) < unsigned(size); }

/// A channel of a column of pixels.
struct Column {
    int x, channel;

    /// Number `number` of a row of which `left` is the first pixel.
    HD Column(int left, int number) : x(left + number / 3), channel(number % 3) {}
    /// Where row `y` of a picture has it. The next row has it 3 width numbers later.
    HD std::int64_t at(const LossArguments<S>& p, int y) const {
        return std::int64_t(y) * (3 * p.width) + (3 * x + channel);
    }
};

/// What a column has in a step's rows; black where a pixel is masked or outside.
struct Numbers {
    S image[kRows], photo[kRows];
    bool valid[kRows];
};
HD Numbers read_numbers(const LossArguments<S>& p, const Column& column, int top) {
    Numbers out;
    const bool inside = within(column.x, p.width);
    const std::int64_t first = column.at(p, top);
    const int next = 3 * p.width;
    const S* image = p.image + first;
#pragma unroll
    for (int row = 0; row < kRows; ++row, image += next) {
        out.valid[row] = inside && within(top + row, p.height);
        out.image[row] = out.valid[row] ? *image : S(0);
    }
    if (p.photo_bytes) {
        const std::uint8_t* photo = p.photo_bytes + first;
#pragma unroll
        for (int row = 0; row < kRows; ++row, photo += next)
            out.photo[row] = S(out.valid[row] ? int(*photo) : 0) * S(1.0 / 255);
    } else {
        const S* photo = p.photo + first;
#pragma unroll
        for (int row = 0; row < kRows; ++row, photo += next)
            out.photo[row] = out.valid[row] ? *photo : S(0);
    }
    if (!p.mask) return out;
    const std::uint8_t* mask = p.mask + (std::int64_t(top) * p.width + column.x);
#pragma unroll
    for (int row = 0; row < kRows; ++row, mask += p.width) {
        if (out.valid[row]) out.valid[row] = *mask != 0;
        if (!out.valid[row]) out.image[row] = out.photo[row] = S(0);
    }
    return out;
}

/// Valid pixels of the picture. All lanes of a warp call it.
HD std::int64_t count_of_valid(const LossArguments<S>& p) {
    if (!p.mask) return std::int64_t(p.width) * p.height;
    int count = 0;
    for (int part = int(lane_number()); part < p.mask_parts; part += kWarp)
        count += p.mask_counts[part];
    for (int step = kWarp / 2; step > 0; step /= 2)
        count += __shfl_xor_sync(kAllLanes, count, step);
    return count;
}

/// Of `Count` numbers, blurred down a column: sums for the next rows, which have yet to see others.
template <int Count>
struct ColumnBlur {
    S pending[Count][kTaps - 1];

    /// Adds a row; gives the blurred one that lies kSsimRadius rows before it.
    HD void add(const S* row, S* blurred) {
#pragma unroll
        for (int n = 0; n < Count; ++n) {
            blurred[n] = fma_(S(ssim_tap(kSsimRadius)), row[n], pending[n][0]);
#pragma unroll
            for (int k = 1; k < kTaps - 1; ++k)
                pending[n][k - 1] = fma_(S(ssim_tap(kSsimRadius - k)), row[n], pending[n][k]);
            pending[n][kTaps - 2] = S(ssim_tap(-kSsimRadius)) * row[n];
        }
    }
};

/// Blurs along a row: kSide pixels, of which the first one's window begins at `at`.
template <class Rows>
HD Vec4 blur_along(const Rows& rows, int at) {
    static_assert(kSide == 4, "a Vec4");
    S seen[4 * kSide];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        Vec4 some = load_vec4(rows, at + i * kSide);
        for (int k = 0; k < kSide; ++k) seen[i * kSide + k] = some.of[k];
    }
    Vec4 sums;
#pragma unroll
    for (int i = 0; i < kSide; ++i) {
        sums.of[i] = S(0);
#pragma unroll
        for (int k = 0; k < kTaps; ++k)
            sums.of[i] = fma_(S(ssim_tap(k - kSsimRadius)), seen[i + k], sums.of[i]);
    }
    return sums;
}

/// Where in shared memory `Count` numbers of a step's rows lie, [kRows][Count][3][Width].
template <int Count, int Width>
HD int place(int row, int number, int channel, int x) {
    return ((row * Count + number) * 3 + channel) * Width + x;
}

// Phases of a step take fewer threads than there are. Where each begins is such that every fourth
// warp, which share a scheduler, have about as much to do as the others.
constexpr int kFirstToBlur = 3 * kWarp, kFirstToWrite = kWarp;

/// Which of a step's items, [kRows][3][groups], a thread takes. Its number is found again in every
/// step, as in all phases: what follows from it would take the registers of the blurs.
template <int Width>
struct Item {
    static constexpr int kGroups = Width / kSide;
    int row, channel, x;
    bool any;

    HD explicit Item(int number)
        : row(number / (3 * kGroups)),
          channel(number / kGroups % 3),
          x(number % kGroups * kSide),
          any(number < kRows * 3 * kGroups) {}
};

/// Notes a difference; `sums` are a row of those in the arguments.
HD void add_difference(S difference, S* sums) {
    sums[0] += abs_(difference);
    sums[2] = fma_(difference, difference, sums[2]);
}

/// What parts of the loss count for in the gradient, each over the number of valid numbers.
struct Weights {
    S l1, ssim;

    HD Weights(const LossArguments<S>& p, std::int64_t valid) {
        S scale = S(1) / S(3 * (valid > 0 ? valid : 1));
        l1 = S(1 - p.ssim_weight) * scale;
        ssim = S(p.ssim_weight) * scale;
    }
    /// Of the absolute difference.
    HD S sign(S image, S photo) const {
        return (image > photo ? l1 : S(0)) - (image < photo ? l1 : S(0));
    }
};

/// Reads the rows from `top` on; blurs the moments down the columns.
template <class Rows>
HD void read_rows(const LossArguments<S>& p, const Strip& strip, int top, ColumnBlur<4>& blur,
                  Rows& moments, S* sums) {
    const int left = strip.left - 2 * kSsimRadius;
    const Column column(left, keep_in_register(int(threadIdx.x)));
    if (column.x >= left + kSeenWidth) return;
    const Numbers numbers = read_numbers(p, column, top);
    const bool own = within(column.x - strip.left, kStripWidth);
#pragma unroll
    for (int row = 0; row < kRows; ++row) {
        S a = numbers.image[row], b = numbers.photo[row];
        if (own && strip.owns_row(top + row)) add_difference(a - b, sums);
        S found[4] = {a, b, fma_(a, a, b * b), a * b}, blurred[4];
        blur.add(found, blurred);
#pragma unroll
        for (int n = 0; n < 4; ++n)
            moments[place<4, kSeenWidth>(row, n, column.channel, column.x - left)] = blurred[n];
    }
}

/// 1 / x, right but for a unit or two in the last place.
struct QuickReciprocal {
    HD S operator()(S x) const { return divide(S(1), x); }
};

/// Compares the rows from `top` on.
template <class Rows, class ComparedRows>
HD void compare_rows(const LossArguments<S>& p, const Strip& strip, int top, const Rows& moments,
                     ComparedRows& derivatives, S* sums) {
    const Item<kComparedWidth> item(keep_in_register(int(threadIdx.x)));
    if (!item.any) return;
    Vec4 blurred[4], found[3];
#pragma unroll
    for (int n = 0; n < 4; ++n)
        blurred[n] = blur_along(moments, place<4, kSeenWidth>(item.row, n, item.channel, item.x));
    const int y = top + item.row;
    const int left = strip.left - kSsimRadius + item.x;
    const bool own = strip.owns_row(y);
    bool valid[kSide];
#pragma unroll
    for (int i = 0; i < kSide; ++i) valid[i] = within(y, p.height) && within(left + i, p.width);
    if (p.mask) {
        const std::uint8_t* mask = p.mask + (std::int64_t(y) * p.width + left);
#pragma unroll
        for (int i = 0; i < kSide; ++i)
            if (valid[i]) valid[i] = mask[i] != 0;
    }
#pragma unroll
    for (int i = 0; i < kSide; ++i) {
        Similarity<S> s = similarity(
            Moments<S>{blurred[0].of[i], blurred[1].of[i], blurred[2].of[i], blurred[3].of[i]},
            QuickReciprocal());
        bool counts = valid[i] && own && within(item.x + i - kSsimRadius, kStripWidth);
        sums[1] += counts ? s.value : S(0);
        found[0].of[i] = valid[i] ? s.v_x : S(0);
        found[1].of[i] = valid[i] ? s.v_energy : S(0);
        found[2].of[i] = valid[i] ? s.v_product : S(0);
    }
#pragma unroll
    for (int n = 0; n < 3; ++n)
        store_vec4(derivatives, place<3, kComparedWidth>(item.row, n, item.channel, item.x),
                   found[n]);
}

/// Blurs the derivatives along the rows.
template <class Rows, class BlurredRows>
HD void blur_rows(const Rows& derivatives, BlurredRows& blurred) {
    const int thread = keep_in_register(int(threadIdx.x));
    const Item<kStripWidth> item((thread + kStripThreads - kFirstToBlur) % kStripThreads);
    if (!item.any) return;
#pragma unroll
    for (int n = 0; n < 3; ++n)
        store_vec4(
            blurred, place<3, kStripWidth>(item.row, n, item.channel, item.x),
            blur_along(derivatives, place<3, kComparedWidth>(item.row, n, item.channel, item.x)));
}

/// Blurs the derivatives down the columns; writes the gradient of the rows from `top` on. Blurring
/// is its own adjoint: the window is symmetric, and black lies around the picture.
template <class Rows>
HD void write_rows(const LossArguments<S>& p, const Strip& strip, int top, const Weights& weights,
                   ColumnBlur<3>& blur, const Rows& blurred) {
    const int number = keep_in_register(int(threadIdx.x)) - kFirstToWrite;
    if (!within(number, 3 * kStripWidth)) return;
    const Column column(strip.left, number);
    const Numbers numbers = read_numbers(p, column, top);
    S* gradient = p.gradient + column.at(p, top);
#pragma unroll
    for (int row = 0; row < kRows; ++row, gradient += 3 * p.width) {
        S along[3], found[3];
#pragma unroll
        for (int n = 0; n < 3; ++n)
            along[n] =
                blurred[place<3, kStripWidth>(row, n, column.channel, column.x - strip.left)];
        blur.add(along, found);
        S a = numbers.image[row], b = numbers.photo[row];
        S similar = fma_(b, found[2], fma_(S(2) * a, found[1], found[0]));
        S v = fma_(-weights.ssim, similar, weights.sign(a, b));
        if (column.x < p.width && strip.owns_row(top + row))
            *gradient = numbers.valid[row] ? v : S(0);
    }
}

/// The strip's absolute differences alone.
HD void compare_numbers(const LossArguments<S>& p, const Strip& strip, const Weights& weights,
                        S* sums) {
    if (int(threadIdx.x) >= 3 * kStripWidth) return;
    const Column column(strip.left, int(threadIdx.x));
    for (int y = strip.top; y < strip.bottom; y += kRows) {
        const Numbers numbers = read_numbers(p, column, y);
#pragma unroll
        for (int row = 0; row < kRows; ++row) {
            if (column.x >= p.width || y + row >= strip.bottom) continue;
            S a = numbers.image[row], b = numbers.photo[row];
            add_difference(a - b, sums);
            if (p.gradient) p.gradient[column.at(p, y + row)] = weights.sign(a, b);
        }
    }
}

/// Adds up `Count` numbers over the block; the first thread gets the totals.
template <int Count, class Shared>
HD void sum_over_block(Shared& shared, S* numbers) {
    S total = WarpSums<Count>::add(numbers);
    int owned = WarpSums<Count>::owned_sum();
    if (owned >= 0) shared[threadIdx.x / kWarp * Count + owned] = total;
    __syncthreads();
    if (threadIdx.x != 0) return;
    for (int n = 0; n < Count; ++n) {
        numbers[n] = S(0);
        for (int warp = 0; warp < kStripThreads / kWarp; ++warp)
            numbers[n] += shared[warp * Count + n];
    }
}

KERNEL(count_valid, LossArguments<S>, kNumberThreads) {
    SHARED(int, partial, kNumberThreads / kWarp);
    const std::int64_t pixels = std::int64_t(p.width) * p.height;
    int count = 0;
    for (std::int64_t i = thread_number(); i < pixels; i += std::int64_t(gridDim.x) * blockDim.x)
        count += p.mask[i] != 0 ? 1 : 0;
    for (int step = kWarp / 2; step > 0; step /= 2)
        count += __shfl_xor_sync(kAllLanes, count, step);
    if (lane_number() == 0) partial[threadIdx.x / kWarp] = count;
    __syncthreads();
    if (threadIdx.x != 0) return;
    count = 0;
    for (int warp = 0; warp < kNumberThreads / kWarp; ++warp) count += partial[warp];
    p.mask_counts[blockIdx.x] = count;
}

KERNEL(compare_pictures, LossArguments<S>, kStripThreads) {
    SHARED(S, moments, kRows * 4 * 3 * kSeenWidth);
    SHARED(S, derivatives, kRows * 3 * 3 * kComparedWidth);
    SHARED(S, blurred, kRows * 3 * 3 * kStripWidth);
    SHARED(S, partial, 3 * kStripThreads / kWarp);
    const Strip strip = find_strip(p);
    const Weights weights(p, count_of_valid(p));
    S sums[3] = {};
    if (p.ssim_weight > 0) {
        ColumnBlur<4> moment_blur = {};
        ColumnBlur<3> derivative_blur = {};
        // A step reads rows down to 10 below the strip, compares those that lie 5 before them, and
        // writes, after the next barrier, the gradient of those that lie 5 before these.
        const int end = strip.bottom + 2 * kSsimRadius;
        for (int y = strip.top - 2 * kSsimRadius; y < end + kRows; y += kRows) {
            const bool compared = y > strip.top;  // by the step before
            if (y < end) read_rows(p, strip, y, moment_blur, moments, sums);
            if (p.gradient && compared) blur_rows(derivatives, blurred);
            __syncthreads();
            if (y < end && y + kRows > strip.top)
                compare_rows(p, strip, y - kSsimRadius, moments, derivatives, sums);
            if (p.gradient && compared)
                write_rows(p, strip, y - kRows - 2 * kSsimRadius, weights, derivative_blur,
                           blurred);
            __syncthreads();
        }
    } else {
        compare_numbers(p, strip, weights, sums);
    }
    sum_over_block<3>(partial, sums);
    if (threadIdx.x != 0) return;
    S* out = p.sums + 3 * (std::int64_t(blockIdx.y) * gridDim.x + blockIdx.x);
    for (int n = 0; n < 3; ++n) out[n] = sums[n];
}

/// Adds up the sums of all strips, in one block and double precision.
KERNEL(finish_loss, LossArguments<S>, kNumberThreads) {
    SHARED(double, partial, 3 * kNumberThreads / kWarp);
    const std::int64_t valid = count_of_valid(p);
    double sums[3] = {};
    for (int part = int(threadIdx.x); part < p.parts; part += kNumberThreads)
        for (int n = 0; n < 3; ++n) sums[n] += double(p.sums[3 * std::int64_t(part) + n]);
    for (int n = 0; n < 3; ++n) {
        for (int step = kWarp / 2; step > 0; step /= 2)
            sums[n] += __shfl_xor_sync(kAllLanes, sums[n], step);
        if (lane_number() == 0) partial[threadIdx.x / kWarp * 3 + n] = sums[n];
    }
    __syncthreads();
    if (threadIdx.x != 0) return;
    for (int n = 0; n < 3; ++n) {
        sums[n] = 0;
        for (int warp = 0; warp < kNumberThreads / kWarp; ++warp) sums[n] += partial[3 * warp + n];
    }
    store_means(sums, double(valid), p.ssim_weight, p.means);
}

GABORSPLAT_END
