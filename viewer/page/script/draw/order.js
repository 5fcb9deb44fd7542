// Which splat is in front of which.

const LEVELS = 1 << 16;
const BEHIND = -1;

// Sorts splats from the nearest to the farthest by their depth, in 65536 steps; those behind the
// camera are left out. Between the nearest and the farthest, steps are even in the bits of a float:
// finer near the camera, and a few splats far out take little from all others.
export class Sorter {
  constructor(means) {
    this.means = means;
    this.count = means.length / 3;
    this.depths = new Float32Array(this.count);
    this.bits = new Int32Array(this.depths.buffer); // of floats above 0: in the same order
    this.starts = new Uint32Array(LEVELS + 1);
  }

  // row: [x, y, z, t], of which depth = x, y, z . mean + t. Fills order; returns how many.
  sort(row, order) {
    const { means, depths, bits, starts, count } = this;
    const [x, y, z, t] = row;
    let lowest = 0x7f800000;
    let highest = 0;
    for (let i = 0, j = 0; i < count; i++, j += 3) {
      depths[i] = x * means[j] + y * means[j + 1] + z * means[j + 2] + t;
      const key = bits[i];
      if (key > 0) {
        if (key < lowest) lowest = key;
        if (key > highest) highest = key;
      }
    }
    const scale = highest > lowest ? (LEVELS - 1) / (highest - lowest) : 0;
    starts.fill(0);
    for (let i = 0; i < count; i++) {
      const key = bits[i];
      if (key > 0) {
        const level = (scale * (key - lowest)) | 0;
        bits[i] = level;
        starts[level + 1]++;
      } else bits[i] = BEHIND;
    }
    for (let level = 0; level < LEVELS; level++) starts[level + 1] += starts[level];
    const sorted = starts[LEVELS];
    for (let i = 0; i < count; i++) {
      const level = bits[i];
      if (level !== BEHIND) order[starts[level]++] = i;
    }
    return sorted;
  }
}
