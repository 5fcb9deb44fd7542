// Buttons, the divider, and the keys that stand for them.

import { part } from "./part.js";

const STEP = 0.02; // of the width, by which a key moves the divider

export class Bar {
  // actions: what buttons do, by the names in their attribute data-does; each gives whether it is
  // on then, or undefined where a button is no switch.
  constructor(actions) {
    this.actions = actions;
    this.buttons = new Map();
    for (const button of document.querySelectorAll("[data-does]")) {
      this.buttons.set(button.dataset.does, button);
      button.addEventListener("click", () => this.press(button.dataset.does));
    }
    addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
      const pressed = [...this.buttons.values()].find((each) => each.dataset.key === event.code);
      if (!pressed || pressed.hidden || event.target.closest?.("a, button, [role=slider]")) return;
      event.preventDefault();
      this.press(pressed.dataset.does);
    });
  }

  press(name) {
    this.mark(name, this.actions[name]());
  }

  // Shows whether a switch is on.
  mark(name, on) {
    if (on !== undefined) this.buttons.get(name).setAttribute("aria-pressed", String(on));
  }

  offer(name, offered) {
    this.buttons.get(name).hidden = !offered;
  }
}

// The line between the picture with waves, left, and without, right.
export class Divider {
  // moved: called with its place, 0 to 1.
  constructor(moved) {
    this.line = part("divider");
    this.moved = moved;
    this.line.addEventListener("pointerdown", (event) => {
      this.line.setPointerCapture(event.pointerId);
      event.preventDefault();
      this.line.focus();
    });
    this.line.addEventListener("pointermove", (event) => {
      if (this.line.hasPointerCapture(event.pointerId)) this.put(event.clientX / innerWidth);
    });
    this.line.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -STEP, ArrowRight: STEP }[event.key];
      if (step) this.put(this.place + step);
    });
    this.place = 0.5;
  }

  put(place) {
    this.place = Math.max(0, Math.min(1, place));
    this.line.style.left = `${100 * this.place}%`;
    this.line.setAttribute("aria-valuenow", String(Math.round(100 * this.place)));
    this.moved(this.place);
  }

  get shown() {
    return !this.line.hidden;
  }

  show(shown) {
    this.line.hidden = !shown;
    if (shown) this.put(this.place);
  }
}
