// What is done once in a step of a fit; and steps that harmonics have missed.
#include "../math/optimizer.h"
#include "device.h"

GABORSPLAT_BEGIN

KERNEL(begin_step, BeginStepArguments<S>, kWarp) {
    if (threadIdx.x == 0) decide_step(p);
}

/// Adds up in one block and double precision.
KERNEL(finish_step, FinishStepArguments<S>, kNumberThreads) {
    SHARED(double, partial, kNumberThreads / kWarp);
    double sum = 0;
    if (p.step.counters[kOpen] != 0)
        for (std::int64_t part = threadIdx.x; part < p.parts; part += kNumberThreads)
            sum += p.regularization[part];
    for (int step = kWarp / 2; step > 0; step /= 2) sum += __shfl_xor_sync(kAllLanes, sum, step);
    if (lane_number() == 0) partial[threadIdx.x / kWarp] = sum;
    for (int back = 1 + int(threadIdx.x); back < kMissedSteps; back += kNumberThreads)
        miss_step(p, back);
    __syncthreads();
    if (threadIdx.x != 0) return;
    sum = 0;
    for (int warp = 0; warp < kNumberThreads / kWarp; ++warp) sum += partial[warp];
    tell_step(p, sum);
}

/// A number a thread.
KERNEL(catch_up, CatchUpArguments<S>, kNumberThreads) {
    std::int64_t at = thread_number();
    if (at < p.splats * p.size) make_good(p, at, at / p.size);
}

GABORSPLAT_END
