// CUDA on the host, so that the kernels of cuda/kernels run where there is no
// GPU: included before a kernel's source, which an ordinary compiler then
// compiles.
//
// Every thread of a block is a fiber. A warp's lanes run one after another up
// to the next point where lanes meet (a shuffle, a vote) or threads do (a
// barrier). What is wrong on a GPU, and often goes unnoticed there, stops the
// run with a message:
//   - a barrier that some thread of the block does not reach, or reaches
//   elsewhere in the code;
//   - a shuffle or vote that a lane of its mask does not take part in;
//   - shared memory that is read before it was written;
//   - shared memory that two threads access with no barrier in between, one of
//   them writing.
#pragma once

#include <cmath>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "fiber.h"

#define GABORSPLAT_EMULATOR
#ifndef GABORSPLAT_ISA
#define GABORSPLAT_ISA emulated
#endif

namespace emulator {

struct Dim {
    unsigned x, y;
};

constexpr unsigned kWarpSize = 32;

enum class State { kReady, kAtVote, kAtBarrier, kDone };

struct Thread {
    Fiber fiber;
    State state;
    int site;       // line of the barrier or vote it waits at
    unsigned mask;  // lanes that it expects there
    std::uint64_t given, received;
    unsigned lane_argument;
};

/// The block that is running.
struct Block {
    Dim index, size;
    Dim grid;
    unsigned current = 0;
    std::vector<Thread> threads;
    std::uint64_t barriers = 0;        // passed so far
    bool any = false;                  // whether a thread said yes at the last one
    std::vector<std::uint64_t> votes;  // by warp
    std::vector<std::unique_ptr<char[]>> shared;
    std::vector<int> shared_sites;
    std::size_t shared_bytes = 0;
    Fiber scheduler;
    std::string error;
};
inline thread_local Block* block = nullptr;

/// Ends the run; does not return to the thread that calls it.
[[noreturn]] inline void fail(const char* format, ...) {
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    int start = std::snprintf(text, sizeof text, "block (%u, %u), thread %u: ", block->index.x,
                              block->index.y, block->current);
    std::vsnprintf(text + start, sizeof text - start, format, arguments);
    va_end(arguments);
    block->error = text;
    switch_fiber(block->threads[block->current].fiber, block->scheduler);
    std::abort();
}

inline Thread& self() { return block->threads[block->current]; }

inline void wait(State state, int site) {
    self().state = state;
    self().site = site;
    switch_fiber(self().fiber, block->scheduler);
}

/// What a lane finds at a vote: the values that the lanes of its warp gave.
template <class T>
std::uint64_t as_word(T value) {
    static_assert(sizeof(T) <= 8);
    std::uint64_t word = 0;
    std::memcpy(&word, &value, sizeof value);
    return word;
}
template <class T>
T from_word(std::uint64_t word) {
    T value;
    std::memcpy(&value, &word, sizeof value);
    return value;
}

/// All lanes of `mask` meet here; `given` is read by others through `meet`'s
/// caller.
inline void meet(unsigned mask, std::uint64_t given, int site) {
    unsigned lane = block->current % kWarpSize;
    if (!(mask >> lane & 1u))
        fail("line %d: lane %u is not in its own mask %08x", site, lane, mask);
    self().mask = mask;
    self().given = given;
    wait(State::kAtVote, site);
}
inline Thread& lane_of_warp(unsigned lane) {
    return block->threads[block->current / kWarpSize * kWarpSize + lane];
}

template <class T>
T shuffle(unsigned mask, T value, unsigned from, int site) {
    meet(mask, as_word(value), site);
    // The lanes' values stay until all of them have gone on and met again.
    if (!(mask >> from & 1u))
        fail("line %d: shuffle from lane %u, which takes no part", site, from);
    return from_word<T>(lane_of_warp(from).received);
}

inline unsigned ballot(unsigned mask, bool yes, int site) {
    meet(mask, yes, site);
    unsigned votes = 0;
    for (unsigned lane = 0; lane < kWarpSize; ++lane)
        if (mask >> lane & 1u) votes |= unsigned(lane_of_warp(lane).received) << lane;
    return votes;
}

/// The lanes that gave the same.
inline unsigned match(unsigned mask, std::uint64_t word, int site) {
    meet(mask, word, site);
    unsigned alike = 0;
    for (unsigned lane = 0; lane < kWarpSize; ++lane)
        if ((mask >> lane & 1u) != 0 && lane_of_warp(lane).received == word) alike |= 1u << lane;
    return alike;
}

inline bool barrier_or(bool yes, int site) {
    self().given = yes;
    wait(State::kAtBarrier, site);
    return block->any;
}

}  // namespace emulator

