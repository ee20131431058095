// The page put together: what a person does, and what the parts do then. One thing at a time is
// asked of the model's session; another begins when the one before has been left.

import { about, save } from "./about.js";
import { Alternatives } from "./alternatives.js";
import { request } from "./api.js";
import { Cards } from "./cards.js";
import { Connection } from "./connection.js";
import { Controls } from "./controls.js";
import { Editor } from "./editor.js";
import { picture } from "./picture.js";
import { Session } from "./session.js";
import { Strip } from "./strip.js";
import { characters, plain } from "./text.js";
import { dress, number, say, switchLanguage } from "./words.js";

const KEPT = "rondeau.text";
const PAUSE = 400; // Milliseconds without a key, after which what was typed is read.
const WAYS = 3;
const GAP = "＿";
const SEEDS = 2 ** 53;

const get = (id) => document.getElementById(id);
const editor = new Editor(get("text"), get("shaded"), typed);
const alternatives = new Alternatives(get("alternatives"), { choose: branch, left: () => editor.field.focus() });
const cards = new Cards(get("choices"));
const controls = new Controls(get("controls"), settingsChanged);
const strip = new Strip(get("strip"), get("strip-note"));
const connection = new Connection(get("banner"), get("key-form"), back);

let models = [];
let model;
let session;
let forks = [];
let spans = [];
let writing = false;
let timer;
let running = { controller: new AbortController(), done: Promise.resolve() };

/** Do something with the session, after what is under way has been broken off. */
function perform(work) {
  const before = running;
  before.controller.abort();
  clearTimeout(timer);
  const controller = new AbortController();
  const done = before.done
    .catch(() => {})
    .then(() => controller.signal.aborted || work(controller.signal))
    .catch((error) => connection.tell(error));
  running = { controller, done };
  return done;
}

function able(what) {
  return model?.capabilities.includes(what) ?? false;
}

// Writing

/** Have the model read what it hasn't read yet. */
function read() {
  if (!able("sessions")) return;
  perform(async (signal) => {
    for await (const { position, characters } of session.go(editor.list, {}, signal)) {
      editor.put(position, characters);
    }
    editor.typing = false;
    settled();
  });
}

/** Have the model write on. */
function write() {
  const decoding = begin();
  if (!decoding) return;
  editor.remember();
  goOn(decoding);
}

function goOn(decoding) {
  const start = editor.list.length;
  busy(true);
  perform(async (signal) => {
    let reason = null;
    try {
      for await (const part of session.go(editor.list, decoding, signal)) {
        editor.put(part.position, part.characters);
        strip.draw(editor.list);
        reason = part.reason;
      }
    } finally {
      busy(false);
      told(editor.list.slice(start), decoding.seed, reason, signal);
      settled();
    }
  });
}

/** Have the model write on in several ways, of which one may be kept. */
function writeWays() {
  const decoding = begin();
  if (!decoding) return;
  const seeds = Array.from({ length: WAYS }, (_, at) => (decoding.seed + at) % SEEDS);
  const lists = seeds.map(() => [...editor.list]);
  busy(true);
  cards.show(
    () => say("waysLabel"),
    seeds.map((seed, at) => () => say("way", { number: at + 1, seed })),
    (at) => keep(lists[at], at),
  );
  perform(async (signal) => {
    try {
      for await (const part of session.go(editor.list, {}, signal)) editor.put(part.position, part.characters);
      const start = editor.list.length;
      for (const _ of seeds) forks.push(await session.fork());
      lists.forEach((list) => list.splice(0, start, ...editor.list));
      const follow = async (seed, at) => {
        for await (const part of forks[at].go(lists[at], { ...decoding, seed }, signal)) {
          lists[at].splice(part.position, part.characters.length, ...part.characters);
          cards.draw(at, lists[at].slice(start));
        }
      };
      await Promise.all(seeds.map(follow));
      get("heard").textContent = lists.map((list) => say("heard", { text: plain(list.slice(start)) })).join("\n");
    } catch (error) {
      if (error.name !== "AbortError") discard();
      throw error;
    } finally {
      get("status").textContent = "";
      busy(false);
    }
  });
}

