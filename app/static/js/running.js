// Which conversation of this tab has an answer being written, so that the next page can show it going on.
import { passing } from "./storage.js";

const NAME = "running";

export const running = {
  get conversation() {
    return passing.get(NAME)?.conversation ?? "";
  },

  begin(conversation, turn) {
    passing.set(NAME, { conversation, turn });
    announce();
  },

  end() {
    passing.set(NAME, null);
    announce();
  },
};

function announce() {
  document.dispatchEvent(new CustomEvent("lectern:running"));
}
