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

// Where the parts of a splat's sums begin.
constexpr int kColorSums = kEnvelopeSums + Kind::kSums;
constexpr int kAbsoluteSums = kColorSums + kChannels;
constexpr int kSums = blend_sum_size(Kind::kSums, kChannels, GABORSPLAT_ABSOLUTE != 0);
constexpr int kBatch = fitting_batch(kWarp, int(sizeof(S)) * (kTileWarps * kSums + kRecord + 2));

/// A pixel on its way through the splats.
struct PixelGradient {
    Vec2<S> at;
    S transmittance;
    S behind;  // what all later splats and the background add to the loss
    S v_image[kChannels];
};

HD PixelGradient load_pixel(const BlendBackwardArguments<S>& p, const PixelCoords& here) {
    PixelGradient out = {pixel_centre(here), S(1), S(0), {}};
    if (!here.inside) return out;
    for (int k = 0; k < kChannels; ++k) {
        out.v_image[k] = p.v_image[kChannels * here.pixel + k];
        out.behind = fma_(out.v_image[k], p.image[kChannels * here.pixel + k], out.behind);
    }
    if (p.v_transmittance)
        out.behind = fma_(p.transmittance[here.pixel], p.v_transmittance[here.pixel], out.behind);
    return out;
}

/// Blends the splat into the pixel, if it reaches it, and finds what it adds to the sums. With g
/// the gradient of the pixel's colour,
///   dL/dalpha_i = T_i c_i.g - behind_i / (1 - alpha_i).
/// All lanes of a warp go through this when one of them must: those that add nothing choose zeros
/// rather than branch. (Zero times what is not finite is no zero.)
template <class Record>
HD void add_splat(const BlendInputs<S>& p, const Record& record, std::int64_t splat, bool reached,
                  EnvelopePower power, PixelGradient& pixel, S* sums) {
    Vec2<S> at = {reached ? pixel.at.x : S(0), reached ? pixel.at.y : S(0)};
    power.d = {reached ? power.d.x : S(0), reached ? power.d.y : S(0)};
    power.power = reached ? power.power : S(0);
    PixelAlpha alpha = find_alpha(record, at, power);
    Thresholds<S> limits = {p.options.alpha_min, p.options.alpha_max, p.options.transmittance_min};
    S before = pixel.transmittance;
    Contribution<S> c = composite(alpha.raw_alpha, before, reached, limits);
    if (c.counts && !c.blended) close(pixel.at);
    pixel.transmittance = c.blended ? c.next : before;
    ColorView<Record> colors(record, p.colors, splat);
    S color_dot_grad = S(0);
#pragma unroll
    for (int k = 0; k < kChannels; ++k) {
        color_dot_grad = fma_(colors[k], pixel.v_image[k], color_dot_grad);
        sums[kColorSums + k] = c.blended ? c.weight * pixel.v_image[k] : S(0);
    }
    pixel.behind = c.blended ? fma_(-c.weight, color_dot_grad, pixel.behind) : pixel.behind;
    // before / next is 1 / (1 - alpha). Alpha held at its bound has no gradient.
    S v_alpha = before * (color_dot_grad - divide(pixel.behind, c.next));
    v_alpha = c.blended && alpha.raw_alpha <= limits.alpha_max ? v_alpha : S(0);
    S v_log = v_alpha * alpha.raw_alpha, px = v_log * power.d.x, py = v_log * power.d.y;
    sums[0] = v_log;
    sums[1] = px;
    sums[2] = py;
    sums[3] = px * power.d.x;
    sums[4] = px * power.d.y;
    sums[5] = py * power.d.y;
    for (int k = 0; k < Kind::kSums; ++k) sums[kEnvelopeSums + k] = S(0);
    Kind::add_vjp(alpha.waves, power.d, v_alpha * alpha.envelope, sums + kEnvelopeSums);
#if GABORSPLAT_ABSOLUTE
    Vec2<S> v = conic(Envelope(record).f) * Vec2<S>{px, py};
    sums[kAbsoluteSums] = abs_(v.x);
    sums[kAbsoluteSums + 1] = abs_(v.y);
#endif
}

/// Sums over the warp, 32 numbers at a time, each stored by a lane of its own. `owned` is the
/// lane's among the first.
template <int First, class Totals>
HD void store_sums(S* sums, Totals& totals, int at, int owned) {
    using Sums = WarpSums<(kSums - First < 32 ? kSums - First : 32)>;
    S total = Sums::add(sums + First);
    if (First > 0) owned = Sums::owned_sum();
    if (owned >= 0) totals[at + First + owned] = total;
    if constexpr (First + 32 < kSums) store_sums<First + 32>(sums, totals, at, owned);
}

