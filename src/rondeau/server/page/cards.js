// Several texts side by side, of which one may be kept: ways to go on, or fillings of gaps.

import { ShadedText } from "./text.js";
import { say } from "./words.js";

export class Cards {
  constructor(section) {
    this.section = section;
    this.heading = section.querySelector("h2");
    this.list = section.querySelector(".cards");
    this.names = [];
  }

  get open() {
    return !this.section.hidden;
  }

  /** Show empty cards; heading and titles are functions; keep(number): that one was chosen. */
  show(heading, titles, keep) {
    this.names = [[this.heading, heading]];
    this.texts = titles.map((title, at) => this.#card(title, at, keep));
    this.list.replaceChildren(...this.texts.map(({ element }) => element.parentElement));
    this.section.hidden = false;
    this.dress();
    this.heading.focus();
  }

  draw(number, characters) {
    this.texts[number].draw(characters);
  }

  close() {
    this.section.hidden = true;
    this.list.replaceChildren();
    this.names = [];
  }

  /** Say the names again, in another language. */
  dress() {
    for (const [element, name] of this.names) element.textContent = name();
  }

  #card(title, at, keep) {
    const [card, name, text, button] = ["article", "h3", "p", "button"].map((tag) => document.createElement(tag));
    name.id = `card-${at}`;
    card.setAttribute("aria-labelledby", name.id);
    text.className = "card-text";
    button.type = "button";
    button.setAttribute("aria-describedby", name.id);
    button.addEventListener("click", () => keep(at));
    this.names.push([name, title], [button, () => say("keep")]);
    card.append(name, text, button);
    return new ShadedText(text);
  }
}
