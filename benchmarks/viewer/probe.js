// Runs in the page before anything else and notes, with as little work as it can, which pictures
// come to be drawn and where the page's own camera looks. LAYOUT stands before it.
(() => {
  const { block, columns, rows, sync } = LAYOUT;
  const [width, height] = [columns * block, rows * block];
  const corner = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  const blobs = new Map(); // by URL
  let pending = null; // uploaded, not drawn yet
  let busyAt = 0; // when a picture last came or the camera last moved
  let busyFrame = 0;
  const probe = { frames: 0, uploads: 0, reading: 0, camera: [], drawn: [] };
  const busy = () => {
    busyAt = performance.now();
    busyFrame = probe.frames;
  };
  const looking = () => window.__viserMutable?.camera?.quaternion.toArray() ?? null;

  // The camera moves inside callbacks of animation frames: its pose counts from their start.
  const request = window.requestAnimationFrame.bind(window);
  window.requestAnimationFrame = (callback) =>
    request((time) => {
      const started = performance.now();
      try {
        callback(time);
      } finally {
        const now = looking();
        const last = probe.camera[probe.camera.length - 1];
        if (now !== null && (last === undefined || now.some((x, i) => x !== last[i + 1]))) {
          probe.camera.push([started, ...now]);
          busy();
        }
      }
    });
  const tick = () => {
    probe.frames++;
    request(tick);
  };
  request(tick);

  const create = URL.createObjectURL.bind(URL);
  URL.createObjectURL = (thing) => {
    const url = create(thing);
    if (thing instanceof Blob) blobs.set(url, thing);
    return url;
  };

  // The number and the azimuth's step in the mark, or null if there is none.
  const read = (image, top, flipped) => {
    corner.drawImage(image, 0, top, width, height, 0, 0, width, height);
    const pixels = corner.getImageData(0, 0, width, height).data;
    const values = [];
    for (let row = 0; row < rows; row++) {
      const middle = row * block + block / 2;
      const y = flipped ? height - 1 - middle : middle;
      let value = 0;
      for (let column = 0; column < columns; column++) {
        const level = pixels[4 * (y * width + column * block + block / 2)];
        if (level > 80 && level < 175) return null;
        value = 2 * value + (level > 127 ? 1 : 0);
      }
      values.push(value);
    }
    return values[0] === sync ? [values[1] * 256 + values[2], values[3] * 256 + values[4]] : null;
  };

  const uploaded = (image) => {
    if (image instanceof HTMLImageElement) {
      // Reading its pixels would decode it once more: `take` reads the blob it came from.
      const blob = blobs.get(image.src);
      if (blob === undefined) return;
      pending = { blob, width: image.naturalWidth };
    } else if (
      image instanceof ImageBitmap ||
      image instanceof VideoFrame ||
      image instanceof OffscreenCanvas ||
      image instanceof HTMLCanvasElement
    ) {
      const started = performance.now();
      const [wide, high] = [image.width ?? image.displayWidth, image.height ?? image.displayHeight];
      pending = { mark: read(image, 0, false) ?? read(image, high - height, true), width: wide };
      probe.reading += performance.now() - started;
    } else return;
    probe.uploads++;
    busy();
  };

  const after = (kind, name, then) => {
    const original = kind.prototype[name];
    kind.prototype[name] = function (...values) {
      const result = original.apply(this, values);
      then(values);
      return result;
    };
  };
  const drawn = () => {
    if (pending === null) return;
    probe.drawn.push({ ...pending, at: performance.now(), looking: looking() });
    pending = null;
  };
  for (const kind of [WebGLRenderingContext, WebGL2RenderingContext]) {
    for (const name of ["texImage2D", "texSubImage2D"])
      after(kind, name, (values) => uploaded(values[values.length - 1]));
    for (const name of ["drawElements", "drawArrays"]) after(kind, name, drawn);
  }

  window.__probe = {
    // Pictures drawn so far; milliseconds and frames since one came or the camera moved.
    rest: () => [probe.drawn.length, performance.now() - busyAt, probe.frames - busyFrame],
    frames: () => [performance.now(), probe.frames],
    take: async () => {
      const pictures = [];
      for (const { blob, mark, ...rest } of probe.drawn) {
        const whole = blob === undefined ? null : await createImageBitmap(blob);
        pictures.push({ ...rest, mark: whole === null ? mark : read(whole, 0, false) });
        whole?.close();
      }
      const root = window.__viserSceneTree.getState()[""].wxyz;
      const { uploads, reading, camera } = probe;
      return { pictures, camera, root, uploads, reading };
    },
  };
})();
