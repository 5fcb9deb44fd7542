// Splats as readers give them, and the rules that all of them keep to.

// A file that is refused; the message is a line for people.
export class Refused extends Error {}

// More than any GPU's textures hold.
export const MOST_SPLATS = 40_000_000;
const LARGEST = 1e15;
export const SH_C0 = 0.28209479177387814;

// Arrays for so many splats. palette: r g b of each coefficient beyond the constant harmonic, for
// each entry; labels: which entry is whose, null where each splat has its own.
export function splatArrays(count, degree, waves, entries = count) {
  if (!(Number.isInteger(count) && count > 0 && count <= MOST_SPLATS))
    throw new Refused(`it says that it has ${count} splats`);
  const coefficients = (degree + 1) ** 2 - 1;
  return {
    count, degree, waves,
    means: new Float32Array(3 * count),
    quats: new Float32Array(4 * count),
    scales: new Float32Array(3 * count),
    opacities: new Float32Array(count),
    colors: new Float32Array(3 * count),
    palette: new Float32Array(3 * coefficients * (coefficients ? entries : 0)),
    labels: null,
    frequencies: new Float32Array(3 * waves * count),
    coefficients: new Float32Array(2 * waves * count),
    antialiased: false, background: null, up: null, name: null,
  };
}

export const sigmoid = (logit) => 1 / (1 + Math.exp(-logit));

// Three numbers within bounds, of what a file has there; null for anything else.
export function three(values, lowest, highest) {
  const numbers = Array.isArray(values) ? values.map(Number) : [];
  const good = numbers.length === 3 && numbers.every((each) => each >= lowest && each <= highest);
  return good ? numbers : null;
}

// A direction of length 1, as a file has it: three numbers, or a letter with or without a sign; null
// for anything else.
function direction(value) {
  const [, sign, letter] = /^([+-]?)([xyz])$/i.exec(value) ?? [];
  if (letter) return [..."xyz"].map((each) => (each === letter.toLowerCase() ? (sign === "-" ? -1 : 1) : 0));
  const numbers = three(value, -LARGEST, LARGEST);
  const length = numbers ? Math.hypot(...numbers) : 0;
  return length > 0 ? numbers.map((each) => each / length) : null;
}

// Whether row i of a table of `width` columns has nothing but numbers.
function finiteRow(values, width, i) {
  for (let at = width * i; at < width * (i + 1); at++) if (!Number.isFinite(values[at])) return false;
  return true;
}

// Makes invisible what cannot be shown: not finite, too far, or without a rotation. What a file says
// of the whole scene is left out where it is nothing of its kind.
export function withoutBadSplats(splats) {
  const { count, degree, waves, means, quats, scales, opacities } = splats;
  const width = 3 * ((degree + 1) ** 2 - 1);
  const shows = (i) =>
    finiteRow(splats.colors, 3, i) && finiteRow(splats.palette, width, splats.labels?.[i] ?? i) &&
    finiteRow(splats.frequencies, 3 * waves, i) && finiteRow(splats.coefficients, 2 * waves, i);
  for (let i = 0; i < count; i++) {
    const sum =
      Math.abs(means[3 * i]) + Math.abs(means[3 * i + 1]) + Math.abs(means[3 * i + 2]) +
      scales[3 * i] + scales[3 * i + 1] + scales[3 * i + 2];
    const turn = Math.hypot(quats[4 * i], quats[4 * i + 1], quats[4 * i + 2], quats[4 * i + 3]);
    if (!(sum < LARGEST && turn > 0 && turn < LARGEST && opacities[i] >= 0 && shows(i))) {
      means.fill(0, 3 * i, 3 * i + 3);
      scales.fill(0, 3 * i, 3 * i + 3);
      quats.set([1, 0, 0, 0], 4 * i);
      opacities[i] = 0;
    }
  }
  splats.background = three(splats.background, 0, 1);
  splats.up = direction(splats.up);
  splats.antialiased = splats.antialiased === true;
  if (!(splats.nearPlane > 0 && Number.isFinite(splats.nearPlane))) splats.nearPlane = null;
  return splats;
}
