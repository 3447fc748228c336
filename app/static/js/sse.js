// The text/event-stream format, read from a fetch response. Knows the wire and nothing of turns.

/** Cuts a stream of text into events, wherever the chunks happen to end. */
export class EventParser {
  #rest = "";
  #event = "";
  #data = [];
  #id = "";

  /** Takes a piece of the stream; returns the events that are complete with it. */
  push(text) {
    const events = [];
    const lines = (this.#rest + text).split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop();
    for (const line of lines) {
      const event = this.#take(line);
      if (event) events.push(event);
    }
    return events;
  }

  #take(line) {
    if (line === "") return this.#finish();
    const colon = line.indexOf(":");
    if (colon === 0) return null;
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "event") this.#event = value;
    else if (field === "data") this.#data.push(value);
    else if (field === "id" && !value.includes("\0")) this.#id = value;
    return null;
  }

  #finish() {
    const event = { id: Number(this.#id) || 0, event: this.#event || "message", data: this.#data.join("\n") };
    const empty = this.#data.length === 0;
    this.#event = "";
    this.#data = [];
    return empty ? null : event;
  }
}

/** Yields the events of a response until it ends; throws when nothing, not even a comment, came for `silenceMs`. */
export async function* readEvents(response, { silenceMs = 45_000 } = {}) {
  // Chromium counts a body as called off when only a reader took it, even to its end; a second taker mends that.
  response.clone().text().catch(() => {});
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  const parser = new EventParser();
  for (;;) {
    const { done, value } = await soon(reader.read(), silenceMs);
    if (done) return;
    yield* parser.push(decoder.decode(value, { stream: true }));
  }
}

async function soon(promise, ms) {
  let timer;
  const silence = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error("The stream went silent")), ms);
  });
  try {
    return await Promise.race([promise, silence]);
  } finally {
    clearTimeout(timer);
  }
}
