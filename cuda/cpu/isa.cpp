#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

#include "passes.h"

namespace gaborsplat {
namespace {

/// Variants that this processor runs, slowest first.
std::vector<Isa> supported() {
    std::vector<Isa> variants = {{"portable", &float_passes_portable}};
#if defined(GABORSPLAT_X86)
    __builtin_cpu_init();
    bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    bool has_avx512 = has_avx2 && __builtin_cpu_supports("avx512f") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512vl");
    if (has_avx2) variants.push_back({"avx2", &float_passes_avx2});
    if (has_avx512) variants.push_back({"avx512", &float_passes_avx512});
#endif
    return variants;
}

Isa chosen() {
    std::vector<Isa> variants = supported();
    const char* wanted = std::getenv("GABORSPLAT_ISA");
    if (!wanted || !*wanted) return variants.back();
    std::string known;
    for (const Isa& variant : variants) {
        if (std::strcmp(variant.name, wanted) == 0) return variant;
        known += std::string(known.empty() ? "" : ", ") + variant.name;
    }
    throw std::invalid_argument("GABORSPLAT_ISA is '" + std::string(wanted) +
                                "'; this processor runs: " + known);
}

}  // namespace

const Isa& isa() {
    static const Isa choice = chosen();
    return choice;
}

}  // namespace gaborsplat
