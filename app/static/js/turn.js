// The view of one turn: the partial _turn.html, filled event by event. Knows no request.
import { enliven, fragment } from "./html.js";

const DOING = {
  read_file: ({ path }) => `Reading ${path}`,
  search_files: ({ pattern }) => `Searching ‘${pattern}’`,
  list_files: ({ path }) => (path ? `Listing ${path}` : "Listing files"),
  edit_file: ({ path }) => `Editing ${path}`,
  run_claude_subagent: () => "Researching",
  register_task_for_manager: ({ task }) => `Handing over ${task}`,
};

/** Clones the panel's empty turn for a new question. */
export function newTurn(panel, question) {
  const template = panel.querySelector("[data-turn-template]");
  const element = template.content.firstElementChild.cloneNode(true);
  element.dataset.askedAt = new Date().toISOString();
  part(element, "question").textContent = question;
  const again = part(element, "retry");
  if (again) again.value = question;
  return element;
}

export class TurnView {
  #element;
  #toolTemplate;
  #text = null;
  #doing = "Thinking";
  #timer = 0;
  #began;

  constructor(element, panel) {
    this.#element = element;
    this.#toolTemplate = panel.querySelector("[data-tool-template]");
    this.#began = Date.parse(element.dataset.askedAt) || Date.now();
    element.dataset.outcome = "running";
    this.#tick();
    this.#timer = setInterval(() => this.#tick(), 1000);
  }

  /** Applies one event of the stream. Tools and cards that are already there are not drawn twice. */
  apply(event, data) {
    this[`on_${event}`]?.(data);
  }

  /** What the stream did not say itself: a lost connection, an ended sign-in. */
  fail(message, { retryable = false } = {}) {
    this.on_error({ message, retryable });
    this.#finish("failed");
  }

  /** Ends the view without an outcome, because the page moves on. */
  close() {
    clearInterval(this.#timer);
  }

  on_start({ turn }) {
    this.#element.dataset.turn = turn;
  }

  on_content({ text }) {
    if (!this.#text) {
      const answer = this.#part("answer");
      this.#text = document.createTextNode("");
      answer.replaceChildren(this.#text);
      answer.dataset.live = "";
      answer.hidden = false;
    }
    this.#text.appendData(text);
    this.#say("Writing");
  }

  on_tool_call({ call, name, arguments: args }) {
    const given = isRecord(args) ? args : {};
    const tool = this.#tool(call);
    tool.dataset.state = "running";
    const doing = (DOING[name] ?? (() => `Using ${name}`))(given);
    part(tool, "tool-summary").textContent = doing;
    part(tool, "tool-detail").textContent = listing(given);
    const use = tool.querySelector(".tool-line > .icon use");
    use.setAttribute("href", `${use.getAttribute("href").split("#")[0]}#${name}`);
    this.#say(doing);
  }

  on_tool_result({ call, ok, summary, detail, html }) {
    const tool = this.#tool(call);
    tool.dataset.state = ok ? "ok" : "failed";
    part(tool, "tool-failed").hidden = ok;
    part(tool, "tool-summary").textContent = summary;
    const text = part(tool, "tool-detail");
    text.textContent = detail ?? text.textContent;
    if (html) {
      text.parentElement.querySelector("[data-tool-html]")?.remove();
      const box = document.createElement("div");
      box.dataset.toolHtml = "";
      box.append(fragment(html));
      text.after(box);
      enliven(box);
    }
    this.#say("Thinking");
  }

  on_proposal({ proposal, html }) {
    const cards = this.#part("cards");
    if (cards.querySelector(`[data-card="${CSS.escape(proposal)}"]`)) return;
    const card = fragment(html).firstElementChild;
    cards.append(card);
    enliven(card);
  }

  on_message({ html }) {
    const answer = this.#part("answer");
    answer.replaceChildren(fragment(html));
    delete answer.dataset.live;
    answer.hidden = false;
    this.#text = null;
    this.#element.dispatchEvent(new CustomEvent("lectern:html", { bubbles: true }));
  }

  on_usage({ input_tokens: read, cached_tokens: cached, output_tokens: written }) {
    if (typeof read !== "number" || typeof written !== "number") return;
    const count = (value) => value.toLocaleString("en");
    const known = cached ? ` (${count(cached)} cached)` : "";
    this.#part("usage").textContent = `${count(read)} tokens in${known} · ${count(written)} out`;
  }

  on_error({ message, retryable }) {
    this.#part("turn-problem-text").textContent = message;
    const again = this.#part("retry");
    if (again) again.hidden = !retryable;
    this.#part("turn-problem").hidden = false;
  }

  on_done({ outcome }) {
    if (outcome === "stopped") this.#part("stopped").hidden = false;
    if (outcome === "failed") this.#part("turn-problem").hidden = false;
    this.#finish(outcome);
  }

  #finish(outcome) {
    clearInterval(this.#timer);
    this.#element.dataset.outcome = outcome;
    this.#part("status").hidden = true;
  }

  #tool(call) {
    const tools = this.#part("tools");
    let tool = tools.querySelector(`[data-tool="${CSS.escape(call)}"]`);
    if (!tool) {
      tool = this.#toolTemplate.content.firstElementChild.cloneNode(true);
      tool.dataset.tool = call;
      tools.append(tool);
      tools.hidden = false;
    }
    return tool;
  }

  #say(doing) {
    if (doing === this.#doing) return;
    this.#doing = doing;
    this.#tick();
  }

  #tick() {
    const seconds = Math.floor((Date.now() - this.#began) / 1000);
    const status = this.#part("status");
    status.textContent = seconds < 3 ? this.#doing : `${this.#doing} · ${seconds} s`;
    status.hidden = false;
  }

  #part(name) {
    return part(this.#element, name);
  }
}

function part(element, name) {
  return element.querySelector(`[data-${name}]`);
}

function isRecord(value) {
  return value !== null && typeof value === "object" && !Array.isArray(value);
}

function listing(values) {
  return Object.entries(values)
    .map(([name, value]) => `${name}: ${typeof value === "string" ? value : JSON.stringify(value)}`)
    .join("\n");
}
