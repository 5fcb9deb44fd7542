// The loss (1 - w) L1 + w (1 - SSIM) of a picture and its gradient: a pixel a thread, a block a
// square of the picture. Blurs are separable, along rows first.
#include "../math/similarity.h"
#include "../passes/loss.h"
#include "device.h"

GABORSPLAT_BEGIN

constexpr int kTaps = 2 * kSsimRadius + 1;
constexpr int kPadded = kSquareSize + 2 * kSsimRadius;  // of what a square's blur sees

/// Where the square of this block begins and this thread's pixel is.
struct Pixel {
    int left, top, x, y;
};
HD Pixel find_pixel() {
    int left = int(blockIdx.x) * kSquareSize, top = int(blockIdx.y) * kSquareSize;
    return {left, top, left + int(threadIdx.x) % kSquareSize, top + int(threadIdx.x) / kSquareSize};
}

HD S photo_at(const LossArguments<S>& p, std::int64_t i) {
    return p.photo_bytes ? S(p.photo_bytes[i]) / S(255) : p.photo[i];
}

HD bool is_valid(const LossArguments<S>& p, int x, int y) {
    if (x < 0 || y < 0 || x >= p.width || y >= p.height) return false;
    return !p.mask || p.mask[std::int64_t(y) * p.width + x] != 0;
}
HD std::int64_t number_of(const LossArguments<S>& p, int x, int y, int channel) {
    return 3 * (std::int64_t(y) * p.width + x) + channel;
}

/// Blurs `Count` numbers at this thread's pixel of those that `plane` holds,
/// [Count][kPadded][kPadded]; `rows` is [Count][kPadded][kSquareSize]. All threads of the block
/// call it.
template <int Count, class Plane, class Rows>
HD void blur(Plane& plane, Rows& rows, S* out) {
    for (int i = int(threadIdx.x); i < kPadded * kSquareSize; i += kSquareThreads) {
        int y = i / kSquareSize, x = i % kSquareSize;
        for (int n = 0; n < Count; ++n) {
            S sum = S(0);
            for (int k = 0; k < kTaps; ++k)
                sum = fma_(S(ssim_tap(k - kSsimRadius)),
                           S(plane[(n * kPadded + y) * kPadded + x + k]), sum);
            rows[(n * kPadded + y) * kSquareSize + x] = sum;
        }
    }
    __syncthreads();
    int x = int(threadIdx.x) % kSquareSize, y = int(threadIdx.x) / kSquareSize;
    for (int n = 0; n < Count; ++n) {
        out[n] = S(0);
        for (int k = 0; k < kTaps; ++k)
            out[n] = fma_(S(ssim_tap(k - kSsimRadius)),
                          S(rows[(n * kPadded + y + k) * kSquareSize + x]), out[n]);
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
        for (int warp = 0; warp < kSquareThreads / kWarp; ++warp)
            numbers[n] += shared[warp * Count + n];
    }
}

KERNEL(compare_pictures, LossArguments<S>, kSquareThreads) {
    SHARED(S, plane, 4 * kPadded * kPadded);
    SHARED(S, rows, 4 * kPadded * kSquareSize);
    SHARED(S, partial, 4 * kSquareThreads / kWarp);
    const Pixel pixel = find_pixel();
    const bool valid = is_valid(p, pixel.x, pixel.y);
    S sums[4] = {S(0), S(0), S(0), S(valid ? 1 : 0)};
    for (int channel = 0; channel < 3; ++channel) {
        for (int i = int(threadIdx.x); i < kPadded * kPadded; i += kSquareThreads) {
            int x = pixel.left + i % kPadded - kSsimRadius,
                y = pixel.top + i / kPadded - kSsimRadius;
            bool seen = is_valid(p, x, y);  // both are black where not
            S a = seen ? p.image[number_of(p, x, y, channel)] : S(0);
            S b = seen ? photo_at(p, number_of(p, x, y, channel)) : S(0);
            plane[i] = a;
            plane[kPadded * kPadded + i] = b;
            plane[2 * kPadded * kPadded + i] = fma_(a, a, b * b);
            plane[3 * kPadded * kPadded + i] = a * b;
        }
        __syncthreads();
        if (valid) {
            std::int64_t at = number_of(p, pixel.x, pixel.y, channel);
            S difference = p.image[at] - photo_at(p, at);
            sums[0] += abs_(difference);
            sums[2] = fma_(difference, difference, sums[2]);
        }
        if (p.ssim_weight > 0) {
            S blurred[4];
            blur<4>(plane, rows, blurred);
            Similarity<S> s =
                similarity(Moments<S>{blurred[0], blurred[1], blurred[2], blurred[3]});
            if (valid) sums[1] += s.value;
            if (p.derivatives && pixel.x < p.width && pixel.y < p.height) {
                std::int64_t numbers = 3 * std::int64_t(p.width) * p.height;
                std::int64_t at = number_of(p, pixel.x, pixel.y, channel);
                p.derivatives[at] = valid ? s.v_x : S(0);
                p.derivatives[numbers + at] = valid ? s.v_energy : S(0);
                p.derivatives[2 * numbers + at] = valid ? s.v_product : S(0);
            }
        }
        __syncthreads();
    }
    sum_over_block<4>(partial, sums);
    if (threadIdx.x != 0) return;
    S* out = p.sums + 4 * (std::int64_t(blockIdx.y) * gridDim.x + blockIdx.x);
    for (int n = 0; n < 4; ++n) out[n] = sums[n];
}

