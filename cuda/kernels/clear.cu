// Memory that sums begin with.
#include "../passes/sort.h"
#include "device.h"

GABORSPLAT_BEGIN

KERNEL(clear, ClearArguments<S>, kNumberThreads) {
    const std::int64_t begin = thread_number() * kClearedBytes;
    if (begin + kClearedBytes <= p.size) {
        // Where a tensor's memory begins, and sixteen bytes on, words are whole.
        auto* words = reinterpret_cast<std::uint64_t*>(p.bytes + begin);
        words[0] = 0;
        words[1] = 0;
        return;
    }
    for (std::int64_t i = begin; i < p.size; ++i) p.bytes[i] = 0;
}

GABORSPLAT_END
