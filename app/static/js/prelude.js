// Runs before the first paint: what was remembered about colours and the drawer, and the Trusted Types policy that
// htmx needs. Not a module, so that nothing flashes; knows nothing of what is in the body.
(() => {
  const root = document.documentElement;
  root.dataset.script = "";

  // htmx hands our server's own fragments to the parser as text. No policy makes scripts, so none can be made.
  if (window.trustedTypes) {
    window.trustedTypes.createPolicy("default", { createHTML: (html) => html });
  }

  const remembered = (name) => {
    try {
      return JSON.parse(localStorage.getItem(`lectern:${root.dataset.root}:${name}`));
    } catch {
      return null;
    }
  };

  const theme = remembered("theme");
  if (theme === "light" || theme === "dark") root.dataset.theme = theme;

  if (root.dataset.shell === undefined) return;
  const width = Number(remembered("drawer-width"));
  if (width >= 22 && width <= 32) root.style.setProperty("--drawer-width", `${width}rem`);
  const wide = window.matchMedia("(min-width: 60rem)").matches;
  if (wide && remembered("drawer") === "open") root.dataset.drawer = "open";
  if (wide && remembered("tree-column") === "shut") root.dataset.tree = "shut";
})();
