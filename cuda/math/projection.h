// One splat seen by one camera, and the gradient of that.
#pragma once

#include "../passes/project.h"
#include "../primitives/kind.h"
#include "camera.h"
#include "compositing.h"
#include "covariance.h"

GABORSPLAT_BEGIN

template <class S>
struct SplatParameters {
    Vec3<S> mean;
    Quat<S> quat;  // any non-zero length
    Vec3<S> scale;
    S opacity;
    WaveParameters<S> waves;
};

/// What the image needs to know of a splat.
template <class S, class Kind>
struct ProjectedSplat {
    MaskOf<S> visible;  // nothing else is defined where it is not
    Vec2<S> radius;     // [px], whole numbers
    Vec2<S> mean2d;     // [px]
    S depth;
    Sym2<S> conic;  // [px^-2]
    S opacity;      // compensated when antialiased
    S cutoff;       // envelope power beyond which alpha is under alpha_min
    S modulation[Kind::kModulationSize > 0 ? Kind::kModulationSize : 1];
};

template <class S>
struct ProjectedGradient {
    Vec2<S> mean2d;
    S depth;
    Vec3<S> conic;  // of (xx, xy, yy) as the blend uses them: xy once
    S opacity;
    const S* modulation;
};

template <class S>
struct SplatGradient {
    Vec3<S> mean;
    Quat<S> quat;
    Vec3<S> scale;
    S opacity;
};

template <class S>
struct PoseGradient {
    Mat3<S> rotation;
    Vec3<S> translation;
};

/// The splat that the parameters stand for.
template <class S>
HD SplatParameters<S> activated(SplatParameters<S> splat, bool raw) {
    if (!raw) return splat;
    splat.scale = {exp_(splat.scale.x), exp_(splat.scale.y), exp_(splat.scale.z)};
    splat.opacity = S(1) / (S(1) + exp_(-splat.opacity));
    return splat;
}
/// Makes the gradient of the splat that of its parameters.
template <class S>
HD void activated_vjp(const SplatParameters<S>& splat, bool raw, SplatGradient<S>& v) {
    if (!raw) return;
    v.scale = {v.scale.x * splat.scale.x, v.scale.y * splat.scale.y, v.scale.z * splat.scale.z};
    v.opacity = v.opacity * splat.opacity * (S(1) - splat.opacity);
}

/// A splat on its way to the image; forward and backward start here.
template <class S>
struct ProjectionState {
    Vec3<S> point;  // in camera space
    Quat<S> unit_quat;
    S quat_norm;
    Mat3<S> rotation;    // splat to world
    Mat3<S> axes;        // rotation diag(scale)
    Mat23<S> to_pixels;  // P = J W
    Footprint<S> footprint;
};

template <class S>
HD ProjectionState<S> projection_state(const SplatParameters<S>& splat, const View<S>& view,
                                       S eps2d) {
    ProjectionState<S> g;
    g.point = view.rotation * splat.mean + view.translation;
    Quat<S> q = splat.quat;
    g.quat_norm = sqrt_(q.w * q.w + q.x * q.x + q.y * q.y + q.z * q.z);
    S inverse = S(1) / g.quat_norm;
    g.unit_quat = {inverse * q.w, inverse * q.x, inverse * q.y, inverse * q.z};
    g.rotation = rotation(g.unit_quat);
    g.axes = scaled_columns(g.rotation, splat.scale);
    g.to_pixels = perspective_jacobian(view, g.point) * view.rotation;
    g.footprint = footprint(g.to_pixels * g.axes, eps2d);
    return g;
}

/// Half extents of the splat on the image [px].
template <class S>
HD Vec2<S> extent(const Footprint<S>& f, S cutoff, bool three_sigma) {
    if (!three_sigma) {
        S level = S(2) * cutoff;
        return {sqrt_(level * f.covariance.xx), sqrt_(level * f.covariance.yy)};
    }
    S middle = S(0.5) * (f.covariance.xx + f.covariance.yy);
    S largest = middle + sqrt_(max_(middle * middle - f.determinant, S(0.1)));
    S radius = S(3) * sqrt_(largest);
    return {radius, radius};
}

// Radii are no larger, so that they can become integers.
constexpr double kLargestRadius = (1 << 22) - 1;

