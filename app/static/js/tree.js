// The tree: which folders are open, where it was scrolled to, and the sheet it becomes where there is no column.
// Its folders' contents are fetched by htmx.
import { keepPlace } from "./drawer.js";
import { settleReach, WIDE } from "./reach.js";
import { lasting, passing } from "./storage.js";

const MOST_OPEN = 24;

/** Opens the folders that were open, fetches a folder's contents when it unfolds, and remembers both ways. */
export function folders(tree) {
  const open = new Set(lasting.get("tree") ?? []);
  restore(tree, open);
  tree.addEventListener("htmx:load", (event) => restore(event.target, open));
  tree.addEventListener(
    "toggle",
    ({ target }) => {
      if (target.dataset.treeFolder === undefined) return;
      if (target.open) open.add(target.dataset.treeFolder);
      else open.delete(target.dataset.treeFolder);
      lasting.set("tree", [...open].slice(-MOST_OPEN));
      const list = target.querySelector(":scope > [data-tree-lazy]");
      if (target.open && list) window.htmx.trigger(list, "unfold");
    },
    true,
  );
  // A folder that cannot be fetched keeps its link to the folder's page.
  tree.addEventListener("htmx:beforeSwap", (event) => {
    if (event.detail.xhr.status >= 400) event.detail.shouldSwap = false;
  });
  tree.addEventListener("htmx:afterSwap", (event) => event.target.removeAttribute("data-tree-lazy"));
}

function restore(element, open) {
  for (const folder of element.querySelectorAll("details[data-tree-folder]:not([open])")) {
    if (open.has(folder.dataset.treeFolder)) folder.open = true;
  }
}

/** Scrolls the column to where it was, or to the current page when that would be out of sight. */
export function scrollPlace(tree) {
  tree.scrollTop = passing.get("tree-scroll") ?? 0;
  const current = tree.querySelector('[aria-current="page"]');
  if (current && WIDE.matches) {
    const { top, bottom } = current.getBoundingClientRect();
    const frame = tree.getBoundingClientRect();
    if (top < frame.top || bottom > frame.bottom) tree.scrollTop += top - frame.top - frame.height / 3;
  }
  window.addEventListener("pagehide", () => passing.set("tree-scroll", tree.scrollTop));
}

/** Makes `button` fold the column away on a wide window, and open the sheet on a narrow one. */
export function sheet(tree, button, close) {
  const root = document.documentElement;
  const isSheet = () => root.dataset.tree === "sheet";
  const reflect = () => {
    const shown = WIDE.matches ? root.dataset.tree !== "shut" : isSheet();
    button.setAttribute("aria-expanded", String(shown));
    settleReach();
  };
  const set = (state) => {
    if (state) root.dataset.tree = state;
    else delete root.dataset.tree;
    reflect();
  };
  const shutSheet = () => {
    set("");
    button.focus();
  };

  button.addEventListener("click", (event) => {
    event.preventDefault();
    if (WIDE.matches) {
      const state = root.dataset.tree === "shut" ? "" : "shut";
      keepPlace(() => set(state));
      lasting.set("tree-column", state || null);
    } else {
      set("sheet");
      tree.focus();
      tree.querySelector('[aria-current="page"]')?.scrollIntoView({ block: "center" });
    }
  });
  close.addEventListener("click", (event) => {
    event.preventDefault();
    shutSheet();
  });
  document.addEventListener("click", (event) => {
    if (isSheet() && !tree.contains(event.target) && !button.contains(event.target)) shutSheet();
  });
  tree.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && isSheet()) shutSheet();
  });
  WIDE.addEventListener("change", () => {
    if (isSheet()) set("");
    reflect();
  });
  reflect();
}
