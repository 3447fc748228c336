// The words in the message box until the server has taken them: one draft per page, kept across reloads.
import { lasting } from "./storage.js";

export class Draft {
  #name;
  #box;

  constructor(box, { doc, pageKind }) {
    this.#name = `draft:${doc || pageKind}`;
    this.#box = box;
    if (!box.value) this.put(lasting.get(this.#name) ?? "");
    box.addEventListener("input", () => this.keep(box.value));
    this.#grow();
    box.addEventListener("input", () => this.#grow());
  }

  /** Keeps `text` without showing it: a question on its way. */
  keep(text) {
    lasting.set(this.#name, text || null);
  }

  /** Shows `text` in the box and keeps it. */
  put(text) {
    this.#box.value = text;
    this.keep(text);
    this.#grow();
  }

  /** Empties the box; what is kept stays kept. */
  clearBox() {
    this.#box.value = "";
    this.#grow();
  }

  /** The server has the question: only what was typed since is still a draft. */
  taken() {
    this.keep(this.#box.value);
  }

  /** The server has not: the question comes back, before anything typed since. */
  restore(question) {
    this.put([question, this.#box.value].filter(Boolean).join("\n\n"));
  }

  #grow() {
    if (CSS.supports("field-sizing", "content")) return;
    this.#box.style.height = "auto";
    this.#box.style.height = `${this.#box.scrollHeight}px`;
  }
}
