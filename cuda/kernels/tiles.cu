// Which splats touch which tile: pairs counted, then listed front to back, and where each tile's
// are once they are sorted. Counted and listed by one rule, to the bit: compiled without
// contraction, which could differ between the two.
//   GABORSPLAT_KEY_SIZE  [bytes] of a tile's number
#include "../math/tile_extent.h"
#include "../passes/tiles.h"
#include "scan.h"

#ifndef GABORSPLAT_KEY_SIZE
#define GABORSPLAT_KEY_SIZE 4
#endif

GABORSPLAT_BEGIN

template <int Size>
struct TileKey {
    using Type = std::uint32_t;
};
template <>
struct TileKey<2> {
    using Type = std::uint16_t;
};
using Key = TileKey<GABORSPLAT_KEY_SIZE>::Type;

/// Pairs that a lane lists at a time. A warp with splats that fill the picture has thousands.
constexpr int kLanePairs = 4;

/// A splat and what decides about its tiles.
struct Candidate {
    std::int32_t splat;
    S mean_x, mean_y, radius_x, radius_y, xx, xy, yy, cutoff;
    TileRange rows;
};

HD TileExtent<S> tile_extent(const TileInputs<S>& p, const Candidate& c) {
    return {{c.mean_x, c.mean_y}, {c.radius_x, c.radius_y}, {c.xx, c.xy, c.yy},   c.cutoff,
            p.exact != 0,         tiles_along(p.width),     tiles_along(p.height)};
}

/// The splat of this thread, by its rank in the order of depth; without rows when there is none.
HD Candidate load_candidate(const ListTilesArguments<S>& p) {
    std::int64_t depth_rank = thread_number();
    Candidate c = {};
    if (depth_rank >= *p.splat_count) return c;
    std::int64_t i = p.order[depth_rank];
    const S *mean = p.in.means2d + 2 * i, *conic = p.in.conics + 3 * i;
    c = {std::int32_t(i), mean[0],  mean[1],  S(p.in.radii[2 * i]), S(p.in.radii[2 * i + 1]),
         conic[0],        conic[1], conic[2], p.in.cutoffs[i],      {0, 0}};
    c.rows = tile_extent(p.in, c).rows();
    return c;
}

template <class T>
HD T of_lane(T number, int lane) {
    return __shfl_sync(kAllLanes, number, lane);
}
HD Candidate of_lane(const Candidate& c, int lane) {
    return {of_lane(c.splat, lane),    of_lane(c.mean_x, lane),
            of_lane(c.mean_y, lane),   of_lane(c.radius_x, lane),
            of_lane(c.radius_y, lane), of_lane(c.xx, lane),
            of_lane(c.xy, lane),       of_lane(c.yy, lane),
            of_lane(c.cutoff, lane),   {of_lane(c.rows.begin, lane), of_lane(c.rows.end, lane)}};
}

/// A row of tiles of a splat.
struct SplatRow {
    std::int32_t splat;
    int row;
    bool first, last;  // of the splat's rows
    TileRange range;   // empty where there is no row
};

/// Deals the rows of the splats of a warp's lanes out to all of its lanes, in order, and calls
/// visit(row) for 32 of them at a time: a splat that covers the picture keeps all lanes busy.
template <class Visit>
HD void for_rows(const TileInputs<S>& p, const Candidate& mine, const Visit& visit) {
    auto rows = scan_warp(mine.rows.count());
    for (int first = 0; first < rows.total; first += kWarp) {
        int wanted[1] = {first + int(lane_number())}, owner[1];
        find_owners(wanted, rows.before, owner);
        Candidate c = of_lane(mine, *owner);
        int row = c.rows.begin + *wanted - of_lane(rows.before, *owner);
        SplatRow out = {c.splat, row, row == c.rows.begin, row == c.rows.end - 1, {0, 0}};
        if (*wanted < rows.total)
            out.range = tile_extent(p, c).of_row(row);
        else
            out.first = out.last = false;
        visit(out);
    }
}

