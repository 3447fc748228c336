// Keys that work anywhere on the page. None fires while typing or with a modifier held.

export function shortcuts(drawer, aside) {
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.isComposing || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape" && drawer.isOpen && (aside.contains(event.target) || event.target === document.body)) {
      event.preventDefault();
      drawer.shut();
    } else if (event.key === "a" && !isTyping(event.target) && document.documentElement.dataset.tree !== "sheet") {
      event.preventDefault();
      drawer.open();
    }
  });
}

function isTyping(target) {
  return target.isContentEditable || target.matches("input, textarea, select");
}
