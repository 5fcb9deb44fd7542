// The gradient of blending, by replaying it front to back: a tile a block, two pixels a thread.
//   GABORSPLAT_ABSOLUTE       also find the sums over pixels of |gradient of means2d|
//   GABORSPLAT_DETERMINISTIC  every pair of splat and tile has a place of its own, which the tile's
//                             warps add up for in order, as a second kernel does for the places;
//                             otherwise warps add to their splat as they come
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
#if GABORSPLAT_DETERMINISTIC
constexpr int kBatch = fitting_batch(kWarp, kBatchBytes + int(sizeof(S)) * kTileWarps * kSums);
#else
constexpr int kBatch = fitting_batch(64, kBatchBytes);
#endif

/// A pixel on its way through the splats.
struct PixelGradient {
    S transmittance;
    S behind;  // what all later splats and the background add to the loss
    S v_image[kChannels];
};

HD PixelGradient load_pixel(const BlendBackwardArguments<S>& p, std::int64_t at, bool inside) {
    PixelGradient out = {S(1), S(0), {}};
    if (!inside) return out;
    for (int k = 0; k < kChannels; ++k) {
        out.v_image[k] = p.v_image[kChannels * at + k];
        out.behind = fma_(out.v_image[k], p.image[kChannels * at + k], out.behind);
    }
    if (p.v_transmittance)
        out.behind = fma_(p.transmittance[at], p.v_transmittance[at], out.behind);
    return out;
}

/// The walk of a thread's pixels through the splats.
struct Walk {
    const BlendInputs<S>& in;
    PixelCentres centres;
    PixelGradient pixels[kTogether];

    HD Walk(const BlendBackwardArguments<S>& p, const PixelCoords& here) : in(p.in), centres(here) {
        for (int i = 0; i < kTogether; ++i)
            pixels[i] = load_pixel(p, here.pixel + kPixelStep * i, here.inside(i));
    }

    /// Blends the splat into the pixels that it reaches, and finds what they add to its sums.
    /// Branches where a choice of zeros would do: zero times what is not finite is no zero.
    template <class Record>
    HD void add_splat(const Record& record, std::int64_t splat, const EnvelopePowers& powers,
                      S* sums) {
        ColorView<Record> colors(record, in.colors, splat);
        const Modulation modulation(record);
        for (int k = 0; k < kSums; ++k) sums[k] = S(0);
#pragma unroll
        for (int i = 0; i < kTogether; ++i) add_pixel(i, record, modulation, colors, powers, sums);
        S dy = powers.dy;  // the same for all
        sums[2] = sums[0] * dy;
        sums[4] = sums[1] * dy;
        sums[5] = sums[2] * dy;
    }

    /// With g the gradient of the pixel's colour,
    ///   dL/dalpha_i = T_i c_i.g - behind_i / (1 - alpha_i).
    template <class Record>
    HD void add_pixel(int i, const Record& record, const Modulation& modulation,
                      const ColorView<Record>& colors, const EnvelopePowers& powers, S* sums) {
        Vec2<S> d = {powers.dx[i], powers.dy};
        PixelAlpha alpha =
            find_alpha(modulation, {centres.x[i], centres.y}, powers.peak + powers.power[i]);
        Thresholds<S> limits = {in.options.alpha_min, in.options.alpha_max,
                                in.options.transmittance_min};
        PixelGradient& pixel = pixels[i];
        S before = pixel.transmittance;
        Contribution<S> c = composite(alpha.raw_alpha, before, powers.reached[i], limits);
        if (!c.blended) {
            if (c.counts) centres.close(i);
            return;
        }
        pixel.transmittance = c.next;
        S color_dot_grad = S(0);
#pragma unroll
        for (int k = 0; k < kChannels; ++k) {
            color_dot_grad = fma_(colors[k], pixel.v_image[k], color_dot_grad);
            sums[kColorSums + k] = fma_(c.weight, pixel.v_image[k], sums[kColorSums + k]);
        }
        pixel.behind = fma_(-c.weight, color_dot_grad, pixel.behind);
        // before / next is 1 / (1 - alpha). Alpha held at its bound has no gradient.
        S v_alpha = before * (color_dot_grad - divide(pixel.behind, c.next));
        v_alpha = alpha.raw_alpha <= limits.alpha_max ? v_alpha : S(0);
        S v_log = v_alpha * alpha.raw_alpha, px = v_log * d.x;
        sums[0] += v_log;
        sums[1] += px;
        sums[3] = fma_(px, d.x, sums[3]);
        Kind::add_vjp(alpha.waves, d, v_alpha * alpha.envelope, sums + kEnvelopeSums);
#if GABORSPLAT_ABSOLUTE
        Vec2<S> v = conic(Envelope(record).f) * Vec2<S>{px, v_log * d.y};
        sums[kAbsoluteSums] += abs_(v.x);
        sums[kAbsoluteSums + 1] += abs_(v.y);
#endif
    }
};

