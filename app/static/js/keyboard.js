// Keys that work anywhere on the page. None fires while typing or with a modifier held.

export function shortcuts(drawer, aside) {
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.isComposing || event.ctrlKey || event.metaKey || event.altKey) return;
    const isHere = aside.contains(event.target) || event.target === document.body;
    const isSheet = document.documentElement.dataset.tree === "sheet";
    if (event.key === "Escape" && drawer.isOpen && isHere) drawer.shut();
    else if (event.key === "a" && !isTyping(event.target) && !isSheet) drawer.open();
    else return;
    event.preventDefault();
  });
}

function isTyping(target) {
  return target.isContentEditable || target.matches("input, textarea, select");
}
