// HTML from our own server, the only kind that is ever inserted. Knows no address and no event.

const policy = window.trustedTypes?.createPolicy("lectern", { createHTML: (html) => html }) ?? {
  createHTML: (html) => html,
};

/** A fragment made of the server's own markup; scripts in it never run. */
export function fragment(html) {
  const template = document.createElement("template");
  template.innerHTML = policy.createHTML(html);
  return template.content;
}

/** Brings the hx-… attributes under `element` to life. */
export function enliven(element) {
  window.htmx?.process(element);
}
