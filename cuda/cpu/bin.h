// Which splats touch which tile, front to back.
#pragma once

#include <cstdint>
#include <vector>

#include "params.h"

namespace gaborsplat {

/// One entry per pair of a splat and a tile it touches, M = C * N splats.
struct Bins {
    std::vector<std::int32_t> splat_ids;   // [instances] into M, by (camera, tile), then by depth
    std::vector<std::int64_t> offsets;     // [C * tiles + 1] into splat_ids
    std::vector<std::int64_t> slots;       // [instances] first_slot[id] + 0, 1, ... for each id
    std::vector<std::int64_t> first_slot;  // [M + 1] running total of tiles per splat
};

/// Splats of equal depth keep the order of their indices. Throws std::bad_alloc when the lists do
/// not fit in memory.
template <class S>
Bins bin(const BinParams<S>& params);

}  // namespace gaborsplat
