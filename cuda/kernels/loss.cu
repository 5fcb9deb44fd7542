// The loss (1 - w) L1 + w (1 - SSIM) of a picture and its gradient: a pixel a thread, a block a
// square of the picture. Blurs are separable, along rows first.
//   GABORSPLAT_PHOTO  type of the photo's numbers
#include "../math/similarity.h"
#include "device.h"

#ifndef GABORSPLAT_PHOTO
#define GABORSPLAT_PHOTO std::uint8_t
#endif

GABORSPLAT_BEGIN

using Photo = GABORSPLAT_PHOTO;
constexpr int kSquare = 16;  // [px]
constexpr int kLossThreads = kSquare * kSquare;
constexpr int kTaps = 2 * kSsimRadius + 1;
constexpr int kReach = kSquare + 2 * kSsimRadius;  // of what a square's blur sees

/// Pictures are [height, width, 3].
struct CompareArguments {
    const S* image;
    const Photo* photo;
    const std::uint8_t* mask;  // [height, width] 0 where there is no loss; null: nowhere
    S* derivatives;            // [3, height, width, 3] of the similarity, by its moments
    S* sums;                   // [squares, 3] L1, similarity, squared error
    int width;
    int height;
    int with_ssim;
};

struct LossGradientArguments {
    const S* image;
    const Photo* photo;
    const std::uint8_t* mask;
    const S* derivatives;
    const std::int64_t* valid;  // pixels where the mask is not 0; null: all of them
    S* gradient;
    S l1_weight;  // of the mean over all numbers
    S ssim_weight;
    int width;
    int height;
};

/// Where the square of this block begins and this thread's pixel is.
struct Pixel {
    int left, top, x, y;
};
HD Pixel find_pixel() {
    int left = int(blockIdx.x) * kSquare, top = int(blockIdx.y) * kSquare;
    return {left, top, left + int(threadIdx.x) % kSquare, top + int(threadIdx.x) / kSquare};
}

HD S photo_value(float x) { return S(x); }
HD S photo_value(double x) { return S(x); }
HD S photo_value(std::uint8_t x) { return S(x) / S(255); }

template <class Arguments>
HD bool is_valid(const Arguments& p, int x, int y) {
    if (x < 0 || y < 0 || x >= p.width || y >= p.height) return false;
    return !p.mask || p.mask[std::int64_t(y) * p.width + x] != 0;
}
template <class Arguments>
HD std::int64_t number_of(const Arguments& p, int x, int y, int channel) {
    return 3 * (std::int64_t(y) * p.width + x) + channel;
}

/// Blurs `Count` numbers at this thread's pixel of those that `plane` holds,
/// [Count][kReach][kReach]; `rows` is [Count][kReach][kSquare]. All threads of the block call it.
template <int Count, class Plane, class Rows>
HD void blur(Plane& plane, Rows& rows, S* out) {
    for (int i = int(threadIdx.x); i < kReach * kSquare; i += kLossThreads) {
        int y = i / kSquare, x = i % kSquare;
        for (int n = 0; n < Count; ++n) {
            S sum = S(0);
            for (int k = 0; k < kTaps; ++k)
                sum = fma_(S(ssim_tap(k - kSsimRadius)),
                           S(plane[(n * kReach + y) * kReach + x + k]), sum);
            rows[(n * kReach + y) * kSquare + x] = sum;
        }
    }
    __syncthreads();
    int x = int(threadIdx.x) % kSquare, y = int(threadIdx.x) / kSquare;
    for (int n = 0; n < Count; ++n) {
        out[n] = S(0);
        for (int k = 0; k < kTaps; ++k)
            out[n] = fma_(S(ssim_tap(k - kSsimRadius)), S(rows[(n * kReach + y + k) * kSquare + x]),
                          out[n]);
    }
}