KERNEL(count_tiles, ListTilesArguments<S>, kListThreads) {
    SHARED(int, warps, kListWarps);
    int count = 0;
    for_rows(p.in, load_candidate(p), [&](const SplatRow& row) { count += row.range.count(); });
    int of_warp = scan_warp(count).total;
    auto all = scan_block<kListThreads>(lane_number() == 0 ? of_warp : 0, warps);
    if (lane_number() == 0) p.warp_counts[blockIdx.x * kListWarps + threadIdx.x / kWarp] = of_warp;
    if (threadIdx.x == 0) p.block_counts[blockIdx.x] = all.total;
}

/// What earlier blocks have; a block does all.
KERNEL(scan_tiles, ListTilesArguments<S>, kListThreads) {
    SHARED(std::int64_t, warps, kListWarps);
    int total = scan_numbers<kListThreads>(p.block_counts, list_blocks(*p.splat_count), warps);
    if (threadIdx.x == 0) *p.pair_count = total;
}

/// Lists the tiles of 32 rows, `at` being where the first goes; returns how many there are. Lanes
/// side by side write pairs side by side, whatever rows these are of.
HD int list_rows(const ListTilesArguments<S>& p, const SplatRow& row, std::int64_t at) {
    const int across = tiles_along(p.in.width), down = tiles_along(p.in.height);
    auto pairs = scan_warp(row.range.count());
    // Of its camera. All splats are fewer than 2^31, and 64 bits take several times as long.
    int first_row = row.splat / int(p.in.splats) * down;
    int first_tile = (first_row + row.row) * across + row.range.begin - pairs.before;
    for (int first = 0; first < pairs.total; first += kWarp * kLanePairs) {
        int wanted[kLanePairs], owners[kLanePairs];
        for (int k = 0; k < kLanePairs; ++k) wanted[k] = first + k * kWarp + int(lane_number());
        find_owners(wanted, pairs.before, owners);
#pragma unroll
        for (int k = 0; k < kLanePairs; ++k) {
            int tile = of_lane(first_tile, owners[k]) + wanted[k];
            std::int32_t splat = of_lane(row.splat, owners[k]);
            std::int64_t to = at + wanted[k];
            if (wanted[k] >= pairs.total || to >= p.room) continue;
            reinterpret_cast<Key*>(p.keys)[to] = Key(tile);
            p.values[to] = p.pair_ids ? std::int32_t(to) : splat;
            if (p.pair_ids) p.pair_ids[to] = splat;
        }
    }
    if (p.slot_begins) {
        std::int64_t begin = at + pairs.before, end = begin + row.range.count();
        if (row.first) p.slot_begins[row.splat] = begin < p.room ? begin : p.room;
        if (row.last) p.slot_ends[row.splat] = end < p.room ? end : p.room;
    }
    return pairs.total;
}

KERNEL(list_tiles, ListTilesArguments<S>, kListThreads) {
    std::int64_t at = p.block_counts[blockIdx.x];
    for (int warp = 0; warp < int(threadIdx.x) / kWarp; ++warp)
        at += p.warp_counts[blockIdx.x * kListWarps + warp];
    for_rows(p.in, load_candidate(p), [&](const SplatRow& row) { at += list_rows(p, row, at); });
}

/// An entry of the sorted list a thread: a tile's list begins where its number, or a higher one,
/// comes first.
KERNEL(find_offsets, ListTilesArguments<S>, kNumberThreads) {
    const Key* keys = reinterpret_cast<const Key*>(p.sorted_keys);
    std::int64_t i = thread_number(), pairs = *p.pair_count < p.room ? *p.pair_count : p.room;
    if (i > pairs) return;
    if (p.slots && i < pairs) p.splat_ids[i] = p.pair_ids[p.slots[i]];
    std::int64_t tile = i == 0 ? 0 : std::int64_t(keys[i - 1]) + 1;
    const std::int64_t last = i == pairs ? p.tiles : std::int64_t(keys[i]);
    for (; tile <= last; ++tile) p.offsets[tile] = i;
}

GABORSPLAT_END
