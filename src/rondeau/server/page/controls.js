// How the next characters are chosen: the form of settings, remembered while the page is open.

import { say } from "./words.js";

const SEEDS = 1_000_000; // Few enough to be read out.

export class Controls {
  constructor(form, changed) {
    this.fields = Object.fromEntries([...form.elements].map((field) => [field.id, field]));
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("input", () => this.dress());
    form.addEventListener("change", changed);
    this.fields.seed.value = draw();
    this.dress();
  }

  /** Show what the sliders say. */
  dress() {
    for (const name of ["temperature", "top-p"]) {
      const { value } = this.fields[name];
      const all = name === "top-p" && Number(value) === 1;
      document.getElementById(`${name}-value`).textContent = all ? say("all") : Number(value).toFixed(2);
    }
  }

  /** The settings as the server takes them, or null after a person was told what is wrong. */
  decoding() {
    const { length, temperature, "top-p": p, "top-k": k, seed } = this.fields;
    if (![length, k, seed].every((field) => field.reportValidity())) return null;
    return {
      length: Number(length.value),
      temperature: Number(temperature.value),
      top_p: Number(p.value),
      ...(k.value && { top_k: Number(k.value) }),
      seed: Number(seed.value),
    };
  }

  /** Take another seed for what is written now, unless this one is to stay. */
  renew() {
    if (this.fields["new-seed"].checked) this.fields.seed.value = draw();
  }

  get copied() {
    return this.fields["show-copied"].checked;
  }

  get inside() {
    return this.fields["show-inside"].checked;
  }
}

function draw() {
  return Math.floor(Math.random() * SEEDS);
}
