// SPZ, versions 1 to 3. Version 4 is packed by zstandard, which browsers do not unpack.

import { Refused, SH_C0, splatArrays } from "./arrays.js";
import { unpackedUpTo } from "./gzip.js";

const HEADER = 16;
const MOST_GAIN = 64; // unpacked bytes a byte: splats are noise
const FREE = 1 << 26; // bytes that may be unpacked in any case
const ANTIALIASED = 1;
const COLOR = 0.15;
const SMALL_BITS = 9;
const SMALL = ((1 << SMALL_BITS) - 1) * Math.SQRT2;

// The axes of SPZ are right, up, back: y and z are the other way round. Whether a harmonic changes
// its sign then, of the 15 beyond the constant one.
const CHANGES = [1, 1, 0, 1, 0, 0, 1, 0, 1, 0, 1, 1, 0, 1, 0];

// bytes: a Uint8Array. Raises Refused.
export async function readSpz(bytes) {
  const zipped = bytes[0] === 0x1f && bytes[1] === 0x8b;
  const whole = zipped
    ? await unpackedUpTo(bytes, Math.max(FREE, MOST_GAIN * bytes.length)) : bytes;
  const data = new DataView(whole.buffer, whole.byteOffset, whole.length);
  if (whole.length < HEADER || new TextDecoder("latin1").decode(whole.subarray(0, 4)) !== "NGSP")
    throw new Refused("it is no SPZ");
  const version = data.getUint32(4, true);
  if (version === 4)
    throw new Refused("SPZ 4 is packed as browsers cannot unpack it; gaborsplat export writes .spz of version 3");
  const [count, degree, fraction, flags] = [data.getUint32(8, true), whole[12], whole[13], whole[14]];
  if (!(version >= 1 && version <= 3) || degree > 4)
    throw new Refused(`it is an SPZ of version ${version} and degree ${degree}`);
  const coefficients = (degree + 1) ** 2 - 1;
  const sizes = [version === 1 ? 6 : 9, 1, 3, 3, version < 3 ? 3 : 4, 3 * coefficients];
  const due = HEADER + count * sizes.reduce((sum, size) => sum + size);
  if (whole.length < due) throw new Refused(`it is cut off: ${count} splats take ${due} bytes`);
  const splats = splatArrays(count, Math.min(degree, 3), 0);
  let at = HEADER;
  const [places, alphas, colors, scales, turns, harmonics] = sizes.map((size) => {
    at += count * size;
    return whole.subarray(at - count * size, at);
  });
  fillMeans(splats, places, version, fraction);
  for (let i = 0; i < count; i++) splats.opacities[i] = alphas[i] / 255;
  for (let i = 0; i < 3 * count; i++) {
    splats.colors[i] = 0.5 + (SH_C0 * (colors[i] / 255 - 0.5)) / COLOR;
    splats.scales[i] = Math.exp(scales[i] / 16 - 10);
  }
  for (let i = 0; i < count; i++) {
    const [w, x, y, z] = version < 3 ? firstThree(turns, i) : smallestThree(turns, i);
    splats.quats.set([w, x, -y, -z], 4 * i);
  }
  fillHarmonics(splats, harmonics, 3 * coefficients);
  splats.antialiased = Boolean(flags & ANTIALIASED);
  return splats;
}

function fillMeans({ count, means }, places, version, fraction) {
  const data = new DataView(places.buffer, places.byteOffset, places.length);
  for (let i = 0; i < 3 * count; i++) {
    const sign = i % 3 ? -1 : 1;
    if (version === 1) means[i] = sign * ofHalf(data.getUint16(2 * i, true));
    else {
      const bits = places[3 * i] | (places[3 * i + 1] << 8) | (places[3 * i + 2] << 16);
      means[i] = (sign * ((bits << 8) >> 8)) / 2 ** fraction;
    }
  }
}

function ofHalf(bits) {
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  const size = exponent ? (1024 + fraction) * 2 ** (exponent - 25) : fraction * 2 ** -24;
  return (exponent === 31 ? NaN : size) * (bits >> 15 ? -1 : 1);
}

// w x y z of three bytes x, y and z.
function firstThree(turns, i) {
  const [x, y, z] = [0, 1, 2].map((part) => turns[3 * i + part] / 127.5 - 1);
  return [Math.sqrt(Math.max(0, 1 - x * x - y * y - z * z)), x, y, z];
}

// w x y z of 32 bits: which of x y z w is the largest, and the others, the last one lowest.
function smallestThree(turns, i) {
  let bits = 0;
  for (const part of [3, 2, 1, 0]) bits = bits * 256 + turns[4 * i + part];
  const largest = Math.floor(bits / 2 ** 30);
  const found = [0, 0, 0, 0];
  let squares = 0;
  for (const part of [3, 2, 1, 0].filter((each) => each !== largest)) {
    const size = (bits % 2 ** SMALL_BITS) / SMALL;
    found[part] = Math.floor(bits / 2 ** SMALL_BITS) % 2 ? -size : size;
    squares += size * size;
    bits = Math.floor(bits / 2 ** (SMALL_BITS + 1));
  }
  found[largest] = Math.sqrt(Math.max(0, 1 - squares));
  return [found[3], found[0], found[1], found[2]];
}

function fillHarmonics({ count, degree, palette }, bytes, stride) {
  const width = 3 * ((degree + 1) ** 2 - 1);
  for (let i = 0; i < count; i++) {
    for (let j = 0; j < width; j++) {
      const value = (bytes[i * stride + j] - 128) / 128;
      palette[i * width + j] = CHANGES[Math.floor(j / 3)] ? -value : value;
    }
  }
}
