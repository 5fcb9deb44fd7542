// Front-to-back blending: a tile a block, a pixel a thread.
//   GABORSPLAT_BYTES  write the first 3 channels over the background as bytes, and nothing else
#include "tile.h"

#ifndef GABORSPLAT_BYTES
#define GABORSPLAT_BYTES 0
#endif

GABORSPLAT_BEGIN

HD void store_bytes(const BlendArguments<S>& p, std::int64_t pixel, const S* image,
                    S transmittance) {
    for (int k = 0; k < 3; ++k) {
        S color = fma_(transmittance, p.in.options.background[k], image[k]);
        color = min_(max_(color, S(0)), S(1));
        p.bytes[3 * pixel + k] = std::uint8_t(fma_(color, S(255), S(0.5)));
    }
}

constexpr int kBatch = fitting_batch(kTileThreads, int(sizeof(S)) * (kRecord + 2) + 4);

KERNEL(blend, BlendArguments<S>, kTileThreads) {
    SHARED(S, records, kRecord * kBatch);
    SHARED(S, slopes, 2 * kBatch);
    SHARED(std::int32_t, ids, kBatch);
    using Record = RecordView<decltype(records)>;
    const BlendInputs<S>& in = p.in;
    const PixelCoords here = find_pixel(in.width, in.height);
    const Thresholds<S> limits = {in.options.alpha_min, in.options.alpha_max,
                                  in.options.transmittance_min};
    const int thread = int(threadIdx.x);
    Vec2<S> pixel = pixel_centre(here);
    S transmittance = S(1), image[kChannels] = {};
    for (std::int64_t begin = in.offsets[here.tile], end = in.offsets[here.tile + 1]; begin < end;
         begin += kBatch) {
        // Nobody overwrites the batch before all have done with the last one.
        if (!__syncthreads_or(is_open(pixel))) break;
        int count = int(end - begin < kBatch ? end - begin : kBatch);
        if (thread < count) {
            ids[thread] = in.splat_ids[begin + thread];
            load_record(in, in.splat_ids[begin + thread], thread, records, slopes);
        }
        __syncthreads();
        for (int group = 0; group < count; group += kWarp) {
            if (!__any_sync(kAllLanes, is_open(pixel))) break;
            for (unsigned left = touching(here, group, count, records, slopes); left != 0;) {
                int at = group + take_first(left);
                Record record(records, at);
                EnvelopePower power;
                if (!find_power(record, pixel, power)) continue;
                S alpha = find_alpha(record, pixel, power).raw_alpha;
                Contribution<S> c = composite(alpha, transmittance, true, limits);
                if (c.blended) {
                    ColorView<Record> colors(record, in.colors, kCachedColors > 0 ? 0 : ids[at]);
                    transmittance = c.next;
#pragma unroll
                    for (int k = 0; k < kChannels; ++k)
                        image[k] = fma_(c.weight, colors[k], image[k]);
                } else if (c.counts) {
                    close(pixel);
                }
            }
        }
    }
    if (!here.inside) return;
#if GABORSPLAT_BYTES
    store_bytes(p, here.pixel, image, transmittance);
#else
    for (int k = 0; k < kChannels; ++k) p.image[kChannels * here.pixel + k] = image[k];
    p.transmittance[here.pixel] = transmittance;
#endif
}

GABORSPLAT_END
