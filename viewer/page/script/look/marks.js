// Where the photos were taken from, drawn over the picture.

const LONGEST_SIDE = 0.05; // of a mark, in radii of the scene
const NEAREST = 1e-3; // depth, in radii

// cameras: [{ eye, corners: four unit vectors towards the corners of the photo }].
export class Marks {
  constructor(canvas, cameras) {
    this.canvas = canvas;
    this.cameras = cameras;
    this.shown = false;
  }

  // For the view of the whole canvas, whose size is in device pixels.
  draw(view, radius) {
    const context = this.canvas.getContext("2d");
    const [width, height] = view.size;
    if (this.canvas.width !== width || this.canvas.height !== height)
      Object.assign(this.canvas, { width, height });
    context.clearRect(0, 0, width, height);
    if (!this.shown) return;
    context.strokeStyle = "#ffb347";
    context.lineWidth = Math.max(1, height / 700);
    context.beginPath();
    for (const camera of this.cameras) this.trace(context, camera, view, radius);
    context.stroke();
  }

  trace(context, { eye, corners }, view, radius) {
    const tip = placed(eye, view, radius);
    const ends = corners.map((corner) =>
      placed(eye.map((each, axis) => each + LONGEST_SIDE * radius * corner[axis]), view, radius));
    if (!tip || ends.includes(null)) return;
    ends.forEach((end, i) => {
      context.moveTo(...tip);
      context.lineTo(...end);
      context.lineTo(...ends[(i + 1) % ends.length]);
    });
  }
}

// On the picture [px]; null behind the camera.
function placed(point, { rotation: r, translation: t, focal, centre }, radius) {
  const [x, y, z] = [0, 1, 2].map(
    (row) => r[3 * row] * point[0] + r[3 * row + 1] * point[1] + r[3 * row + 2] * point[2] + t[row]);
  return z > NEAREST * radius ? [(focal[0] * x) / z + centre[0], (focal[1] * y) / z + centre[1]] : null;
}
