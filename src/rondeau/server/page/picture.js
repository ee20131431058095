// The text as a picture, with its shades, in the colours of the page.

import { shade } from "./text.js";
import { say } from "./words.js";

const WIDTH = 1080;
const MARGIN = 88;
const SIZE = 40;
const LINE = 76;

/** A PNG of characters; style: the computed style whose colours and font are used. */
export function picture(list, model, style) {
  const canvas = document.createElement("canvas");
  const pen = canvas.getContext("2d");
  const colour = (name) => style.getPropertyValue(`--${name}`).trim();
  const font = `${SIZE}px ${style.fontFamily}`;
  pen.font = font;
  const { placed, lines } = wrap(list, (text) => pen.measureText(text).width);
  canvas.width = WIDTH;
  canvas.height = 2 * MARGIN + (lines + 1) * LINE;
  pen.fillStyle = colour("card");
  pen.fillRect(0, 0, canvas.width, canvas.height);
  pen.font = font;
  pen.textBaseline = "middle";
  for (const { character, x, line, width } of placed) {
    const y = MARGIN + line * LINE;
    const level = shade(character);
    if (level) {
      pen.fillStyle = `rgba(${colour("heat")}, ${level / 14})`;
      pen.fillRect(MARGIN + x, y + 6, width, LINE - 12);
    }
    pen.fillStyle = colour("ink");
    pen.fillText(character.character, MARGIN + x, y + LINE / 2);
  }
  pen.fillStyle = colour("soft");
  pen.font = `24px ${style.fontFamily}`;
  pen.fillText(say("pictureOf", { model }), MARGIN, canvas.height - MARGIN);
  return new Promise((done) => canvas.toBlob(done, "image/png"));
}

/** Places for characters: lines break at newlines, between words, and where else nothing fits. */
function wrap(list, measure) {
  const placed = [];
  let [x, line, word] = [0, 0, 0]; // word: the first character of the current one.
  for (const character of list) {
    if (character.character === "\n") {
      [x, line, word] = [0, line + 1, placed.length];
      continue;
    }
    const width = measure(character.character);
    if (!/[\p{Script=Latin}\p{N}'’]/u.test(character.character)) word = placed.length + 1;
    if (x + width > WIDTH - 2 * MARGIN) {
      const moved = placed.slice(word);
      const from = moved[0]?.x;
      const whole = moved.length && from > 0;
      [x, line] = [whole ? x - from : 0, line + 1];
      if (whole) moved.forEach((one) => Object.assign(one, { x: one.x - from, line }));
    }
    placed.push({ character, x, line, width });
    x += width;
  }
  return { placed, lines: line + 1 };
}
