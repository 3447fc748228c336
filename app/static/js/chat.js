// A loaded panel: a question is asked, its answer watched until it ends, wherever it was begun. Streams come from
// stream.js, turns are drawn by turn.js; where the panel itself comes from is the drawer's business.
import { Composer } from "./composer.js";
import { Follow } from "./follow.js";
import { running } from "./running.js";
import { ask, refusal, StreamFailure, turnEvents } from "./stream.js";
import { newTurn, TurnView } from "./turn.js";

const ENDINGS = {
  complete: "The answer is complete.",
  stopped: "The answer was stopped.",
  failed: "The answer failed.",
};

export class Chat {
  #panel;
  #load;
  #abort = new AbortController();
  #follow;
  #composer = null;

  /** `load(options)` replaces the panel; `signIn` is the sign-in page's address, with the way back. */
  constructor(panel, { load, signIn }) {
    this.#panel = panel;
    this.#load = load;
    this.#follow = new Follow(this.#part("turns"), this.#part("turn-list"), this.#part("latest"));
    const target = panel.querySelector(":target");
    if (target) target.scrollIntoView({ block: "nearest" });
    else this.#follow.toEnd();
    this.#part("new").addEventListener("submit", (event) => this.#begin(event));
    if (!this.#part("composer")) return;
    this.#composer = new Composer(panel, { onAsk: (question) => this.#ask(question), signIn });
    panel.addEventListener("click", (event) => this.#click(event));
    const { runningTurn, conversation } = panel.dataset;
    if (runningTurn) this.#resume(runningTurn);
    else if (running.conversation === conversation) running.end();
  }

  focus() {
    if (this.#composer) this.#composer.focus();
    else this.#panel.querySelector("a, button").focus({ preventScroll: true });
  }

  complain(message) {
    this.#composer?.complain(message);
  }

  /** Stops watching; the turn itself goes on. */
  close() {
    this.#abort.abort();
    this.#follow.close();
  }

  #ask(question) {
    const sent = ask(this.#composer.form, this.#abort.signal);
    const element = newTurn(this.#panel, question);
    this.#showBlank(false);
    for (const again of this.#panel.querySelectorAll("[data-turn] [data-retry]")) again.remove();
    this.#part("turn-list").append(element);
    this.#watch(element, { sent, question });
  }

  #resume(turn) {
    let element = this.#panel.querySelector(`[data-turn="${CSS.escape(turn)}"]`);
    if (!element) {
      element = newTurn(this.#panel, "");
      this.#part("turn-list").append(element);
    }
    running.begin(this.#panel.dataset.conversation, turn);
    this.#watch(element, { turn });
  }

  async #watch(element, { sent = null, turn = "", question = "" }) {
    const { signal } = this.#abort;
    const view = new TurnView(element, this.#panel);
    signal.addEventListener("abort", () => view.close());
    this.#composer.busy(turn);
    this.#follow.active = true;
    this.#follow.toEnd();
    let isTaken = !sent;
    try {
      const urlOf = (id) => this.#composer.eventsUrl(id);
      for await (const { event, data } of turnEvents({ stream: await sent, turn, urlOf, signal })) {
        view.apply(event, data);
        if (event === "done") this.#done(data.outcome);
        if (event !== "start" || isTaken) continue;
        isTaken = true;
        this.#taken(data);
      }
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof StreamFailure)) throw error;
      this.#idle();
      view.close();
      if (isTaken) this.#lost(error, view);
      else this.#refused(error, element, question);
    }
  }

  #taken({ turn, conversation }) {
    this.#composer.taken(conversation);
    this.#composer.busy(turn);
    running.begin(conversation, turn);
  }

  #done(outcome) {
    running.end();
    this.#idle();
    this.#part("announce").textContent = ENDINGS[outcome] ?? "";
  }

  #idle() {
    this.#composer.idle();
    // One more look at the end, once what came last has been laid out.
    const settle = () => (this.#follow.active = this.#composer.isBusy);
    requestAnimationFrame(() => requestAnimationFrame(settle));
  }

  /** The question never became a turn: nothing of it stays but the words. */
  #refused(error, element, question) {
    element.remove();
    this.#showBlank(!this.#panel.querySelector("[data-turn]"));
    this.#composer.refused(question, error);
    // Another answer is being written here, or the conversation is gone: the server's panel shows which.
    const conversation = error.status === 409 ? this.#panel.dataset.conversation : "";
    if ([404, 409].includes(error.status)) this.#load({ conversation, problem: error.message });
  }

  /** The turn goes on without us, or is over: the panel as the server has it says how it ended. */
  #lost(error, view) {
    if ([404, 410].includes(error.status)) {
      running.end();
      this.#load({ conversation: this.#panel.dataset.conversation });
      return;
    }
    view.fail(error.message);
    if (error.status === 401) this.#composer.complain("Your sign-in has ended.", 401);
  }

  /** A new conversation about the same page. */
  async #begin(event) {
    event.preventDefault();
    const body = new URLSearchParams(new FormData(event.target));
    const headers = { Accept: "application/json" };
    try {
      const response = await fetch(event.target.action, { method: "POST", headers, body });
      if (!response.ok) throw await refusal(response);
      const { conversation } = await response.json();
      this.#load({ conversation, focus: true });
    } catch (error) {
      const isRefused = error instanceof StreamFailure;
      const message = isRefused ? error.message : "Lectern could not be reached.";
      this.#composer?.complain(message, error.status);
    }
  }

  #click(event) {
    const suggestion = event.target.closest("[data-suggestion]");
    const again = event.target.closest("[data-retry]");
    if (!suggestion && !again) return;
    event.preventDefault();
    this.#composer.put((suggestion ?? again).value, { send: Boolean(again) });
  }

  #showBlank(shown) {
    const blank = this.#part("blank");
    if (blank) blank.hidden = !shown;
  }

  #part(name) {
    return this.#panel.querySelector(`[data-${name}]`);
  }
}
