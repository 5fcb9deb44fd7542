// A pass of a radix sort: blocks count the digits of their items, a second kernel adds up what
// earlier blocks have of each digit, and a third puts the items there.
//   GABORSPLAT_KEY_SIZE  [bytes] of a key
#include "../passes/sort.h"
#include "scan.h"

#ifndef GABORSPLAT_KEY_SIZE
#define GABORSPLAT_KEY_SIZE 4
#endif

GABORSPLAT_BEGIN

template <int Size>
struct UnsignedOf;
template <>
struct UnsignedOf<2> {
    using Type = std::uint16_t;
};
template <>
struct UnsignedOf<4> {
    using Type = std::uint32_t;
};
template <>
struct UnsignedOf<8> {
    using Type = std::uint64_t;
};
using Key = UnsignedOf<GABORSPLAT_KEY_SIZE>::Type;

constexpr int kSortWarps = kSortThreads / kWarp;
constexpr int kItems = kSortItems / kSortThreads;  // of a thread

/// Depths are as large as their keys.
HD Key bits_of(S depth) {
    union {
        S number;
        Key bits;
    } u = {depth};
    return u.bits;
}

struct Item {
    Key key;
    std::int32_t value;
    bool there;
};

HD std::int64_t item_count(const SortPassArguments<S>& p) {
    if (p.depths || *p.item_count > p.room) return p.room;
    return *p.item_count;
}

HD Item load_item(const SortPassArguments<S>& p, std::int64_t i) {
    if (p.depths == nullptr) return {reinterpret_cast<const Key*>(p.keys)[i], p.values[i], true};
    if (p.visible[i] == 0) return {0, 0, false};
    return {Key(bits_of(p.depths[i]) - bits_of(p.nearest)), std::int32_t(i), true};
}

HD int digit_of(const SortPassArguments<S>& p, Key key) {
    return int(key >> p.shift) & (p.bins - 1);
}

KERNEL(count_digits, SortPassArguments<S>, kSortThreads) {
    SHARED(int, counts, kMostBins);
    std::int64_t begin = std::int64_t(blockIdx.x) * kSortItems, end = item_count(p);
    if (begin >= end) return;
    for (int bin = int(threadIdx.x); bin < p.bins; bin += kSortThreads) counts[bin] = 0;
    __syncthreads();
    if (begin + kSortItems < end) end = begin + kSortItems;
    for (std::int64_t i = begin + threadIdx.x; i < end; i += kSortThreads) {
        Item item = load_item(p, i);
        if (item.there) atomicAdd(&counts[digit_of(p, item.key)], 1);
    }
    __syncthreads();
    for (int bin = int(threadIdx.x); bin < p.bins; bin += kSortThreads)
        p.counts[bin * p.blocks + blockIdx.x] = counts[bin];
}

/// A digit a block; a thread where there is little to add up.
KERNEL(scan_digits, SortPassArguments<S>, kSortThreads) {
    SHARED(std::int64_t, warps, kSortWarps);
    const std::int64_t used = sort_blocks(item_count(p));
    if (p.blocks > kFewSortBlocks) {
        std::int32_t* counts = p.counts + blockIdx.x * p.blocks;
        int total = scan_numbers<kSortThreads>(counts, used, warps);
        if (threadIdx.x == 0) p.totals[blockIdx.x] = total;
        return;
    }
    const std::int64_t bin = thread_number();
    if (bin >= p.bins) return;
    int total = 0;
    for (std::int64_t block = 0; block < used; ++block) {
        int count = p.counts[bin * p.blocks + block];
        p.counts[bin * p.blocks + block] = total;
        total += count;
    }
    p.totals[bin] = total;
}

