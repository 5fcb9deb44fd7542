// How the kernels divide their work: what they and whoever launches them have to agree on.
#pragma once

#include "../math/compositing.h"

namespace gaborsplat {

constexpr int kWarp = 32;

// Threads of a block.
constexpr int kSplatThreads = 128;                                 // a splat a thread
constexpr int kNumberThreads = 256;                                // a number a thread
constexpr int kLanePixels = 2;                                     // of a tile, in one row
constexpr int kTileThreads = kTileSize * kTileSize / kLanePixels;  // a tile a block
constexpr int kStripThreads = 256;  // a strip of the pictures a block
constexpr int kSortThreads = 256;
constexpr int kListThreads = 256;  // a splat a thread

/// Most numbers of a pixel of which one can be the depth of splats, beside colours in an array of
/// their own.
constexpr int kDepthChannels = 4;

constexpr int kClearedBytes = 16;             // of a thread
constexpr int kSortItems = 8 * kSortThreads;  // of a block
constexpr int kFewSortBlocks = 32;            // whose counts a thread adds up
constexpr int kMostBins = 1024;               // values of a digit that items are sorted by
constexpr int kListWarps = kListThreads / kWarp;

/// Blocks of `threads` that `count` threads take.
HD constexpr std::int64_t blocks_for(std::int64_t count, int threads) {
    return (count + threads - 1) / threads;
}

/// Blocks that sort items, or list the tiles of splats.
HD constexpr std::int64_t sort_blocks(std::int64_t items) { return blocks_for(items, kSortItems); }
HD constexpr std::int64_t list_blocks(std::int64_t splats) {
    return blocks_for(splats, kListThreads);
}

/// Rows of a gradient that is summed over splats for every camera: one a warp.
HD constexpr std::int64_t pose_parts(std::int64_t splats) {
    return blocks_for(splats, kSplatThreads) * (kSplatThreads / kWarp);
}

// Pictures are compared in strips: columns of this width, cut into as many pieces as a large GPU
// works on at once, two for each of its processors.
constexpr int kStripWidth = 60, kLeastStripHeight = 16;  // [px]
constexpr int kStrips = 256;

/// Rows of a strip, a multiple of 4.
HD constexpr int strip_height(int width, int height) {
    int across = width > kStripWidth ? int(blocks_for(width, kStripWidth)) : 1;
    int down = across < kStrips ? kStrips / across : 1;
    int rows = (height + 4 * down - 1) / (4 * down) * 4;
    return rows > kLeastStripHeight ? rows : kLeastStripHeight;
}
/// Strips of a picture.
HD constexpr std::int64_t loss_parts(int width, int height) {
    return blocks_for(width, kStripWidth) * blocks_for(height, strip_height(width, height));
}

/// Blocks that count the pixels of a mask.
HD constexpr std::int64_t mask_parts(int width, int height) {
    constexpr std::int64_t kMost = 512;
    std::int64_t parts = blocks_for(std::int64_t(width) * height, kNumberThreads);
    return parts < kMost ? parts : kMost;
}

// Sums over a splat's pixels that the gradient of blending takes: of the gradient to the logarithm
// of alpha, itself and times the offset x, y, xx, xy, yy; then the kind's own, then the colour's,
// then the absolute ones.
constexpr int kEnvelopeSums = 6;
HD constexpr int blend_sum_size(int kind_sums, int channels, bool absolute) {
    return kEnvelopeSums + kind_sums + channels + (absolute ? 2 : 0);
}

}  // namespace gaborsplat
