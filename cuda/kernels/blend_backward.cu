// The gradient of blending, by replaying it front to back: a tile a block, a pixel a thread.
//   GABORSPLAT_ABSOLUTE       also find the sums over pixels of |gradient of means2d|
//   GABORSPLAT_DETERMINISTIC  every pair of splat and tile has a place of its own, and a second
//                             kernel adds these in order; otherwise tiles add to their splat as
//                             they finish
#include "tile.h"

#ifndef GABORSPLAT_ABSOLUTE
#define GABORSPLAT_ABSOLUTE 0
#endif
#ifndef GABORSPLAT_DETERMINISTIC
#define GABORSPLAT_DETERMINISTIC 0
#endif

GABORSPLAT_BEGIN

// Sums over pixels. Of the gradient to the logarithm of alpha: itself, then times the offset x, y,
// xx, xy, yy; then the kind's own, then the colour's, then the absolute ones.
constexpr int kKindSums = 6;
constexpr int kColorSums = kKindSums + Kind::kSums;
constexpr int kAbsoluteSums = kColorSums + kChannels;
constexpr int kSums = kAbsoluteSums + (GABORSPLAT_ABSOLUTE ? 2 : 0);
constexpr int kBatch =
    fitting_batch(int(kWarp), int(sizeof(S)) * (kTileWarps * kSums + kRecord + 2));

struct BlendBackwardArguments {
    const S* means2d;               // [M, 2]
    const S* conics;                // [M, 3]
    const S* opacities;             // [M]
    const S* cutoffs;               // [M]
    const S* colors;                // [M, D]
    const S* screen;                // [M, F]
    const std::int32_t* splat_ids;  // [instances] by tile, then by depth
    const std::int64_t* offsets;    // [tiles + 1] into splat_ids
    const std::int32_t* slots;      // [instances]
    const S* image;                 // [C, height, width, D]
    const S* transmittance;         // [C, height, width]
    const S* v_image;
    const S* v_transmittance;  // null: zero
    S* sums;  // zeros: [instances, kSums] at their slots when deterministic, else [M, kSums]
    S alpha_min;
    S alpha_max;
    S transmittance_min;
    int width;
    int height;
};

struct FinishBlendArguments {
    const S* means2d;                // [M, 2]
    const S* conics;                 // [M, 3]
    const S* opacities;              // [M]
    const S* screen;                 // [M, F]
    const std::int32_t* radii;       // [M, 2]
    const std::int64_t* first_slot;  // [M + 1] into sums when deterministic
    const S* sums;
    S* v_means2d;      // [M, 2] of the envelope alone
    S* v_means2d_abs;  // [M, 2]
    S* v_conics;       // [M, 3]
    S* v_opacities;    // [M]
    S* v_colors;       // [M, D]
    S* v_screen;       // [M, F]
    std::int64_t all;  // M
};

/// A pixel on its way through the splats.
struct PixelGradient {
    Vec2<S> at;
    S transmittance;
    S behind;  // what all later splats and the background add to the loss
    S v_image[kChannels];
};

HD PixelGradient load_pixel(const BlendBackwardArguments& p, const Place& place) {
    PixelGradient out = {pixel_of(place), S(1), S(0), {}};
    if (!place.inside) return out;
    for (int k = 0; k < kChannels; ++k) {
        out.v_image[k] = p.v_image[kChannels * place.pixel + k];
        out.behind = fma_(out.v_image[k], p.image[kChannels * place.pixel + k], out.behind);
    }
    if (p.v_transmittance)
        out.behind = fma_(p.transmittance[place.pixel], p.v_transmittance[place.pixel], out.behind);
    return out;
}