/** Fill the gaps in several ways. */
function fill() {
  begin();
  const { text } = editor;
  if (!text.includes(GAP)) {
    get("status").textContent = say("noGaps");
    return;
  }
  busy(true);
  get("status").textContent = say("filling");
  perform(async (signal) => {
    try {
      const asked = { model: model.id, text, num_samples: WAYS };
      const { fillings } = await request("POST", "/v1/infill", asked, signal);
      const lists = fillings.map((filling) =>
        characters(filling.text).map((one, at) => ({ ...one, filled: editor.list[at].character === GAP })),
      );
      const titles = fillings.map(({ bits }, at) => () => say("filling", { number: at + 1, bits: number(bits, 1) }));
      cards.show(() => say("fillingsLabel"), titles, (at) => keep(lists[at]));
      lists.forEach((list, at) => cards.draw(at, list));
    } finally {
      get("status").textContent = "";
      busy(false);
    }
  });
}

/** Clear away what was open; the settings for what is written now. */
function begin() {
  alternatives.close();
  discard();
  connection.clear();
  if (!able("sessions")) return undefined;
  controls.renew();
  return controls.decoding();
}

/** Take one of several texts. */
function keep(list, at = undefined) {
  running.controller.abort();
  editor.remember();
  if (at in forks) {
    session.leave();
    session = forks[at];
    forks[at] = undefined;
  }
  discard();
  editor.set(list);
  get("status").textContent = say("kept");
  editor.field.focus();
  settled();
  read();
}

function discard() {
  forks.forEach((fork) => fork?.leave());
  forks = [];
  cards.close();
}

/** Go on from another character. */
function branch(at, character) {
  editor.remember();
  const list = editor.list.slice(0, at);
  editor.set(character ? [...list, { character }] : list);
  const decoding = character && begin();
  if (decoding) goOn(decoding);
  else read();
}

function undo() {
  running.controller.abort();
  alternatives.close();
  discard();
  editor.undo();
  get("status").textContent = say("undone");
  settled();
  read();
}

function typed() {
  alternatives.close();
  if (cards.open) discard();
  running.controller.abort();
  get("status").textContent = "";
  settled();
  clearTimeout(timer);
  timer = setTimeout(read, PAUSE);
}

// Showing

function busy(now) {
  writing = now;
  get("paper").classList.toggle("writing-now", now);
  editor.field.readOnly = now;
  if (now) get("status").textContent = say("writing");
  const held = [get("write"), get("stop")].includes(document.activeElement);
  arrange();
  if (held) get(now ? "stop" : "write").focus();
}

/** Say what was written. */
function told(written, seed, reason, signal) {
  const count = written.length;
  const bits = number(written.reduce((sum, one) => sum + (one.bits ?? 0), 0) / Math.max(1, count), 2);
  const lines = [];
  if (signal.aborted) lines.push(say("stopped"));
  if (reason === "end") lines.push(say("ended"));
  if (count) lines.push(say("written", { count, bits, seed }));
  get("status").textContent = lines.join(" ");
  get("heard").textContent = count ? say("heard", { text: plain(written) }) : "";
}

/** The text has changed: what depends on it. */
function settled() {
  strip.draw(editor.list);
  arrange();
  clearTimeout(settled.timer);
  settled.timer = setTimeout(findCopies, writing ? PAUSE : 0);
}

async function findCopies() {
  const { text } = editor;
  spans = [];
  if (controls.copied && able("novelty") && text) {
    try {
      const { spans: found } = await request("POST", "/v1/novelty", { model: model.id, text });
      if (editor.text !== text) return;
      spans = found;
    } catch (error) {
      connection.tell(error);
    }
  }
  editor.mark(new Set(spans.flatMap(({ start, length }) => Array.from({ length }, (_, at) => start + at))));
}

/** Show what can be done now. */
function arrange() {
  const writes = able("sessions");
  const fills = !writes && able("infill");
  const empty = editor.list.length === 0;
  get("write").hidden = !writes || writing;
  get("stop").hidden = !writing;
  get("fill").hidden = !fills || writing;
  get("ways").hidden = get("look").hidden = get("legend").hidden = !writes;
  get("write").disabled = get("ways").disabled = !writes || writing;
  get("fill").disabled = writing;
  get("undo").disabled = writing || editor.history.length === 0;
  get("look").disabled = get("copy").disabled = get("picture").disabled = writing || empty;
  get("inside").hidden = !(writes && controls.inside) || empty;
  get("copied-legend").hidden = !(controls.copied && able("novelty"));
  get("show-copied").disabled = !able("novelty");
  get("why-not").hidden = writes || !model;
  get("why-not").textContent = model ? say(fills ? "clozeOnly" : "neither") : "";
  get("about").disabled = get("text").disabled = get("model").disabled = !model;
  editor.field.placeholder = say(!model ? "loading" : fills ? "placeholderGaps" : "placeholder");
}