/// Sums over the warp, 32 numbers at a time, each handed on by a lane of its own: `store(k, sum)`.
/// `owned` is the lane's among the first.
template <int First, class Store>
HD void sum_over_warp(S* sums, int owned, const Store& store) {
    using Sums = WarpSums<(kSums - First < 32 ? kSums - First : 32)>;
    S total = Sums::add(sums + First);
    if (First > 0) owned = Sums::owned_sum();
    if (owned >= 0) store(First + owned, total);
    if constexpr (First + 32 < kSums) sum_over_warp<First + 32>(sums, owned, store);
}

#if GABORSPLAT_DETERMINISTIC
/// Where sums over warps go: they wait in shared memory until the block is done with a batch.
template <class Totals, class Touched>
struct TileSums {
    const BlendBackwardArguments<S>& p;
    Totals& totals;    // of the batch, by warp, splat and number
    Touched& touched;  // by warp: splats that it has totals of
    unsigned stored = 0;

    HD void add(S* sums, int owned, int at, std::int64_t) {
        int row = (int(threadIdx.x) / kWarp * kBatch + at) * kSums;
        sum_over_warp<0>(sums, owned, [&](int k, S sum) { totals[row + k] = sum; });
        stored |= 1u << at;
    }
    HD void end_batch(std::int64_t begin, int count) {
        if (lane_number() == 0) touched[int(threadIdx.x) / kWarp] = stored;
        stored = 0;
        __syncthreads();
        for (int i = int(threadIdx.x); i < count * kSums; i += kTileThreads) {
            int at = i / kSums, number = i % kSums;
            S total = S(0);
            for (int w = 0; w < kTileWarps; ++w)
                if (touched[w] >> at & 1u) total += totals[(w * kBatch + at) * kSums + number];
            p.sums[std::int64_t(p.slots[begin + at]) * kSums + number] += total;
        }
    }
};
#else
/// Where sums over warps go: straight to their splat.
struct TileSums {
    const BlendBackwardArguments<S>& p;

    HD void add(S* sums, int owned, int, std::int64_t splat) {
        S* row = p.sums + splat * kSums;
        sum_over_warp<0>(sums, owned, [&](int k, S sum) { atomicAdd(row + k, sum); });
    }
    HD void end_batch(std::int64_t, int) {}
};
#endif

/// Takes the block's pixels of one part through the list of its tile.
template <class Batches, class Sums>
HD void walk_part(const BlendBackwardArguments<S>& p, const PixelCoords& here, int owned,
                  Batches& batches, Sums tile_sums) {
    const BlendInputs<S>& in = p.in;
    Walk walk(p, here);
    std::int64_t begin = in.offsets[here.tile], end = in.offsets[here.tile + 1];
    batches.load(in, begin, end, 0);
    for (int first = 0; begin < end; begin += kBatch, first = kBatch - first) {
        // The batch is there, and nobody needs anything of the one before any more.
        if (!__syncthreads_or(walk.centres.any_open())) break;
        batches.load(in, begin + kBatch, end, kBatch - first);
        int last = first + int(end - begin < kBatch ? end - begin : kBatch);
        for (int group = first; group < last; group += kWarp) {
            if (!__any_sync(kAllLanes, walk.centres.any_open())) break;
            for (unsigned left = batches.touching(here, group, last); left != 0;) {
                int at = group + take_first(left);
                auto record = batches.record(at);
                EnvelopePowers powers(record, walk.centres);
                if (!__any_sync(kAllLanes, powers.any_reached())) continue;
                S sums[kSums];
                walk.add_splat(record, batches.ids[at], powers, sums);
                tile_sums.add(sums, owned, at - first, batches.ids[at]);
            }
        }
        tile_sums.end_batch(begin, last - first);
    }
}

