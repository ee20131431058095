// What happens inside: for each character a column with its gates and hidden units, on a canvas.

import { number, say, visible } from "./words.js";

const COLUMN = 14;
const GATE = 26;
const UNIT = 3;
const LABEL = 20;
const MARGIN = 26;

export class Strip {
  constructor(canvas, note) {
    this.canvas = canvas;
    this.note = note;
    this.list = [];
    this.at = undefined;
    new ResizeObserver(() => this.#later()).observe(canvas.parentElement);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#later());
  }

  /** Show the characters up to one place, the last if none is said. */
  draw(list, at = undefined) {
    this.list = list;
    this.at = at;
    this.#later();
  }

  #later() {
    this.waiting ??= requestAnimationFrame(() => {
      this.waiting = undefined;
      this.#draw();
    });
  }

  #draw() {
    const { canvas, list } = this;
    const width = canvas.parentElement.clientWidth;
    if (!width) return;
    const count = Math.floor((width - LABEL) / COLUMN);
    const at = this.at ?? list.length - 1;
    const first = Math.max(0, Math.min(list.length, at + 1 + Math.floor(count / 4)) - count);
    const shown = list.slice(first, first + count);
    const one = list[at]?.state ?? shown.findLast(({ state }) => state)?.state;
    const gates = Object.keys(one?.gates ?? {});
    const units = one?.hidden.length ?? 0;
    const height = MARGIN + gates.length * GATE + units * UNIT + 4;
    const scale = devicePixelRatio;
    canvas.width = width * scale;
    canvas.height = height * scale;
    canvas.style.height = `${height}px`;
    const pen = canvas.getContext("2d");
    pen.scale(scale, scale);
    const colours = getComputedStyle(canvas);
    const colour = (name) => colours.getPropertyValue(`--${name}`).trim();
    pen.font = `13px ${colours.fontFamily}`;
    pen.textBaseline = "middle";
    this.#say(list[at], gates, units);
    pen.fillStyle = colour("soft");
    gates.forEach((name, row) => pen.fillText(name, 4, MARGIN + (row + 0.5) * GATE));
    pen.textAlign = "center";
    const top = MARGIN + gates.length * GATE;
    for (const [column, { character, state }] of shown.entries()) {
      const x = LABEL + column * COLUMN;
      pen.globalAlpha = 1;
      pen.fillStyle = colour(first + column === at ? "accent" : "ink");
      pen.fillText(character === "\n" ? "↵" : character, x + COLUMN / 2, MARGIN / 2);
      if (first + column === at) pen.fillRect(x + 2, MARGIN - 4, COLUMN - 4, 2);
      if (!state) continue;
      pen.fillStyle = colour("level");
      gates.forEach((name, row) => {
        const value = state.gates[name];
        const base = MARGIN + (row + 1) * GATE - 3;
        const tall = Math.abs(value) * (GATE - 6);
        pen.globalAlpha = value < 0 ? 0.45 : 1;
        pen.fillRect(x + 1, base - Math.max(1, tall), COLUMN - 2, Math.max(1, tall));
      });
      state.hidden.forEach((value, row) => {
        const level = value / 127.5 - 1;
        pen.fillStyle = colour(level < 0 ? "accent" : "level");
        pen.globalAlpha = Math.abs(level);
        pen.fillRect(x, top + row * UNIT, COLUMN, UNIT);
      });
    }
  }

  #say(character, gates, units) {
    this.note.textContent = units ? say("stripNote", { units }) : say("stripEmpty");
    const told = gates.map((name) => `${name} ${number(character?.state?.gates[name] ?? 0, 2)}`).join(", ");
    const label = character?.state && say("stripLabel", { character: visible(character.character), gates: told });
    this.canvas.setAttribute("aria-label", label || say("stripEmpty"));
  }
}
