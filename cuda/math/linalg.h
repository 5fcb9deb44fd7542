// Vectors and matrices of two and three dimensions.
#pragma once

#include "scalar.h"

GABORSPLAT_BEGIN

template <class S>
struct Vec2 {
    S x, y;
};
template <class S>
struct Vec3 {
    S x, y, z;
};
template <class S>
struct Quat {
    S w, x, y, z;
};
/// Symmetric 2x2 matrix.
template <class S>
struct Sym2 {
    S xx, xy, yy;
};
/// 2x3 matrix by rows.
template <class S>
struct Mat23 {
    Vec3<S> row0, row1;
};
/// 3x3 matrix by rows.
template <class S>
struct Mat3 {
    Vec3<S> row0, row1, row2;
};

template <class S>
HD Vec2<S> operator+(Vec2<S> a, Vec2<S> b) {
    return {a.x + b.x, a.y + b.y};
}
template <class S>
HD Vec2<S> operator-(Vec2<S> a, Vec2<S> b) {
    return {a.x - b.x, a.y - b.y};
}
template <class S>
HD Vec2<S> operator*(S s, Vec2<S> a) {
    return {s * a.x, s * a.y};
}
template <class S>
HD S dot(Vec2<S> a, Vec2<S> b) {
    return a.x * b.x + a.y * b.y;
}

template <class S>
HD Vec3<S> operator+(Vec3<S> a, Vec3<S> b) {
    return {a.x + b.x, a.y + b.y, a.z + b.z};
}
template <class S>
HD Vec3<S> operator-(Vec3<S> a, Vec3<S> b) {
    return {a.x - b.x, a.y - b.y, a.z - b.z};
}
template <class S>
HD Vec3<S> operator*(S s, Vec3<S> a) {
    return {s * a.x, s * a.y, s * a.z};
}
/// Element by element.
template <class S>
HD Vec3<S> scaled(Vec3<S> a, Vec3<S> b) {
    return {a.x * b.x, a.y * b.y, a.z * b.z};
}
template <class S>
HD S dot(Vec3<S> a, Vec3<S> b) {
    return a.x * b.x + a.y * b.y + a.z * b.z;
}
template <class S>
HD Vec3<S> cross(Vec3<S> a, Vec3<S> b) {
    return {a.y * b.z - a.z * b.y, a.z * b.x - a.x * b.z, a.x * b.y - a.y * b.x};
}

template <class S>
HD Vec2<S> operator*(Sym2<S> m, Vec2<S> v) {
    return {m.xx * v.x + m.xy * v.y, m.xy * v.x + m.yy * v.y};
}
template <class S>
HD Sym2<S> operator+(Sym2<S> a, Sym2<S> b) {
    return {a.xx + b.xx, a.xy + b.xy, a.yy + b.yy};
}
template <class S>
HD Sym2<S> operator*(S s, Sym2<S> m) {
    return {s * m.xx, s * m.xy, s * m.yy};
}
/// M N M for symmetric M and N.
template <class S>
HD Sym2<S> sandwich(Sym2<S> m, Sym2<S> n) {
    Vec2<S> left = n * Vec2<S>{m.xx, m.xy};
    Vec2<S> right = n * Vec2<S>{m.xy, m.yy};
    return {m.xx * left.x + m.xy * left.y, m.xx * right.x + m.xy * right.y,
            m.xy * right.x + m.yy * right.y};
}

