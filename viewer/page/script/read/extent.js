// How large a scene is, by the bulk of its splats.

const MEASURED = 20000;

const sorted = (numbers) => numbers.sort((a, b) => a - b);

// Of positions, x y z each: the median, the distance from it that holds four fifths of them, and the
// median distance.
export function extentOf(means) {
  const step = 3 * Math.max(1, Math.floor(means.length / 3 / MEASURED));
  const every = (value) => {
    const found = [];
    for (let i = 0; i < means.length; i += step) found.push(value(i));
    return sorted(found);
  };
  const centre = [0, 1, 2].map((axis) => {
    const along = every((i) => means[i + axis]);
    return along[along.length >> 1];
  });
  const [x, y, z] = centre;
  const distances = every((i) => Math.hypot(means[i] - x, means[i + 1] - y, means[i + 2] - z));
  const at = (share) => distances[Math.floor(share * (distances.length - 1))];
  return { centre, radius: at(0.8) || 1, spread: at(0.5) };
}
