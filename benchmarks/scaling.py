"""The tables and the picture of docs/scaling.md, from what processes.py has found.

    python benchmarks/scaling.py processes.json [--page docs/scaling.md]

The tables are put between the page's marks, the picture into images/scaling.png beside it; without
a page the tables are printed.

The points of the picture are measured; lines are the cost model's, from parts measured alone. For
GPUs nothing was measured: what is assumed of them stands in `GPU`, `INSIDE` and `LINKS`.
"""

from __future__ import annotations

import argparse
import json
import statistics
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib
from cost import Machine, Shape, sent

matplotlib.use("Agg")
from matplotlib import pyplot as plt

GPU = Machine(
    cell_flop=1 / 20e12, gate=0.0, output_flop=1 / 30e12, logit=20 / 2e12, parameter=40 / 2e12,
    operation=40e-6, moment=30e-6, overlap=True,
)  # fmt: skip
"""Of one GPU: 20 and 30 TFLOP/s in products, 2 TB/s of memory (20 bytes a logit, 40 a parameter),
30 µs for a step of time, forward and backward, 40 µs an operation."""
INSIDE = 300e9
"""Bytes a second of a ring between the GPUs of one machine."""
LINKS = {"8 × InfiniBand of 40 GB/s": 8 * 40e9, "Ethernet of 25 Gbit/s": 25e9 / 8}
"""And of what is between machines, all the cards of one together."""
MODELS = (
    Shape(512, 6000, batch=64),
    Shape(1024, 6000, layers=2, batch=64),
    Shape(2048, 6000, layers=2, batch=64),
    Shape(2048, 50_000, embedding=1024, layers=2, batch=64),
)
RANKS = (1, 8, 16, 32, 64)
COLOURS = ("#4c72b0", "#c2702e", "#55864a", "#8da9d4")


def share(record: dict[str, Any]) -> float:
    """Of the tokens a second of two trainings apart: what one together has."""
    seconds = record["seconds"]
    return statistics.median(
        a / t for a, t in zip(seconds["apart"], seconds["together"], strict=True)
    )


def measured(records: list[dict[str, Any]]) -> str:
    """The table of what was measured."""
    head = (
        "| H, V, input | alone, ms | predicted | two apart, ms | together, ms | predicted | "
        "together / apart | MB sent a step: dense + rows |"
    )
    rows = [head, "|---|" + "---:|" * 7]
    for record in records:
        shape, predicted = Shape(**record["shape"]), record["predicted"]
        median = {name: statistics.median(s) for name, s in record["seconds"].items()}
        cells = [f"{shape.hidden}, {shape.vocabulary:,}, {read_by(shape)}"]
        for name in ("alone", "apart", "together"):
            cells.append(f"{median[name] * 1e3:.1f}")
            if name in predicted:
                error = predicted[name] / median[name] - 1
                cells.append(f"{predicted[name] * 1e3:.1f} ({error:+.0%})".replace("-", "−"))
        cells.append(f"{share(record):.2f}")
        cells.append(f"{record['dense'] / 1e6:.2f} + {record['table'] / 1e6:.2f}")
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def read_by(shape: Shape) -> str:
    """How a shape reads its ids."""
    return f"E={shape.embedding:,}" if shape.embedding else "one-hot"


def gpu(ranks: int, link: float) -> Machine:
    """A GPU of so many, eight of which share a machine."""
    return replace(GPU, byte=1 / (INSIDE if ranks <= 8 else min(INSIDE, link)))


def foretold() -> str:
    """The table of what the model says of 64 GPUs."""
    head = "| H, V, layers, input | ms, 1 GPU | tokens/s, 1 GPU | MB sent a step, 64 | "
    head += " | ".join(f"tokens/s on 64, {name}" for name in LINKS) + " |"
    rows = [head, "|---|" + "---:|" * (3 + len(LINKS))]
    for shape in MODELS:
        one = gpu(1, INSIDE)
        single = one.tokens_per_second(shape, 1)
        cells = [f"{shape.hidden:,}, {shape.vocabulary:,}, {shape.layers}, {read_by(shape)}"]
        cells += [f"{one.seconds(shape, 1) * 1e3:.1f}", f"{single / 1e6:.2f} M"]
        cells.append(f"{sum(sent(shape, 64)) / 1e6:,.0f}")
        for link in LINKS.values():
            many = gpu(64, link).tokens_per_second(shape, 64)
            cells.append(f"{many / 1e6:.1f} M ({many / single / 64:.0%})")
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def put(page: str, name: str, table: str) -> str:
    """A page with a table between its marks."""
    begin, end = f"<!-- {name}: begin -->\n", f"\n<!-- {name}: end -->"
    before, _, rest = page.partition(begin)
    _, _, after = rest.partition(end)
    return before + begin + table + end + after


