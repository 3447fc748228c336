// A loaded panel: asking, watching an answer being written, stopping it. Streams come from stream.js, turns are drawn
// by turn.js; where the panel itself comes from is the drawer's business.
import { Draft } from "./draft.js";
import { Follow } from "./follow.js";
import { running } from "./running.js";
import { ask, refusal, StreamFailure, turnEvents } from "./stream.js";
import { newTurn, TurnView } from "./turn.js";

const ANY_TURN = "000000000000";
const ENDINGS = { complete: "The answer is complete.", stopped: "The answer was stopped.", failed: "The answer failed." };

export class Chat {
  #panel;
  #load;
  #signIn;
  #abort = new AbortController();
  #box;
  #draft;
  #follow;
  #stopWanted = false;

  /** `load(options)` replaces the panel; `signIn` is the address of the sign-in page, with the way back. */
  constructor(panel, { load, signIn }) {
    this.#panel = panel;
    this.#load = load;
    this.#signIn = signIn;
    this.#follow = new Follow(this.#part("turns"), this.#part("turn-list"), this.#part("latest"));
    const target = panel.querySelector(":target");
    if (target) target.scrollIntoView({ block: "nearest" });
    else this.#follow.toEnd();
    this.#listen("new", "submit", (event) => this.#begin(event));
    this.#box = this.#part("message");
    if (!this.#box) return;
    this.#draft = new Draft(this.#box, panel.dataset);
    this.#listen("composer", "submit", (event) => this.#submit(event));
    this.#listen("stop-form", "submit", (event) => {
      event.preventDefault();
      this.#stop();
    });
    this.#box.addEventListener("keydown", (event) => this.#key(event));
    panel.addEventListener("click", (event) => this.#click(event));
    if (panel.dataset.runningTurn) this.#resume(panel.dataset.runningTurn);
    else if (running.conversation === panel.dataset.conversation) running.end();
  }

