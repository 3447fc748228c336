// The colours: as the system has them, light, or dark. The choice is applied early by prelude.js.
import { lasting } from "./storage.js";

const ORDER = ["auto", "light", "dark"];
const NAMES = { auto: "as the system has them", light: "light", dark: "dark" };

export function themeButtons(buttons) {
  const root = document.documentElement;
  const reflect = () => {
    const theme = root.dataset.theme ?? "auto";
    for (const button of buttons) {
      button.setAttribute("aria-label", `Colours: ${NAMES[theme]}`);
      button.title = `Colours: ${NAMES[theme]}`;
      const use = button.querySelector("use");
      use.setAttribute("href", `${use.getAttribute("href").split("#")[0]}#theme-${theme}`);
    }
  };
  for (const button of buttons) {
    button.addEventListener("click", () => {
      const next = ORDER[(ORDER.indexOf(root.dataset.theme ?? "auto") + 1) % ORDER.length];
      if (next === "auto") delete root.dataset.theme;
      else root.dataset.theme = next;
      lasting.set("theme", next === "auto" ? null : next);
      reflect();
    });
  }
  reflect();
}
