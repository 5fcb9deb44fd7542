// Splats in the words of textures of the type RGBA32UI.
//
// Geometry, three texels a splat: mean (three floats), entry of the palette of harmonics; quaternion
// wxyz (snorm16), scales in units (halves), opacity (half); colour (halves). Waves, a texel each:
// frequency, cosine and sine amplitude (halves). Harmonics, six texels an entry: r g b of each
// coefficient beyond the constant one (halves).

export const GEOMETRY_WORDS = 12;
export const WAVE_WORDS = 4;
export const ENTRY_WORDS = 24;

const LARGEST_HALF = 65504;
const SMALLEST_HALF = 2 ** -24;

const asFloat = new Float32Array(1);
const asBits = new Uint32Array(asFloat.buffer);

// The nearest half, as 16 bits; what is too large becomes the largest.
export function half(value) {
  asFloat[0] = Math.min(Math.max(value, -LARGEST_HALF), LARGEST_HALF);
  const bits = asBits[0];
  const sign = (bits >>> 16) & 0x8000;
  const exponent = ((bits >>> 23) & 0xff) - 112;
  const fraction = bits & 0x7fffff;
  if (exponent >= 1) {
    // Rounding may carry into the exponent, which is right.
    const rounded = ((exponent << 23) | fraction) + 0xfff + ((fraction >>> 13) & 1);
    return sign | (rounded >>> 13);
  }
  return sign | Math.round(Math.abs(asFloat[0]) / SMALLEST_HALF);
}

const halves = (a, b) => half(a) | (half(b) << 16);
const snorm = (value) => Math.round(32767 * value) & 0xffff;

// A power of two near the middle of the scales, so that halves hold them.
export function unitOf(scales) {
  const step = Math.max(1, Math.floor(scales.length / 3000));
  const some = [];
  for (let i = 0; i < scales.length; i += step) if (scales[i] > 0) some.push(scales[i]);
  some.sort((a, b) => a - b);
  const middle = some.length ? some[some.length >> 1] : 1;
  return 2 ** Math.max(-100, Math.min(100, Math.round(Math.log2(middle))));
}

// Textures of splats as readers give them (read/arrays.js).
export function texelsOf(splats) {
  const unit = unitOf(splats.scales);
  return {
    unit,
    geometry: geometryWords(splats, unit),
    waves: waveWords(splats),
    harmonics: harmonicsWords(splats),
  };
}

function geometryWords({ count, means, quats, scales, opacities, colors, labels }, unit) {
  const words = new Uint32Array(count * GEOMETRY_WORDS);
  const floats = new Float32Array(words.buffer);
  for (let i = 0; i < count; i++) {
    const at = i * GEOMETRY_WORDS;
    floats.set(means.subarray(3 * i, 3 * i + 3), at);
    words[at + 3] = labels ? labels[i] : i;
    const [w, x, y, z] = quats.subarray(4 * i, 4 * i + 4);
    const length = Math.hypot(w, x, y, z) || 1;
    words[at + 4] = snorm(w / length) | (snorm(x / length) << 16);
    words[at + 5] = snorm(y / length) | (snorm(z / length) << 16);
    const [a, b, c] = scales.subarray(3 * i, 3 * i + 3);
    words[at + 6] = halves(thick(a / unit), thick(b / unit));
    words[at + 7] = halves(thick(c / unit), opacities[i]);
    words[at + 8] = halves(colors[3 * i], colors[3 * i + 1]);
    words[at + 9] = half(colors[3 * i + 2]);
  }
  return words;
}

// A flat splat stays one that is shown.
const thick = (scale) => Math.max(scale, SMALLEST_HALF);

function waveWords({ count, waves, frequencies, coefficients }) {
  const words = new Uint32Array(count * waves * WAVE_WORDS);
  for (let i = 0; i < count * waves; i++) {
    const at = i * WAVE_WORDS;
    words[at] = halves(frequencies[3 * i], frequencies[3 * i + 1]);
    words[at + 1] = halves(frequencies[3 * i + 2], coefficients[2 * i]);
    words[at + 2] = half(coefficients[2 * i + 1]);
  }
  return words;
}

function harmonicsWords({ degree, palette }) {
  const width = 3 * ((degree + 1) ** 2 - 1);
  const entries = width ? palette.length / width : 0;
  const words = new Uint32Array(entries * ENTRY_WORDS);
  for (let e = 0; e < entries; e++) {
    for (let j = 0; j < width; j += 2) {
      const second = j + 1 < width ? palette[e * width + j + 1] : 0;
      words[e * ENTRY_WORDS + (j >> 1)] = halves(palette[e * width + j], second);
    }
  }
  return words;
}
