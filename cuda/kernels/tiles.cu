// Which splats touch which tile: counted by splat, then listed front to back. Both by one rule, to
// the bit: compiled without contraction, which could differ between the two.
#include "../math/tile_extent.h"
#include "../passes/tiles.h"
#include "device.h"

GABORSPLAT_BEGIN

HD TileExtent<S> tile_extent(const TileInputs<S>& p, std::int64_t i) {
    const S *mean = p.means2d + 2 * i, *conic = p.conics + 3 * i;
    return {{mean[0], mean[1]},
            {S(p.radii[2 * i]), S(p.radii[2 * i + 1])},
            {conic[0], conic[1], conic[2]},
            p.cutoffs[i],
            p.exact != 0,
            tiles_along(p.width),
            tiles_along(p.height)};
}

/// Splats of all cameras.
HD std::int64_t splats_of_all(const TileInputs<S>& p) { return p.cameras * p.splats; }

/// The splat of a rank in the order of depth, camera by camera.
HD std::int64_t splat_of_rank(const TileInputs<S>& p, const std::int64_t* order,
                              std::int64_t depth_rank) {
    return depth_rank / p.splats * p.splats + order[depth_rank];
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
    for (unsigned step = 1; step < unsigned(kWarp); step *= 2) {
        std::int64_t other = __shfl_up_sync(kAllLanes, sum, step);
        if (lane_number() >= step) sum += other;
    }
    return {sum - number, __shfl_sync(kAllLanes, sum, kWarp - 1)};
}

KERNEL(count_tiles, ListTilesArguments<S>, kSplatThreads) {
    const std::int64_t depth_rank = thread_number(), all = splats_of_all(p.in);
    std::int64_t i = depth_rank < all ? splat_of_rank(p.in, p.order, depth_rank) : 0, count = 0;
    bool many = false;
    if (depth_rank < all && p.in.visible[i] != 0) {
        TileExtent<S> extent = tile_extent(p.in, i);
        many = extent.rows().count() > kFewRows;
        if (!many) extent.for_rows([&](int, int begin, int end) { count += end - begin; });
    }
    for (unsigned left = __ballot_sync(kAllLanes, many); left != 0; left &= left - 1) {
        int owner = __ffs(int(left)) - 1;
        TileExtent<S> extent = tile_extent(p.in, __shfl_sync(kAllLanes, i, owner));
        std::int64_t mine = 0;
        for (int row = extent.rows().begin + int(lane_number()); row < extent.rows().end;
             row += kWarp)
            mine += extent.of_row(row).count();
        std::int64_t total = scan_warp(mine).total;
        if (int(lane_number()) == owner) count = total;
    }
    if (depth_rank >= all) return;
    p.counts[depth_rank] = count;
    if (p.of_splat) p.of_splat[i] = count;
}

/// Where a splat's pairs go.
struct Listing {
    std::int64_t splat, at, end;  // from `at` on; what would come at `end` is left out
    std::int64_t slot;
    int first_tile;  // of its camera
};

HD Listing find_listing(const ListTilesArguments<S>& p, std::int64_t depth_rank) {
    std::int64_t i = splat_of_rank(p.in, p.order, depth_rank), end = p.ends[depth_rank];
    int camera = int(depth_rank / p.in.splats);
    return {i, depth_rank == 0 ? 0 : p.ends[depth_rank - 1], end < p.room ? end : p.room,
            p.pair_slots ? p.first_slot[i] : 0,
            camera * tiles_along(p.in.width) * tiles_along(p.in.height)};
}

HD void store_key(const ListTilesArguments<S>& p, std::int64_t at, int tile) {
    if (p.narrow_keys)
        p.narrow_keys[at] = std::int16_t(tile);
    else
        p.wide_keys[at] = tile;
}

/// Lists a row's tiles; `before` of the splat's come earlier.
HD void list_row(const ListTilesArguments<S>& p, const Listing& to, int row, TileRange range,
                 std::int64_t before) {
    int first = to.first_tile + row * tiles_along(p.in.width);
    for (int k = 0; k < range.count(); ++k) {
        std::int64_t at = to.at + before + k;
        if (at >= to.end) return;
        store_key(p, at, first + range.begin + k);
        p.pair_ids[at] = std::int32_t(to.splat);
        if (p.pair_slots) p.pair_slots[at] = std::int32_t(to.slot + before + k);
    }
}

/// Of the room after the last pair, this thread's share.
HD void fill_rest(const ListTilesArguments<S>& p, std::int64_t number) {
    const std::int64_t all = splats_of_all(p.in);
    for (std::int64_t at = p.ends[all - 1] + number; at < p.room; at += all) {
        store_key(p, at, p.tiles);
        p.pair_ids[at] = 0;
    }
}

KERNEL(list_tiles, ListTilesArguments<S>, kSplatThreads) {
    const std::int64_t depth_rank = thread_number();
    Listing mine = {};
    bool many = false;
    if (depth_rank < splats_of_all(p.in)) {
        fill_rest(p, depth_rank);
        mine = find_listing(p, depth_rank);
    }
    if (mine.at < mine.end) {
        TileExtent<S> extent = tile_extent(p.in, mine.splat);
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
        Listing to = find_listing(p, __shfl_sync(kAllLanes, depth_rank, owner));
        TileExtent<S> extent = tile_extent(p.in, to.splat);
        std::int64_t before = 0;
        for (int first = extent.rows().begin; first < extent.rows().end; first += kWarp) {
            int row = first + int(lane_number());
            TileRange range = {0, 0};
            if (row < extent.rows().end) range = extent.of_row(row);
            WarpScan scan = scan_warp(range.count());
            list_row(p, to, row, range, before + scan.before);
            before += scan.total;
        }
    }
}

HD int key_at(const ListTilesArguments<S>& p, std::int64_t at) {
    return p.narrow_keys ? p.sorted_narrow_keys[at] : p.sorted_wide_keys[at];
}

/// An entry of the lists a thread, and a tile.
KERNEL(sort_lists, ListTilesArguments<S>, kNumberThreads) {
    std::int64_t i = thread_number();
    if (i < p.room) {
        std::int64_t from = p.places[i];
        p.splat_ids[i] = p.pair_ids[from];
        if (p.slots) p.slots[i] = p.pair_slots[from];
    }
    if (i > p.tiles) return;
    std::int64_t low = 0, high = p.room;  // the first key that is no smaller lies between
    while (low < high) {
        std::int64_t middle = (low + high) / 2;
        if (key_at(p, middle) < i)
            low = middle + 1;
        else
            high = middle;
    }
    p.offsets[i] = low;
}

GABORSPLAT_END
