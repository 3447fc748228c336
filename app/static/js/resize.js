// The drawer's edge: dragged by pointer or moved by arrow keys, between 22 and 32 rem, remembered.
import { keepPlace } from "./drawer.js";
import { lasting } from "./storage.js";

const LEAST_REM = 22;
const MOST_REM = 32;
const USUAL_REM = 26;

export function resizable(edge) {
  const root = document.documentElement;
  const rem = () => parseFloat(getComputedStyle(root).fontSize);
  let width = lasting.get("drawer-width") ?? USUAL_REM;

  const set = (value) => {
    width = Math.min(MOST_REM, Math.max(LEAST_REM, Math.round(value * 4) / 4));
    keepPlace(() => root.style.setProperty("--drawer-width", `${width}rem`));
    edge.setAttribute("aria-valuenow", String(width));
    edge.setAttribute("aria-valuetext", `${width} rem wide`);
  };
  const keep = () => lasting.set("drawer-width", width);
  const drag = (event) => set((root.clientWidth - event.clientX) / rem());

  edge.addEventListener("pointerdown", (event) => {
    event.preventDefault();
    edge.setPointerCapture(event.pointerId);
    root.dataset.resizing = "";
    edge.addEventListener("pointermove", drag);
  });
  edge.addEventListener("lostpointercapture", () => {
    delete root.dataset.resizing;
    edge.removeEventListener("pointermove", drag);
    keep();
  });
  edge.addEventListener("dblclick", () => {
    set(USUAL_REM);
    keep();
  });
  edge.addEventListener("keydown", (event) => {
    const to = { ArrowLeft: width + 1, ArrowRight: width - 1, Home: LEAST_REM, End: MOST_REM }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    set(to);
    keep();
  });
  set(width);
}
