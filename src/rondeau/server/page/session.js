// A text on the server, with the state after it. It is brought to where the page's text is: back to
// where they part, then on. One that the server has lost is made anew from the text.

import { Refused, events, request } from "./api.js";

const ALTERNATIVES = 8;

export class Session {
  /** of: a model's name; id: null until there is one; text: the characters that the server has. */
  constructor(of, id = null, text = []) {
    this.of = of;
    this.id = id;
    this.text = text;
    this.sure = true;
  }

  /**
   * Have a text read and go on from there. Characters are objects with at least `character`; those
   * with `bits` needn't be read again. Yields {position, characters}: what stands from there on.
   */
  async *go(wanted, decoding = {}, signal = undefined) {
    for (let tries = 1; ; tries++) {
      try {
        yield* this.#go(wanted, decoding, signal);
        return;
      } catch (error) {
        this.sure = false;
        if (!lost(error) || tries > 1) throw error;
        Object.assign(this, { id: null, text: [], sure: true });
      }
    }
  }

  async *#go(wanted, decoding, signal) {
    await this.#find();
    let position = 0;
    while (wanted[position]?.character === this.text[position] && position < this.text.length) position++;
    const unread = wanted.findIndex((character) => character.bits === undefined);
    if (unread >= 0) position = Math.min(position, unread);
    if (position < this.text.length) {
      await request("POST", `/v1/sessions/${this.id}/undo`, { position }, signal);
      this.text.length = position;
    }
    const text = wanted.slice(position).map(({ character }) => character).join("");
    if (!text && !decoding.length) return;
    const asked = { text, alternatives: ALTERNATIVES, state: true, ...decoding };
    for await (const event of events(`/v1/sessions/${this.id}/continue`, asked, signal)) {
      const characters = event.characters.filter(({ character }) => character);
      this.text.push(...characters.map(({ character }) => character));
      yield { position, characters, reason: event.finish_reason };
      position += characters.length;
    }
  }

  /** Make it, or look what it has, where a request was broken off. */
  async #find() {
    if (this.id === null) {
      this.id = (await request("POST", "/v1/sessions", { model: this.of })).id;
    } else if (!this.sure) {
      this.text = Array.from((await request("GET", `/v1/sessions/${this.id}`)).text);
    }
    this.sure = true;
  }

  /** Another one with the same text. */
  async fork() {
    try {
      const { id } = await request("POST", `/v1/sessions/${this.id}/fork`, {});
      return new Session(this.of, id, [...this.text]);
    } catch (error) {
      if (lost(error)) return new Session(this.of);
      throw error;
    }
  }

  /** Let the server forget it; if that fails, time does it. */
  leave() {
    if (this.id !== null) request("DELETE", `/v1/sessions/${this.id}`).catch(() => {});
    this.id = null;
  }
}

function lost(error) {
  return error instanceof Refused && error.code === "session_not_found";
}
