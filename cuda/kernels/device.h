// What all kernels share. A kernel is specialised by macros that whoever compiles it defines:
//   GABORSPLAT_REAL    float, or double for checks
//   GABORSPLAT_WAVES   K, waves per splat
//   GABORSPLAT_CHANNELS  numbers that are blended
//   and others where a file says so.
// It takes one struct of arguments, which is declared in cuda/passes.
#pragma once

#include "../passes/launch.h"
#include "../primitives/kinds.h"

#ifndef GABORSPLAT_REAL
#define GABORSPLAT_REAL float
#endif
#ifndef GABORSPLAT_WAVES
#define GABORSPLAT_WAVES 0
#endif
#ifndef GABORSPLAT_CHANNELS
#define GABORSPLAT_CHANNELS 3
#endif

// The emulator (tests/support/gpu/emulator) defines these in its own way, and all of CUDA that
// stands below.
#if !defined(GABORSPLAT_EMULATOR)
#define KERNEL(name, Arguments, threads) \
    extern "C" __global__ void __launch_bounds__(threads) name(const __grid_constant__ Arguments p)
/// An array that the threads of a block share.
#define SHARED(Type, name, count) __shared__ __align__(16) Type name[count]
#endif

GABORSPLAT_BEGIN

using S = GABORSPLAT_REAL;
using Kind = KindOf<GABORSPLAT_WAVES>::Type;
constexpr int kChannels = GABORSPLAT_CHANNELS;

constexpr unsigned kAllLanes = 0xffffffffu;

/// Number of this thread along the grid's first axis.
HD std::int64_t thread_number() { return std::int64_t(blockIdx.x) * blockDim.x + threadIdx.x; }
HD unsigned lane_number() { return threadIdx.x % unsigned(kWarp); }

HD Vec3<S> load3(const S* from) { return {from[0], from[1], from[2]}; }
HD void store3(S* to, Vec3<S> v) {
    to[0] = v.x;
    to[1] = v.y;
    to[2] = v.z;
}

/// The same number, held in a register: what is cheap to find the compiler would rather find again
/// in every pass of a loop.
HD int keep_in_register(int number) {
#if defined(__CUDA_ARCH__)
    asm volatile("" : "+r"(number));
#endif
    return number;
}

/// a / b for b neither tiny nor huge, right but for two units in the last place.
HD float divide(float a, float b) {
#if defined(__CUDA_ARCH__)
    return ::__fdividef(a, b);
#else
    return a / b;
#endif
}
HD double divide(double a, double b) { return a / b; }

/// Four numbers that one instruction moves.
struct Vec4 {
    S of[4];
};
template <class Array>
HD Vec4 load_vec4(const Array& from, int at) {
#if !defined(GABORSPLAT_EMULATOR)
    if constexpr (sizeof(S) == 4) {
        float4 v = *reinterpret_cast<const float4*>(&from[at]);
        return {{v.x, v.y, v.z, v.w}};
    }
#endif
    return {{from[at], from[at + 1], from[at + 2], from[at + 3]}};
}
template <class Array>
HD void store_vec4(Array& to, int at, Vec4 v) {
#if !defined(GABORSPLAT_EMULATOR)
    if constexpr (sizeof(S) == 4) {
        *reinterpret_cast<float4*>(&to[at]) = {v.of[0], v.of[1], v.of[2], v.of[3]};
        return;
    }
#endif
    for (int k = 0; k < 4; ++k) to[at + k] = v.of[k];
}

// The bits of a lane's number, in the order in which lanes are paired to add up. It is the same for
// any count of numbers, and so is every sum, to the bit.
HD constexpr int lane_bit(int step) { return step == 4 ? 16 : 8 >> step; }

/// Each exchange halves how many numbers a lane is in charge of, so that 32 sums take 31 shuffles,
/// where one sum alone takes 5.
template <int Half, int Step>
HD void fold(S* numbers) {
    constexpr int kBit = lane_bit(Step);
    bool upper = (lane_number() & kBit) != 0;
#pragma unroll
    for (int i = 0; i < Half; ++i) {
        S kept = upper ? numbers[i + Half] : numbers[i];
        S given = upper ? numbers[i] : numbers[i + Half];
        numbers[i] = kept + __shfl_xor_sync(kAllLanes, given, kBit);
    }
    if constexpr (Half > 1) fold<Half / 2, Step + 1>(numbers);
}

/// Adds up to 2^Bits numbers over the lanes of a warp. Lanes whose rotated number begins with the
/// bits of one of them end up with its sum.
template <int Bits, int Count>
HD S fold_numbers(const S* numbers) {
    S sums[1 << Bits];
#pragma unroll
    for (int i = 0; i < 1 << Bits; ++i) sums[i] = i < Count ? numbers[i] : S(0);
    if constexpr (Bits > 0) fold<(1 << Bits) / 2, 0>(sums);
#pragma unroll
    for (int step = Bits; step <= 4; ++step)  // lanes that have parts of the same sum
        sums[0] += __shfl_xor_sync(kAllLanes, sums[0], lane_bit(step));
    return sums[0];
}
/// The lane's number, rotated by one bit: its bits in the order in which lanes are paired.
HD int rotated_lane() { return int(lane_number() & 15) << 1 | int(lane_number() >> 4); }

/// The power of two that is no less than `count`, at most 32, as an exponent.
HD constexpr int bits_for(int count) {
    return count > 16 ? 5 : count > 8 ? 4 : count > 4 ? 3 : count > 2 ? 2 : count > 1 ? 1 : 0;
}
HD constexpr int shuffles_for(int count) {
    return (1 << bits_for(count)) - 1 + 5 - bits_for(count);
}
/// Of `count` numbers, those to add up first: 18 together pass as 32, while 16 and then 2 take 21
/// shuffles instead of 31.
HD constexpr int first_part(int count) {
    int fewer = 1 << bits_for(count) >> 1;
    bool better =
        fewer > 0 && shuffles_for(fewer) + shuffles_for(count - fewer) < shuffles_for(count);
    return better ? fewer : count;
}

/// Sums of `Count` numbers, at most 32, over the lanes of a warp; each is with one lane.
template <int Count>
struct WarpSums {
    static_assert(Count <= 32, "a lane for every number");
    static constexpr int kFirst = first_part(Count), kRest = Count - kFirst;
    static constexpr int kFirstBits = bits_for(kFirst), kRestBits = bits_for(kRest);

    /// Which sum this lane gets; none when negative.
    HD static int owned_sum() {
        int lane = rotated_lane(), others = lane & ((1 << (5 - kFirstBits)) - 1);
        if (others == 0 && lane >> (5 - kFirstBits) < kFirst) return lane >> (5 - kFirstBits);
        // Of those whose sum another lane has too, some are given one of the rest.
        int number = lane >> (5 - kRestBits), rest = lane & ((1 << (5 - kRestBits)) - 1);
        return kRest > 0 && rest == 1 && number < kRest ? kFirst + number : -1;
    }

    HD static S add(const S* numbers) {
        S total = fold_numbers<kFirstBits, kFirst>(numbers);
        if constexpr (kRest > 0) {
            S rest = fold_numbers<kRestBits, kRest>(numbers + kFirst);
            if ((rotated_lane() & 1) != 0) total = rest;
        }
        return total;
    }
};

GABORSPLAT_END
