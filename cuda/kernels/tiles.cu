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
HD TileExtent<S> tile_extent(const Arguments& p, std::int64_t i) {
    const S *mean = p.means2d + 2 * i, *conic = p.conics + 3 * i;
    return {{mean[0], mean[1]},
            {S(p.radii[2 * i]), S(p.radii[2 * i + 1])},
            {conic[0], conic[1], conic[2]},
            p.cutoffs[i],
            p.exact != 0,
            tiles_along(p.width),
            tiles_along(p.height)};
}

/// The splat that comes `place`th, among those of all cameras.
template <class Arguments>
HD std::int64_t splat_at(const Arguments& p, std::int64_t place) {
    return place / p.splats * p.splats + p.order[place];
}

// A splat with more rows of tiles than this is left to all lanes of its warp: one that covers the
// picture would keep a lane busy long after all others are done.
constexpr int kFewRows = 4;

/// What the lanes before this one have of a number, and what all have.
struct WarpScan {
    std::int64_t before, total;
};
HD WarpScan scan_warp(std::int64_t number) {
    std::int64_t sum = number;
    for (unsigned step = 1; step < kWarp; step *= 2) {
        std::int64_t other = __shfl_up_sync(kAllLanes, sum, step);
        if (lane_number() >= step) sum += other;
    }
    return {sum - number, __shfl_sync(kAllLanes, sum, kWarp - 1)};
}

KERNEL(count_tiles, CountTilesArguments, 128) {
    std::int64_t place = thread_number(), i = place < p.all ? splat_at(p, place) : 0, count = 0;
    bool many = false;
    if (place < p.all && p.radii[2 * i] != 0) {
        TileExtent<S> extent = tile_extent(p, i);
        many = extent.rows().count() > kFewRows;
        if (!many) extent.for_rows([&](int, int begin, int end) { count += end - begin; });
    }
    for (unsigned left = __ballot_sync(kAllLanes, many); left != 0; left &= left - 1) {
        int owner = __ffs(int(left)) - 1;
        TileExtent<S> extent = tile_extent(p, __shfl_sync(kAllLanes, i, owner));
        std::int64_t mine = 0;
        for (int row = extent.rows().begin + int(lane_number()); row < extent.rows().end;
             row += int(kWarp))
            mine += extent.of_row(row).count();
        std::int64_t total = scan_warp(mine).total;
        if (int(lane_number()) == owner) count = total;
    }
    if (place >= p.all) return;
    p.counts[place] = count;
    if (p.of_splat) p.of_splat[i] = count;
}

/// Where a splat's pairs go.
struct Listing {
    std::int64_t splat, at, end;  // from `at` on; what would come at `end` is left out
    std::int64_t slot;
    int first_tile;  // of its camera
};

HD Listing find_listing(const ListTilesArguments& p, std::int64_t place) {
    std::int64_t i = splat_at(p, place), end = p.ends[place];
    return {i, place == 0 ? 0 : p.ends[place - 1], end < p.room ? end : p.room,
            p.slots ? p.first_slot[i] : 0,
            int(place / p.splats) * tiles_along(p.width) * tiles_along(p.height)};
}

/// Lists a row's tiles; `before` of the splat's come earlier.
HD void list_row(const ListTilesArguments& p, const Listing& to, int row, TileRange range,
                 std::int64_t before) {
    int first = to.first_tile + row * tiles_along(p.width);
    for (int k = 0; k < range.count(); ++k) {
        std::int64_t at = to.at + before + k;
        if (at >= to.end) return;
        p.keys[at] = Key(first + range.begin + k);
        p.splat_ids[at] = std::int32_t(to.splat);
        if (p.slots) p.slots[at] = std::int32_t(to.slot + before + k);
    }
}

/// Of places after the last pair, this thread's share.
HD void fill_rest(const ListTilesArguments& p, std::int64_t place) {
    for (std::int64_t at = p.ends[p.all - 1] + place; at < p.room; at += p.all) {
        p.keys[at] = Key(p.tiles);
        p.splat_ids[at] = 0;
    }
}

KERNEL(list_tiles, ListTilesArguments, 128) {
    std::int64_t place = thread_number();
    Listing mine = {};
    bool many = false;
    if (place < p.all) {
        fill_rest(p, place);
        mine = find_listing(p, place);
    }
    if (mine.at < mine.end) {
        TileExtent<S> extent = tile_extent(p, mine.splat);
        many = extent.rows().count() > kFewRows;
        std::int64_t before = 0;
        for (int row = extent.rows().begin; !many && row < extent.rows().end; ++row) {
            TileRange range = extent.of_row(row);
            list_row(p, mine, row, range, before);
            before += range.count();
        }
    }
    for (unsigned left = __ballot_sync(kAllLanes, many); left != 0; left &= left - 1) {
        int owner = __ffs(int(left)) - 1;
        Listing to = find_listing(p, __shfl_sync(kAllLanes, place, owner));
        TileExtent<S> extent = tile_extent(p, to.splat);
        std::int64_t before = 0;
        for (int first = extent.rows().begin; first < extent.rows().end; first += int(kWarp)) {
            int row = first + int(lane_number());
            TileRange range = {0, 0};
            if (row < extent.rows().end) range = extent.of_row(row);
            WarpScan scan = scan_warp(range.count());
            list_row(p, to, row, range, before + scan.before);
            before += scan.total;
        }
    }
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