KERNEL(blend_backward, BlendBackwardArguments<S>, kTileThreads) {
    SHARED(S, records, 2 * kBatch * kRecord);
    SHARED(S, slopes, 2 * kBatch * 2);
    SHARED(std::int32_t, ids, 2 * kBatch);
    Batches<kBatch, decltype(records), decltype(slopes), decltype(ids)> batches{records, slopes,
                                                                                ids};
#if GABORSPLAT_DETERMINISTIC
    SHARED(S, totals, kTileWarps * kBatch * kSums);
    SHARED(unsigned, touched, kTileWarps);
    TileSums<decltype(totals), decltype(touched)> tile_sums{p, totals, touched};
#else
    TileSums tile_sums{p};
#endif
    const int owned = keep_in_register(WarpSums<(kSums < 32 ? kSums : 32)>::owned_sum());
    for (int part = 0; part < kParts; ++part) {
        if (part > 0) __syncthreads();  // nobody walks the last batches any more
        walk_part(p, find_pixels(p.in.width, p.in.height, part), owned, batches, tile_sums);
    }
}

/// From the sums to gradients, a splat a thread. Culled splats have no sums. Their gradients are
/// zero, but for those of their waves, which are not written: they are the most, and nobody reads
/// them.
KERNEL(finish_blend, BlendBackwardArguments<S>, kSplatThreads) {
    const BlendInputs<S>& in = p.in;
    std::int64_t i = thread_number();
    if (i >= in.splats) return;
    bool seen = in.cutoffs[i] > S(0);
    if (!seen && p.skip_culled) return;
    S sums[kSums] = {}, largest = S(0);
    if (seen) {
#if GABORSPLAT_DETERMINISTIC
        for (std::int64_t slot = p.slot_begins[i]; slot < p.slot_ends[i]; ++slot)
            for (int k = 0; k < kSums; ++k) sums[k] += p.sums[slot * kSums + k];
#else
        for (int k = 0; k < kSums; ++k) {
            sums[k] = p.sums[i * kSums + k];
            p.sums[i * kSums + k] = S(0);  // for the next picture
        }
#endif
        S v[Kind::kModulationSize > 0 ? Kind::kModulationSize : 1];
        Kind::modulation2d_vjp(in.modulation2d + Kind::kModulationSize * i,
                               {in.means2d[2 * i], in.means2d[2 * i + 1]}, sums + kEnvelopeSums, v);
        for (int k = 0; k < Kind::kModulationSize; ++k) {
            p.v_modulation2d[Kind::kModulationSize * i + k] = v[k];
            largest += abs_(v[k]);
        }
    }
    const S* q = in.conics + 3 * i;
    Vec2<S> v_mean = Sym2<S>{q[0], q[1], q[2]} * Vec2<S>{sums[1], sums[2]};
    p.v_means2d[2 * i] = v_mean.x;
    p.v_means2d[2 * i + 1] = v_mean.y;
    p.v_conics[3 * i] = S(-0.5) * sums[3];
    p.v_conics[3 * i + 1] = -sums[4];
    p.v_conics[3 * i + 2] = S(-0.5) * sums[5];
    const S v_opacity = seen ? sums[0] / in.opacities2d[i] : S(0);
    p.v_opacities2d[i] = v_opacity;
    for (int k = 0; k < kColorWidth; ++k) p.v_colors[kColorWidth * i + k] = sums[kColorSums + k];
    if (GABORSPLAT_DEPTH) p.v_depths[i] = sums[kColorSums + kColorWidth];
    for (int k = 0; k < kSums; ++k) largest += abs_(sums[k]);
    // What is not bounded leaves no sum bounded.
    if (p.not_finite && seen && !bounded(largest + abs_(v_opacity))) *p.not_finite = 1;
#if GABORSPLAT_ABSOLUTE
    p.v_means2d_abs[2 * i] = sums[kAbsoluteSums];
    p.v_means2d_abs[2 * i + 1] = sums[kAbsoluteSums + 1];
#endif
}

GABORSPLAT_END
