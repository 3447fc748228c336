// What the browser remembers for this Lectern: values under its own prefix. Never throws, for storage may be refused.

const prefix = () => `lectern:${document.documentElement.dataset.root}:`;

function remember(area, name, value) {
  try {
    if (value === null) area().removeItem(prefix() + name);
    else area().setItem(prefix() + name, JSON.stringify(value));
  } catch {
    // Full or refused: the page works the same, it only forgets.
  }
}

function recall(area, name) {
  try {
    return JSON.parse(area().getItem(prefix() + name));
  } catch {
    return null;
  }
}

/** Kept until the person clears it; shared by all tabs. */
export const lasting = {
  set: (name, value) => remember(() => localStorage, name, value),
  get: (name) => recall(() => localStorage, name),
};

/** Kept as long as this tab. */
export const passing = {
  set: (name, value) => remember(() => sessionStorage, name, value),
  get: (name) => recall(() => sessionStorage, name),
};
