// What is done once in a step of a fit; and steps that harmonics have missed.
#include "../math/optimizer.h"
#include "device.h"

GABORSPLAT_BEGIN

KERNEL(begin_step, BeginStepArguments<S>, kWarp) {
    if (threadIdx.x == 0) decide_step(p);
}

/// In one block.
KERNEL(finish_step, FinishStepArguments<S>, kNumberThreads) {
    for (int back = 1 + int(threadIdx.x); back < kMissedSteps; back += kNumberThreads)
        miss_step(p, back);
    if (threadIdx.x == 0) tell_step(p);
}

/// A number a thread.
KERNEL(catch_up, CatchUpArguments<S>, kNumberThreads) {
    std::int64_t at = thread_number();
    if (at < p.splats * p.size) make_good(p, at, at / p.size);
}

GABORSPLAT_END
