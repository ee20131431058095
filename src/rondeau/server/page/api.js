// Asking the server: JSON, streams of events, and the three ways in which that fails.

const KEPT = "rondeau.key";
const BUSY = { code: "session_busy", tries: 20, wait: 100 };

/** The server said no: its status, its code, its message. */
export class Refused extends Error {
  constructor(status, { message, code }) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

/** Nobody answers, or the answer broke off. */
export class Unreachable extends Error {}

export const key = {
  get: () => sessionStorage.getItem(KEPT),
  set: (value) => sessionStorage.setItem(KEPT, value),
};

const pause = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

async function ask(method, path, body, signal) {
  const headers = body === undefined ? {} : { "Content-Type": "application/json" };
  if (key.get()) headers.Authorization = `Bearer ${key.get()}`;
  for (let tries = 1; ; tries++) {
    const response = await fetch(path, { method, headers, body: JSON.stringify(body), signal }).catch(broken);
    if (response.ok) return response;
    const { error } = await response.json().catch(() => ({ error: { message: response.statusText } }));
    if (response.status === 503) throw new Unreachable(error.message);
    // A stream that was left a moment ago may still hold its session.
    if (error.code !== BUSY.code || tries === BUSY.tries) throw new Refused(response.status, error);
    await pause(BUSY.wait);
  }
}

function broken(error) {
  if (error.name === "AbortError") throw error;
  throw new Unreachable(error.message);
}

/** The answer to a request, as an object. */
export async function request(method, path, body, signal) {
  return (await ask(method, path, body, signal)).json().catch(broken);
}

/** The answer to a request, as a file. */
export async function file(path) {
  return (await ask("GET", path)).blob().catch(broken);
}

/** The events of a streamed answer, one after another. */
export async function* events(path, body, signal) {
  const response = await ask("POST", path, { ...body, stream: true }, signal);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let kept = "";
  for (;;) {
    const { done, value } = await reader.read().catch(broken);
    if (done) throw new Unreachable("the answer broke off");
    const parts = (kept + value).split("\n\n");
    kept = parts.pop();
    for (const part of parts) {
      const data = part.slice("data: ".length);
      if (data === "[DONE]") return;
      const event = JSON.parse(data);
      if (event.error?.code === "stopping") throw new Unreachable(event.error.message);
      if (event.error) throw new Refused(500, event.error);
      yield event;
    }
  }
}
