// The popover: what could stand in a character's place, with probabilities, to choose from.

import { number, say, visible } from "./words.js";

export class Alternatives {
  /** choose(at, character): a person took another one; left(): it was closed by its keyboard. */
  constructor(element, { choose, left }) {
    this.element = element;
    this.choose = choose;
    this.left = left;
    element.addEventListener("keydown", (event) => this.#key(event));
  }

  get open() {
    return !this.element.hidden;
  }

  /** Show those of one character under its rectangle; copy: the span that it is copied with. */
  show(at, character, box, { focus = false, copy = undefined } = {}) {
    const { element } = this;
    const heading = document.createElement("p");
    heading.id = "alternatives-label";
    heading.textContent = say("instead", { character: visible(character.character) });
    const bits = document.createElement("span");
    bits.textContent = say("bits", { bits: number(character.bits, 1) });
    heading.append(" ", bits);
    const list = document.createElement("ul");
    const listed = character.alternatives.some((other) => other.character === character.character);
    const own = { character: character.character, probability: 2 ** -character.bits };
    const all = listed ? character.alternatives : [...character.alternatives, own];
    const most = Math.max(...all.map(({ probability }) => probability));
    for (const other of all) {
      list.append(this.#entry(at, other, other.probability / most, other.character === character.character));
    }
    element.replaceChildren(heading, list);
    if (copy) {
      const note = document.createElement("p");
      note.className = "soft";
      note.textContent = say("copiedFrom", copy) + (copy.title ? ` (${copy.title})` : "");
      element.append(note);
    }
    element.setAttribute("aria-labelledby", heading.id);
    element.hidden = false;
    this.#place(box);
    if (focus) list.querySelector("button").focus();
  }

  close() {
    this.element.hidden = true;
  }

  #entry(at, { character, probability }, share, taken) {
    const entry = document.createElement("li");
    const button = document.createElement("button");
    const [name, bar, percent] = ["span", "span", "span"].map((tag) => document.createElement(tag));
    button.type = "button";
    name.textContent = visible(character);
    name.className = character.trim() ? "character" : "character named";
    bar.className = "bar";
    bar.style.setProperty("--share", share);
    percent.textContent = `${number(100 * probability, probability < 0.1 ? 1 : 0)} %`;
    button.append(name, bar, percent);
    if (taken) button.setAttribute("aria-current", "true");
    button.addEventListener("click", () => {
      this.close();
      this.left();
      if (!taken) this.choose(at, character);
    });
    entry.append(button);
    return entry;
  }

  #place(box) {
    const around = this.element.parentElement.getBoundingClientRect();
    const room = around.width - this.element.offsetWidth - 8;
    this.element.style.left = `${Math.max(8, Math.min(box.left - around.left - 12, room))}px`;
    this.element.style.top = `${box.bottom - around.top + 6}px`;
  }

  #key(event) {
    const buttons = [...this.element.querySelectorAll("button")];
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) {
      const at = buttons.indexOf(document.activeElement) + step;
      buttons[(at + buttons.length) % buttons.length].focus();
    } else if (event.key === "Escape") {
      this.close();
      this.left();
    } else {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  }
}
