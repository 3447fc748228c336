// A copy button on every code block, whether it came with the page or with an answer.

export function copyButtons(element) {
  for (const block of element.querySelectorAll(".code:not(:has(> .copy))")) block.append(copyButton(block));
}

function copyButton(block) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "copy";
  button.textContent = "Copy";
  button.addEventListener("click", async () => {
    const done = await write(text(block.querySelector("pre")));
    button.textContent = done ? "Copied" : "Not copied";
    button.dataset.copied = "";
    setTimeout(() => {
      button.textContent = "Copy";
      delete button.dataset.copied;
    }, 2000);
  });
  return button;
}

function text(pre) {
  const copy = pre.cloneNode(true);
  for (const number of copy.querySelectorAll(".number")) number.remove();
  return copy.textContent;
}

async function write(words) {
  try {
    await navigator.clipboard.writeText(words);
    return true;
  } catch {
    return false; // No permission, or not a secure place.
  }
}
