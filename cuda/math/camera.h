// The pinhole camera and its local affine approximation.
#pragma once

#include "linalg.h"

GABORSPLAT_BEGIN

/// Where a camera stands (world to camera) and how it projects.
template <class S>
struct View {
    Mat3<S> rotation;
    Vec3<S> translation;
    Vec2<S> focal;   // [px]
    Vec2<S> centre;  // [px]
    Vec2<S> size;    // width, height [px]
};

/// Pixel coordinates of a point in camera space.
template <class S>
HD Vec2<S> perspective(const View<S>& view, Vec3<S> p) {
    return {view.focal.x * p.x / p.z + view.centre.x, view.focal.y * p.y / p.z + view.centre.y};
}
/// Gradient of `perspective` to the point.
template <class S>
HD Vec3<S> perspective_vjp(const View<S>& view, Vec3<S> p, Vec2<S> v) {
    S gx = view.focal.x * v.x / p.z, gy = view.focal.y * v.y / p.z;
    return {gx, gy, -(gx * p.x + gy * p.y) / p.z};
}

/// Slope x/z, held within 0.3 tan(fov/2) of the image so that the affine approximation of a splat
/// far outside the picture stays bounded (gsplat's rule; Inria's for a centred principal point).
template <class S>
struct ClampedSlope {
    S value;
    MaskOf<S> free;  // not at a bound: the slope still depends on x
};
template <class S>
HD ClampedSlope<S> clamped_slope(S x, S z, S focal, S centre, S size) {
    S margin = S(0.15) * size;
    S slope = x / z;
    S low = -(centre + margin) / focal, high = (size - centre + margin) / focal;
    S value = min_(max_(slope, low), high);
    return {value, value == slope};
}

/// Jacobian of `perspective` at a camera-space point; its rows are the image axes.
template <class S>
HD Mat23<S> perspective_jacobian(const View<S>& view, Vec3<S> p) {
    S tx = clamped_slope(p.x, p.z, view.focal.x, view.centre.x, view.size.x).value;
    S ty = clamped_slope(p.y, p.z, view.focal.y, view.centre.y, view.size.y).value;
    S sx = view.focal.x / p.z, sy = view.focal.y / p.z;
    return {{sx, S(0), -sx * tx}, {S(0), sy, -sy * ty}};
}
/// One row of the Jacobian back to (coordinate, depth): v is the gradient of that row's
/// (focal / z, -focal slope / z).
template <class S>
HD Vec2<S> jacobian_row_vjp(ClampedSlope<S> slope, S z, S focal, Vec2<S> v) {
    S scale = focal / (z * z);
    S v_depth = scale * (v.y * slope.value - v.x);
    S v_slope = select(slope.free, scale * v.y, S(0));
    return {-v_slope, v_depth + v_slope * slope.value};
}
/// Gradient of `perspective_jacobian` to the point.
template <class S>
HD Vec3<S> perspective_jacobian_vjp(const View<S>& view, Vec3<S> p, const Mat23<S>& v) {
    auto slope_x = clamped_slope(p.x, p.z, view.focal.x, view.centre.x, view.size.x);
    auto slope_y = clamped_slope(p.y, p.z, view.focal.y, view.centre.y, view.size.y);
    Vec2<S> x = jacobian_row_vjp(slope_x, p.z, view.focal.x, {v.row0.x, v.row0.z});
    Vec2<S> y = jacobian_row_vjp(slope_y, p.z, view.focal.y, {v.row1.y, v.row1.z});
    return {x.x, y.x, x.y + y.y};
}

GABORSPLAT_END