  focus() {
    (this.#box ?? this.#panel.querySelector("a, button")).focus({ preventScroll: true });
  }

  /** Stops watching; the turn itself goes on. */
  close() {
    this.#abort.abort();
    this.#follow.close();
  }

  async #submit(event) {
    event.preventDefault();
    const question = this.#box.value.trim();
    if (this.#isBusy) return;
    if (!question) return this.#box.focus();
    this.#complain("");
    const sent = ask(this.#part("composer"), this.#abort.signal);
    const element = newTurn(this.#panel, question);
    this.#showBlank(false);
    this.#panel.querySelectorAll("[data-turn] [data-retry]").forEach((button) => button.remove());
    this.#part("turn-list").append(element);
    this.#draft.keep(question);
    this.#draft.clearBox();
    await this.#watch(element, { sent, question });
  }

  async #resume(turn) {
    let element = this.#panel.querySelector(`[data-turn="${CSS.escape(turn)}"]`);
    if (!element) {
      element = newTurn(this.#panel, "");
      this.#part("turn-list").append(element);
    }
    this.#remember(turn);
    await this.#watch(element, { turn });
  }

  async #watch(element, { sent = null, turn = "", question = "" }) {
    const view = new TurnView(element, this.#panel);
    this.#abort.signal.addEventListener("abort", () => view.close());
    this.#busy(turn || ANY_TURN);
    this.#follow.active = true;
    this.#follow.toEnd();
    let taken = !sent;
    try {
      const events = turnEvents({
        stream: await sent,
        turn,
        urlOf: (id) => this.#panel.dataset.eventsUrl.replace(ANY_TURN, id),
        signal: this.#abort.signal,
      });
      for await (const event of events) {
        view.apply(event);
        if (event.event === "start" && !taken) {
          taken = true;
          this.#taken(event.data);
        }
        if (event.event === "done") this.#done(event.data.outcome);
      }
    } catch (error) {
      if (this.#abort.signal.aborted) return;
      if (!(error instanceof StreamFailure)) throw error;
      this.#idle();
      this.#failed(error, { view, element, question: taken ? "" : question });
    }
  }

  #taken({ turn, conversation }) {
    this.#draft.taken();
    this.#panel.dataset.conversation = conversation;
    this.#panel.querySelectorAll('input[name="conversation"]').forEach((field) => (field.value = conversation));
    this.#busy(turn);
    this.#remember(turn);
    if (this.#stopWanted) this.#stop();
  }

  #done(outcome) {
    running.end();
    this.#idle();
    this.#part("announce").textContent = ENDINGS[outcome] ?? "";
  }

  #failed(error, { view, element, question }) {
    view.close();
    if (question) {
      element.remove();
      this.#showBlank(!this.#panel.querySelector("[data-turn]"));
      this.#draft.restore(question);
      this.#complain(error.message, error.status);
      if (error.status === 409) this.#load({ conversation: this.#panel.dataset.conversation, problem: error.message });
      return;
    }
    // The live log is forgotten once the turn is in the history: the panel as the server has it says how it ended.
    if (error.status === 404 || error.status === 410) {
      running.end();
      this.#load({ conversation: this.#panel.dataset.conversation });
      return;
    }
    view.fail(error.message);
    this.#complain(error.status === 401 ? "Your sign-in has ended." : "", error.status);
  }

  async #stop() {
    this.#stopWanted = !this.#panel.dataset.runningTurn;
    if (this.#stopWanted) return;
    try {
      const response = await fetch(this.#part("stop-form").action, { method: "POST", headers: { Accept: "application/json" } });
      if (!response.ok) throw await refusal(response);
    } catch (error) {
      this.#complain(error instanceof StreamFailure ? error.message : "Lectern could not be reached, so nothing was stopped.");
    }
  }

  async #begin(event) {
    event.preventDefault();
    const form = event.target;
    const response = await fetch(form.action, {
      method: "POST",
      headers: { Accept: "application/json" },
      body: new URLSearchParams(new FormData(form)),
    }).catch(() => null);
    if (!response?.ok) return this.#complain(response ? (await refusal(response)).message : "Lectern could not be reached.", response?.status);
    const { conversation } = await response.json();
    this.#load({ conversation, focus: true });
  }

  #click(event) {
    const suggestion = event.target.closest("[data-suggestion]");
    const again = event.target.closest("[data-retry]");
    if (!suggestion && !again) return;
    event.preventDefault();
    this.#draft.put((suggestion ?? again).value);
    this.#box.focus();
    if (again) this.#part("composer").requestSubmit();
  }

  #key(event) {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    if (!this.#isBusy) this.#part("composer").requestSubmit();
  }

  get #isBusy() {
    return this.#part("send").hidden;
  }

  #busy(turn) {
    if (turn !== ANY_TURN) {
      this.#panel.dataset.runningTurn = turn;
      this.#part("stop-form").action = this.#panel.dataset.stopUrl.replace(ANY_TURN, turn);
    }
    this.#swap(this.#part("send"), this.#part("stop"));
  }

  #idle() {
    this.#stopWanted = false;
    this.#panel.dataset.runningTurn = "";
    this.#swap(this.#part("stop"), this.#part("send"));
    // One more look at the end, once what came last has been laid out.
    requestAnimationFrame(() => requestAnimationFrame(() => (this.#follow.active = this.#isBusy)));
  }

  #swap(from, to) {
    const focused = document.activeElement === from;
    from.hidden = true;
    to.hidden = false;
    if (focused) to.focus();
  }

  #showBlank(shown) {
    const blank = this.#part("blank");
    if (blank) blank.hidden = !shown;
  }

  #remember(turn) {
    running.begin(this.#panel.dataset.conversation, turn);
  }

  #complain(message, status = 0) {
    const place = this.#part("problem");
    if (!place) return;
    const text = this.#part("problem-text");
    text.textContent = message;
    if (status === 401) {
      const link = document.createElement("a");
      link.href = this.#signIn;
      link.textContent = "Sign in again";
      text.append(" ", link);
    }
    place.hidden = !message;
  }

  #listen(name, event, handler) {
    this.#part(name)?.addEventListener(event, handler);
  }

  #part(name) {
    return this.#panel.querySelector(`[data-${name}]`);
  }
}