/// Blends the splat into the pixel, if it reaches it, and finds what it adds to the sums. With g
/// the gradient of the pixel's colour,
///   dL/dalpha_i = T_i c_i.g - behind_i / (1 - alpha_i).
/// All lanes of a warp go through this when one of them must: those that add nothing choose zeros
/// rather than branch. (Zero times what is not finite is no zero.)
template <class Record>
HD void add_splat(const BlendBackwardArguments& p, const Record& record, std::int64_t splat,
                  bool reached, Reach reach, PixelGradient& pixel, S* sums) {
    Vec2<S> at = {reached ? pixel.at.x : S(0), reached ? pixel.at.y : S(0)};
    reach.d = {reached ? reach.d.x : S(0), reached ? reach.d.y : S(0)};
    reach.power = reached ? reach.power : S(0);
    PixelAlpha alpha = find_alpha(record, at, reach);
    Thresholds<S> limits = {p.alpha_min, p.alpha_max, p.transmittance_min};
    S before = pixel.transmittance;
    Contribution<S> c = composite(alpha.raw_alpha, before, reached, limits);
    if (c.counts && !c.blended) close(pixel.at);
    pixel.transmittance = c.blended ? c.next : before;
    ColorView<Record> colors(record, p.colors, splat);
    S shade = S(0);  // c_i . g
#pragma unroll
    for (int k = 0; k < kChannels; ++k) {
        shade = fma_(colors[k], pixel.v_image[k], shade);
        sums[kColorSums + k] = c.blended ? c.weight * pixel.v_image[k] : S(0);
    }
    pixel.behind = c.blended ? fma_(-c.weight, shade, pixel.behind) : pixel.behind;
    // before / next is 1 / (1 - alpha). Alpha held at its bound has no gradient.
    S v_alpha = before * (shade - divide(pixel.behind, c.next));
    v_alpha = c.blended && alpha.raw_alpha <= limits.alpha_max ? v_alpha : S(0);
    S v_log = v_alpha * alpha.raw_alpha, px = v_log * reach.d.x, py = v_log * reach.d.y;
    sums[0] = v_log;
    sums[1] = px;
    sums[2] = py;
    sums[3] = px * reach.d.x;
    sums[4] = px * reach.d.y;
    sums[5] = py * reach.d.y;
    for (int k = 0; k < Kind::kSums; ++k) sums[kKindSums + k] = S(0);
    Kind::add_vjp(alpha.waves, reach.d, v_alpha * alpha.envelope, sums + kKindSums);
#if GABORSPLAT_ABSOLUTE
    Vec2<S> v = conic(Envelope(record).f) * Vec2<S>{px, py};
    sums[kAbsoluteSums] = abs_(v.x);
    sums[kAbsoluteSums + 1] = abs_(v.y);
#endif
}

/// Sums over the warp, 32 numbers at a time, each stored by a lane of its own. `role` is the lane's
/// among the first.
template <int First, class Totals>
HD void store_sums(S* sums, Totals& totals, int place, int role) {
    using Sums = WarpSums<(kSums - First < 32 ? kSums - First : 32)>;
    S total = Sums::add(sums + First);
    if (First > 0) role = Sums::role();
    if (role >= 0) totals[place + First + role] = total;
    if constexpr (First + 32 < kSums) store_sums<First + 32>(sums, totals, place, role);
}

static_assert(kTileThreads == 256, "the launch bounds below");

