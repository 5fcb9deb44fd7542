// Which splats touch which tile, front to back (math/tile_extent.h).
#pragma once

#include "fields.h"
#include "launch.h"

namespace gaborsplat {

/// Projected splats, N in each of C pictures.
template <class S>
struct TileInputs {
    ARGUMENTS;
    SIZE(std::int64_t, cameras);
    SIZE(std::int64_t, splats);
    VALUE(int, width);   // [px]
    VALUE(int, height);  // [px]
    VALUE(int, exact);   // whether tiles are tested against the ellipse, not just its box
    IN(std::uint8_t, visible, cameras, splats);
    IN(std::int32_t, radii, cameras, splats, 2);
    IN(S, means2d, cameras, splats, 2);
    IN(S, conics, cameras, splats, 3);
    IN(S, cutoffs, cameras, splats);
    END_ARGUMENTS;
};

/// The whole pass, as the CPU has it: lists as long as they have to be.
template <class S>
struct BinArguments {
    ARGUMENTS;
    PART(TileInputs<S>, in);
    VALUE(int, slots);  // whether the gradient's places are listed too
    IN(S, depths, in.cameras, in.splats);
    END_ARGUMENTS;
};

/// The pass on a GPU, in kernels before and after sorts: splats are sorted by depth, their pairs
/// with tiles counted and listed in that order, and these sorted by tile. What does not fit into
/// `room` is left out. With slots, a pair is known by its place in the first list.
template <class S>
struct ListTilesArguments {
    ARGUMENTS;
    PART(TileInputs<S>, in);
    SIZE(int, tiles);            // of all cameras
    SIZE(std::int64_t, room);    // for pairs
    SIZE(int, key_size);         // [bytes] of a tile's number: 2 or 4
    SIZE(std::int64_t, blocks);  // that share the splats: see list_blocks
    // Counting.
    IN(std::int32_t, order, in.cameras, in.splats);      // splats, front to back
    IN(std::int32_t, splat_count, 1);                    // how many of them are visible
    OUT(std::int32_t, warp_counts, blocks, kListWarps);  // pairs
    OUT(std::int32_t, block_counts, blocks);             // likewise; then of earlier blocks
    OUT(std::int32_t, pair_count, 1);                    // at most 2^31 - 1
    // Listing.
    OUT(std::uint8_t, keys, room, key_size);     // tiles, counted through all cameras
    OUT(std::int32_t, values, room);             // splats; with slots, places in this list
    OPTIONAL_OUT(std::int32_t, pair_ids, room);  // splats
    OPTIONAL_OUT(std::int64_t, slot_begins, in.cameras* in.splats);  // zeros; as in BlendBackward
    OPTIONAL_OUT(std::int64_t, slot_ends, in.cameras* in.splats);    // likewise
    // After the second sort.
    IN(std::uint8_t, sorted_keys, room, key_size);
    OPTIONAL_IN(std::int32_t, slots, room);
    OUT(std::int32_t, splat_ids, room);
    OUT(std::int64_t, offsets, tiles + 1);  // where each tile's list begins
    END_ARGUMENTS;
};

}  // namespace gaborsplat
