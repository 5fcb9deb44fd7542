// Vectors of three numbers.

export const add = (a, b) => [a[0] + b[0], a[1] + b[1], a[2] + b[2]];
export const subtract = (a, b) => [a[0] - b[0], a[1] - b[1], a[2] - b[2]];
export const scaled = (a, factor) => [factor * a[0], factor * a[1], factor * a[2]];
export const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
export const length = (a) => Math.hypot(a[0], a[1], a[2]);
export const cross = (a, b) => [
  a[1] * b[2] - a[2] * b[1],
  a[2] * b[0] - a[0] * b[2],
  a[0] * b[1] - a[1] * b[0],
];

// Of length 1; what has none stays as it is.
export function unit(a) {
  const size = length(a);
  return size > 0 ? scaled(a, 1 / size) : a;
}

// Turned about an axis of length 1, by an angle [rad] (Rodrigues).
export function turned(a, axis, angle) {
  const c = Math.cos(angle);
  const along = scaled(axis, dot(axis, a) * (1 - c));
  return add(add(scaled(a, c), scaled(cross(axis, a), Math.sin(angle))), along);
}
