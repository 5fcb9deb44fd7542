// How finely a moving picture is drawn, so that 60 of them a second are shown.

const GOAL = 1000 / 60; // [ms]
const SLOW = 1.25 * GOAL;
const FAST = 1.08 * GOAL;
const COARSEST = 0.25;
const PATIENCE = 12; // frames in time before a finer one is tried
const LONGEST = 8; // times the goal: a longer pause is none of drawing

export class Resolution {
  constructor() {
    this.share = 1; // of the sides of the whole picture
    this.inTime = 0;
    this.patience = PATIENCE;
  }

  // A frame was shown so long after the one before [ms].
  shown(interval) {
    if (interval > LONGEST * GOAL * 4) return;
    if (interval > SLOW) {
      // Time goes with the area.
      const area = Math.max(0.5, Math.min(0.9, GOAL / interval));
      if (this.inTime === 0) this.patience = Math.min(20 * PATIENCE, 2 * this.patience);
      this.share = Math.max(COARSEST, this.share * Math.sqrt(area));
      this.inTime = 0;
    } else if (interval < FAST && ++this.inTime > this.patience) {
      this.share = Math.min(1, this.share * 1.1);
      this.inTime = 0;
    }
  }
}
