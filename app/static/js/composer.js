// The message box: the words until they are taken, Send that becomes Stop, and what went wrong before an answer
// began. Knows the panel's forms; knows nothing of turns and their events.
import { Draft } from "./draft.js";
import { refusal, StreamFailure } from "./stream.js";

// Stands in the panel's addresses where a turn's id belongs.
const ANY_TURN = "000000000000";

export class Composer {
  #panel;
  #signIn;
  #box;
  #draft;
  #stopWanted = false;

  /** `onAsk(question)` is called for each question; `signIn` is the sign-in page's address, with the way back. */
  constructor(panel, { onAsk, signIn }) {
    this.#panel = panel;
    this.#signIn = signIn;
    this.#box = this.#part("message");
    this.#draft = new Draft(this.#box, panel.dataset);
    this.#part("composer").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit(onAsk);
    });
    this.#part("stop-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#stop();
    });
    this.#box.addEventListener("keydown", (event) => this.#key(event));
  }

  get form() {
    return this.#part("composer");
  }

  get isBusy() {
    return this.#part("send").hidden;
  }

  focus() {
    this.#box.focus({ preventScroll: true });
  }

  /** Puts words into the box, and sends them if asked to. */
  put(words, { send = false } = {}) {
    this.#draft.put(words);
    this.focus();
    if (send) this.form.requestSubmit();
  }

  eventsUrl(turn) {
    return this.#panel.dataset.eventsUrl.replace(ANY_TURN, turn);
  }

  /** An answer is being written; its id may not be known yet. */
  busy(turn = "") {
    this.#panel.dataset.runningTurn = turn;
    if (turn) this.#part("stop-form").action = this.#panel.dataset.stopUrl.replace(ANY_TURN, turn);
    this.#swap(this.#part("send"), this.#part("stop"));
    if (turn && this.#stopWanted) this.#stop();
  }

  idle() {
    this.#stopWanted = false;
    this.#panel.dataset.runningTurn = "";
    this.#swap(this.#part("stop"), this.#part("send"));
  }

  /** The server has the question. */
  taken(conversation) {
    this.#draft.taken();
    this.#panel.dataset.conversation = conversation;
    for (const field of this.#panel.querySelectorAll('input[name="conversation"]')) field.value = conversation;
  }

  /** The server has not: the words come back. */
  refused(question, error) {
    this.#draft.restore(question);
    this.complain(error.message, error.status);
  }

  complain(message, status = 0) {
    const text = this.#part("problem-text");
    text.textContent = message;
    if (status === 401) {
      const link = document.createElement("a");
      link.href = this.#signIn;
      link.textContent = "Sign in again";
      text.append(" ", link);
    }
    this.#part("problem").hidden = !message;
  }

  #submit(onAsk) {
    const question = this.#box.value.trim();
    if (this.isBusy) return;
    if (!question) {
      this.focus();
      return;
    }
    this.complain("");
    onAsk(question);
    this.#draft.keep(question);
    this.#draft.clearBox();
  }

  async #stop() {
    this.#stopWanted = !this.#panel.dataset.runningTurn;
    if (this.#stopWanted) return;
    const headers = { Accept: "application/json" };
    try {
      const response = await fetch(this.#part("stop-form").action, { method: "POST", headers });
      if (!response.ok) throw await refusal(response);
    } catch (error) {
      const isRefused = error instanceof StreamFailure;
      this.complain(isRefused ? error.message : "Lectern could not be reached, so nothing was stopped.");
    }
  }

  #key(event) {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    if (!this.isBusy) this.form.requestSubmit();
  }

  #swap(from, to) {
    const hadFocus = document.activeElement === from;
    from.hidden = true;
    to.hidden = false;
    if (hadFocus) to.focus();
  }

  #part(name) {
    return this.#panel.querySelector(`[data-${name}]`);
  }
}