/// With `raw`, scales are logarithms and opacities logits. S is a number or a pack of them, T a
/// number.
template <class Kind, class S, class T>
HD ProjectedSplat<S, Kind> project_splat(const SplatParameters<S>& given, const View<S>& view,
                                         const ProjectOptions<T>& options, bool raw) {
    ProjectedSplat<S, Kind> out;
    SplatParameters<S> splat = activated(given, raw);
    S zero(0);
    // Every guard is phrased so that NaN fails it.
    auto positive = [zero](S x) { return x > zero; };
    MaskOf<S>& visible = out.visible;
    visible = positive(splat.scale.x) & positive(splat.scale.y) & positive(splat.scale.z);
    Vec3<S> point = view.rotation * splat.mean + view.translation;
    visible = visible & (point.z > S(options.near_plane)) & (point.z < S(options.far_plane));
    if (!any(visible)) return out;

    ProjectionState<S> g = projection_state(splat, view, S(options.eps2d));
    const Footprint<S>& f = g.footprint;
    visible = visible & positive(g.quat_norm) & positive(f.determinant) & bounded(f.determinant);
    out.mean2d = perspective(view, g.point);
    out.depth = g.point.z;
    out.conic = f.conic;
    out.opacity = splat.opacity;
    if (options.antialiased != 0)
        out.opacity = splat.opacity * compensation(f.sharpness, S(options.compensation_min));
    Kind::project(splat.waves, f, out.mean2d, out.modulation);
    for (int i = 0; i < Kind::kModulationSize; ++i) visible = visible & bounded(out.modulation[i]);
    S peak = Kind::peak(out.modulation), most = out.opacity * peak;
    visible = visible & positive(most) & bounded(most);
    out.cutoff = cutoff_power(out.opacity, peak, S(options.alpha_min));
    visible = visible & positive(out.cutoff);

    Vec2<S> radius = extent(f, out.cutoff, options.three_sigma != 0);
    visible = visible & positive(out.mean2d.x + radius.x) & positive(out.mean2d.y + radius.y) &
              (out.mean2d.x - radius.x < view.size.x) & (out.mean2d.y - radius.y < view.size.y) &
              (max_(radius.x, radius.y) > S(options.radius_clip));
    out.radius = {ceil_(min_(radius.x, S(kLargestRadius))),
                  ceil_(min_(radius.y, S(kLargestRadius)))};
    visible = visible & positive(out.radius.x);
    return out;
}

/// Gradient of `project_splat` to the splat and the camera pose, for a splat that was not culled.
/// Wave gradients are added to `v_waves`, the pose's to `v_pose`.
template <class Kind, class S, class T>
HD SplatGradient<S> project_splat_vjp(const SplatParameters<S>& given, const View<S>& view,
                                      const ProjectOptions<T>& options, bool raw,
                                      const ProjectedGradient<S>& v, WaveGradients<S> v_waves,
                                      PoseGradient<S>& v_pose) {
    SplatParameters<S> splat = activated(given, raw);
    ProjectionState<S> g = projection_state(splat, view, S(options.eps2d));
    const Footprint<S>& f = g.footprint;
    SplatGradient<S> out = {};

    ModulationGradient<S> kind = Kind::project_vjp(splat.waves, f, v.modulation, v_waves);
    out.opacity = v.opacity;
    S v_sharpness = S(0);
    if (options.antialiased != 0) {
        S minimum = S(options.compensation_min);
        out.opacity = v.opacity * compensation(f.sharpness, minimum);
        v_sharpness = compensation_vjp(f.sharpness, minimum, v.opacity * splat.opacity);
    }
    Sym2<S> v_conic = Sym2<S>{v.conic.x, S(0.5) * v.conic.y, v.conic.z} + kind.conic;
    Mat23<S> v_basis = kind.basis + footprint_vjp(f, v_conic, v_sharpness, S(options.eps2d));

    // basis = to_pixels axes, axes = rotation diag(scale), to_pixels = jacobian view.rotation.
    Mat3<S> v_axes = transposed_product(g.to_pixels, v_basis);
    Mat23<S> v_to_pixels = v_basis * transpose(g.axes);
    Mat3<S> columns = transpose(g.rotation), v_columns = transpose(v_axes);
    out.scale = {dot(v_columns.row0, columns.row0), dot(v_columns.row1, columns.row1),
                 dot(v_columns.row2, columns.row2)};
    Quat<S> u = g.unit_quat;
    Quat<S> v_unit = rotation_vjp(u, scaled_columns(v_axes, splat.scale));
    S along = u.w * v_unit.w + u.x * v_unit.x + u.y * v_unit.y + u.z * v_unit.z;
    S inverse = S(1) / g.quat_norm;
    out.quat = {inverse * (v_unit.w - along * u.w), inverse * (v_unit.x - along * u.x),
                inverse * (v_unit.y - along * u.y), inverse * (v_unit.z - along * u.z)};

    Mat23<S> v_jacobian = v_to_pixels * transpose(view.rotation);
    Vec3<S> v_point = perspective_vjp(view, g.point, v.mean2d + kind.mean2d) +
                      perspective_jacobian_vjp(view, g.point, v_jacobian);
    v_point.z = v_point.z + v.depth;
    out.mean = v_point * view.rotation;
    Mat23<S> jacobian = perspective_jacobian(view, g.point);
    v_pose.rotation =
        v_pose.rotation + transposed_product(jacobian, v_to_pixels) + outer(v_point, splat.mean);
    v_pose.translation = v_pose.translation + v_point;
    activated_vjp(splat, raw, out);
    return out;
}

GABORSPLAT_END
