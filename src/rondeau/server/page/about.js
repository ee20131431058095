// The dialog about a model: what it is, its held-out numbers, and the way to its report.

import { file, key } from "./api.js";
import { number, say } from "./words.js";

export function about(dialog, model, failed) {
  const body = dialog.querySelector("#card-body");
  dialog.querySelector("#card-name").textContent = model.id;
  const facts = element("dl", [
    fact("network", say("layers", { cell: model.cell.toUpperCase(), layers: model.layers, hidden: model.hidden })),
    fact("parameters", number(model.parameters)),
    fact("vocabulary", say("vocabularyOf", { count: number(model.vocabulary) })),
    ...training(model.data),
  ]);
  const verdict = model.verdict.map((line) => element("p", [line], "verdict"));
  body.replaceChildren(...verdict, facts, ...numbers(model.held_out), report(model, failed));
  dialog.showModal();
}

function training({ characters, documents }) {
  if (!characters?.train) return [];
  const told = { characters: number(characters.train), documents: number(documents?.train ?? 1) };
  return [fact("training", say("trainingOf", told))];
}

function numbers(rows) {
  const told = rows.filter((row) => row.split !== "train" && row.perplexity !== undefined);
  if (!told.length) return [];
  const head = ["split", "perplexity", "bpc"].map((name) => element("th", [say(name)]));
  const lines = told.map((row) =>
    element("tr", [
      element("th", [row.split]),
      element("td", [number(row.perplexity, 1)]),
      element("td", [number(row.bits_per_character, 3)]),
    ]),
  );
  head.forEach((cell) => (cell.scope = "col"));
  lines.forEach((line) => (line.firstChild.scope = "row"));
  const table = element("table", [element("thead", [element("tr", head)]), element("tbody", lines)]);
  return [element("h3", [say("heldOut")]), table];
}

function report(model, failed) {
  if (!model.report) return element("p", [say("noReport")], "soft");
  const link = element("a", [say("fullReport")]);
  link.href = model.report;
  link.target = "_blank";
  link.addEventListener("click", (event) => {
    // A link can't bring the key along: then the report is fetched and saved.
    if (!key.get()) return;
    event.preventDefault();
    file(model.report).then((blob) => save(blob, `${model.id}.html`)).catch(failed);
  });
  return element("p", [link]);
}

/** Save a file on the person's device. */
export function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

function fact(name, value) {
  return element("div", [element("dt", [say(name)]), element("dd", [value])]);
}

function element(tag, children, name = "") {
  const made = document.createElement(tag);
  made.append(...children);
  if (name) made.className = name;
  return made;
}
