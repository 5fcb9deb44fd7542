// SOG of version 2, as an archive.

import { Refused, SH_C0, splatArrays } from "./arrays.js";
import { WebpDecoder } from "./webp.js";
import { opened } from "./zip.js";

const LARGEST_META = 1 << 20;
const MOST_GAIN = 64;
const FREE = 1 << 26;
const LABELS_PER_ROW = 64;
const COEFFICIENTS = [3, 8, 15]; // by bands
const LEFT_OUT = 252; // alpha of a rotation whose w is left out; then x, y and z

// bytes: a Uint8Array. Raises Refused.
export async function readSog(bytes) {
  const member = opened(bytes);
  const meta = JSON.parse(new TextDecoder().decode(await member("meta.json", LARGEST_META)));
  if (meta.version !== 2) throw new Refused(`it is a SOG of version ${meta.version}; 2 is known`);
  const most = Math.max(FREE, MOST_GAIN * bytes.length);
  if (!(meta.count <= most / 4)) throw new Refused(`it says that it has ${meta.count} splats`);
  const decoder = new WebpDecoder(most / 4);
  const texture = async (part, index = 0) => {
    const name = meta[part].files[index];
    return decoder.pixels(name, await member(name, bytes.length));
  };
  try {
    const splats = await filled(meta, texture);
    splats.antialiased = meta.model ? meta.model === "antialiased" : meta.antialias === true;
    const { background, name, up } = meta.gaborsplat ?? {};
    splats.name = typeof name === "string" ? name : null;
    Object.assign(splats, { background, up });
    return splats;
  } finally {
    decoder.close();
  }
}

async function filled(meta, texture) {
  const { count } = meta;
  const harmonics = meta.shN ? await paletteOf(meta.shN, texture) : { degree: 0, entries: 0 };
  const splats = splatArrays(count, harmonics.degree, 0, harmonics.entries);
  const pixels = async (part, index) => {
    const { rgba } = await texture(part, index);
    if (rgba.length < 4 * count) throw new Refused(`a texture of ${part} is too small`);
    return rgba;
  };
  fillMeans(splats, meta.means, await pixels("means", 0), await pixels("means", 1));
  fillQuats(splats, await pixels("quats"));
  const [scales, colors] = [await pixels("scales"), await pixels("sh0")];
  for (let i = 0; i < count; i++) {
    for (let axis = 0; axis < 3; axis++) {
      splats.scales[3 * i + axis] = Math.exp(meta.scales.codebook[scales[4 * i + axis]]);
      splats.colors[3 * i + axis] = 0.5 + SH_C0 * meta.sh0.codebook[colors[4 * i + axis]];
    }
    splats.opacities[i] = colors[4 * i + 3] / 255;
  }
  if (meta.shN) {
    const labels = await pixels("shN", 1);
    splats.palette = harmonics.palette;
    splats.labels = Uint32Array.from({ length: count }, (_, i) =>
      Math.min(labels[4 * i] + 256 * labels[4 * i + 1], harmonics.entries - 1));
  }
  return splats;
}

function fillMeans({ count, means }, { mins, maxs }, low, high) {
  for (let i = 0; i < count; i++) {
    for (let axis = 0; axis < 3; axis++) {
      const share = (low[4 * i + axis] + 256 * high[4 * i + axis]) / 65535;
      const log = mins[axis] + share * (maxs[axis] - mins[axis]); // of sign(x) ln(1 + |x|)
      means[3 * i + axis] = Math.sign(log) * Math.expm1(Math.abs(log));
    }
  }
}

function fillQuats({ count, quats }, rgba) {
  for (let i = 0; i < count; i++) {
    const left = rgba[4 * i + 3] - LEFT_OUT;
    if (left < 0) throw new Refused("it is damaged: a rotation has no valid mode");
    let squares = 0;
    for (let part = 0, channel = 0; part < 4; part++) {
      if (part === left) continue;
      const value = (rgba[4 * i + channel++] / 127.5 - 1) * Math.SQRT1_2;
      quats[4 * i + part] = value;
      squares += value * value;
    }
    quats[4 * i + left] = Math.sqrt(Math.max(0, 1 - squares));
  }
}

async function paletteOf(meta, texture) {
  const coefficients = COEFFICIENTS[meta.bands - 1];
  const { width, height, rgba } = await texture("shN", 0);
  if (!coefficients || width !== LABELS_PER_ROW * coefficients || height > 65536 / LABELS_PER_ROW)
    throw new Refused(`a palette of harmonics of ${width} x ${height} pixels is none`);
  const palette = new Float32Array(3 * width * height);
  for (let i = 0; i < width * height; i++)
    for (let channel = 0; channel < 3; channel++)
      palette[3 * i + channel] = meta.codebook[rgba[4 * i + channel]] ?? 0;
  return { degree: meta.bands, entries: LABELS_PER_ROW * height, palette };
}
