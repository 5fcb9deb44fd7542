// Mouse, fingers and keys move the camera.

const ORBIT_SPEED = 0.006; // [rad/px]
const LOOK_SPEED = 0.003;
const WHEEL_SPEED = 0.0012; // of the distance, in its logarithm
const LINE = 16; // [px] of a wheel that counts in lines
const TURN_SPEED = 1.2; // [rad/s] of arrow keys
const FLY_SPEED = 0.6; // scene radii a second
const FAST = 4;

const FLIGHT = {
  KeyW: [0, 0, 1], KeyS: [0, 0, -1], KeyA: [-1, 0, 0], KeyD: [1, 0, 0], KeyE: [0, -1, 0], KeyQ: [0, 1, 0],
};
const TURNS = {
  ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1],
};

export class Controls {
  // canvas: what is touched; camera: a function that gives the camera; moved: called after each
  // motion, with nothing.
  constructor(canvas, camera, moved) {
    this.canvas = canvas;
    this.camera = camera;
    this.moved = moved;
    this.radius = 1; // of the scene
    this.flying = false; // whether dragging turns the head instead of orbiting
    this.pointers = new Map(); // those that are down, with where they are
    this.keys = new Set();
    canvas.addEventListener("pointerdown", (event) => this.down(event));
    canvas.addEventListener("pointermove", (event) => this.drag(event));
    for (const kind of ["pointerup", "pointercancel", "lostpointercapture"])
      canvas.addEventListener(kind, (event) => this.pointers.delete(event.pointerId));
    canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    canvas.addEventListener("keydown", (event) => this.key(event));
    canvas.addEventListener("keyup", (event) => this.keys.delete(event.code));
    canvas.addEventListener("blur", () => this.keys.clear());
  }

  down(event) {
    this.canvas.focus();
    this.canvas.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, [event.clientX, event.clientY]);
  }

  drag(event) {
    const before = this.pointers.get(event.pointerId);
    if (!before) return;
    const now = [event.clientX, event.clientY];
    const other = [...this.pointers].find(([id]) => id !== event.pointerId)?.[1];
    this.pointers.set(event.pointerId, now);
    const [dx, dy] = [now[0] - before[0], now[1] - before[1]];
    if (other) this.pinch(before, now, other);
    else if (event.buttons & 6 || event.shiftKey) this.pan(dx, dy);
    else this.turn(dx, dy);
    this.moved();
  }

  // One of two fingers went from before to now: zooms by their distance, pans by their middle.
  pinch(before, now, other) {
    const apart = (finger) => Math.hypot(finger[0] - other[0], finger[1] - other[1]) || 1;
    this.zoom(apart(before) / apart(now));
    this.pan((now[0] - before[0]) / 2, (now[1] - before[1]) / 2);
  }

  turn(dx, dy) {
    if (this.flying) this.camera().look(LOOK_SPEED * dx, LOOK_SPEED * dy);
    else this.camera().orbit(-ORBIT_SPEED * dx, -ORBIT_SPEED * dy);
  }

  // The target follows the finger.
  pan(dx, dy) {
    const camera = this.camera();
    const pixel =
      (2 * camera.distance() * Math.tan(0.5 * camera.fov)) / this.canvas.clientHeight;
    camera.move(-pixel * dx, -pixel * dy, 0);
  }

  zoom(factor) {
    const camera = this.camera();
    if (this.flying) camera.move(0, 0, -Math.log(factor) * this.radius);
    else if (factor > 1 || camera.distance() > 1e-3 * this.radius) camera.zoom(factor);
  }

  wheel(event) {
    event.preventDefault();
    const pixels = event.deltaY * (event.deltaMode === 1 ? LINE : 1);
    this.zoom(Math.exp(WHEEL_SPEED * pixels));
    this.moved();
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (!(event.code in FLIGHT || event.code in TURNS)) return;
    event.preventDefault();
    this.keys.add(event.code);
    this.fast = event.shiftKey;
    this.moved();
  }

  // Moves as long as keys are down; whether there are any.
  step(seconds) {
    const camera = this.camera();
    const speed = FLY_SPEED * this.radius * seconds * (this.fast ? FAST : 1);
    for (const code of this.keys) {
      if (code in FLIGHT) camera.move(...FLIGHT[code].map((each) => each * speed));
      else {
        const [aside, over] = TURNS[code].map((each) => each * TURN_SPEED * seconds);
        if (this.flying) camera.look(-aside, -over);
        else camera.orbit(-aside, -over);
      }
    }
    return this.keys.size > 0;
  }
}