#include "shared_memory.h"

namespace emulator {

/// Lets the lanes of a warp that wait for a vote go on, when all of them are
/// there.
inline void take_vote(unsigned warp) {
    unsigned first = warp * kWarpSize;
    unsigned last = std::min<unsigned>(first + kWarpSize, unsigned(block->threads.size()));
    for (unsigned i = first; i < last; ++i) {
        Thread& thread = block->threads[i];
        if (thread.state != State::kAtVote) continue;
        block->current = i;
        for (unsigned lane = 0; lane < kWarpSize; ++lane) {
            if (!(thread.mask >> lane & 1u)) continue;
            char text[256];
            if (first + lane >= last || block->threads[first + lane].state == State::kDone)
                std::snprintf(text, sizeof text, "line %d: waits for lane %u, which has exited",
                              thread.site, lane);
            else if (block->threads[first + lane].state == State::kAtBarrier)
                std::snprintf(text, sizeof text,
                              "line %d: waits for lane %u, which is at the "
                              "barrier of line %d",
                              thread.site, lane, block->threads[first + lane].site);
            else if (block->threads[first + lane].site != thread.site ||
                     block->threads[first + lane].mask != thread.mask)
                std::snprintf(text, sizeof text,
                              "line %d, mask %08x: lane %u waits at line %d, "
                              "mask %08x",
                              thread.site, thread.mask, lane, block->threads[first + lane].site,
                              block->threads[first + lane].mask);
            else
                continue;
            block->error = "block (" + std::to_string(block->index.x) + ", " +
                           std::to_string(block->index.y) + "), thread " + std::to_string(i) +
                           ": " + text;
            return;
        }
        for (unsigned lane = 0; lane < kWarpSize; ++lane)
            if (thread.mask >> lane & 1u) {
                Thread& other = block->threads[first + lane];
                other.state = State::kReady;
                other.received = other.given;
            }
        ++block->votes[warp];
        return;
    }
}

/// Lets all threads go on that wait at a barrier.
inline void pass_barrier() {
    const Thread* waiting = nullptr;
    for (const Thread& thread : block->threads)
        if (thread.state == State::kAtBarrier) waiting = &thread;
    for (unsigned i = 0; i < block->threads.size(); ++i) {
        Thread& thread = block->threads[i];
        if (thread.state == State::kAtBarrier && thread.site == waiting->site) continue;
        block->error =
            "block (" + std::to_string(block->index.x) + ", " + std::to_string(block->index.y) +
            "): threads wait at the barrier of line " + std::to_string(waiting->site) +
            ", but thread " + std::to_string(i) +
            (thread.state == State::kDone ? " has exited"
                                          : " waits at line " + std::to_string(thread.site));
        return;
    }
    block->any = false;
    for (Thread& thread : block->threads) {
        thread.state = State::kReady;
        block->any = block->any || thread.given != 0;
    }
    ++block->barriers;
}

inline void run_warp(unsigned warp) {
    unsigned last = std::min<unsigned>((warp + 1) * kWarpSize, unsigned(block->threads.size()));
    for (bool ran = true; ran && block->error.empty();) {
        ran = false;
        for (unsigned i = warp * kWarpSize; i < last && block->error.empty(); ++i) {
            if (block->threads[i].state != State::kReady) continue;
            ran = true;
            block->current = i;
            switch_fiber(block->scheduler, block->threads[i].fiber);
        }
        if (ran && block->error.empty()) take_vote(warp);
    }
}

using Body = void (*)(const void* arguments);

struct Start {
    Body body;
    const void* arguments;
};
inline thread_local Start start;

inline void run_thread() {
    begin_fiber(block->scheduler);
    start.body(start.arguments);
    self().state = State::kDone;
    switch_fiber(self().fiber, block->scheduler);
    std::abort();
}

inline void run_block(Stacks& stacks, unsigned size) {
    block->threads = std::vector<Thread>(size);
    block->votes.assign((size + kWarpSize - 1) / kWarpSize, 0);
    for (unsigned i = 0; i < size; ++i) {
        block->threads[i].state = State::kReady;
        start_fiber(block->threads[i].fiber, stacks.of(i), stacks.kSize, run_thread);
    }
    while (block->error.empty()) {
        for (unsigned warp = 0; warp < block->votes.size(); ++warp) run_warp(warp);
        bool done = true;
        for (const Thread& thread : block->threads) done = done && thread.state == State::kDone;
        if (done) return;
        if (block->error.empty()) pass_barrier();
    }
}

/// Runs all blocks; returns what went wrong, or null.
inline const char* launch(Body body, const void* arguments, Dim grid, unsigned size) {
    static thread_local std::string error;
    static thread_local Stacks stacks;
    stacks.provide(size);
    start = {body, arguments};
    for (unsigned y = 0; y < grid.y; ++y)
        for (unsigned x = 0; x < grid.x; ++x) {
            Block running;
            running.index = {x, y};
            running.size = {size, 1};
            running.grid = grid;
            block = &running;
            run_block(stacks, size);
            block = nullptr;
            if (running.error.empty()) continue;
            error = running.error;
            return error.c_str();
        }
    return nullptr;
}

}  // namespace emulator

