// A tile of the image: a block of threads, whose warps have 8 x 4 pixels each, a pixel a lane.
#pragma once

#include "../math/compositing.h"
#include "device.h"

GABORSPLAT_BEGIN

constexpr int kTileThreads = kTileSize * kTileSize;
constexpr int kTileWarps = kTileThreads / int(kWarp);
constexpr int kPatchWidth = 8, kPatchHeight = 4;  // [px] of a warp
constexpr int kPatchesAcross = kTileSize / kPatchWidth;

/// Where this block, this warp and this thread stand.
struct Place {
    int tile, camera;
    int patch_x, patch_y;  // first pixel of the warp
    int x, y;              // pixel
    bool inside;           // the image
    std::int64_t pixel;    // among those of all cameras
};

HD Place find_place(int width, int height) {
    int across = tiles_along(width), tiles = across * tiles_along(height);
    Place place;
    place.tile = int(blockIdx.x);
    place.camera = place.tile / tiles;
    int in_camera = place.tile % tiles, warp = int(threadIdx.x / kWarp), lane = int(lane_number());
    place.patch_x = in_camera % across * kTileSize + warp % kPatchesAcross * kPatchWidth;
    place.patch_y = in_camera / across * kTileSize + warp / kPatchesAcross * kPatchHeight;
    place.x = place.patch_x + lane % kPatchWidth;
    place.y = place.patch_y + lane / kPatchWidth;
    place.inside = place.x < width && place.y < height;
    place.pixel = (std::int64_t(place.camera) * height + place.y) * width + place.x;
    return place;
}

// What the walk needs to know of a splat, in shared memory: quads of numbers, so that few
// instructions load them. A record's number of quads is odd, so that lanes which look at records
// side by side meet no bank twice.
constexpr int kCachedColors = kChannels <= 4 ? kChannels : 0;  // more are read where they are
enum RecordField {
    kMeanX,
    kMeanY,
    kLeast,  // no pixel where log_alpha is less than this above its peak gets alpha_min
    kPeak,
    kXX,
    kXY,
    kYY,
    kColor = 8,
    kWavesAt = kColor + (kCachedColors > 0 ? 4 : 0) + 1,  // the waves behind its first 3 fill quads
};
constexpr int kRecordEnd = Kind::kWaves > 0 ? kWavesAt + Kind::kScreen : kWavesAt - 1;
constexpr int kRecord = kRecordEnd / 4 % 2 == 1 ? kRecordEnd : kRecordEnd + 4;
static_assert(Kind::kWaves == 0 || Kind::kScreen % 4 == 3, "what is behind kWavesAt");

/// Splats that a block takes at a time, at most `splats`: static shared memory ends at 48 KB.
HD constexpr int fitting_batch(int splats, int bytes_of_splat) {
    return splats == 1 || splats * bytes_of_splat <= 48000
               ? splats
               : fitting_batch(splats / 2, bytes_of_splat);
}

/// Writes record `at`, and the slopes beside it. The splats of a blend; `Arguments` of both kernels
/// have these fields.
template <class Arguments, class Records, class Slopes>
HD void load_record(const Arguments& p, std::int64_t splat, int at, Records& records,
                    Slopes& slopes) {
    const S *mean = p.means2d + 2 * splat, *c = p.conics + 3 * splat;
    Sym2<S> conic = {c[0], c[1], c[2]};
    LogAlpha<S> f = log_alpha(conic, p.opacities[splat]);
    Vec2<S> slope = ridge_slopes(conic);
    slopes[2 * at] = slope.x;
    slopes[2 * at + 1] = slope.y;
    int to = kRecord * at;
    store_quad(records, to, {{mean[0], mean[1], -S(kLog2E) * p.cutoffs[splat], f.peak}});
    store_quad(records, to + kXX, {{f.xx, f.xy, f.yy, S(0)}});
    if (kCachedColors > 0) {
        Quad colors = {};
        for (int k = 0; k < kCachedColors; ++k) colors.of[k] = p.colors[kChannels * splat + k];
        store_quad(records, to + kColor, colors);
    }
    if (Kind::kWaves == 0) return;
    const S* screen = p.screen + Kind::kScreen * splat;
    store_quad(records, to + kWavesAt - 1, {{S(0), screen[0], screen[1], screen[2]}});
    for (int k = 3; k < Kind::kScreen; k += 4)
        store_quad(records, to + kWavesAt + k,
                   {{screen[k], screen[k + 1], screen[k + 2], screen[k + 3]}});
}

