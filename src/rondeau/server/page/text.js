// Characters with their surprisal as a shade, drawn into an element. It knows no server.

const BITS = 2;
const SHADES = 8;

/** The shade of a character: one for every two bits, the last for all that is more. */
export function shade({ bits }) {
  return bits === undefined ? undefined : Math.min(SHADES - 1, Math.max(0, Math.floor(bits / BITS)));
}

/** A text as it is normalised by the server, as characters that nothing is known of. */
export function characters(text) {
  const normal = text.replace(/\r\n?/g, "\n").normalize("NFC");
  return Array.from(normal, (character) => ({ character }));
}

/** The text of characters. */
export function plain(list) {
  return list.map(({ character }) => character).join("");
}

export class ShadedText {
  constructor(element) {
    this.element = element;
    this.drawn = [];
    this.last = element.appendChild(document.createTextNode("\u200b")); // Keeps an empty last line.
  }

  /** Draw characters; copied: the places of those that are. What is as it was stays. */
  draw(list, copied = new Set()) {
    while (this.drawn.length > list.length) this.drawn.pop().node.remove();
    const added = document.createDocumentFragment();
    for (const [at, character] of list.entries()) {
      const level = shade(character);
      const names = [level > 0 && `shade-${level}`, copied.has(at) && "copied", character.filled && "filled"];
      const name = names.filter(Boolean).join(" ");
      let span = this.drawn[at];
      if (!span) {
        span = { node: document.createElement("span"), text: "", name: "" };
        this.drawn.push(span);
        added.append(span.node);
      }
      if (span.text !== character.character) span.node.textContent = span.text = character.character;
      if (span.name !== name) span.node.className = span.name = name;
    }
    this.element.insertBefore(added, this.last);
  }

  /** The place of the character at a point of the window, or -1. */
  find(x, y) {
    const under = document.elementsFromPoint(x, y);
    return this.drawn.findIndex(({ node }) => under.includes(node));
  }

  /** The rectangle of a character. */
  box(at) {
    return this.drawn[at].node.getBoundingClientRect();
  }
}
