// A persistent pool: the caller and its workers take indices from one counter until none is left.
#pragma once

#include <cstdint>

namespace gaborsplat {

using Task = void (*)(const void* context, std::int64_t index);

/// Calls task(context, i) for every i in [0, count). Returns when all are done. When another thread
/// is using the pool the caller does all the work itself, so nobody waits for anybody.
void run_parallel(std::int64_t count, Task task, const void* context);

template <class Body>
void parallel_for(std::int64_t count, const Body& body) {
    run_parallel(
        count,
        [](const void* context, std::int64_t index) {
            (*static_cast<const Body*>(context))(index);
        },
        &body);
}

/// Threads that work on one call, the caller included; at least 1.
int threads();
void set_threads(int count);

}  // namespace gaborsplat
