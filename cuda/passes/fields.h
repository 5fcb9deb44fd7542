// How the arguments of a pass are declared: a struct lists its fields between ARGUMENTS and
// END_ARGUMENTS, a field a line, and this is the only place where they are written down.
//
//   SIZE(std::int64_t, splats);          a count that shapes are made of: before the arrays
//   VALUE(S, near_plane);                a number
//   OPTIONAL_SIZE, OPTIONAL_VALUE        0 when none is given
//   VALUES(S, background, 3);            some numbers
//   IN(S, means, splats, 3);             an array that is read, [splats, 3], row-major, contiguous
//   OUT(S, depths, cameras, splats);     an array that is written
//   OPTIONAL_IN, OPTIONAL_OUT            null where there is none
//   PART(ProjectInputs<S>, in);          the fields of another struct
//   OPTIONS(ProjectOptions<S>, options); likewise, but handed over as one object
//
// Kernels, on any device, see plain members: `const S* means`. The Python module goes through the
// same lines (`for_each_field`) to fill a struct from arguments by name, with type, size and device
// checked, and to describe it; what it fills keeps the arrays alive.
#pragma once

#include "../math/scalar.h"

#if defined(__CUDACC__) || defined(GABORSPLAT_EMULATOR)

#define ARGUMENTS
#define END_ARGUMENTS
#define GABORSPLAT_FIELD(member, ...) member

#else

#include <initializer_list>
#include <utility>

namespace gaborsplat {

template <int>
struct Line {};

/// Calls visit(Line<First>), visit(Line<First + 1>), ... for `Count` lines.
template <int First, class Visit, int... Offsets>
void for_each_line(const Visit& visit, std::integer_sequence<int, Offsets...>) {
    (visit(Line<First + Offsets>{}), ...);
}

enum class Access { kRead, kWrite, kReadOrNull, kWriteOrNull };

}  // namespace gaborsplat

// Every field overloads `field` for its own line; the other lines of the struct do nothing.
#define ARGUMENTS                           \
    static constexpr int kFirst = __LINE__; \
    template <class Visitor, int Other>     \
    void field(Visitor&, Line<Other>) {}    \
    static_assert(true)
#define END_ARGUMENTS                                                                \
    template <class Visitor>                                                         \
    void for_each_field(Visitor& visitor) {                                          \
        for_each_line<kFirst>([&](auto line) { this->field(visitor, line); },        \
                              std::make_integer_sequence<int, __LINE__ - kFirst>{}); \
    }                                                                                \
    static_assert(true)
#define GABORSPLAT_FIELD(member, call)             \
    member = {};                                   \
    template <class Visitor>                       \
    void field(Visitor& visitor, Line<__LINE__>) { \
        visitor.call;                              \
    }                                              \
    static_assert(true)

#endif

#define GABORSPLAT_ARRAY(T, name, access, ...) \
    GABORSPLAT_FIELD(T* name, array(#name, name, access, {__VA_ARGS__}, #__VA_ARGS__))

#define SIZE(T, name) GABORSPLAT_FIELD(T name, size(#name, name, true))
#define OPTIONAL_SIZE(T, name) GABORSPLAT_FIELD(T name, size(#name, name, false))
#define VALUE(T, name) GABORSPLAT_FIELD(T name, value(#name, name, true))
#define OPTIONAL_VALUE(T, name) GABORSPLAT_FIELD(T name, value(#name, name, false))
#define VALUES(T, name, count) GABORSPLAT_FIELD(T name[count], values(#name, name))
#define IN(T, name, ...) GABORSPLAT_ARRAY(const T, name, Access::kRead, __VA_ARGS__)
#define OUT(T, name, ...) GABORSPLAT_ARRAY(T, name, Access::kWrite, __VA_ARGS__)
#define OPTIONAL_IN(T, name, ...) GABORSPLAT_ARRAY(const T, name, Access::kReadOrNull, __VA_ARGS__)
#define OPTIONAL_OUT(T, name, ...) GABORSPLAT_ARRAY(T, name, Access::kWriteOrNull, __VA_ARGS__)
#define PART(Type, name) GABORSPLAT_FIELD(Type name, part(name))
#define OPTIONS(Type, name) GABORSPLAT_FIELD(Type name, options(#name, name))
