// The page: everything on it is put together here.

import { Stage } from "./stage.js";

const part = (id) => document.getElementById(id);
const facts = JSON.parse(part("facts").textContent);

function workerOf(source) {
  const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
  const worker = new Worker(url);
  URL.revokeObjectURL(url);
  return worker;
}

const stage = new Stage(
  part("canvas"), facts.constants, workerOf(part("worker").textContent), () => {});
// What tests look at and steer.
globalThis.__gaborsplat = stage;