/// Counts an item of every lane among those of its warp with the same digit; how many were there
/// before. `counts` are the warp's, by digit.
template <class Counts>
HD int rank_item(int digit, bool there, Counts& counts, int first) {
    unsigned peers = __match_any_sync(kAllLanes, there ? digit : -1);
    int leader = __ffs(int(peers)) - 1, earlier = 0;
    if (there && int(lane_number()) == leader) {
        earlier = counts[first + digit];
        counts[first + digit] = std::uint16_t(earlier + __popc(peers));
    }
    __syncwarp();  // another lane may be the next one to lead
    earlier = __shfl_sync(kAllLanes, earlier, leader);
    return earlier + __popc(peers & ((1u << lane_number()) - 1u));
}

/// Of the block's items, in the order of their digits: where each warp's begin, in `counts`, and
/// how much farther all of a digit go, in `shifts`. Returns how many items there are.
template <class Counts, class Shifts, class Warps>
HD int find_places(const SortPassArguments<S>& p, Counts& counts, Shifts& shifts, Warps& warps) {
    int placed = 0, before = 0;  // of the bins so far: in this block, in all
    for (int first = 0; first < p.bins; first += kSortThreads) {
        int bin = first + int(threadIdx.x), mine = 0;
        if (bin < p.bins)
            for (int warp = 0; warp < kSortWarps; ++warp) mine += counts[warp * kMostBins + bin];
        auto here = scan_block<kSortThreads>(mine, warps);
        auto all = scan_block<kSortThreads>(bin < p.bins ? p.totals[bin] : 0, warps);
        if (bin < p.bins) {
            int at = placed + here.before;
            shifts[bin] = before + all.before + p.counts[bin * p.blocks + blockIdx.x] - at;
            for (int warp = 0; warp < kSortWarps; ++warp) {
                int of_warp = counts[warp * kMostBins + bin];
                counts[warp * kMostBins + bin] = std::uint16_t(at);
                at += of_warp;
            }
        }
        placed += here.total;
        before += all.total;
    }
    if (p.sorted_count && blockIdx.x == 0 && threadIdx.x == 0) *p.sorted_count = before;
    return placed;
}

KERNEL(place_items, SortPassArguments<S>, kSortThreads) {
    SHARED(std::uint16_t, counts, kSortWarps* kMostBins);  // by warp and digit
    SHARED(int, shifts, kMostBins);
    SHARED(Key, keys, kSortItems);
    SHARED(std::int32_t, values, kSortItems);
    SHARED(int, warps, kSortWarps);
    const std::int64_t begin = std::int64_t(blockIdx.x) * kSortItems, end = item_count(p);
    const int warp = int(threadIdx.x) / kWarp;
    if (begin >= end) return;
    for (int bin = int(lane_number()); bin < p.bins; bin += kWarp)
        counts[warp * kMostBins + bin] = 0;
    __syncwarp();
    Item items[kItems];
    int ranks[kItems];
#pragma unroll
    for (int k = 0; k < kItems; ++k) {
        std::int64_t i = begin + (warp * kItems + k) * kWarp + lane_number();
        items[k] = i < end ? load_item(p, i) : Item{0, 0, false};
        ranks[k] = rank_item(digit_of(p, items[k].key), items[k].there, counts, warp * kMostBins);
    }
    __syncthreads();
    int placed = find_places(p, counts, shifts, warps);
    __syncthreads();
    // First next to those that they go with, so that threads side by side write side by side.
#pragma unroll
    for (int k = 0; k < kItems; ++k) {
        if (!items[k].there) continue;
        int at = counts[warp * kMostBins + digit_of(p, items[k].key)] + ranks[k];
        keys[at] = items[k].key;
        values[at] = items[k].value;
    }
    __syncthreads();
    for (int at = int(threadIdx.x); at < placed; at += kSortThreads) {
        Key key = keys[at];
        int to = shifts[digit_of(p, key)] + at;
        if (p.sorted_keys) reinterpret_cast<Key*>(p.sorted_keys)[to] = key;
        p.sorted_values[to] = values[at];
    }
}

GABORSPLAT_END