// CUDA's names.
#define threadIdx (emulator::Dim{emulator::block->current, 0})
#define blockIdx (emulator::block->index)
#define blockDim (emulator::block->size)
#define gridDim (emulator::block->grid)
#define SHARED(Type, name, count) const emulator::Shared<Type, (count)> name(#name, __LINE__)

template <class T>
T __shfl_xor_sync(unsigned mask, T value, int lanes, int site = __builtin_LINE()) {
    unsigned lane = emulator::block->current % emulator::kWarpSize;
    return emulator::shuffle(mask, value, lane ^ unsigned(lanes), site);
}
template <class T>
T __shfl_sync(unsigned mask, T value, int from, int site = __builtin_LINE()) {
    return emulator::shuffle(mask, value, unsigned(from), site);
}
/// The first lanes get their own value.
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned lanes, int site = __builtin_LINE()) {
    unsigned lane = emulator::block->current % emulator::kWarpSize;
    return emulator::shuffle(mask, value, lane < lanes ? lane : lane - lanes, site);
}
inline unsigned __ballot_sync(unsigned mask, bool yes, int site = __builtin_LINE()) {
    return emulator::ballot(mask, yes, site);
}
inline bool __any_sync(unsigned mask, bool yes, int site = __builtin_LINE()) {
    return emulator::ballot(mask, yes, site) != 0;
}
inline void __syncthreads(int site = __builtin_LINE()) { emulator::barrier_or(false, site); }
inline int __syncthreads_or(bool yes, int site = __builtin_LINE()) {
    return emulator::barrier_or(yes, site);
}
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __clz(int x) { return x == 0 ? 32 : __builtin_clz(unsigned(x)); }
inline int __popc(unsigned x) { return __builtin_popcount(x); }
template <class T>
unsigned __match_any_sync(unsigned mask, T value, int site = __builtin_LINE()) {
    return emulator::match(mask, emulator::as_word(value), site);
}
inline void __syncwarp(int site = __builtin_LINE()) { emulator::ballot(~0u, false, site); }
template <class T>
T atomicAdd(T* to, T value) {
    T before = *to;
    *to += value;
    return before;
}
template <class T>
T atomicAdd(emulator::Reference<T>* to, T value) {
    return to->add(value);
}

/// A kernel, and the function by which the tests launch it.
#define KERNEL(name, Arguments, threads)                                                           \
    static void name(const Arguments& p);                                                          \
    extern "C" const char* launch_##name(const void* arguments, unsigned x, unsigned y) {          \
        return emulator::launch(                                                                   \
            [](const void* all) { name(*static_cast<const Arguments*>(all)); }, arguments, {x, y}, \
            threads);                                                                              \
    }                                                                                              \
    extern "C" std::size_t size_of_##name() { return sizeof(Arguments); }                          \
    extern "C" int threads_of_##name() { return threads; }                                         \
    static void name(const Arguments& p)
