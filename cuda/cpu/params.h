// The arguments of each pass: pointers into arrays that Python owns. C cameras, N splats, K waves,
// D colour channels, F = Kind::kScreen; row-major, contiguous.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <utility>

#include "../math/descent.h"

namespace gaborsplat {

template <class S>
struct ProjectParams {
    std::int64_t cameras, splats;
    int waves;
    int width, height;      // [px]
    const S* means;         // [N, 3]
    const S* quats;         // [N, 4]
    const S* scales;        // [N, 3]
    const S* opacities;     // [N]
    const S* frequencies;   // [N, K, 3]
    const S* coefficients;  // [N, K, 2]
    const S* viewmats;      // [C, 4, 4]
    const S* intrinsics;    // [C, 3, 3]
    double near_plane, far_plane, eps2d, compensation_min, alpha_min, radius_clip;
    bool antialiased, three_sigma, raw;
    // Forward writes these, backward reads the radii alone.
    std::int32_t* radii;     // [C, N, 2] px, 0 = culled
    S* means2d;              // [C, N, 2] px
    S* depths;               // [C, N]
    S* conics;               // [C, N, 3] xx, xy, yy
    S* projected_opacities;  // [C, N]
    S* cutoffs;              // [C, N]
    S* screen;               // [C, N, F]
};

template <class S>
struct ProjectGradients {
    const S* v_means2d;              // [C, N, 2]
    const S* v_depths;               // [C, N]
    const S* v_conics;               // [C, N, 3]
    const S* v_projected_opacities;  // [C, N]
    const S* v_screen;               // [C, N, F]
    S* v_means;                      // [N, 3]
    S* v_quats;                      // [N, 4]
    S* v_scales;                     // [N, 3]
    S* v_opacities;                  // [N]
    S* v_frequencies;                // [N, K, 3]
    S* v_coefficients;               // [N, K, 2]
    S* v_viewmats;                   // [C, 4, 4]
};

template <class S>
struct ShadeParams {
    std::int64_t cameras, splats;
    int bands, degree;   // coefficients stored, degree evaluated
    const S* means;      // [N, 3]
    const S* positions;  // [C, 3] camera centres
    // The constant harmonic's coefficients, 3 a splat, and those of all others, 3 (bands - 1) a
    // splat; each in an array of its own or both in one.
    const S *sh0, *sh_rest;
    int sh0_width, rest_width;  // from splat to splat, in numbers
    std::int32_t* radii;        // [C, N, 2]; forward culls the splats of unbounded colour
    S* colors;                  // [C, N, 3]; 0 where culled. Backward reads it.
};

template <class S>
struct ShadeGradients {
    const S* v_colors;     // [C, N, 3]
    S* v_means;            // [N, 3]
    S* v_positions;        // [C, 3]
    S *v_sh0, *v_sh_rest;  // laid out as their values
};

template <class S>
struct BinParams {
    std::int64_t cameras, splats;
    int width, height;          // [px]
    bool tile_test;             // test tiles against the ellipse, not just its box
    bool slots;                 // find those too, for the gradient
    const std::int32_t* radii;  // [C, N, 2]
    const S* means2d;           // [C, N, 2]
    const S* depths;            // [C, N]
    const S* conics;            // [C, N, 3]
    const S* cutoffs;           // [C, N]
};

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

/// One entry per pair of a splat and a tile it touches, M = C * N splats.
struct Bins {
    OwnedArray<std::int32_t> splat_ids;  // [instances] into M, by (camera, tile), then by depth
    OwnedArray<std::int64_t> offsets;    // [C * tiles + 1] into splat_ids
    // For the gradient alone; empty otherwise.
    OwnedArray<std::int32_t> slots;       // [instances] first_slot[id] + 0, 1, ... for each id
    OwnedArray<std::int64_t> first_slot;  // [M + 1] running total of tiles per splat
};

template <class S>
struct BlendParams {
    std::int64_t cameras, splats, instances;  // M splats: C * N, or those that were packed
    int waves, channels;
    int width, height;  // [px]
    double alpha_min, alpha_max, transmittance_min;
    const S* means2d;               // [M, 2]
    const S* conics;                // [M, 3]
    const S* opacities;             // [M]
    const S* cutoffs;               // [M]
    const S* colors;                // [M, D]
    const S* screen;                // [M, F]
    const std::int32_t* splat_ids;  // [instances] into M, by (camera, tile), then by depth
    const std::int64_t* offsets;    // [C * tiles + 1] into splat_ids
    S* image;                       // [C, height, width, D]
    S* transmittance;               // [C, height, width]
    // Or, instead of both, the first 3 channels over the background.
    std::uint8_t* bytes;  // [C, height, width, 3] 255 for 1
    double background[3];
};

template <class S>
struct BlendGradients {
    const S* v_image;                // [C, height, width, D]
    const S* v_transmittance;        // [C, height, width]
    const std::int32_t* slots;       // [instances] place of each sorted instance in emission order
    const std::int64_t* first_slot;  // [M + 1] emission slots of each splat
    S* v_means2d;                    // [M, 2] of the envelope alone
    S* v_means2d_abs;                // [M, 2] sum over pixels of |gradient|, or null
    S* v_conics;                     // [M, 3]
    S* v_opacities;                  // [M]
    S* v_colors;                     // [M, D]
    S* v_screen;                     // [M, F]
};

/// A picture against a photo, [height, width, 3] each.
template <class S>
struct LossParams {
    int width, height;  // [px]
    double ssim_weight;
    const S* image;
    const S* photo;                   // either this
    const std::uint8_t* photo_bytes;  // or this, 0 to 255
    const std::uint8_t* mask;         // [height, width] 0 where there is no loss; null: nowhere
    S* gradient;                      // of the loss to the image; null: not wanted
};

/// Means over the valid pixels and their channels.
struct LossResult {
    double l1, similarity, squares;
};

/// One parameter of all splats, `width` numbers a splat, with Adam's moments.
template <class S>
struct AdamParams {
    std::int64_t rows;
    int width;
    S *values, *means, *squares;  // [rows, width]
    const S* gradients;           // [rows, width]
    const std::uint8_t* visible;  // [rows] 0 for splats to leave alone; null: none
    double rate, beta1, beta2, root_remainder, eps;  // math/descent.h, AdamRates
};

/// Raw parameters of splats: logarithms of the scales, logits of the opacities.
template <class S>
struct ShakeParams {
    std::int64_t splats;
    S* means;            // [N, 3]
    const S* quats;      // [N, 4]
    const S* scales;     // [N, 3]
    const S* opacities;  // [N]
    double strength;
    NoiseGate gate;
    std::uint64_t seed;
};

}  // namespace gaborsplat