/// Adds up the sums of all squares, in one block and double precision.
KERNEL(finish_loss, LossArguments<S>, kNumberThreads) {
    SHARED(double, partial, 4 * kNumberThreads / kWarp);
    double sums[4] = {};
    for (int part = int(threadIdx.x); part < p.parts; part += kNumberThreads)
        for (int n = 0; n < 4; ++n) sums[n] += double(p.sums[4 * std::int64_t(part) + n]);
    for (int n = 0; n < 4; ++n) {
        for (int step = kWarp / 2; step > 0; step /= 2)
            sums[n] += __shfl_xor_sync(kAllLanes, sums[n], step);
        if (lane_number() == 0) partial[threadIdx.x / kWarp * 4 + n] = sums[n];
    }
    __syncthreads();
    if (threadIdx.x != 0) return;
    for (int n = 0; n < 4; ++n) {
        sums[n] = 0;
        for (int warp = 0; warp < kNumberThreads / kWarp; ++warp) sums[n] += partial[4 * warp + n];
    }
    *p.valid = std::int64_t(sums[3]);
    store_means(sums, sums[3], p.ssim_weight, p.means);
}

/// Blurring is its own adjoint: the window is symmetric, and black lies around the picture.
KERNEL(loss_gradient, LossArguments<S>, kSquareThreads) {
    SHARED(S, plane, 3 * kPadded * kPadded);
    SHARED(S, rows, 3 * kPadded * kSquareSize);
    const Pixel pixel = find_pixel();
    const bool inside = pixel.x < p.width && pixel.y < p.height;
    const bool valid = is_valid(p, pixel.x, pixel.y);
    const std::int64_t numbers = 3 * std::int64_t(p.width) * p.height;
    const std::int64_t meant = 3 * *p.valid;
    const S scale = S(1) / S(meant > 0 ? meant : 1);
    const S l1_weight = S(1 - p.ssim_weight), ssim_weight = S(-p.ssim_weight);
    for (int channel = 0; channel < 3; ++channel) {
        S blurred[3] = {};
        if (p.derivatives) {
            for (int i = int(threadIdx.x); i < kPadded * kPadded; i += kSquareThreads) {
                int x = pixel.left + i % kPadded - kSsimRadius;
                int y = pixel.top + i / kPadded - kSsimRadius;
                bool seen = is_valid(p, x, y);
                for (int n = 0; n < 3; ++n)
                    plane[n * kPadded * kPadded + i] =
                        seen ? p.derivatives[n * numbers + number_of(p, x, y, channel)] : S(0);
            }
            __syncthreads();
            blur<3>(plane, rows, blurred);
            __syncthreads();
        }
        if (!inside) continue;
        std::int64_t at = number_of(p, pixel.x, pixel.y, channel);
        S a = p.image[at], b = photo_at(p, at);
        S v = a > b ? l1_weight : a < b ? -l1_weight : S(0);
        v = fma_(ssim_weight, blurred[0] + S(2) * a * blurred[1] + b * blurred[2], v);
        p.gradient[at] = valid ? scale * v : S(0);
    }
}

GABORSPLAT_END