KERNEL(blend_backward, BlendBackwardArguments<S>, kTileThreads) {
    SHARED(S, records, kRecord * kBatch);
    SHARED(S, slopes, 2 * kBatch);
    SHARED(S, totals, kTileWarps * kBatch * kSums);
    SHARED(unsigned, touched, kTileWarps);  // by warp: splats of the batch that it has totals of
    const BlendInputs<S>& in = p.in;
    const PixelCoords here = find_pixel(in.width, in.height);
    const int thread = int(threadIdx.x), warp = thread / kWarp;
    const int owned = keep_in_register(WarpSums<(kSums < 32 ? kSums : 32)>::owned_sum());
    PixelGradient pixel = load_pixel(p, here);
    for (std::int64_t begin = in.offsets[here.tile], end = in.offsets[here.tile + 1]; begin < end;
         begin += kBatch) {
        if (!__syncthreads_or(is_open(pixel.at))) break;
        int count = int(end - begin < kBatch ? end - begin : kBatch);
        if (thread < count) load_record(in, in.splat_ids[begin + thread], thread, records, slopes);
        __syncthreads();
        unsigned stored = 0;
        bool any_open = __any_sync(kAllLanes, is_open(pixel.at));
        unsigned left = any_open ? touching(here, 0, count, records, slopes) : 0;
        while (left != 0) {
            int at = take_first(left);
            RecordView<decltype(records)> record(records, at);
            EnvelopePower power;
            bool reached = find_power(record, pixel.at, power);
            if (!__any_sync(kAllLanes, reached)) continue;
            S sums[kSums];
            add_splat(in, record, in.splat_ids[begin + at], reached, power, pixel, sums);
            store_sums<0>(sums, totals, (warp * kBatch + at) * kSums, owned);
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
            atomicAdd(&p.sums[std::int64_t(in.splat_ids[begin + at]) * kSums + number], total);
#endif
        }
    }
}

/// From the sums to gradients, a splat a thread.
KERNEL(finish_blend, BlendBackwardArguments<S>, kSplatThreads) {
    const BlendInputs<S>& in = p.in;
    std::int64_t i = thread_number();
    if (i >= in.splats) return;
    S sums[kSums] = {};
    S v_modulation2d[Kind::kModulationSize > 0 ? Kind::kModulationSize : 1] = {};
#if GABORSPLAT_DETERMINISTIC
    for (std::int64_t slot = p.slot_begins[i]; slot < p.slot_ends[i]; ++slot)
        for (int k = 0; k < kSums; ++k) sums[k] += p.sums[slot * kSums + k];
#else
    for (int k = 0; k < kSums; ++k) sums[k] = p.sums[i * kSums + k];
#endif
    bool seen = in.cutoffs[i] > S(0);
    const S* q = in.conics + 3 * i;
    Vec2<S> v_mean = Sym2<S>{q[0], q[1], q[2]} * Vec2<S>{sums[1], sums[2]};
    Vec2<S> mean = {in.means2d[2 * i], in.means2d[2 * i + 1]};
    if (seen)
        Kind::modulation2d_vjp(in.modulation2d + Kind::kModulationSize * i, mean,
                               sums + kEnvelopeSums, v_modulation2d);
    p.v_means2d[2 * i] = v_mean.x;
    p.v_means2d[2 * i + 1] = v_mean.y;
    p.v_conics[3 * i] = S(-0.5) * sums[3];
    p.v_conics[3 * i + 1] = -sums[4];
    p.v_conics[3 * i + 2] = S(-0.5) * sums[5];
    p.v_opacities2d[i] = seen ? sums[0] / in.opacities2d[i] : S(0);
    for (int k = 0; k < kChannels; ++k) p.v_colors[kChannels * i + k] = sums[kColorSums + k];
    for (int k = 0; k < Kind::kModulationSize; ++k)
        p.v_modulation2d[Kind::kModulationSize * i + k] = v_modulation2d[k];
#if GABORSPLAT_ABSOLUTE
    p.v_means2d_abs[2 * i] = sums[kAbsoluteSums];
    p.v_means2d_abs[2 * i + 1] = sums[kAbsoluteSums + 1];
#endif
}

GABORSPLAT_END
