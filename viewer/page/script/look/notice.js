// The bar of loading, and lines for people.

import { part } from "./part.js";

// share: 0 to 1; null while nobody knows.
export function showProgress(text, share) {
  part("loading").hidden = false;
  part("loading-text").textContent = text;
  const bar = part("loading-bar");
  if (share === null) bar.removeAttribute("value");
  else bar.value = share;
}

export function hideProgress() {
  part("loading").hidden = true;
}

// What people are to know; an empty line takes it away.
export function say(line) {
  part("notice").textContent = line;
  part("notice").hidden = !line;
}
