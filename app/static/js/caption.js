// Images that stand alone show their alternative text below them, for eyes only: readers have it already.

export function captions(element) {
  for (const image of element.querySelectorAll("p > img:only-child[alt]")) {
    const stands = [...image.parentElement.childNodes].every((node) => node === image || !node.textContent.trim());
    if (!stands || !image.alt) continue;
    const caption = document.createElement("span");
    caption.className = "caption";
    caption.setAttribute("aria-hidden", "true");
    caption.textContent = image.alt;
    image.after(caption);
  }
}
