// Items in the order of their keys, on a GPU: a radix sort, the least significant digit first.
#pragma once

#include "fields.h"

namespace gaborsplat {

/// What sums begin with.
template <class S>
struct ClearArguments {
    ARGUMENTS;
    SIZE(std::int64_t, size);        // [bytes]
    OUT(std::uint8_t, bytes, size);  // zeros
    END_ARGUMENTS;
};

/// One pass, by one digit, which keeps the order of items that share it. How many items there are
/// is known on the GPU alone. The first pass may take visible splats by their depth, which are
/// positive numbers: their bits have their order.
template <class S>
struct SortPassArguments {
    ARGUMENTS;
    SIZE(std::int64_t, room);    // for items
    SIZE(int, key_size);         // [bytes] 2, 4 or 8
    SIZE(int, bins);             // values of a digit, a power of two, at most kMostBins
    SIZE(std::int64_t, blocks);  // that share the items: see sort_blocks
    VALUE(int, shift);           // where the digit begins within a key [bits]
    OPTIONAL_VALUE(S, nearest);  // no depth is less; its key is 0
    // Either of these.
    OPTIONAL_IN(S, depths, room);
    OPTIONAL_IN(std::uint8_t, keys, room, key_size);
    OPTIONAL_IN(std::uint8_t, visible, room);     // of depths
    OPTIONAL_IN(std::int32_t, values, room);      // of keys; a depth's is its number
    OPTIONAL_IN(std::int32_t, item_count, 1);     // of keys: how many there are, if they have room
    OPTIONAL_OUT(std::int32_t, sorted_count, 1);  // how many depths were visible
    OUT(std::int32_t, counts, bins, blocks);      // of a block's items, by digit; then totals
    OUT(std::int32_t, totals, bins);
    OPTIONAL_OUT(std::uint8_t, sorted_keys, room, key_size);
    OUT(std::int32_t, sorted_values, room);
    END_ARGUMENTS;
};

}  // namespace gaborsplat
