// The peer of rasterize.py: the same mathematics as the CPU backend, from the same headers, as one
// would write it first. One thread, one number at a time, no tiles: splats are sorted by depth and
// each is drawn over its bounding box.
#include <algorithm>
#include <cstdint>
#include <vector>

#include "math/harmonics.h"
#include "math/projection.h"
#include "primitives/kinds.h"

using namespace gaborsplat;

namespace {

struct Scene {
    int splats, waves, sh_coeffs, degree, width, height;
    const float *means, *quats, *scales, *opacities, *sh, *frequencies, *coefficients;
    const float *viewmat, *intrinsics;
};

Vec3<float> load3(const float* p) { return {p[0], p[1], p[2]}; }

View<float> load_view(const Scene& s) {
    const float *m = s.viewmat, *k = s.intrinsics;
    return {{load3(m), load3(m + 4), load3(m + 8)},
            {m[3], m[7], m[11]},
            {k[0], k[4]},
            {k[2], k[5]},
            {float(s.width), float(s.height)}};
}

SplatParameters<float> load_splat(const Scene& s, int i) {
    const float* q = s.quats + 4 * i;
    return {load3(s.means + 3 * i),
            {q[0], q[1], q[2], q[3]},
            load3(s.scales + 3 * i),
            s.opacities[i],
            {s.frequencies + 3 * s.waves * i, s.coefficients + 2 * s.waves * i}};
}

const ProjectOptions<float> kOptions = {0.01f, 1e10f, 0.3f, 0.0f, 1.0f / 255, 0.0f, false, false};

template <class Kind>
class Loop {
  public:
    explicit Loop(const Scene& s)
        : s_(s),
          view_(load_view(s)),
          projected_(s.splats),
          colors_(s.splats),
          transmittance_(s.width * s.height, 1.0f),
          image_(3 * s.width * s.height) {
        Vec3<float> t = view_.translation;
        position_ = -1.0f * (t * view_.rotation);
    }

    /// Pairs of a splat and a pixel it was blended into.
    std::int64_t forward() {
        for (int i = 0; i < s_.splats; ++i) {
            projected_[i] = project_splat<Kind>(load_splat(s_, i), view_, kOptions, false);
            if (!projected_[i].visible) continue;
            order_.push_back(i);
            colors_[i] = shade(s_.degree, load3(s_.means + 3 * i) - position_, harmonics(i));
        }
        std::stable_sort(order_.begin(), order_.end(),
                         [&](int a, int b) { return projected_[a].depth < projected_[b].depth; });
        std::int64_t hits = 0;
        replay([&](int i, int pixel, float alpha, float, const auto&) {
            float weight = alpha * transmittance_[pixel];
            image_[3 * pixel] += weight * colors_[i].x;
            image_[3 * pixel + 1] += weight * colors_[i].y;
            image_[3 * pixel + 2] += weight * colors_[i].z;
            ++hits;
        });
        return hits;
    }

    /// Gradient of the sum of all values of the image; returns the sum of the
    /// means' gradients, so that nothing can be left out.
    float backward() {
        std::vector<float> behind(transmittance_.size());
        for (std::size_t i = 0; i < behind.size(); ++i)
            behind[i] = image_[3 * i] + image_[3 * i + 1] + image_[3 * i + 2];
        std::fill(transmittance_.begin(), transmittance_.end(), 1.0f);
        std::vector<ProjectedGradient<float>> v_projected(s_.splats);
        std::vector<float> v_modulation(std::size_t(s_.splats) * Kind::kModulationSize + 1);
        std::vector<Vec3<float>> v_colors(s_.splats);
        replay([&](int i, int pixel, float alpha, float raw, const auto& at) {
            float before = transmittance_[pixel], weight = alpha * before;
            float shade = colors_[i].x + colors_[i].y + colors_[i].z;
            v_colors[i] = v_colors[i] + Vec3<float>{weight, weight, weight};
            behind[pixel] -= weight * shade;
            float v_alpha = before * shade - behind[pixel] / (1.0f - alpha);
            if (raw > 0.99f) return;
            float v_log = v_alpha * raw;
            Sym2<float> q = projected_[i].conic;
            auto& v = v_projected[i];
            v.mean2d.x += v_log * (q.xx * at.d.x + q.xy * at.d.y);
            v.mean2d.y += v_log * (q.xy * at.d.x + q.yy * at.d.y);
            v.conic.x -= 0.5f * v_log * at.d.x * at.d.x;
            v.conic.y -= v_log * at.d.x * at.d.y;
            v.conic.z -= 0.5f * v_log * at.d.y * at.d.y;
            v.opacity += v_log / projected_[i].opacity;
            float sums[Kind::kSums + 1] = {}, v_one[Kind::kModulationSize + 1] = {};
            Kind::add_vjp(at.waves, at.turns, at.d, v_alpha * at.envelope, sums);
            Kind::modulation2d_vjp(projected_[i].modulation, projected_[i].mean2d, sums, v_one);
            for (int f = 0; f < Kind::kModulationSize; ++f)
                v_modulation[i * Kind::kModulationSize + f] += v_one[f];
        });
        return to_parameters(v_projected, v_modulation, v_colors);
    }