template <class S>
HD Vec3<S> operator*(const Mat3<S>& m, Vec3<S> v) {
    return {dot(m.row0, v), dot(m.row1, v), dot(m.row2, v)};
}
template <class S>
HD Vec2<S> operator*(const Mat23<S>& m, Vec3<S> v) {
    return {dot(m.row0, v), dot(m.row1, v)};
}
/// v^T M.
template <class S>
HD Vec3<S> operator*(Vec3<S> v, const Mat3<S>& m) {
    return v.x * m.row0 + v.y * m.row1 + v.z * m.row2;
}
template <class S>
HD Vec3<S> operator*(Vec2<S> v, const Mat23<S>& m) {
    return v.x * m.row0 + v.y * m.row1;
}
template <class S>
HD Mat23<S> operator*(const Mat23<S>& a, const Mat3<S>& b) {
    return {a.row0 * b, a.row1 * b};
}
template <class S>
HD Mat23<S> operator*(const Sym2<S>& a, const Mat23<S>& b) {
    return {a.xx * b.row0 + a.xy * b.row1, a.xy * b.row0 + a.yy * b.row1};
}
template <class S>
HD Mat23<S> operator+(const Mat23<S>& a, const Mat23<S>& b) {
    return {a.row0 + b.row0, a.row1 + b.row1};
}
template <class S>
HD Mat3<S> operator+(const Mat3<S>& a, const Mat3<S>& b) {
    return {a.row0 + b.row0, a.row1 + b.row1, a.row2 + b.row2};
}
template <class S>
HD Mat3<S> transpose(const Mat3<S>& m) {
    return {{m.row0.x, m.row1.x, m.row2.x},
            {m.row0.y, m.row1.y, m.row2.y},
            {m.row0.z, m.row1.z, m.row2.z}};
}
/// A^T B for two 2x3 matrices.
template <class S>
HD Mat3<S> transposed_product(const Mat23<S>& a, const Mat23<S>& b) {
    return {a.row0.x * b.row0 + a.row1.x * b.row1, a.row0.y * b.row0 + a.row1.y * b.row1,
            a.row0.z * b.row0 + a.row1.z * b.row1};
}
/// a b^T.
template <class S>
HD Mat23<S> outer(Vec2<S> a, Vec3<S> b) {
    return {a.x * b, a.y * b};
}
template <class S>
HD Mat3<S> outer(Vec3<S> a, Vec3<S> b) {
    return {a.x * b, a.y * b, a.z * b};
}
/// Columns scaled by s: M diag(s).
template <class S>
HD Mat3<S> scaled_columns(const Mat3<S>& m, Vec3<S> s) {
    return {scaled(m.row0, s), scaled(m.row1, s), scaled(m.row2, s)};
}

/// Rotation matrix of a unit quaternion.
template <class S>
HD Mat3<S> rotation(Quat<S> q) {
    S two = S(2), one = S(1);
    return {{one - two * (q.y * q.y + q.z * q.z), two * (q.x * q.y - q.w * q.z),
             two * (q.x * q.z + q.w * q.y)},
            {two * (q.x * q.y + q.w * q.z), one - two * (q.x * q.x + q.z * q.z),
             two * (q.y * q.z - q.w * q.x)},
            {two * (q.x * q.z - q.w * q.y), two * (q.y * q.z + q.w * q.x),
             one - two * (q.x * q.x + q.y * q.y)}};
}
/// Gradient of `rotation` to the unit quaternion.
template <class S>
HD Quat<S> rotation_vjp(Quat<S> q, const Mat3<S>& v) {
    Vec3<S> curl = {v.row2.y - v.row1.z, v.row0.z - v.row2.x, v.row1.x - v.row0.y};
    S xy = v.row0.y + v.row1.x, xz = v.row0.z + v.row2.x, yz = v.row1.z + v.row2.y;
    S two = S(2);
    return {two * (q.x * curl.x + q.y * curl.y + q.z * curl.z),
            two * (q.w * curl.x - two * q.x * (v.row1.y + v.row2.z) + q.y * xy + q.z * xz),
            two * (q.w * curl.y + q.x * xy - two * q.y * (v.row0.x + v.row2.z) + q.z * yz),
            two * (q.w * curl.z + q.x * xz + q.y * yz - two * q.z * (v.row0.x + v.row1.y))};
}

GABORSPLAT_END
