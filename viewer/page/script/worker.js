// The worker: reads files and sorts, so that the page waits for neither.

import { Sorter } from "./draw/order.js";
import { texelsOf } from "./draw/texels.js";
import { withoutBadSplats } from "./read/arrays.js";
import { extentOf } from "./read/extent.js";
import { readSplats } from "./read/reading.js";

const FARTHEST_NEAR_PLANE = 0.01;
const NEAR_PLANE_PER_SPREAD = 0.005; // of scenes whose unit is large

let sorter = null;

async function read({ id, name, bytes }) {
  const splats = withoutBadSplats(await readSplats(name, new Uint8Array(bytes)));
  const { unit, geometry, waves: waveWords, harmonics } = texelsOf(splats);
  sorter = new Sorter(splats.means);
  const extent = extentOf(splats.means);
  const nearPlane =
    splats.nearPlane ??
    Math.min(FARTHEST_NEAR_PLANE, NEAR_PLANE_PER_SPREAD * extent.spread || FARTHEST_NEAR_PLANE);
  const { count, degree, waves, antialiased, background, up } = splats;
  const scene = {
    count, degree, waves, antialiased, background, up, nearPlane, unit, geometry, waveWords,
    harmonics, name: splats.name, ...extent,
  };
  const moved = [geometry.buffer, waveWords.buffer, harmonics.buffer];
  self.postMessage({ kind: "scene", id, scene }, moved);
}

function sort({ id, row, order }) {
  if (!sorter) return;
  const filled = order?.length === sorter.count ? order : new Uint32Array(sorter.count);
  const started = performance.now();
  const count = sorter.sort(row, filled);
  const took = performance.now() - started;
  self.postMessage({ kind: "order", id, order: filled, count, took }, [filled.buffer]);
}

self.onmessage = async ({ data }) => {
  try {
    if (data.kind === "read") await read(data);
    else sort(data);
  } catch (error) {
    self.postMessage({ kind: "refused", id: data.id, line: error.message });
  }
};
