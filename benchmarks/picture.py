"""The picture of docs/performance.md, from what the other benchmarks and the recipes have left.

    python benchmarks/picture.py --step step.json --runs fast=run1 best=run2 --out performance.png

Left: how many times as long as ours a step takes. Right: the looks at the validation split of some
runs against the seconds of their training.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt

NAMES = {
    "scratch": "notebook, scratch",
    "concise": "notebook, concise",
    "embedding": "nn.Embedding + torch.nn",
    "reference": "our reference loop",
    "floor": "floor: its matrix products",
}
COLOURS = ("#4c72b0", "#8da9d4", "#c2702e", "#e5b384", "#55864a", "#a3c49b")


def ratios(axes: plt.Axes, records: list[dict]) -> None:
    """Groups of bars: a contestant each, one bar for each kind and number of threads."""
    for at, record in enumerate(records):
        median = {name: statistics.median(s) for name, s in record["seconds"].items()}
        places = [i for i, name in enumerate(NAMES) if name in median]
        values = [median[name] / median["auto"] for name in NAMES if name in median]
        height = 0.8 / len(records)
        label = f"{record['kind']}, {record['threads']} thread{'s' * (record['threads'] > 1)}"
        bars = axes.barh(
            [p + (at - (len(records) - 1) / 2) * height for p in places],
            values, height, label=label, color=COLOURS[at],
        )  # fmt: skip
        axes.bar_label(bars, fmt="%.2f", padding=2, fontsize=7)
    axes.margins(x=0.08)
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_yticks(range(len(NAMES)), NAMES.values())
    axes.invert_yaxis()
    axes.set_xlabel("times as long as Rondeau's step (1 = Rondeau)")
    axes.set_title("One training step, H=256, V=1,027, B=32, T=35")
    axes.legend(fontsize=8, loc="lower right")


def curves(axes: plt.Axes, runs: dict[str, Path]) -> None:
    """Validation loss against seconds."""
    for (name, folder), colour in zip(runs.items(), COLOURS[::2], strict=False):
        events = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
        looks = [(e["seconds"], e["held_out"]["loss"]) for e in events if e.get("held_out")]
        axes.plot(*zip(*looks, strict=True), marker=".", label=name, color=colour)
    axes.axhline(1.886, color="grey", linestyle=":", linewidth=1)
    right = axes.get_xlim()[1]
    axes.text(right, 1.886, "nanoGPT, CPU recipe ", ha="right", va="bottom", fontsize=8)
    axes.set_ylim(1.35, 2.0)
    axes.set_xlabel("seconds of training, two cores")
    axes.set_ylabel("nats a character, a sample of the last tenth")
    axes.set_title("tinyshakespeare: validation loss while training")
    axes.legend(fontsize=8)


def main() -> None:
    """Parse, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--step", type=Path, required=True)
    parser.add_argument("--runs", nargs="+", default=[])
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    figure, (left, right) = plt.subplots(1, 2, figsize=(13, 5), layout="constrained")
    kinds = [r for r in json.loads(options.step.read_text()) if r["kind"] in ("gru", "lstm")]
    ratios(left, kinds)
    curves(right, {n: Path(p) for n, _, p in (run.partition("=") for run in options.runs)})
    figure.savefig(options.out, dpi=110)


if __name__ == "__main__":
    main()
