// Which splats touch which tile: counted by splat, then listed front to back. Both by one rule, to
// the bit: compiled without contraction, which could differ between the two.
//   GABORSPLAT_KEY  integers that number the tiles of all cameras: narrow ones are sorted in half
//   the
//                   time
#include "../math/tile_extent.h"
#include "device.h"

#ifndef GABORSPLAT_KEY
#define GABORSPLAT_KEY std::int32_t
#endif

GABORSPLAT_BEGIN

using Key = GABORSPLAT_KEY;

/// M splats of all cameras, N of each.
struct CountTilesArguments {
    const std::int32_t* radii;  // [M, 2] 0 for culled ones
    const S* means2d;           // [M, 2]
    const S* conics;            // [M, 3]
    const S* cutoffs;           // [M]
    const std::int64_t* order;  // [C, N] splats of each camera, front to back
    std::int64_t* counts;       // [C, N] tiles, in that order
    std::int64_t* of_splat;     // [M] the same by splat; null: not wanted
    std::int64_t all;           // M
    std::int64_t splats;        // N
    int width;
    int height;
    int exact;
};

struct ListTilesArguments {
    const std::int32_t* radii;
    const S* means2d;
    const S* conics;
    const S* cutoffs;
    const std::int64_t* order;
    const std::int64_t* ends;        // [C, N] counts, added up
    const std::int64_t* first_slot;  // [M + 1] tiles of splats 0 to i - 1, added up
    Key* keys;                       // [room]
    std::int32_t* splat_ids;         // [room]
    std::int32_t* slots;             // [room] first_slot[id] + 0, 1, ...; null: not wanted
    std::int64_t room;               // what comes after this is left out
    std::int64_t all;
    std::int64_t splats;
    int tiles;  // of all cameras; places that nothing is listed in get this as their key
    int width;
    int height;
    int exact;
};

/// From lists in the order of depth to lists by tile, whose sorting gave `keys` and `places`.
struct SortListsArguments {
    const Key* keys;                // [room] in order
    const std::int64_t* places;     // [room] where they were
    const std::int32_t* splat_ids;  // [room] in the order of depth
    const std::int32_t* slots;      // [room] null: not wanted
    std::int32_t* sorted_ids;       // [room]
    std::int32_t* sorted_slots;     // [room]
    std::int64_t* offsets;          // [tiles + 1] where each tile's list begins
    std::int64_t room;
    int tiles;
};

template <class Arguments>
HD TileExtent tile_extent(const Arguments& p, std::int64_t i) {
    const S *mean = p.means2d + 2 * i, *conic = p.conics + 3 * i;
    return TileExtent({double(mean[0]), double(mean[1])},
                      {double(p.radii[2 * i]), double(p.radii[2 * i + 1])},
                      {double(conic[0]), double(conic[1]), double(conic[2])}, double(p.cutoffs[i]),
                      p.exact != 0, tiles_along(p.width), tiles_along(p.height));
}

/// The splat that comes `place`th, among those of all cameras.
template <class Arguments>
HD std::int64_t splat_at(const Arguments& p, std::int64_t place) {
    return place / p.splats * p.splats + p.order[place];
}

KERNEL(count_tiles, CountTilesArguments, 128) {
    std::int64_t place = thread_number();
    if (place >= p.all) return;
    std::int64_t i = splat_at(p, place), count = 0;
    if (p.radii[2 * i] != 0)
        tile_extent(p, i).for_rows([&](int, int begin, int end) { count += end - begin; });
    p.counts[place] = count;
    if (p.of_splat) p.of_splat[i] = count;
}

KERNEL(list_tiles, ListTilesArguments, 128) {
    std::int64_t place = thread_number();
    if (place >= p.all) return;
    for (std::int64_t at = p.ends[p.all - 1] + place; at < p.room; at += p.all) {
        p.keys[at] = Key(p.tiles);
        p.splat_ids[at] = 0;
    }
    std::int64_t i = splat_at(p, place), at = place == 0 ? 0 : p.ends[place - 1];
    std::int64_t end_of_list = p.ends[place] < p.room ? p.ends[place] : p.room;
    if (at >= end_of_list) return;
    std::int64_t slot = p.slots ? p.first_slot[i] : 0;
    int across = tiles_along(p.width);
    int first = int(place / p.splats) * across * tiles_along(p.height);
    tile_extent(p, i).for_rows([&](int row, int begin, int end) {
        for (int column = begin; column < end && at < end_of_list; ++column) {
            p.keys[at] = Key(first + row * across + column);
            p.splat_ids[at] = std::int32_t(i);
            if (p.slots) p.slots[at] = std::int32_t(slot++);
            ++at;
        }
    });
}

/// An entry of the lists a thread, and a tile.
KERNEL(sort_lists, SortListsArguments, 256) {
    std::int64_t i = thread_number();
    if (i < p.room) {
        std::int64_t place = p.places[i];
        p.sorted_ids[i] = p.splat_ids[place];
        if (p.slots) p.sorted_slots[i] = p.slots[place];
    }
    if (i > p.tiles) return;
    std::int64_t low = 0, high = p.room;  // the first key that is no smaller lies between
    while (low < high) {
        std::int64_t middle = (low + high) / 2;
        if (p.keys[middle] < i)
            low = middle + 1;
        else
            high = middle;
    }
    p.offsets[i] = low;
}

GABORSPLAT_END
