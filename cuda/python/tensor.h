// A torch tensor as C++ sees it while a call lasts: address, size, type and device, without torch's
// headers. torch 2.10 and newer tell all of that in one call of C, by DLPack's exchange interface
// (https://dmlc.github.io/dlpack, `DLPackExchangeAPI`); older ones by their Python attributes.
#pragma once

#include <nanobind/nanobind.h>

#include <cstddef>
#include <cstdint>

namespace gaborsplat {

enum class Number { kFloat32, kFloat64, kInt16, kInt32, kInt64, kUint8, kOther };

const char* name_of(Number number);
/// [bytes]; 0 of another type.
std::size_t size_of(Number number);

template <class T>
constexpr Number kNumber = Number::kOther;
template <>
inline constexpr Number kNumber<float> = Number::kFloat32;
template <>
inline constexpr Number kNumber<double> = Number::kFloat64;
template <>
inline constexpr Number kNumber<std::int16_t> = Number::kInt16;
template <>
inline constexpr Number kNumber<std::int32_t> = Number::kInt32;
template <>
inline constexpr Number kNumber<std::int64_t> = Number::kInt64;
template <>
inline constexpr Number kNumber<std::uint8_t> = Number::kUint8;

constexpr int kCpu = -1;
constexpr int kOtherDevice = -2;

struct TensorView {
    void* data;
    std::int64_t count;  // of its numbers
    int device;          // index of the GPU, or kCpu, or kOtherDevice
    Number number;       // kUint8 for bool too
    bool contiguous;     // row-major
};

/// Address of torch's current stream on a GPU; 0 for the CPU.
std::uintptr_t current_stream(int device);

/// False, without a Python error, for what is no tensor.
bool view_tensor(nanobind::handle object, TensorView& view);

}  // namespace gaborsplat