KERNEL(blend_backward, BlendBackwardArguments, 256) {
    SHARED(S, records, kRecord * kBatch);
    SHARED(S, slopes, 2 * kBatch);
    SHARED(S, totals, kTileWarps * kBatch * kSums);
    SHARED(unsigned, touched, kTileWarps);  // by warp: splats of the batch that it has totals of
    const Place place = find_place(p.width, p.height);
    const int thread = int(threadIdx.x), warp = thread / int(kWarp);
    const int role = held(WarpSums<(kSums < 32 ? kSums : 32)>::role());
    PixelGradient pixel = load_pixel(p, place);
    for (std::int64_t begin = p.offsets[place.tile], end = p.offsets[place.tile + 1]; begin < end;
         begin += kBatch) {
        if (!__syncthreads_or(is_open(pixel.at))) break;
        int count = int(end - begin < kBatch ? end - begin : kBatch);
        if (thread < count) load_record(p, p.splat_ids[begin + thread], thread, records, slopes);
        __syncthreads();
        unsigned stored = 0;
        bool any_open = __any_sync(kAllLanes, is_open(pixel.at));
        unsigned left = any_open ? touching(place, 0, count, records, slopes) : 0;
        while (left != 0) {
            int at = take_first(left);
            RecordView<decltype(records)> record(records, at);
            Reach reach;
            bool reached = reaches(record, pixel.at, reach);
            if (!__any_sync(kAllLanes, reached)) continue;
            S sums[kSums];
            add_splat(p, record, p.splat_ids[begin + at], reached, reach, pixel, sums);
            store_sums<0>(sums, totals, (warp * kBatch + at) * kSums, role);
            stored |= 1u << at;
        }
        if (lane_number() == 0) touched[warp] = stored;
        __syncthreads();
        for (int i = thread; i < count * kSums; i += kTileThreads) {
            int at = i / kSums, number = i % kSums;
            bool any_warp = false;
            S total = S(0);
            for (int w = 0; w < kTileWarps; ++w)
                if (touched[w] >> at & 1u) {
                    total += totals[(w * kBatch + at) * kSums + number];
                    any_warp = true;
                }
            if (!any_warp) continue;
#if GABORSPLAT_DETERMINISTIC
            p.sums[std::int64_t(p.slots[begin + at]) * kSums + number] = total;
#else
            atomicAdd(&p.sums[std::int64_t(p.splat_ids[begin + at]) * kSums + number], total);
#endif
        }
    }
}

/// From the sums to gradients, a splat a thread.
KERNEL(finish_blend, FinishBlendArguments, 128) {
    std::int64_t i = thread_number();
    if (i >= p.all) return;
    S sums[kSums] = {}, v_screen[Kind::kScreen > 0 ? Kind::kScreen : 1] = {};
#if GABORSPLAT_DETERMINISTIC
    for (std::int64_t slot = p.first_slot[i]; slot < p.first_slot[i + 1]; ++slot)
        for (int k = 0; k < kSums; ++k) sums[k] += p.sums[slot * kSums + k];
#else
    for (int k = 0; k < kSums; ++k) sums[k] = p.sums[i * kSums + k];
#endif
    bool seen = p.radii[2 * i] != 0;
    const S* q = p.conics + 3 * i;
    Vec2<S> v_mean = Sym2<S>{q[0], q[1], q[2]} * Vec2<S>{sums[1], sums[2]};
    Vec2<S> mean = {p.means2d[2 * i], p.means2d[2 * i + 1]};
    if (seen) Kind::screen_vjp(p.screen + Kind::kScreen * i, mean, sums + kKindSums, v_screen);
    p.v_means2d[2 * i] = v_mean.x;
    p.v_means2d[2 * i + 1] = v_mean.y;
    p.v_conics[3 * i] = S(-0.5) * sums[3];
    p.v_conics[3 * i + 1] = -sums[4];
    p.v_conics[3 * i + 2] = S(-0.5) * sums[5];
    p.v_opacities[i] = seen ? sums[0] / p.opacities[i] : S(0);
    for (int k = 0; k < kChannels; ++k) p.v_colors[kChannels * i + k] = sums[kColorSums + k];
    for (int k = 0; k < Kind::kScreen; ++k) p.v_screen[Kind::kScreen * i + k] = v_screen[k];
#if GABORSPLAT_ABSOLUTE
    p.v_means2d_abs[2 * i] = sums[kAbsoluteSums];
    p.v_means2d_abs[2 * i + 1] = sums[kAbsoluteSums + 1];
#endif
}

GABORSPLAT_END
