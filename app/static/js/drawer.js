// The drawer: open or shut, what is loaded into it, and whom focus goes back to. Knows no turn.
import { Chat } from "./chat.js";
import { enliven, fragment } from "./html.js";
import { settleReach, WIDE } from "./reach.js";
import { running } from "./running.js";
import { lasting } from "./storage.js";

export class Drawer {
  #aside;
  #button;
  #body;
  #chat = null;
  #loading = null;

  constructor(aside, button) {
    this.#aside = aside;
    this.#button = button;
    this.#body = aside.querySelector("[data-drawer-body]");
    button.addEventListener("click", (event) => this.#toggle(event));
    aside.addEventListener("click", (event) => this.#click(event));
    WIDE.addEventListener("change", () => this.#reflect());
    document.addEventListener("lectern:running", () => this.#mark());
    this.#mark();
    const panel = aside.querySelector("[data-panel]");
    if (panel) this.#adopt(panel);
    // An address may name a conversation; one that only opens the drawer gives way to the one being written.
    const isNamed = (new URL(location.href).searchParams.get("ask")?.length ?? 0) > 1;
    const isElsewhere = running.conversation && panel && panel.dataset.conversation !== running.conversation;
    if (this.isOpen && (!panel || (isElsewhere && !isNamed))) this.load();
    this.#reflect();
  }

  get isOpen() {
    return document.documentElement.dataset.drawer === "open";
  }

  open() {
    if (!this.isOpen) {
      keepPlace(() => (document.documentElement.dataset.drawer = "open"));
      lasting.set("drawer", "open");
      this.#reflect();
    }
    if (this.#chat) this.#chat.focus();
    else this.load({ focus: true });
  }

  shut() {
    keepPlace(() => delete document.documentElement.dataset.drawer);
    lasting.set("drawer", null);
    this.#reflect();
    this.#button.focus({ preventScroll: true });
    const address = new URL(location.href);
    if (!address.searchParams.has("ask")) return;
    address.searchParams.delete("ask");
    if (address.hash === "#lectern-drawer") address.hash = "";
    history.replaceState(history.state, "", address);
  }

  /** Loads the panel: the conversation that is named, else the one still being written, else this page's own. */
  async load({ conversation = running.conversation, focus = false, problem = "" } = {}) {
    this.#loading?.abort();
    const loading = (this.#loading = new AbortController());
    this.#aside.setAttribute("aria-busy", "true");
    try {
      const html = await this.#fetch(conversation, loading.signal);
      this.#chat?.close();
      this.#body.replaceChildren(fragment(html));
      enliven(this.#body);
      this.#adopt(this.#body.querySelector("[data-panel]"), problem);
      if (focus) this.#chat.focus();
    } catch (error) {
      if (loading.signal.aborted) return;
      if (error.status === 404 && conversation) {
        running.end();
        await this.load({ conversation: "", focus });
      } else if (this.#chat === null) this.#say(error);
    } finally {
      if (loading === this.#loading) this.#aside.removeAttribute("aria-busy");
    }
  }

  async #fetch(conversation, signal) {
    const address = new URL(this.#aside.dataset.panelUrl, document.baseURI);
    if (conversation) address.searchParams.set("conversation", conversation);
    // Asked for as a fragment, so that no answer can be meant for a navigation.
    const headers = { Accept: "text/html", "HX-Request": "true" };
    const response = await fetch(address, { headers, signal });
    if (!response.ok) throw Object.assign(new Error("The panel was refused"), { status: response.status });
    return response.text();
  }

  #adopt(panel, problem = "") {
    const { docRel = "", pageKind } = document.body.dataset;
    const isOwn = docRel ? panel.dataset.doc === docRel : panel.dataset.pageKind === pageKind;
    panel.querySelector("[data-switch]").hidden = isOwn;
    panel.dispatchEvent(new CustomEvent("lectern:html", { bubbles: true }));
    this.#chat = new Chat(panel, { load: (options) => this.load(options), signIn: this.#signIn });
    if (problem) this.#chat.complain(problem);
  }

  get #signIn() {
    const address = new URL(this.#aside.dataset.loginUrl, document.baseURI);
    address.searchParams.set("next", location.pathname + location.search);
    return address.href;
  }

  #say(error) {
    const isSignedOut = error.status === 401;
    const place = document.createElement("div");
    place.className = "drawer-state";
    const text = document.createElement("p");
    text.textContent = isSignedOut ? "Your sign-in has ended." : "The conversation could not be loaded.";
    const next = document.createElement(isSignedOut ? "a" : "button");
    next.className = "button";
    next.textContent = isSignedOut ? "Sign in again" : "Try again";
    if (isSignedOut) next.href = this.#signIn;
    else next.addEventListener("click", () => this.load({ focus: true }));
    place.append(text, next);
    this.#body.replaceChildren(place);
  }

  #toggle(event) {
    if (event.metaKey || event.ctrlKey || event.shiftKey) return;
    event.preventDefault();
    if (this.isOpen && WIDE.matches) this.shut();
    else this.open();
  }

  #click(event) {
    const elsewhere = event.target.closest("[data-elsewhere]");
    const isSwitch = event.target.closest("[data-switch-button]");
    const isReload = event.target.closest("[data-panel-reload]");
    if (event.target.closest("[data-drawer-close]")) this.shut();
    else if (elsewhere) this.load({ conversation: elsewhere.dataset.elsewhere });
    else if (isSwitch) {
      running.end();
      this.load({ conversation: "", focus: true });
    } else if (isReload) {
      this.load({ conversation: this.#body.querySelector("[data-panel]").dataset.conversation });
    } else return;
    event.preventDefault();
  }

  #reflect() {
    this.#button.setAttribute("aria-expanded", String(this.isOpen));
    settleReach();
  }

  #mark() {
    this.#button.toggleAttribute("data-running", Boolean(running.conversation));
  }
}

/** Runs `change` and scrolls so that what was at the top of the window still is, however the lines break. */
export function keepPlace(change) {
  const { style } = document.documentElement;
  const blocks = document.querySelectorAll("[data-prose] > *");
  const first = [...blocks].find((block) => block.getBoundingClientRect().bottom > 64);
  const before = first?.getBoundingClientRect().top;
  // The browser's own scroll anchoring would move the text a second time.
  style.overflowAnchor = "none";
  change();
  if (first && window.scrollY > 0) {
    window.scrollBy({ top: first.getBoundingClientRect().top - before, behavior: "instant" });
  }
  requestAnimationFrame(() => requestAnimationFrame(() => (style.overflowAnchor = "")));
}
