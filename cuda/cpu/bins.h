// The lists of splats by tile that the CPU's binning gives.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <utility>

namespace gaborsplat {

/// An array without the zeros that std::vector would write first.
template <class T>
struct OwnedArray {
    std::unique_ptr<T[]> data;
    std::int64_t size = 0;

    OwnedArray() = default;
    explicit OwnedArray(std::int64_t count) : data(new T[count]), size(count) {}
    /// Makes it longer, keeping what it holds.
    void grow(std::int64_t count) {
        OwnedArray longer(count);
        std::copy_n(data.get(), size, longer.data.get());
        *this = std::move(longer);
    }
    T& operator[](std::int64_t i) { return data[i]; }
    T* begin() { return data.get(); }
    T* end() { return data.get() + size; }
};

/// One entry per pair of a splat and a tile it touches, of M = C * N splats.
struct Bins {
    OwnedArray<std::int32_t> splat_ids;  // [pairs] into M, by (camera, tile), then by depth
    OwnedArray<std::int64_t> offsets;    // [C * tiles + 1] into splat_ids
    // For the gradient alone; empty otherwise.
    OwnedArray<std::int32_t> slots;       // [pairs] first_slot[id] + 0, 1, ... for each id
    OwnedArray<std::int64_t> first_slot;  // [M + 1] running total of tiles per splat
};

}  // namespace gaborsplat
