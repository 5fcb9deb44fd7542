// Which splats touch which tile: counted by splat, then listed front to back. Both by one rule, to
// the bit: compiled without contraction, which could differ between the two.
#include "../math/tile_extent.h"
#include "device.h"

GABORSPLAT_BEGIN

/// M splats of all cameras, N of each.
struct CountTilesArguments {
    const std::int32_t* radii;  // [M, 2] 0 for culled ones
    const S* means2d;           // [M, 2]
    const S* conics;            // [M, 3]
    const S* cutoffs;           // [M]
    std::int64_t* counts;       // [M]
    std::int64_t all;           // M
    int width;
    int height;
    int exact;
};

struct ListTilesArguments {
    const std::int32_t* radii;
    const S* means2d;
    const S* conics;
    const S* cutoffs;
    const std::int64_t* order;       // [M] splats front to back, camera by camera
    const std::int64_t* ends;        // [M] tiles of order[0] to order[i], added up
    const std::int64_t* first_slot;  // [M + 1] tiles of splats 0 to i - 1, added up
    std::int32_t* tiles;             // [room] number of the tile among those of all cameras
    std::int32_t* splat_ids;         // [room]
    std::int32_t* slots;             // [room] first_slot[id] + 0, 1, ...; null: not wanted
    std::int64_t room;               // what comes after this is left out
    std::int64_t all;
    std::int64_t splats;  // N
    int width;
    int height;
    int exact;
};

template <class Arguments>
HD TileExtent tile_extent(const Arguments& p, std::int64_t i) {
    const S *mean = p.means2d + 2 * i, *conic = p.conics + 3 * i;
    return TileExtent({double(mean[0]), double(mean[1])},
                      {double(p.radii[2 * i]), double(p.radii[2 * i + 1])},
                      {double(conic[0]), double(conic[1]), double(conic[2])}, double(p.cutoffs[i]),
                      p.exact != 0, tiles_along(p.width), tiles_along(p.height));
}

KERNEL(count_tiles, CountTilesArguments, 128) {
    std::int64_t i = thread_number();
    if (i >= p.all) return;
    std::int64_t count = 0;
    if (p.radii[2 * i] != 0)
        tile_extent(p, i).for_rows([&](int, int begin, int end) { count += end - begin; });
    p.counts[i] = count;
}

KERNEL(list_tiles, ListTilesArguments, 128) {
    std::int64_t place = thread_number();
    if (place >= p.all) return;
    std::int64_t i = p.order[place];
    if (p.radii[2 * i] == 0) return;
    std::int64_t at = place == 0 ? 0 : p.ends[place - 1], slot = p.first_slot[i];
    std::int64_t end_of_list = p.ends[place] < p.room ? p.ends[place] : p.room;
    int across = tiles_along(p.width);
    int first = int(i / p.splats) * across * tiles_along(p.height);
    tile_extent(p, i).for_rows([&](int row, int begin, int end) {
        for (int column = begin; column < end && at < end_of_list; ++column) {
            p.tiles[at] = first + row * across + column;
            p.splat_ids[at] = std::int32_t(i);
            if (p.slots) p.slots[at] = std::int32_t(slot++);
            ++at;
        }
    });
}

GABORSPLAT_END
