// Which splats touch which tile, front to back (math/tile_extent.h).
#pragma once

#include "fields.h"

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

/// The pass on a GPU, in three kernels between which others sort and add up: tiles are counted,
/// pairs of splat and tile listed in the order of depth, then put in the order of tiles. What does
/// not fit into `room` is left out.
template <class S>
struct ListTilesArguments {
    ARGUMENTS;
    PART(TileInputs<S>, in);
    SIZE(int, tiles);          // of all cameras; the key of places that nothing is listed in
    SIZE(std::int64_t, room);  // for pairs
    // Counting.
    IN(std::int64_t, order, in.cameras, in.splats);    // of each camera's splats, front to back
    OUT(std::int64_t, counts, in.cameras, in.splats);  // of tiles, in that order
    OPTIONAL_OUT(std::int64_t, of_splat, in.cameras, in.splats);  // the same by splat
    // Listing, by what the counts add up to.
    IN(std::int64_t, ends, in.cameras, in.splats);
    OPTIONAL_IN(std::int64_t, first_slot, in.cameras* in.splats + 1);  // as in BlendBackward
    // Tiles, counted through all cameras; either of these. Narrow ones sort in half the time.
    OPTIONAL_OUT(std::int16_t, narrow_keys, room);
    OPTIONAL_OUT(std::int32_t, wide_keys, room);
    OUT(std::int32_t, pair_ids, room);
    OPTIONAL_OUT(std::int32_t, pair_slots, room);
    // Putting in order, by the sorted keys and where they were.
    OPTIONAL_IN(std::int16_t, sorted_narrow_keys, room);
    OPTIONAL_IN(std::int32_t, sorted_wide_keys, room);
    IN(std::int64_t, places, room);
    OUT(std::int32_t, splat_ids, room);
    OPTIONAL_OUT(std::int32_t, slots, room);
    OUT(std::int64_t, offsets, tiles + 1);  // where each tile's list begins
    END_ARGUMENTS;
};

}  // namespace gaborsplat
