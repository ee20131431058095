"""The page itself: facts to words, tables, drawings, and a file.

The template decides where things stand; what it is given is short and visible (`words`), and it
escapes everything. It knows no training: a run is all it needs.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rondeau.config import DecodingConfig
from rondeau.evaluation.copies import Novelty, Span
from rondeau.evaluation.scoring import ScoredCharacter
from rondeau.files import write_output
from rondeau.language_model import LanguageModel
from rondeau.report import words
from rondeau.report.curves import Axes, Curve, Level, Point, chart
from rondeau.report.data import ReportData, Row, Sample, gather
from rondeau.report.templates import SHOWN_SENTENCE, render
from rondeau.text.corpus import EMBEDDED

NAME = "report.html"
WIDE, NARROW = (760, 320), (370, 280)
"""Sizes of a chart on a desk and on a phone."""
SHADES, DARKEST = 10, 12.0
"""Shades of the heat-map, and the bits that the last one begins at."""
SHOWN_SAMPLE, SHOWN_SPANS, SHOWN_SOURCES = 1000, 8, 20
"""The most that is shown of each: characters, spans of a sample, sources."""

HELD_OUT = {
    "test": "never trained on, read once, after the model was chosen",
    "validation": "never trained on; the model was chosen by it",
}
SPLIT = {
    "document": "whole documents were held out, drawn with seed {seed}",
    "tail": "the end of the text was held out",
    "none": "nothing was held out",
}


def write_report(model: LanguageModel, *, out: Path | None = None) -> Path:
    """Write the report of a run into it, or to another file, and say where it is.

    Raises RunError for a damaged run and where something else lies in its place, OSError where it
    can't be written to, OptionError where `out` can't.
    """
    content = page(gather(model)).encode()
    if out is not None:
        write_output(out, content)
        return out
    model.run.put(NAME, content)
    return model.run.place(NAME)


def page(data: ReportData) -> str:
    """The whole page as HTML: the same for the same data."""
    return render(
        "page.html.j2",
        data=data,
        results=data.results,
        shape=_shape(data),
        figures=_figures(data),
        sources=data.results["data"]["sources"][:SHOWN_SOURCES],
        further_sources=len(data.results["data"]["sources"][SHOWN_SOURCES:]),
        split=_split(data),
        charts=_charts(data),
        looks=_looks(data),
        chart_says=_chart_says(data),
        level=_level(data),
        cards=[_card(data, row) for row in _ordered(data.results["held_out"])],
        samples=[_sample(sample) for sample in data.samples],
        tiles=[_tile(s) for s in data.scored],
        scored_text="".join(s.character for s in data.scored),
        scored_bits=_mean([s.bits for s in data.scored]),
        shades=range(SHADES),
        darkest=DARKEST,
        decoding=_decoding(data.decoding),
        command=_command(data),
    )


def _shape(data: ReportData) -> str:
    """What the model is, in a few words."""
    config = data.results["config"]
    both = "bidirectional " if config["bidirectional"] else ""
    layers = "1 layer" if config["layers"] == 1 else f"{config['layers']} layers"
    return f"{both}{config['cell'].upper()}, {layers} of hidden size {config['hidden']:,}"


def _split(data: ReportData) -> str:
    settings = data.results["settings"]
    said = SPLIT[data.results["data"]["split"]].format(seed=settings["seed"])
    limit = settings.get("limit")
    return f"{said}; only its first {limit:,} characters were read" if limit else said


def _decoding(decoding: DecodingConfig) -> str:
    """How samples were drawn, in a few words."""
    if decoding.greedy:
        return "always the most probable character"
    parts = [f"at temperature {decoding.temperature:g}"]
    parts += [f"of the {decoding.top_k:,} most probable"] if decoding.top_k else []
    parts += [f"of the first {words.percent(decoding.top_p)}"] if decoding.top_p else []
    return ", ".join(parts)


def _ordered(rows: Sequence[Row]) -> list[Row]:
    """What was held out comes first: it is what the numbers are about."""
    order = {"test": 0, "validation": 1}
    return sorted(rows, key=lambda row: order.get(row["split"], 2))


@dataclass(frozen=True)
class _Figure:
    """One of the numbers at the top: its exact value, as shown, and what it is."""

    value: float
    shown: str
    what: str


def _figures(data: ReportData) -> list[_Figure]:
    rows = _ordered(data.results["held_out"])
    if not rows:
        return []
    row = rows[0]
    split = row["split"]
    if data.leaks:
        nats = row["leaked_loss"]
        return [_Figure(nats, f"{nats:.4f}", f"nats of leaked loss on {split}")]
    if data.cloze:
        accuracy, pseudo = row["accuracy"], row["pseudo_perplexity"]
        return [
            _Figure(accuracy, words.percent(accuracy), f"of the gaps in {split} restored"),
            _Figure(pseudo, words.number(pseudo), f"pseudo-perplexity on {split}"),
        ]
    figures = [
        _Figure(row["perplexity"], words.number(row["perplexity"]), f"perplexity on {split}"),
        _Figure(
            row["bits_per_character"],
            words.bits(row["bits_per_character"]),
            f"bits per character on {split}",
        ),
    ]
    if best := _best_ngram(data.baselines.get(split, ())):
        bits = best["bits_per_character"]
        what = f"bits per character of the best n-gram there ({best['model']})"
        figures.append(_Figure(bits, words.bits(bits), what))
    if rows[-1]["split"] == "train" and len(rows) > 1:
        value = rows[-1]["perplexity"]
        what = "perplexity on the training text, which it may know by heart"
        figures.append(_Figure(value, words.number(value), what))
    return figures


def _best_ngram(rows: Sequence[Row]) -> Row | None:
    ngrams = [row for row in rows if str(row["model"]).endswith("-gram")]
    return min(ngrams, key=lambda row: float(row["bits_per_character"]), default=None)


def _looks(data: ReportData) -> list[Point]:
    """Step and loss of every look at held-out text."""
    return [(e["step"], e["held_out"]["loss"]) for e in data.events if e.get("held_out")]


def _charts(data: ReportData) -> list[tuple[str, str]]:
    """The curves for a desk and for a phone, with the class that says which."""
    events = data.events
    looks = _looks(data)
    best = [look for look in looks if look[0] == data.results["training"]["best_step"]]
    curves = [
        Curve("training", [(e["step"], e["loss"]) for e in events]),
        Curve("held-out", looks, dots=True),
        Curve("held-out best", best, dots=True),
    ]
    times = [(float(e["step"]), float(e["seconds"])) for e in events]
    level = _level(data)
    axes = Axes(
        x="steps, time",
        y="nats a target",
        beside="" if data.leaks else "pseudo-perplexity" if data.cloze else "perplexity",
        x_label=lambda x: [f"{x:,.0f}", words.duration(_between(times, x)) if x else "0"],
        beside_label=lambda y: words.number(math.exp(min(y, 700))),
    )
    title = "Loss on the training text and on held-out text against the steps of the training"
    levels = [level] if level else []
    drawn = [
        (name, chart(curves, levels, axes=axes, title=title, width=width, height=height))
        for name, (width, height) in {"wide": WIDE, "narrow": NARROW}.items()
    ]
    return [(name, svg) for name, svg in drawn if svg]


def _chart_says(data: ReportData) -> str:
    """Where the held-out curve was lowest, and that it is an estimate."""
    training = data.results["training"]
    spent = f"{training['step']:,} of {training['steps']:,} steps, "
    spent += f"{words.duration(training['seconds'])} of training alone"
    best = training["best_step"]
    return f"{spent}. The model is that of step {best:,}, the best look." if best else f"{spent}."


def _level(data: ReportData) -> Level | None:
    """The best n-gram on the text that the curve of looks is measured on, in nats a target."""
    best = _best_ngram(data.baselines.get("validation", ()))
    if best is None or data.leaks or data.cloze:
        return None
    return Level(f"best n-gram ({best['model']})", math.log(best["perplexity"]))


def _between(points: Sequence[Point], x: float) -> float:
    """The y at an x of a line through points that begins at the origin."""
    before = (0.0, 0.0)
    for point in points:
        if point[0] >= x:
            width = point[0] - before[0] or 1.0
            return before[1] + (point[1] - before[1]) * (x - before[0]) / width
        before = point
    return before[1]


@dataclass(frozen=True)
class _Card:
    """A split's numbers: its own row, all models by their bits, and each one's bar in per cent."""

    row: Row
    what: str
    models: Sequence[tuple[Row, float]]


def _card(data: ReportData, row: Row) -> _Card:
    split = row["split"]
    what = HELD_OUT.get(split, "the text that was trained on: memory counts here")
    if row.get("sample"):
        what += "; the model's figures are of a sample"
    if data.leaks or data.cloze:
        return _Card(row, what, [])
    rows = [{"model": "model"} | dict(row), *data.baselines.get(split, ())]
    rows.sort(key=lambda r: float(r["bits_per_character"]))
    most = max((b for r in rows if math.isfinite(b := r["bits_per_character"])), default=1.0)
    return _Card(row, what, [(r, min(100.0, 100 * r["bits_per_character"] / most)) for r in rows])


@dataclass(frozen=True)
class _Sample:
    """A sample as it is shown: pieces with the number of their span, and the spans."""

    pieces: Sequence[tuple[str, int]]
    novelty: Novelty | None
    spans: Sequence[Span]

    @property
    def text(self) -> str:
        """All pieces."""
        return "".join(text for text, _ in self.pieces)


def _sample(sample: Sample) -> _Sample:
    """A sample whose longest spans are numbered in their order; the rest are marked alone."""
    spans = [span for _, span in sample.pieces if span]
    longest = sorted(spans, key=lambda span: (-span.length, span.start))[:SHOWN_SPANS]
    told = sorted(longest, key=lambda span: span.start)
    shown, left = [], SHOWN_SAMPLE
    for text, span in sample.pieces:
        number = 0 if span is None else told.index(span) + 1 if span in told else -1
        if left > 0:
            shown.append((words.cut(text, left), number))
        left -= len(text)
    return _Sample(shown, sample.novelty, told)


@dataclass(frozen=True)
class _Tile:
    """A character of the heat-map: its shade, what is seen, and what a pointer on it is told.

    sign: what is seen stands for a line's or the text's end.
    """

    shade: int
    seen: str
    told: str
    sign: bool


def _tile(surprisal: ScoredCharacter) -> _Tile:
    bits, character = surprisal.bits, surprisal.character
    shade = int(SHADES * max(0.0, min(bits, DARKEST)) / DARKEST) if bits == bits else 0
    told = f"{words.mark(character)}  {words.number(bits)} bits"
    if surprisal.alternatives:
        preferred = (f"{words.mark(c)} {words.percent(p)}" for c, p in surprisal.alternatives)
        told += f"; preferred: {', '.join(preferred)}"
    sign = character in ("", "\n")
    seen = words.mark(character) if sign else words.visible(character)
    return _Tile(min(shade, SHADES - 1), seen, told, sign)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else math.nan


def _command(data: ReportData) -> str:
    """What trains the same model again, in the folder where the sources are."""
    sources: list[Any] = data.results["data"]["sources"]
    named = [] if sources == [EMBEDDED] else [shlex.quote(source) for source in sources]
    return words.cut(
        " ".join(["rondeau train", *named, "--config train_config.toml"]), SHOWN_SENTENCE
    )
