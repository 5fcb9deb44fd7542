// A tile of the image: a block of threads, whose warps have 8 x 8 pixels each, two a lane.
#pragma once

#include "../math/compositing.h"
#include "../passes/blend.h"
#include "device.h"

#ifndef GABORSPLAT_DEPTH
#define GABORSPLAT_DEPTH 0
#endif

GABORSPLAT_BEGIN

constexpr int kTileWarps = kTileThreads / kWarp;
constexpr int kPatchWidth = 8, kPatchHeight = kLanePixels * kWarp / kPatchWidth;  // [px] of a warp
constexpr int kPatchesAcross = kTileSize / kPatchWidth;
constexpr int kPixelStep = kPatchWidth / kLanePixels;  // [px] between a lane's pixels, in a row
// Pixels that a lane takes through the list together: of many channels its registers hold one.
constexpr int kTogether = kChannels <= 32 ? kLanePixels : 1;
constexpr int kParts = kLanePixels / kTogether;  // times that the block goes through its list

/// Where this block, this warp and this thread stand.
struct PixelCoords {
    int tile, camera;
    int patch_x, patch_y;  // first pixel of the warp
    int x, y;              // first pixel of the thread, in this part
    int left;              // pixels of the image from there to the end of the row
    std::int64_t pixel;    // the first among those of all cameras

    HD bool inside(int i) const { return kPixelStep * i < left; }
};

HD PixelCoords find_pixels(int width, int height, int part) {
    int across = tiles_along(width), tiles = across * tiles_along(height);
    PixelCoords c;
    c.tile = int(blockIdx.x);
    c.camera = c.tile / tiles;
    int in_camera = c.tile % tiles, warp = int(threadIdx.x / kWarp), lane = int(lane_number());
    c.patch_x = in_camera % across * kTileSize + warp % kPatchesAcross * kPatchWidth;
    c.patch_y = in_camera / across * kTileSize + warp / kPatchesAcross * kPatchHeight;
    c.x = c.patch_x + lane % kPixelStep + part * kTogether * kPixelStep;
    c.y = c.patch_y + lane / kPixelStep;
    c.left = c.y < height ? width - c.x : 0;
    c.pixel = (std::int64_t(c.camera) * height + c.y) * width + c.x;
    return c;
}

/// Centres of a thread's pixels. One that takes no more splats lies nowhere: no comparison with it
/// holds.
struct PixelCentres {
    S x[kTogether], y;

    HD explicit PixelCentres(const PixelCoords& here) : y(S(here.y) + S(0.5)) {
        for (int i = 0; i < kTogether; ++i)
            x[i] = here.inside(i) ? S(here.x + kPixelStep * i) + S(0.5) : not_a_number();
    }
    HD void close(int i) { x[i] = not_a_number(); }
    HD bool any_open() const {
        bool open = false;
        for (int i = 0; i < kTogether; ++i) open = open || x[i] == x[i];
        return open;
    }
};

// What the walk needs to know of a splat, in shared memory: vectors of four numbers, so that few
// instructions load them. A record's number of vectors is odd, so that lanes which look at records
// side by side meet no bank twice.
constexpr int kCachedColors = kChannels <= 4 ? kChannels : 0;  // more are read where they are
constexpr int kColorWidth = kChannels - GABORSPLAT_DEPTH;      // of a splat in `colors`
static_assert(!GABORSPLAT_DEPTH || kChannels <= kDepthChannels, "depths are cached");
enum RecordField {
    kMeanX,
    kMeanY,
    kLeast,  // no pixel where log_alpha is less than this above its peak gets alpha_min
    kPeak,
    kXX,
    kXY,
    kYY,
    kColor = 8,
    kWavesAt =
        kColor + (kCachedColors > 0 ? 4 : 0) + 1,  // the waves behind its first 3 fill vectors
};
constexpr int kRecordEnd = Kind::kWaves > 0 ? kWavesAt + Kind::kModulationSize : kWavesAt - 1;
constexpr int kRecord = kRecordEnd / 4 % 2 == 1 ? kRecordEnd : kRecordEnd + 4;
static_assert(Kind::kWaves == 0 || Kind::kModulationSize % 4 == 3, "what is behind kWavesAt");

/// One record in shared memory.
template <class Records>
struct RecordView {
    Records& records;
    int at;  // of its first number

    HD RecordView(Records& all, int splat) : records(all), at(kRecord * splat) {}

    HD Vec4 vec4(int field) const { return load_vec4(records, at + field); }
};

/// Colours of a splat: cached, or where they are.
template <class Record>
struct ColorView {
    Vec4 cached;
    const S* colors;

    HD ColorView(const Record& record, const S* all, std::int64_t splat)
        : cached(), colors(all + kChannels * splat) {
        if (kCachedColors > 0) cached = record.vec4(kColor);
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
        Vec4 a = record.vec4(kMeanX), b = record.vec4(kXX);
        mean = {a.of[kMeanX], a.of[kMeanY]};
        least = a.of[kLeast];
        f = {a.of[kPeak], b.of[0], b.of[kXY - kXX], b.of[kYY - kXX]};
    }

    /// Whether it may touch the pixels of a warp.
    HD bool touches(const PixelCoords& pixel, Vec2<S> slopes) const {
        Vec2<S> low = Vec2<S>{S(pixel.patch_x) + S(0.5), S(pixel.patch_y) + S(0.5)} - mean;
        Vec2<S> high = low + Vec2<S>{S(kPatchWidth - 1), S(kPatchHeight - 1)};
        return highest(f, slopes, low, high) >= least;
    }
};

