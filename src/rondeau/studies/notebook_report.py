"""The reproduction as a reader sees it: tables, words and a picture. It trains nothing."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Sequence
from pathlib import Path

from rondeau.files import write_atomic
from rondeau.report.pictures import COLOURS
from rondeau.studies.notebook import (
    CONTINUED_CHARACTERS,
    EXPERIMENTS,
    HELD_OUT_CHARACTERS,
    ExperimentName,
    NotebookText,
    Report,
    as_json,
    ngram_perplexities,
)


def grouped(reports: Sequence[Report]) -> dict[ExperimentName, list[Report]]:
    """The reports of each experiment, in order."""
    groups: dict[ExperimentName, list[Report]] = {}
    for report in reports:
        groups.setdefault(report.experiment, []).append(report)
    return groups


def table(reports: Sequence[Report]) -> tuple[list[str], list[list[str]]]:
    """Headings and rows: running training perplexity at each epoch, published figures beneath."""
    groups = grouped(reports)
    epochs = [report.epoch for report in next(iter(groups.values()))]
    headings = ["experiment", *(f"epoch {e}" for e in epochs), "s/epoch", "following text"]
    rows = []
    for name, group in groups.items():
        experiment = EXPERIMENTS[name]
        seconds = sum(r.seconds_per_epoch for r in group) / len(group)
        last = group[-1]
        held_out = f"{last.held_out:,.{0 if last.held_out >= 1000 else 2}f}"
        if last.leaks:
            held_out = f"leaked loss {math.log(last.held_out):.3f} nats"
        rows.append(
            [experiment.title, *(figure(r.perplexity) for r in group), f"{seconds:.2f}", held_out]
        )
        if any(epoch in experiment.published for epoch in epochs):
            published = (experiment.published.get(epoch) for epoch in epochs)
            rows.append(["  published", *(figure(p) if p else "" for p in published), "", ""])
    return headings, rows


def figure(perplexity: float) -> str:
    """A perplexity with the digits that matter."""
    return f"{perplexity:.2f}" if perplexity >= 10 else f"{perplexity:.4f}"


def ngram_table(text: NotebookText) -> tuple[list[str], list[list[str]]]:
    """Headings and rows of the interpolated n-gram models on the same text."""
    headings = ["n-gram (Witten–Bell)", "training text itself", "following text"]
    rows = [[f"order {n}", f"{a:.2f}", f"{b:.1f}"] for n, a, b in ngram_perplexities(text)]
    return headings, rows


def explanation(text: NotebookText, reports: Sequence[Report]) -> list[str]:
    """What the numbers mean and don't, in sentences."""
    groups = grouped(reports)
    causal = {name: group for name, group in groups.items() if not group[-1].leaks}
    ngrams = ngram_perplexities(text)
    best_ngram = min(new for _, _, new in ngrams)
    sentences = [
        "Every perplexity by epoch is the notebook's: the running average of an epoch's training "
        "loss, on the very text that is trained on. Near 1 it says that the text is known by "
        "heart, not that the language is.",
        f"The column 'following text' is the honest one: perplexity on the "
        f"{len(text.following):,} known characters among the {HELD_OUT_CHARACTERS:,} that follow, "
        f"from a zero state. {text.unknown_share:.1%} of those characters never occur in the "
        "training text; a vocabulary without an unknown token cannot score them: passed over.",
        f"Counting does as well as memorising: an interpolated 4-gram model has "
        f"{ngrams[-1][1]:.2f} on the training text itself and {ngrams[-1][2]:.1f} on the text that "
        f"follows; the best order there reaches {best_ngram:.1f}.",
    ]
    if causal:
        worse = [n for n, g in causal.items() if g[-1].held_out > best_ngram]
        sentences.append(
            f"On the text that follows, {len(worse)} of {len(causal)} networks are worse than the "
            "best n-gram at their last epoch: lower training perplexity came with a worse model "
            "of the language."
        )
    if "bidirectional" in groups:
        sentences.append(
            "The bidirectional figure is a leak: its backward half has read the character that is "
            "asked for, so a number near 1 measures copying. Stepped alone, as its continuations "
            "show, it has nothing to copy and stammers."
        )
    sentences.append(
        "Continuations take the most probable character every time: such greedy text repeats what "
        "was memorised, or loops."
    )
    return sentences


def markdown(text: NotebookText, reports: Sequence[Report], command: str) -> str:
    """The whole reproduction as a page."""
    parts = [
        "# The notebook's experiments, run again\n",
        f"`{command}`\n",
        f"{len(text.trained):,} characters, {len(text.tokenizer):,} distinct; running training "
        "perplexity by epoch, the published figure beneath.\n",
        _markdown_table(*table(reports)),
        _markdown_table(*ngram_table(text)),
        "![running training perplexity by epoch](reproduction.png)\n",
        "## What the numbers mean\n",
        *(f"- {sentence}" for sentence in explanation(text, reports)),
        f"\n## Continuations ({CONTINUED_CHARACTERS} greedy characters, last epoch)\n",
    ]
    for name, group in grouped(reports).items():
        parts.append(f"**{EXPERIMENTS[name].title}**\n")
        parts += [f"- {prefix}{rest}" for prefix, rest in group[-1].continuations.items()]
        parts.append("")
    return "\n".join(parts)


def write_reproduction(
    folder: Path, text: NotebookText, reports: Sequence[Report], command: str
) -> None:
    """reproduction.md, reproduction.json and reproduction.png in a folder."""
    document = json.dumps(as_json(reports), ensure_ascii=False, indent=2) + "\n"
    write_atomic(folder / "reproduction.md", markdown(text, reports, command).encode())
    write_atomic(folder / "reproduction.json", document.encode())
    write_atomic(folder / "reproduction.png", picture(reports))


def picture(reports: Sequence[Report]) -> bytes:
    """The curves of all experiments as a PNG: running training perplexity against epochs."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 5.5), dpi=120, layout="constrained")
    axes = figure.subplots()
    for (name, group), colour in zip(grouped(reports).items(), COLOURS, strict=False):
        curve = group[-1].curve
        style = "--" if EXPERIMENTS[name].scratch else "-"
        axes.plot(
            range(1, len(curve) + 1), curve, style, color=colour, label=EXPERIMENTS[name].title
        )
        published = EXPERIMENTS[name].published
        if published and max(published) <= len(curve):
            axes.plot(list(published), list(published.values()), "o", color=colour, markersize=5)
    axes.set_yscale("log")
    axes.set_xlabel("epoch")
    axes.set_ylabel("running perplexity on the training text")
    axes.set_title("Training perplexity by epoch (dots: published)")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _markdown_table(headings: list[str], rows: list[list[str]]) -> str:
    lines = [headings, ["---", *["---:"] * (len(headings) - 1)], *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines) + "\n"
