// Whether the server is there: a banner while it isn't, and asking again, less and less often.

import { Unreachable, Refused, key, request } from "./api.js";
import { say } from "./words.js";

const WAITS = [1, 2, 4, 8, 15];

export class Connection {
  /** back(): the server answers again, or a key was given. */
  constructor(banner, form, back) {
    this.banner = banner;
    this.form = form;
    this.back = back;
    this.timer = undefined;
    [this.message, this.button] = banner.children;
    this.button.addEventListener("click", () => (this.lost ? this.#try() : this.clear()));
    addEventListener("online", () => this.lost && this.#try());
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      key.set(form.elements.key.value);
      form.elements.key.value = "";
      form.hidden = true;
      back();
    });
  }

  /** Tell a person what went wrong; what isn't a failure of asking is thrown on. */
  tell(error) {
    if (error.name === "AbortError") return;
    if (error instanceof Unreachable) {
      if (!this.lost) this.#wait(0);
    } else if (!(error instanceof Refused)) {
      throw error;
    } else if (error.status === 401) {
      this.#askKey();
    } else {
      const known = { busy: "busy", session_full: "full" }[error.code];
      this.#show(say(known ?? "failed", { message: error.message }), say("dismiss"));
    }
  }

  clear() {
    this.banner.hidden = true;
  }

  #askKey() {
    const [label] = this.form.elements.key.labels;
    label.textContent = say(key.get() ? "keyWrong" : "keyNeeded");
    this.form.hidden = false;
    this.form.elements.key.focus();
  }

  #show(message, action) {
    this.message.textContent = message;
    this.button.textContent = action;
    this.banner.hidden = false;
  }

  #wait(tries) {
    const seconds = WAITS[Math.min(tries, WAITS.length - 1)];
    this.lost = true;
    this.tries = tries;
    this.#show(say("gone", { seconds }), say("tryNow"));
    this.timer = setTimeout(() => this.#try(), 1000 * seconds);
  }

  async #try() {
    clearTimeout(this.timer);
    this.message.textContent = say("goneNow");
    try {
      await request("GET", "/health");
    } catch {
      this.#wait(this.tries + 1);
      return;
    }
    this.lost = false;
    this.clear();
    this.back();
  }
}
