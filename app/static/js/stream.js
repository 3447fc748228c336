// One turn's events from first to last: opened by a question or by a turn's id, and opened again where it broke.
// Knows requests and their failures; knows nothing of the page.
import { readEvents } from "./sse.js";

const TRIES = 8;
const FIRST_WAIT_MS = 250;
const LONGEST_WAIT_MS = 8_000;
const LOST = "The connection was lost. The answer may still be written; load the page again to see it.";
const UNTAKEN = "The connection broke before the question was taken. Your words are still here.";

/** What went wrong before or instead of a stream, in words for the person. */
export class StreamFailure extends Error {
  constructor(message, { status = 0, code = "" } = {}) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

/** Sends a question; resolves to the turn's stream. */
export async function ask(form, signal) {
  let stream;
  try {
    const body = new URLSearchParams(new FormData(form));
    stream = await open(form.action, { method: "POST", body }, signal);
  } catch (error) {
    if (signal.aborted) throw error;
    throw new StreamFailure("Lectern could not be reached. Your words are still here.");
  }
  if (!stream.response.ok) throw await refusal(stream.response);
  if (!isStream(stream)) throw new StreamFailure("The answer came in a form this page cannot read.");
  return stream;
}

/** Yields each event of a turn exactly once, with its data parsed. `urlOf` makes the address of a turn's events. */
export async function* turnEvents({ stream = null, turn = "", urlOf, signal }) {
  let last = 0;
  let tries = 0;
  let isDone = false;
  for (;;) {
    if (stream) {
      let isWhole = false;
      try {
        for await (const { id, event, data } of readEvents(stream.response)) {
          if (id && id <= last) continue;
          last = id || last;
          tries = 0;
          const parsed = JSON.parse(data);
          if (event === "start") turn = parsed.turn;
          yield { event, data: parsed };
          // The server ends the stream now; reading on lets it, where leaving would break it off.
          isDone ||= event === "done";
        }
        isWhole = true;
      } catch {
        // It broke: what follows decides whether it is opened again.
      } finally {
        if (!isWhole) stream.close();
      }
    }
    if (isDone || signal.aborted) return;
    if (!turn) throw new StreamFailure(UNTAKEN);
    if (stream || tries > 0) await pause(tries, signal);
    tries += 1;
    if (tries > TRIES) throw new StreamFailure(LOST);
    stream = await resume(urlOf(turn), last, signal);
  }
}

async function resume(url, last, signal) {
  const address = new URL(url, document.baseURI);
  address.searchParams.set("after", String(last));
  let stream;
  try {
    stream = await open(address, { headers: { "Last-Event-ID": String(last) } }, signal);
  } catch {
    return null;
  }
  if (stream.response.ok && isStream(stream)) return stream;
  if ([401, 403, 404, 410].includes(stream.response.status)) throw await refusal(stream.response);
  return null;
}

/** A request with a way to close it by itself, for a stream that went silent. */
async function open(address, { headers = {}, ...init }, signal) {
  const own = new AbortController();
  const response = await fetch(address, {
    ...init,
    headers: { Accept: "text/event-stream", ...headers },
    signal: AbortSignal.any([signal, own.signal]),
  });
  return { response, close: () => own.abort() };
}

function isStream({ response }) {
  return response.headers.get("Content-Type")?.startsWith("text/event-stream");
}

/** The server's own sentence for a refusal, or ours where it gave none. */
export async function refusal(response) {
  let error = {};
  try {
    error = (await response.json()).error ?? {};
  } catch {
    // A proxy's page, say: the status has to do.
  }
  const message = error.message || `Lectern answered with ${response.status}. Your words are still here.`;
  return new StreamFailure(message, { status: response.status, code: error.code });
}

function pause(tries, signal) {
  const ms = Math.min(FIRST_WAIT_MS * 2 ** tries, LONGEST_WAIT_MS) * (0.75 + Math.random() / 2);
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => resolve(clearTimeout(timer)), { once: true });
  });
}