/// Adds up `Count` numbers over the block; the first thread gets the totals.
template <int Count, class Shared>
HD void sum_over_block(Shared& shared, S* numbers) {
    S total = WarpSums<Count>::add(numbers);
    int role = WarpSums<Count>::role();
    if (role >= 0) shared[threadIdx.x / kWarp * Count + role] = total;
    __syncthreads();
    if (threadIdx.x != 0) return;
    for (int n = 0; n < Count; ++n) {
        numbers[n] = S(0);
        for (int warp = 0; warp < kLossThreads / int(kWarp); ++warp)
            numbers[n] += shared[warp * Count + n];
    }
}

static_assert(kLossThreads == 256, "the launch bounds below");

KERNEL(compare_pictures, CompareArguments, 256) {
    SHARED(S, plane, 4 * kReach * kReach);
    SHARED(S, rows, 4 * kReach * kSquare);
    SHARED(S, partial, 3 * kLossThreads / kWarp);
    const Pixel pixel = find_pixel();
    const bool valid = is_valid(p, pixel.x, pixel.y);
    S sums[3] = {};
    for (int channel = 0; channel < 3; ++channel) {
        for (int i = int(threadIdx.x); i < kReach * kReach; i += kLossThreads) {
            int x = pixel.left + i % kReach - kSsimRadius, y = pixel.top + i / kReach - kSsimRadius;
            bool seen = is_valid(p, x, y);  // both are black where not
            S a = seen ? p.image[number_of(p, x, y, channel)] : S(0);
            S b = seen ? photo_value(p.photo[number_of(p, x, y, channel)]) : S(0);
            plane[i] = a;
            plane[kReach * kReach + i] = b;
            plane[2 * kReach * kReach + i] = fma_(a, a, b * b);
            plane[3 * kReach * kReach + i] = a * b;
        }
        __syncthreads();
        if (valid) {
            std::int64_t at = number_of(p, pixel.x, pixel.y, channel);
            S difference = p.image[at] - photo_value(p.photo[at]);
            sums[0] += abs_(difference);
            sums[2] = fma_(difference, difference, sums[2]);
        }
        if (p.with_ssim) {
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
    sum_over_block<3>(partial, sums);
    if (threadIdx.x != 0) return;
    store3(p.sums + 3 * (std::int64_t(blockIdx.y) * gridDim.x + blockIdx.x),
           {sums[0], sums[1], sums[2]});
}

/// Blurring is its own adjoint: the window is symmetric, and black lies around the picture.
KERNEL(loss_gradient, LossGradientArguments, 256) {
    SHARED(S, plane, 3 * kReach * kReach);
    SHARED(S, rows, 3 * kReach * kSquare);
    const Pixel pixel = find_pixel();
    const bool inside = pixel.x < p.width && pixel.y < p.height;
    const bool valid = is_valid(p, pixel.x, pixel.y);
    const std::int64_t numbers = 3 * std::int64_t(p.width) * p.height;
    const std::int64_t meant = p.valid ? 3 * *p.valid : numbers;
    const S scale = S(1) / S(meant > 0 ? meant : 1);
    for (int channel = 0; channel < 3; ++channel) {
        S blurred[3] = {};
        if (p.derivatives) {
            for (int i = int(threadIdx.x); i < kReach * kReach; i += kLossThreads) {
                int x = pixel.left + i % kReach - kSsimRadius;
                int y = pixel.top + i / kReach - kSsimRadius;
                bool seen = is_valid(p, x, y);
                for (int n = 0; n < 3; ++n)
                    plane[n * kReach * kReach + i] =
                        seen ? p.derivatives[n * numbers + number_of(p, x, y, channel)] : S(0);
            }
            __syncthreads();
            blur<3>(plane, rows, blurred);
            __syncthreads();
        }
        if (!inside) continue;
        std::int64_t at = number_of(p, pixel.x, pixel.y, channel);
        S a = p.image[at], b = photo_value(p.photo[at]);
        S v = a > b ? p.l1_weight : a < b ? -p.l1_weight : S(0);
        v = fma_(p.ssim_weight, blurred[0] + S(2) * a * blurred[1] + b * blurred[2], v);
        p.gradient[at] = valid ? scale * v : S(0);
    }
}

GABORSPLAT_END
