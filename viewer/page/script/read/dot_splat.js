// .splat: 32 bytes a splat, without view-dependent colour.

import { Refused, splatArrays } from "./arrays.js";

const RECORD = 32;

// bytes: a Uint8Array. Raises Refused.
export function readDotSplat(bytes) {
  if (!bytes.length || bytes.length % RECORD)
    throw new Refused(`${bytes.length} bytes are not a whole number of splats of ${RECORD} bytes`);
  const splats = splatArrays(bytes.length / RECORD, 0, 0);
  const data = new DataView(bytes.buffer, bytes.byteOffset);
  for (let i = 0; i < splats.count; i++) {
    const at = RECORD * i;
    for (let axis = 0; axis < 3; axis++) {
      splats.means[3 * i + axis] = data.getFloat32(at + 4 * axis, true);
      splats.scales[3 * i + axis] = data.getFloat32(at + 12 + 4 * axis, true);
      splats.colors[3 * i + axis] = bytes[at + 24 + axis] / 255;
    }
    splats.opacities[i] = bytes[at + 27] / 255;
    for (let part = 0; part < 4; part++)
      splats.quats[4 * i + part] = (bytes[at + 28 + part] - 128) / 128;
  }
  return splats;
}
