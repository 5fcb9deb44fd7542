// Running totals over the threads of a warp and of a block.
#pragma once

#include "device.h"

GABORSPLAT_BEGIN

/// What the threads before this one have of a number, and what all have.
template <class T>
struct Scan {
    T before, total;
};

template <class T>
HD Scan<T> scan_warp(T number) {
    T sum = number;
    for (unsigned step = 1; step < unsigned(kWarp); step *= 2) {
        T other = __shfl_up_sync(kAllLanes, sum, step);
        if (lane_number() >= step) sum += other;
    }
    return {sum - number, __shfl_sync(kAllLanes, sum, kWarp - 1)};
}

/// Over a block of `Threads`; `warps` has a number a warp. All threads of the block call it.
template <int Threads, class T, class Shared>
HD Scan<T> scan_block(T number, Shared& warps) {
    Scan<T> mine = scan_warp(number), out = {mine.before, 0};
    if (lane_number() == 0) warps[threadIdx.x / kWarp] = mine.total;
    __syncthreads();
    for (int warp = 0; warp < Threads / kWarp; ++warp) {
        T total = warps[warp];
        out.total += total;
        if (warp < int(threadIdx.x) / kWarp) out.before += total;
    }
    __syncthreads();  // nobody overwrites what others still read
    return out;
}

/// Of `count` numbers, running totals in their place, and their sum, at most 2^31 - 1; a block does
/// all. `warps` has 64 bits a warp: the numbers of a block may add up to more than 32 hold.
template <int Threads, class Shared>
HD int scan_numbers(std::int32_t* numbers, std::int64_t count, Shared& warps) {
    constexpr std::int64_t kMost = 2147483647;
    std::int64_t before = 0;
    for (std::int64_t first = 0; first < count; first += Threads) {
        std::int64_t i = first + threadIdx.x;
        auto scan = scan_block<Threads>(std::int64_t(i < count ? numbers[i] : 0), warps);
        std::int64_t sum = before + scan.before;
        if (i < count) numbers[i] = int(sum < kMost ? sum : kMost);
        before += scan.total;
    }
    return int(before < kMost ? before : kMost);
}

/// For each of `Count` numbers, the last of 32 lanes, counted from 0, whose `before` is not above
/// it: binary searches, whose steps wait for each other together. All lanes call it; `before` does
/// not fall from lane to lane, and the first is not above.
template <int Count>
HD void find_owners(const int (&wanted)[Count], int before, int (&owners)[Count]) {
    for (int& owner : owners) owner = 0;
    for (int step = kWarp / 2; step > 0; step /= 2)
#pragma unroll
        for (int k = 0; k < Count; ++k)
            if (__shfl_sync(kAllLanes, before, owners[k] + step) <= wanted[k]) owners[k] += step;
}

GABORSPLAT_END
