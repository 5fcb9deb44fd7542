// Memory that a pass needs while it runs. What one call leaves, the next one on the same thread
// takes: fresh pages from the system cost more than most passes, and threads that ask for them at
// once wait for each other.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

#include "../math/scalar.h"

GABORSPLAT_BEGIN

/// A T as the last call on this thread left it.
template <class T>
class Kept {
  public:
    Kept() : value_(std::move(kept())) {
        if (!value_) value_ = std::make_unique<T>();
    }
    ~Kept() { kept() = std::move(value_); }
    Kept(const Kept&) = delete;
    Kept& operator=(const Kept&) = delete;

    T& operator*() { return *value_; }
    T* operator->() { return value_.get(); }

  private:
    static std::unique_ptr<T>& kept() {
        static thread_local std::unique_ptr<T> value;
        return value;
    }

    std::unique_ptr<T> value_;
};

/// An array of `count` values that nobody has set.
template <class T>
class Scratch {
  public:
    explicit Scratch(std::int64_t count) {
        std::size_t wanted = static_cast<std::size_t>(count);
        // A block much larger than what is asked for goes back to the system.
        if (block_->count >= wanted && block_->count / 8 <= wanted) return;
        *block_ = {};
        *block_ = {std::unique_ptr<T[]>(new T[wanted]), wanted};
    }

    T* data() { return block_->data.get(); }

  private:
    struct Block {
        std::unique_ptr<T[]> data;
        std::size_t count = 0;
    };
    Kept<Block> block_;
};

GABORSPLAT_END