def draw_measured(axes: plt.Axes, records: list[dict[str, Any]], machines: dict[str, Any]) -> None:
    """Tokens a second against the hidden size: points measured, lines predicted."""
    kinds = sorted({(r["shape"]["vocabulary"], r["shape"]["embedding"] or 0) for r in records})
    for (V, embedding), colour in zip(kinds, COLOURS, strict=False):
        kind = {"vocabulary": V, "embedding": embedding or None}
        chosen = [r for r in records if r["shape"].items() >= kind.items()]
        sizes = [r["shape"]["hidden"] for r in chosen]
        dense = range(min(sizes), max(sizes) + 1, 32)
        for ranks, name, marker, style in ((1, "alone", "o", ":"), (2, "together", "s", "-")):
            machine = Machine(**machines[str(ranks)])
            shapes = [replace(Shape(**chosen[0]["shape"]), hidden=H) for H in dense]
            lines = [machine.tokens_per_second(shape, ranks) for shape in shapes]
            axes.plot(dense, lines, style, color=colour, linewidth=1)
            tokens = ranks * shapes[0].tokens
            points = [tokens / statistics.median(r["seconds"][name]) for r in chosen]
            label = f"V={V:,}, {read_by(shapes[0])}, {ranks} process{'es' * (ranks > 1)}"
            axes.plot(
                sizes,
                points,
                marker,
                color=colour,
                label=label,
                fillstyle="full" if ranks > 1 else "none",
            )
    axes.set_yscale("log")
    axes.set_xlabel("hidden size")
    axes.set_ylabel("tokens a second")
    axes.set_title("Two cores: measured (points), predicted (lines)")
    axes.legend(fontsize=7)


def draw_gpus(axes: plt.Axes) -> None:
    """Efficiency against the number of GPUs, by the model alone."""
    for shape, colour in zip(MODELS, COLOURS, strict=True):
        for (name, link), style in zip(LINKS.items(), ("-", ":"), strict=True):
            one = gpu(1, INSIDE).tokens_per_second(shape, 1)
            shares = [gpu(n, link).tokens_per_second(shape, n) / n / one for n in RANKS]
            label = f"H={shape.hidden}, V={shape.vocabulary:,}, L={shape.layers}; {name}"
            axes.plot(RANKS, shares, style, marker=".", color=colour, label=label)
    axes.set_xscale("log", base=2)
    axes.set_xticks(RANKS, RANKS)
    axes.set_ylim(0, 1.05)
    axes.set_xlabel("GPUs, 8 a machine, 64 streams each")
    axes.set_ylabel("share of so many times one GPU's tokens a second")
    axes.set_title("GPUs: the model's word, nothing measured")
    axes.legend(fontsize=7, loc="lower left")


def main() -> None:
    """Parse, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("found", type=Path)
    parser.add_argument("--page", type=Path)
    options = parser.parse_args()
    found = json.loads(options.found.read_text())
    tables = {"measured": measured(found["shapes"]), "predicted": foretold()}
    if options.page is None:
        print("\n\n".join(tables.values()))
        return
    page = options.page.read_text(encoding="utf-8")
    for name, table in tables.items():
        page = put(page, name, table)
    options.page.write_text(page, encoding="utf-8")
    figure, (left, right) = plt.subplots(1, 2, figsize=(13, 5), layout="constrained")
    draw_measured(left, found["shapes"], found["machines"])
    draw_gpus(right)
    figure.savefig(options.page.parent / "images" / "scaling.png", dpi=110)


if __name__ == "__main__":
    main()
