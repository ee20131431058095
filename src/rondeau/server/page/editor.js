// The text that a person and a model write: a field to write in, its shades under it, and undo.
// A character is {character, bits?, alternatives?, state?}; what isn't known is read by the server.

import { ShadedText, characters, plain } from "./text.js";

const STEPS = 100;

export class Editor {
  /** changed(): a person has written; places count characters, not UTF-16 units. */
  constructor(field, shades, changed) {
    this.field = field;
    this.shaded = new ShadedText(shades);
    this.list = [];
    this.copied = new Set();
    this.history = [];
    this.typing = false;
    field.addEventListener("input", (event) => {
      if (!event.isComposing) this.#typed(changed);
    });
    field.addEventListener("compositionend", () => this.#typed(changed));
  }

  get text() {
    return plain(this.list);
  }

  /** The place of the cursor. */
  get caret() {
    return Array.from(this.field.value.slice(0, this.field.selectionStart)).length;
  }

  /** Put these characters in place of the text. */
  set(list) {
    this.list = list;
    this.typing = false;
    this.#show();
  }

  /** Put characters over those from a place on. */
  put(position, found) {
    this.list.splice(position, found.length, ...found);
    this.#show();
  }

  /** Keep the text as it is, to come back to. */
  remember() {
    this.history.push([...this.list]);
    if (this.history.length > STEPS) this.history.shift();
    this.typing = false;
  }

  undo() {
    this.set(this.history.pop() ?? this.list);
  }

  /** Forget what a model said of the characters, here and in the past. */
  forget() {
    const bare = (list) => list.map(({ character }) => ({ character }));
    this.history = this.history.map(bare);
    this.set(bare(this.list));
  }

  /** Mark the characters at these places as copied. */
  mark(copied) {
    this.copied = copied;
    this.shaded.draw(this.list, copied);
  }

  #typed(changed) {
    const typed = characters(this.field.value);
    let same = 0;
    while (same < typed.length && typed[same].character === this.list[same]?.character) same++;
    if (!this.typing) this.remember();
    this.typing = true;
    this.list = [...this.list.slice(0, same), ...typed.slice(same)];
    this.#show();
    changed();
  }

  #show() {
    const { field, text } = this;
    if (field.value !== text) {
      const { selectionStart: start, value } = field;
      field.value = text;
      const at = start === value.length ? text.length : Math.min(start, text.length);
      field.setSelectionRange(at, at);
    }
    this.copied = new Set([...this.copied].filter((at) => at < this.list.length));
    this.shaded.draw(this.list, this.copied);
  }
}
