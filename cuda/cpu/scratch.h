// Memory that a pass needs while it runs. What one call leaves, the next one on the same thread
// takes: fresh pages from the system cost more than most passes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

#include "../math/scalar.h"

GABORSPLAT_BEGIN

template <class T>
class Scratch {
  public:
    explicit Scratch(std::int64_t count) : block_(std::exchange(kept(), {})) {
        std::size_t wanted = static_cast<std::size_t>(count);
        // A block much larger than what is asked for goes back to the system.
        if (block_.count >= wanted && block_.count / 8 <= wanted) return;
        block_ = {};
        block_ = {std::unique_ptr<T[]>(new T[wanted]), wanted};
    }
    ~Scratch() { kept() = std::move(block_); }
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;

    T* data() { return block_.data.get(); }

  private:
    struct Block {
        std::unique_ptr<T[]> data;
        std::size_t count = 0;
    };
    static Block& kept() {
        static thread_local Block block;
        return block;
    }

    Block block_;
};

GABORSPLAT_END