/// One record in shared memory.
template <class Records>
struct RecordView {
    Records& records;
    int at;  // of its first number

    HD RecordView(Records& all, int splat) : records(all), at(kRecord * splat) {}

    HD Quad quad(int field) const { return load_quad(records, at + field); }
    HD void screen(S* out) const {
        Quad first = quad(kWavesAt - 1);
        for (int k = 0; k < 3; ++k) out[k] = first.of[k + 1];
        for (int k = 3; k < Kind::kScreen; k += 4) {
            Quad wave = quad(kWavesAt + k);
            for (int i = 0; i < 4; ++i) out[k + i] = wave.of[i];
        }
    }
};

/// Colours of a splat: cached, or where they are.
template <class Record>
struct ColorView {
    Quad cached;
    const S* colors;

    HD ColorView(const Record& record, const S* all, std::int64_t splat)
        : cached(), colors(all + kChannels * splat) {
        if (kCachedColors > 0) cached = record.quad(kColor);
    }
    HD S operator[](int k) const { return kCachedColors > 0 ? cached.of[k & 3] : colors[k]; }
};

/// Envelope of a splat, for pixels.
struct Envelope {
    Vec2<S> mean;
    S least;
    LogAlpha<S> f;

    template <class Record>
    HD explicit Envelope(const Record& record) {
        Quad a = record.quad(kMeanX), b = record.quad(kXX);
        mean = {a.of[kMeanX], a.of[kMeanY]};
        least = a.of[kLeast];
        f = {a.of[kPeak], b.of[0], b.of[kXY - kXX], b.of[kYY - kXX]};
    }

    /// Whether it may touch the pixels of a warp.
    HD bool touches(const Place& place, Vec2<S> slopes) const {
        Vec2<S> low = Vec2<S>{S(place.patch_x) + S(0.5), S(place.patch_y) + S(0.5)} - mean;
        Vec2<S> high = low + Vec2<S>{S(kPatchWidth - 1), S(kPatchHeight - 1)};
        return highest(f, slopes, low, high) >= least;
    }
};

/// Which splats of a batch of `count` from `group` on may touch a warp's pixels: the first is the
/// highest bit.
template <class Records, class Slopes>
HD unsigned touching(const Place& place, int group, int count, Records& records, Slopes& slopes) {
    int mine = group + int(kWarp) - 1 - int(lane_number());
    bool touched = false;
    if (mine < count) {
        Vec2<S> slope = {slopes[2 * mine], slopes[2 * mine + 1]};
        touched = Envelope(RecordView<Records>(records, mine)).touches(place, slope);
    }
    return __ballot_sync(kAllLanes, touched);
}

/// Takes the first splat of `left`; its number within the group.
HD int take_first(unsigned& left) {
    int bit = 31 - __clz(int(left));
    left ^= 1u << bit;
    return 31 - bit;
}

/// A pixel that takes no more splats lies nowhere: no comparison with it holds.
HD Vec2<S> pixel_of(const Place& place) {
    return {place.inside ? S(place.x) + S(0.5) : not_a_number(), S(place.y) + S(0.5)};
}
HD void close(Vec2<S>& pixel) { pixel.x = not_a_number(); }
HD bool is_open(Vec2<S> pixel) { return pixel.x == pixel.x; }

/// Where a pixel lies in a splat's envelope.
struct Reach {
    Vec2<S> d;  // from the mean
    S power;    // log2 of opacity times envelope, above its peak
    S peak;
};

/// False where it is too faint to be seen, whatever the modulation: found before any exponential.
/// And where the pixel is closed.
template <class Record>
HD bool reaches(const Record& record, Vec2<S> pixel, Reach& out) {
    Envelope e(record);
    out.d = pixel - e.mean;
    out.power = quadratic(e.f, out.d);
    out.peak = e.f.peak;
    return out.power >= e.least;
}

/// Opacity times envelope, and times modulation, of a splat at a pixel.
struct PixelAlpha {
    S envelope, raw_alpha;
    Kind::Waves<S> waves;
};

template <class Record>
HD PixelAlpha find_alpha(const Record& record, Vec2<S> pixel, const Reach& reach) {
    PixelAlpha out;
    out.envelope = out.raw_alpha = exp2_(reach.peak + reach.power);
    if (Kind::kWaves > 0) {
        S screen[Kind::kScreen > 0 ? Kind::kScreen : 1];
        record.screen(screen);
        out.waves = Kind::waves_at(screen, pixel);
        out.raw_alpha = out.envelope * Kind::modulation(screen, out.waves);
    }
    return out;
}

GABORSPLAT_END