  private:
    struct At {
        Vec2<float> d;
        float envelope;
        typename Kind::template Waves<float> waves;
        typename Kind::template Turns<float> turns;
    };

    auto harmonics(int i) const {
        const float* sh = s_.sh + 3 * s_.sh_coeffs * i;
        return [sh](int j) { return load3(sh + 3 * j); };
    }

    /// visit(splat, pixel, alpha, raw alpha, where) for all that is blended,
    /// front to back.
    template <class Visit>
    void replay(const Visit& visit) {
        for (int i : order_) {
            const auto& p = projected_[i];
            LogAlpha<float> f = log_alpha(p.conic, p.opacity);
            int left = std::max(0, int(p.mean2d.x - p.radius.x));
            int right = std::min(s_.width, int(p.mean2d.x + p.radius.x) + 1);
            int top = std::max(0, int(p.mean2d.y - p.radius.y));
            int bottom = std::min(s_.height, int(p.mean2d.y + p.radius.y) + 1);
            for (int y = top; y < bottom; ++y)
                for (int x = left; x < right; ++x) {
                    int pixel = y * s_.width + x;
                    float& t = transmittance_[pixel];
                    if (t < 0) continue;  // finished
                    Vec2<float> centre = {x + 0.5f, y + 0.5f};
                    At at;
                    at.d = centre - p.mean2d;
                    at.envelope = exp2_(f.peak + quadratic(f, at.d));
                    at.waves = Kind::waves_at(p.modulation, centre);
                    at.turns = Kind::turns(p.modulation, Vec2<float>{0.0f, 0.0f});
                    float raw = at.envelope * Kind::modulation(p.modulation, at.waves, at.turns);
                    float alpha = std::min(raw, 0.99f);
                    if (!(alpha >= 1.0f / 255)) continue;
                    float next = t * (1.0f - alpha);
                    if (next <= 1e-4f) {
                        t = -t;
                        continue;
                    }
                    visit(i, pixel, alpha, raw, at);
                    t = next;
                }
        }
    }

    float to_parameters(std::vector<ProjectedGradient<float>>& v_projected,
                        const std::vector<float>& v_modulation,
                        const std::vector<Vec3<float>>& v_colors) {
        std::vector<float> v_sh(std::size_t(3) * s_.sh_coeffs * s_.splats);
        std::vector<float> v_frequencies(3 * Kind::kWaves + 1),
            v_coefficients(2 * Kind::kWaves + 1);
        PoseGradient<float> pose = {};
        float total = 0;
        for (int i : order_) {
            auto& v = v_projected[i];
            v.modulation = v_modulation.data() + i * Kind::kModulationSize;
            SplatGradient<float> out =
                project_splat_vjp<Kind>(load_splat(s_, i), view_, kOptions, false, v,
                                        {v_frequencies.data(), v_coefficients.data()}, pose);
            auto colored = shade_vjp(s_.degree, load3(s_.means + 3 * i) - position_, harmonics(i),
                                     colors_[i], v_colors[i]);
            for (int j = 0; j < (s_.degree + 1) * (s_.degree + 1); ++j) {
                Vec3<float> v_j = colored.basis[j] * colored.color;
                float* row = v_sh.data() + 3 * (std::size_t(s_.sh_coeffs) * i + j);
                row[0] = v_j.x, row[1] = v_j.y, row[2] = v_j.z;
            }
            total += out.mean.x + out.mean.y + out.mean.z + colored.direction.x;
        }
        return total + v_sh[0];
    }

    const Scene& s_;
    View<float> view_;
    Vec3<float> position_;
    std::vector<ProjectedSplat<float, Kind>> projected_;
    std::vector<Vec3<float>> colors_;
    std::vector<int> order_;
    std::vector<float> transmittance_, image_;
};

}  // namespace

extern "C" {

/// Draws a scene, and finds its gradient too if asked; returns pairs of splat
/// and pixel blended.
std::int64_t draw(const Scene* scene, int backward, float* checksum) {
    std::int64_t hits = 0;
    with_kind(scene->waves, [&](auto kind) {
        Loop<decltype(kind)> loop(*scene);
        hits = loop.forward();
        if (backward) *checksum = loop.backward();
    });
    return hits;
}

/// Multiplies and adds `count` times in each of 128 numbers; returns their sum.
float multiply_add(std::int64_t count) {
    typedef float Wide __attribute__((vector_size(64)));
    Wide x[8];
    for (int i = 0; i < 8; ++i) x[i] = Wide{} + 1.0f + 0.01f * i;
    for (std::int64_t n = 0; n < count; ++n)
#pragma GCC unroll 8
        for (int i = 0; i < 8; ++i) x[i] = x[i] * 0.999f + 0.001f;
    float sum = 0;
    for (Wide& each : x)
        for (int i = 0; i < 16; ++i) sum += each[i];
    return sum;
}

}  // extern "C"