function settingsChanged(event) {
  if (event.target.id === "seed") get("new-seed").checked = false;
  settled();
}

/** Show what else could stand at a place. */
function look(at, focus) {
  const character = editor.list[at];
  if (!character?.alternatives) {
    if (focus) get("status").textContent = say("nothingThere");
    alternatives.close();
    strip.draw(editor.list);
    return;
  }
  const copy = spans.find(({ start, length }) => start <= at && at < start + length);
  alternatives.show(at, character, editor.shaded.box(at), { focus, copy });
  strip.draw(editor.list, at);
}

function lookAtCaret() {
  look(Math.min(editor.caret, editor.list.length - 1), true);
}

// Models and the server

function choose(name) {
  model = models.find(({ id }) => id === name) ?? models[0];
  running.controller.abort();
  session?.leave();
  discard();
  alternatives.close();
  editor.forget();
  session = model && new Session(model.id);
  get("status").textContent = model ? "" : say("noModels");
  settled();
  read();
}

async function load() {
  try {
    models = (await request("GET", "/v1/models")).data;
  } catch (error) {
    connection.tell(error);
    return;
  }
  get("model").replaceChildren(...models.map(({ id }) => new Option(id)));
  choose(model?.id);
  get("model").value = model?.id;
}

/** The server answers again, or a key was given. */
function back() {
  get("status").textContent = say("back");
  if (model) read();
  else load();
}

function speak() {
  dress();
  controls.dress();
  cards.dress();
  alternatives.close();
  get("language").textContent = say("otherLanguage");
  get("language").lang = document.documentElement.lang === "en" ? "zh-Hans" : "en";
  get("status").textContent = "";
  strip.draw(editor.list);
  arrange();
}

async function copy() {
  const copying = navigator.clipboard?.writeText(editor.text) ?? Promise.reject();
  const done = await copying.then(() => "copied", () => "notCopied");
  get("status").textContent = say(done);
}

async function savePicture() {
  save(await picture(editor.list, model.id, getComputedStyle(editor.field)), "rondeau.png");
  get("status").textContent = say("saved");
}

const clicks = {
  write, fill, undo, copy, ways: writeWays, look: lookAtCaret, picture: savePicture,
  stop: () => running.controller.abort(),
  none: () => {
    running.controller.abort();
    discard();
    editor.field.focus();
  },
  about: () => about(get("card"), model, (error) => connection.tell(error)),
  close: () => get("card").close(),
  language: () => {
    switchLanguage();
    speak();
  },
};
for (const [id, act] of Object.entries(clicks)) get(id).addEventListener("click", act);
get("model").addEventListener("change", () => choose(get("model").value));

editor.field.addEventListener("click", ({ clientX, clientY }) => {
  const collapsed = editor.field.selectionStart === editor.field.selectionEnd;
  look(collapsed && !writing ? editor.shaded.find(clientX, clientY) : -1, false);
});
editor.field.addEventListener("keydown", (event) => {
  if (event.altKey && event.key === "ArrowDown" && !writing) lookAtCaret();
  else if ((event.ctrlKey || event.metaKey) && !event.shiftKey && event.key === "z") {
    if (!get("undo").disabled) undo();
  } else return;
  event.preventDefault();
});
document.addEventListener("keydown", (event) => {
  if ((event.ctrlKey || event.metaKey) && event.key === "Enter" && !writing && !get("card").open) {
    event.preventDefault();
    if (able("sessions")) write();
    else if (able("infill")) fill();
  } else if (event.key === "Escape") {
    if (alternatives.open) alternatives.close();
    else running.controller.abort();
  }
});
document.addEventListener("pointerdown", ({ target }) => {
  if (!get("paper").contains(target)) alternatives.close();
});
addEventListener("pagehide", () => sessionStorage.setItem(KEPT, editor.text));

if (matchMedia("(max-width: 56rem)").matches) get("settings").open = false;
editor.set(characters(sessionStorage.getItem(KEPT) ?? ""));
speak();
load();
