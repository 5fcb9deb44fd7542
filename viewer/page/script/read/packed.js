// Splats as `gaborsplat export` packs them for a page: viewer/page/layout.py describes it.

import { MOST_SPLATS, Refused, splatArrays } from "./arrays.js";
import { gunzipped } from "./gzip.js";

const MAGIC = "GSPL";
const VERSION = 1;
const START = 12; // bytes before the header
const LONGEST_HEADER = 1 << 20;
const BLOCK = 256;
const MOST_ENTRIES = 1 << 16;
const MOST_GAIN = 1032; // of deflate

// bytes: a Uint8Array. Raises Refused.
export async function readPacked(bytes) {
  const { header, body } = await opened(bytes);
  const { count, degree, waves } = header;
  const entries = header.harmonics?.entries ?? 0;
  const splats = splatArrays(count, degree, waves, entries);
  const planes = new Planes(body, header);
  planes.means(splats.means);
  planes.quats(splats.quats);
  planes.fill(splats.scales, 3, 0, 3, header.scales, Math.exp);
  planes.fill(splats.opacities, 1, 0, 1, [0, 1 / 255]);
  planes.colors(splats.colors, header.colors);
  for (let k = 0; k < waves; k++) {
    planes.fill(splats.frequencies, 3 * waves, 3 * k, 3, header.frequencies[0]);
    planes.fill(splats.coefficients, 2 * waves, 2 * k, 2, header.frequencies[1]);
  }
  if (degree) {
    splats.labels = planes.labels(entries);
    const width = 3 * ((degree + 1) ** 2 - 1);
    planes.fill(splats.palette, width, 0, width, header.harmonics.scale, undefined, entries);
  }
  const { antialiased, background, up, name, nearPlane } = header;
  return Object.assign(splats, { antialiased, background, up, name, nearPlane });
}

async function opened(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const magic = new TextDecoder("latin1").decode(bytes.subarray(0, 4));
  if (bytes.length < START || magic !== MAGIC) throw new Refused("it has no splats of a page");
  if (view.getUint32(4, true) !== VERSION)
    throw new Refused(`it is of version ${view.getUint32(4, true)}, this viewer reads ${VERSION}`);
  const length = view.getUint32(8, true);
  if (length > Math.min(LONGEST_HEADER, bytes.length - START))
    throw new Refused("it is cut off within its header");
  let header;
  try {
    header = JSON.parse(new TextDecoder().decode(bytes.subarray(START, START + length)));
  } catch {
    throw new Refused("it is damaged: its header is no JSON");
  }
  const packed = bytes.subarray(START + length);
  const size = sizeOf(header);
  if (size > MOST_GAIN * packed.length + 64) throw new Refused("it is cut off");
  return { header, body: await gunzipped(packed, size) };
}

// Bytes of the body, by a header of which everything is checked that anything is made by.
function sizeOf(header) {
  const whole = (value, lowest, highest, what) => {
    if (!(Number.isInteger(value) && value >= lowest && value <= highest))
      throw new Refused(`it is damaged: ${what} is ${value}`);
    return value;
  };
  const scale = (value, what) => {
    if (!(Array.isArray(value) && value.length === 2 && value.every(Number.isFinite)))
      throw new Refused(`it is damaged: ${what} is no scale`);
  };
  const count = whole(header?.count, 1, MOST_SPLATS, "count");
  const degree = whole(header.degree, 0, 3, "degree");
  const waves = whole(header.waves, 0, 4, "waves");
  if (waves === 3) throw new Refused("it is damaged: waves is 3");
  if (!Array.isArray(header.differences)) throw new Refused("it is damaged: no differences");
  scale(header.scales, "scales");
  scale(header.colors, "colors");
  for (const which of [0, 1]) scale(header.frequencies?.[which], "frequencies");
  const blocks = Math.ceil(count / BLOCK);
  let size = 24 * blocks + count * (9 + 3 + 3 + 1 + 3 + 5 * waves);
  if (degree) {
    scale(header.harmonics?.scale, "harmonics");
    const entries = whole(header.harmonics.entries, 1, MOST_ENTRIES, "entries");
    size += 2 * count + entries * 3 * ((degree + 1) ** 2 - 1);
  }
  return size;
}

// Takes one plane of a body after the other.
class Planes {
  constructor(body, { count, differences }) {
    this.body = body;
    this.count = count;
    this.differences = new Set(differences);
    this.at = 0;
    this.number = 0;
  }

  take(size) {
    this.at += size;
    this.number++;
    return this.body.subarray(this.at - size, this.at);
  }

  plane(size = this.count) {
    const summed = this.differences.has(this.number);
    const values = this.take(size);
    if (summed) for (let i = 1; i < size; i++) values[i] += values[i - 1];
    return values;
  }

  // Planes of `columns` numbers that stand at `first` of each row of `width` in target.
  fill(target, width, first, columns, [lowest, step], change = (value) => value, size = this.count) {
    const table = Float32Array.from({ length: 256 }, (_, byte) => change(lowest + step * byte));
    for (let column = 0; column < columns; column++) {
      const plane = this.plane(size);
      for (let i = 0, at = first + column; i < size; i++, at += width) target[at] = table[plane[i]];
    }
  }

  means(target) {
    const blocks = Math.ceil(this.count / BLOCK);
    const boxes = [this.take(12 * blocks), this.take(12 * blocks)].map(
      (part) => new Float32Array(part.slice().buffer));
    for (let axis = 0; axis < 3; axis++) {
      const [low, middle, high] = [this.plane(), this.plane(), this.plane()];
      for (let i = 0; i < this.count; i++) {
        const box = axis * blocks + ((i / BLOCK) | 0);
        const steps = low[i] + 256 * middle[i] + 65536 * high[i];
        target[3 * i + axis] = boxes[0][box] + boxes[1][box] * steps;
      }
    }
  }

  quats(target) {
    const [x, y, z] = [this.plane(), this.plane(), this.plane()];
    const part = Float64Array.from({ length: 256 }, (_, byte) => (byte / 127.5 - 1) * Math.SQRT1_2);
    for (let i = 0; i < this.count; i++) {
      const [a, b, c] = [part[x[i]], part[y[i]], part[z[i]]];
      target[4 * i] = Math.sqrt(Math.max(0, 1 - a * a - b * b - c * c));
      target[4 * i + 1] = a;
      target[4 * i + 2] = b;
      target[4 * i + 3] = c;
    }
  }

  colors(target, [lowest, step]) {
    const [green, red, blue] = [this.plane(), this.plane(), this.plane()];
    for (let i = 0; i < this.count; i++) {
      target[3 * i] = lowest + step * ((red[i] + green[i]) & 255);
      target[3 * i + 1] = lowest + step * green[i];
      target[3 * i + 2] = lowest + step * ((blue[i] + green[i]) & 255);
    }
  }

  labels(entries) {
    const low = this.plane();
    const high = this.plane();
    return Uint32Array.from(low, (byte, i) => Math.min(byte + 256 * high[i], entries - 1));
  }
}