/// Bytes of a splat in `Batches`, of which two are in shared memory.
constexpr int kBatchBytes = 2 * (int(sizeof(S)) * (kRecord + 2) + 4);

/// Splats that a block takes at a time, at most `splats`: static shared memory ends at 48 KB.
HD constexpr int fitting_batch(int splats, int bytes_of_splat) {
    return splats == 1 || splats * bytes_of_splat <= 48000
               ? splats
               : fitting_batch(splats / 2, bytes_of_splat);
}

/// Two batches of `Size` splats: the block walks one while it loads the next.
template <int Size, class Records, class Slopes, class Ids>
struct Batches {
    Records& records;
    Slopes& slopes;
    Ids& ids;

    HD RecordView<Records> record(int at) const { return {records, at}; }

    /// Loads what is left of the list, at most a batch, from place `at` on, a splat a thread.
    HD void load(const BlendInputs<S>& p, std::int64_t from, std::int64_t end, int at) {
        static_assert(Size <= kTileThreads, "a splat a thread");
        int mine = int(threadIdx.x);
        if (mine >= Size || from + mine >= end) return;
        int splat = p.splat_ids[from + mine];
        ids[at + mine] = splat;
        write(p, splat, at + mine);
    }

    HD void write(const BlendInputs<S>& p, std::int64_t splat, int at) {
        const S *mean = p.means2d + 2 * splat, *c = p.conics + 3 * splat;
        Sym2<S> conic = {c[0], c[1], c[2]};
        LogAlpha<S> f = log_alpha(conic, p.opacities2d[splat]);
        Vec2<S> slope = ridge_slopes(conic);
        slopes[2 * at] = slope.x;
        slopes[2 * at + 1] = slope.y;
        int to = kRecord * at;
        store_vec4(records, to, {{mean[0], mean[1], -S(kLog2E) * p.cutoffs[splat], f.peak}});
        store_vec4(records, to + kXX, {{f.xx, f.xy, f.yy, S(0)}});
        if (kCachedColors > 0) {
            Vec4 colors = {};
            for (int k = 0; k < kCachedColors; ++k)
                colors.of[k] =
                    k < kColorWidth ? p.colors[kColorWidth * splat + k] : p.depths[splat];
            store_vec4(records, to + kColor, colors);
        }
        if (Kind::kWaves == 0) return;
        const S* m = p.modulation2d + Kind::kModulationSize * splat;
        store_vec4(records, to + kWavesAt - 1, {{S(0), m[0], m[1], m[2]}});
        for (int k = 3; k < Kind::kModulationSize; k += 4)
            store_vec4(records, to + kWavesAt + k, {{m[k], m[k + 1], m[k + 2], m[k + 3]}});
    }

    /// Which of the splats from place `group` to `end`, at most as many as a warp has lanes, may
    /// touch a warp's pixels: the first is the highest bit.
    HD unsigned touching(const PixelCoords& pixel, int group, int end) const {
        int mine = group + kWarp - 1 - int(lane_number());
        bool touched = false;
        if (mine < end) {
            Vec2<S> slope = {slopes[2 * mine], slopes[2 * mine + 1]};
            touched = Envelope(record(mine)).touches(pixel, slope);
        }
        return __ballot_sync(kAllLanes, touched);
    }
};

/// Takes the first splat of `left`; its number within the group.
HD int take_first(unsigned& left) {
    int bit = 31 - __clz(int(left));
    left ^= 1u << bit;
    return 31 - bit;
}

/// Where a thread's pixels lie in a splat's envelope.
struct EnvelopePowers {
    S dx[kTogether], dy;  // from the mean
    S peak;
    S power[kTogether];  // log2 of opacity times envelope, above its peak
    bool reached[kTogether];

    /// `reached` is false where the splat is too faint to be seen, whatever the modulation: found
    /// before any exponential. And where the pixel is closed.
    template <class Record>
    HD EnvelopePowers(const Record& record, const PixelCentres& pixels) {
        Envelope e(record);
        dy = pixels.y - e.mean.y;
        peak = e.f.peak;
        for (int i = 0; i < kTogether; ++i) {
            dx[i] = pixels.x[i] - e.mean.x;
            power[i] = quadratic(e.f, Vec2<S>{dx[i], dy});
            reached[i] = power[i] >= e.least;
        }
    }
    HD bool any_reached() const {
        bool any = false;
        for (int i = 0; i < kTogether; ++i) any = any || reached[i];
        return any;
    }
};

/// What modulates a splat's envelope.
struct Modulation {
    S numbers[Kind::kModulationSize > 0 ? Kind::kModulationSize : 1];

    template <class Record>
    HD explicit Modulation(const Record& record) {
        if (Kind::kWaves == 0) return;
        Vec4 first = record.vec4(kWavesAt - 1);
        for (int k = 0; k < 3; ++k) numbers[k] = first.of[k + 1];
        for (int k = 3; k < Kind::kModulationSize; k += 4) {
            Vec4 wave = record.vec4(kWavesAt + k);
            for (int i = 0; i < 4; ++i) numbers[k + i] = wave.of[i];
        }
    }
};

/// Opacity times envelope, and times modulation, of a splat at a pixel.
struct PixelAlpha {
    S envelope, raw_alpha;
    Kind::Waves<S> waves;
};

HD PixelAlpha find_alpha(const Modulation& m, Vec2<S> pixel, S log_envelope) {
    PixelAlpha out;
    out.envelope = exp2_(log_envelope);
    out.waves = Kind::waves_at(m.numbers, pixel);
    out.raw_alpha = out.envelope * Kind::modulation(m.numbers, out.waves);
    return out;
}

GABORSPLAT_END
