// Splats from a file, by the ending of its name.

import { Refused } from "./arrays.js";
import { readDotSplat } from "./dot_splat.js";
import { readPacked } from "./packed.js";
import { readPly } from "./ply.js";
import { readSog } from "./sog.js";
import { readSpz } from "./spz.js";

const READERS = [
  [".ply", readPly],
  [".spz", readSpz],
  [".sog", readSog],
  [".splat", readDotSplat],
  [".gspl", readPacked],
];

export const ENDINGS = READERS.map(([ending]) => ending);

// bytes: a Uint8Array. Raises Refused.
export async function readSplats(name, bytes) {
  const found = READERS.find(([ending]) => name.toLowerCase().endsWith(ending));
  if (!found) throw new Refused(`it is none of ${ENDINGS.join(", ")}`);
  try {
    return await found[1](bytes);
  } catch (error) {
    // What a damaged file makes of typed arrays, whatever it says.
    if (error instanceof RangeError || error instanceof TypeError || error instanceof SyntaxError)
      throw new Refused(`it is damaged: ${error.message}`);
    throw error;
  }
}
