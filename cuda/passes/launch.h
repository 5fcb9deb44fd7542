// How the kernels divide their work: what they and whoever launches them have to agree on.
#pragma once

#include "../math/compositing.h"

namespace gaborsplat {

constexpr int kWarp = 32;

// Threads of a block.
constexpr int kSplatThreads = 128;                   // a splat a thread
constexpr int kNumberThreads = 256;                  // a number a thread
constexpr int kTileThreads = kTileSize * kTileSize;  // a tile a block, a pixel a thread
constexpr int kSquareSize = 16;                      // [px] of a block that compares pictures
constexpr int kSquareThreads = kSquareSize * kSquareSize;

/// Blocks of `threads` that `count` threads take.
HD constexpr std::int64_t blocks_for(std::int64_t count, int threads) {
    return (count + threads - 1) / threads;
}

/// Rows of a gradient that is summed over splats for every camera: one a warp.
HD constexpr std::int64_t pose_parts(std::int64_t splats) {
    return blocks_for(splats, kSplatThreads) * (kSplatThreads / kWarp);
}

/// Squares of a picture.
HD constexpr std::int64_t loss_parts(int width, int height) {
    return blocks_for(width, kSquareSize) * blocks_for(height, kSquareSize);
}

// Sums over a splat's pixels that the gradient of blending takes: of the gradient to the logarithm
// of alpha, itself and times the offset x, y, xx, xy, yy; then the kind's own, then the colour's,
// then the absolute ones.
constexpr int kEnvelopeSums = 6;
HD constexpr int blend_sum_size(int kind_sums, int channels, bool absolute) {
    return kEnvelopeSums + kind_sums + channels + (absolute ? 2 : 0);
}

}  // namespace gaborsplat
