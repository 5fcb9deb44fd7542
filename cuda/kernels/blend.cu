// Front-to-back blending: a tile a block, two pixels a thread.
//   GABORSPLAT_BYTES  write the first 3 channels over the background as bytes, and nothing else
#include "tile.h"

#ifndef GABORSPLAT_BYTES
#define GABORSPLAT_BYTES 0
#endif

GABORSPLAT_BEGIN

/// A pixel as far as it is blended.
struct BlendedPixel {
    S transmittance, image[kChannels];
};

HD void store_pixel(const BlendArguments<S>& p, std::int64_t at, const BlendedPixel& pixel) {
    auto over_background = [&](int k) {
        return fma_(pixel.transmittance, p.in.options.background[k], pixel.image[k]);
    };
#if GABORSPLAT_BYTES
    for (int k = 0; k < 3; ++k) {
        S color = min_(max_(over_background(k), S(0)), S(1));
        p.bytes[3 * at + k] = std::uint8_t(fma_(color, S(255), S(0.5)));
    }
#else
    for (int k = 0; k < kChannels; ++k)
        p.image[kChannels * at + k] = k < 3 ? over_background(k) : pixel.image[k];
    p.transmittance[at] = pixel.transmittance;
#endif
}

constexpr int kBatch = fitting_batch(64, kBatchBytes);

/// Takes the block's pixels of one part through the list of its tile.
template <class Batches>
HD void blend_part(const BlendArguments<S>& p, const PixelCoords& here, Batches& batches) {
    const BlendInputs<S>& in = p.in;
    const Thresholds<S> limits = {in.options.alpha_min, in.options.alpha_max,
                                  in.options.transmittance_min};
    PixelCentres centres(here);
    BlendedPixel pixels[kTogether] = {};
    for (BlendedPixel& pixel : pixels) pixel.transmittance = S(1);
    std::int64_t begin = in.offsets[here.tile], end = in.offsets[here.tile + 1];
    batches.load(in, begin, end, 0);
    for (int first = 0; begin < end; begin += kBatch, first = kBatch - first) {
        // The batch is there, and nobody walks the one before any more.
        if (!__syncthreads_or(centres.any_open())) break;
        batches.load(in, begin + kBatch, end, kBatch - first);
        int last = first + int(end - begin < kBatch ? end - begin : kBatch);
        for (int group = first; group < last; group += kWarp) {
            if (!__any_sync(kAllLanes, centres.any_open())) break;
            for (unsigned left = batches.touching(here, group, last); left != 0;) {
                int at = group + take_first(left);
                auto record = batches.record(at);
                EnvelopePowers powers(record, centres);
                if (!powers.any_reached()) continue;
                ColorView colors(record, in.colors, kCachedColors > 0 ? 0 : batches.ids[at]);
                Modulation modulation(record);
#pragma unroll
                for (int i = 0; i < kTogether; ++i) {
                    if (Kind::kWaves > 0 && !powers.reached[i]) continue;
                    PixelAlpha alpha = find_alpha(modulation, {centres.x[i], centres.y},
                                                  powers.peak + powers.power[i]);
                    BlendedPixel& pixel = pixels[i];
                    Contribution<S> c =
                        composite(alpha.raw_alpha, pixel.transmittance, powers.reached[i], limits);
                    if (c.blended) {
                        pixel.transmittance = c.next;
#pragma unroll
                        for (int k = 0; k < kChannels; ++k)
                            pixel.image[k] = fma_(c.weight, colors[k], pixel.image[k]);
                    } else if (c.counts) {
                        centres.close(i);
                    }
                }
            }
        }
    }
    for (int i = 0; i < kTogether; ++i)
        if (here.inside(i)) store_pixel(p, here.pixel + kPixelStep * i, pixels[i]);
}

KERNEL(blend, BlendArguments<S>, kTileThreads) {
    SHARED(S, records, 2 * kBatch * kRecord);
    SHARED(S, slopes, 2 * kBatch * 2);
    SHARED(std::int32_t, ids, 2 * kBatch);
    Batches<kBatch, decltype(records), decltype(slopes), decltype(ids)> batches{records, slopes,
                                                                                ids};
    for (int part = 0; part < kParts; ++part) {
        if (part > 0) __syncthreads();  // nobody walks the last batches any more
        blend_part(p, find_pixels(p.in.width, p.in.height, part), batches);
    }
}

GABORSPLAT_END
