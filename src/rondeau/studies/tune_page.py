"""A search as a page: what was found, what mattered, every trial. It measures nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from rondeau.report.illustrated import Page, Picture, Section, Table
from rondeau.report.pictures import COLOURS, as_png, figure
from rondeau.report.words import duration
from rondeau.studies.importance import Importance
from rondeau.studies.search_space import Choices, Span, spelled
from rondeau.studies.trials import Trial
from rondeau.studies.tune_findings import Findings, value_shown

MOST_ROWS = 200
"""Trials that the page's table shows, the best first."""
ACROSS = 3
"""Settings side by side in the picture."""
PRUNED = "#999999"


def page(found: Findings) -> Page:
    """The whole search."""
    best = found.best
    figures = [(str(len(found.trials)), "trials"), (str(found.count("pruned")), "of them pruned")]
    if best is not None and best.loss is not None:
        shown = f"{math.exp(min(best.loss, 700)):.2f}"
        figures.insert(0, (shown, f"validation {found.measure} of the best"))
    seconds = sum(trial.seconds or 0 for trial in found.trials)
    return Page(
        kind="search",
        name="Which settings suit this text",
        about=f"{', '.join(found.sources)}: {found.config.steps:,} steps a trial, seed "
        f"{found.config.seed}, {duration(seconds)} of training in all",
        message=found.sentences,
        figures=figures,
        sections=[*_mattered(found), *_ways(found), _table(found)],
    )


def table(found: Findings) -> tuple[list[str], list[list[str]]]:
    """Headings and rows: a trial a row, the best first."""
    headings = ["trial", *found.space, "nats", found.measure, "at step", "seconds", ""]
    rows = []
    for trial in found.ranked:
        loss = trial.loss
        rows.append(
            [
                str(trial.number),
                *(value_shown(trial.settings[name]) for name in found.space),
                "" if loss is None else f"{loss:.4f}",
                "" if loss is None else f"{math.exp(min(loss, 700)):,.2f}",
                "" if loss is None else f"{trial.best_step:,}",
                "" if trial.seconds is None else f"{trial.seconds:.0f}",
                "best" if trial is found.best else "" if trial.state == "complete" else trial.state,
            ]
        )
    return headings, rows


def _mattered(found: Findings) -> list[Section]:
    looked = [trial for trial in found.trials if trial.looks]
    if not looked:
        return []
    sections = []
    if found.importance is not None:
        sections.append(
            Section(
                "What mattered",
                [
                    "How differently each setting is spread among the better half of the "
                    "trials and among all (PED-ANOVA). A setting whose bar ends left of the "
                    "dotted line does no better than chance: in 95 of 100 shuffles of the same "
                    "losses among the same trials no setting comes further. Settings are seen one "
                    "by one, and most where the search has looked most.",
                ],
                picture=Picture(
                    "importance",
                    _importance_picture(found.importance),
                    "How much each setting mattered; dotted: what chance makes of the largest.",
                ),
            )
        )
    sections.append(
        Section(
            "Loss against each setting",
            [
                "Each dot is a trial at its lowest held-out loss; the star is the best. A hollow "
                "one was pruned, and may have come lower by its end.",
            ],
            picture=Picture(
                "settings",
                _settings_picture(found, looked),
                "Held-out loss of every trial against each of its settings.",
            ),
        )
    )
    return sections


def _ways(found: Findings) -> list[Section]:
    looked = [trial for trial in found.trials if trial.looks]
    if not looked:
        return []
    return [
        Section(
            "On the way",
            [
                "The held-out loss at each look, on the same text for all trials. One that is "
                "above the median of those that came to their end is pruned.",
            ],
            picture=Picture(
                "looks",
                _looks_picture(found, looked),
                "Held-out loss against steps; grey: pruned or failed, bold: the best.",
            ),
        )
    ]


def _table(found: Findings) -> Section:
    headings, rows = table(found)
    paragraphs = [
        "All were trained with the same text, seed and number of steps, each judged at its lowest "
        "held-out loss. Pruned trials had fewer steps to come down: they aren't to be compared "
        "with the others.",
    ]
    if len(rows) > MOST_ROWS:
        paragraphs.append(f"Shown are {MOST_ROWS} of {len(rows)}; tune.json has all.")
    paragraphs += [f"Trial {t.number}: {t.error}." for t in found.trials if t.error][:MOST_ROWS]
    marked = frozenset({0} if found.best else ())
    return Section("Every trial", paragraphs, table=Table(headings, rows[:MOST_ROWS], marked))


def _importance_picture(importance: Importance) -> bytes:
    names = list(importance.divergence)[::-1]
    with figure(8, 0.9 + 0.4 * len(names)) as drawn:
        axes = drawn.subplots()
        colours = [COLOURS[0] if name in importance.mattered else PRUNED for name in names]
        axes.barh(names, [importance.divergence[name] for name in names], color=colours)
        axes.axvline(importance.chance, color="#555555", linewidth=1, linestyle=":")
        axes.set_xlabel("divergence of the better half of the trials from all")
        axes.grid(axis="y", visible=False)
        return as_png(drawn)


def _settings_picture(found: Findings, trials: Sequence[Trial]) -> bytes:
    names = list(found.space)
    across = min(ACROSS, len(names))
    down = -(-len(names) // across)
    with figure(2.8 * across + 0.8, 2.6 * down) as drawn:
        panels = drawn.subplots(down, across, sharey=True, squeeze=False)
        for i, axes in enumerate(panels.flat):
            if i >= len(names):
                axes.set_visible(False)
                continue
            _draw_setting(axes, found, names[i], trials)
            if i % across == 0:
                axes.set_ylabel("lowest loss, nats a target")
        return as_png(drawn)


def _draw_setting(axes: Any, found: Findings, name: str, trials: Sequence[Trial]) -> None:
    range_ = found.space[name]
    places = {trial.number: _place(range_, trial.settings[name]) for trial in trials}
    for state, face in (("pruned", "none"), ("complete", COLOURS[0])):
        mine = [trial for trial in trials if (trial.state == "complete") == (state == "complete")]
        axes.scatter(
            [places[trial.number] for trial in mine],
            [trial.loss for trial in mine],
            facecolors=face,
            edgecolors=COLOURS[0] if state == "complete" else PRUNED,
            s=26,
        )
    if found.best is not None:
        axes.plot(places[found.best.number], found.best.loss, "*", color=COLOURS[2], markersize=13)
    if isinstance(range_, Choices):
        axes.set_xticks(range(len(range_.values)), [spelled(value) for value in range_.values])
        axes.set_xlim(-0.5, len(range_.values) - 0.5)
    elif range_.log:
        ticks = [range_.low, math.sqrt(range_.low * range_.high), range_.high]
        axes.set_xscale("log")
        axes.set_xticks(ticks, [f"{tick:.2g}" for tick in ticks])
        axes.minorticks_off()
    elif range_.whole:
        axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_xlabel(name)


def _place(range_: Choices | Span, value: Any) -> float:
    return float(range_.values.index(value)) if isinstance(range_, Choices) else float(value)


def _looks_picture(found: Findings, trials: Sequence[Trial]) -> bytes:
    with figure(8, 4.2) as drawn:
        axes = drawn.subplots()
        for trial in trials:
            steps, losses = zip(*trial.looks, strict=True)
            whole = trial.state == "complete"
            colour = COLOURS[1] if whole else PRUNED
            axes.plot(steps, losses, color=colour, linewidth=1.2, marker="o", markersize=2)
        if found.best is not None:
            steps, losses = zip(*found.best.looks, strict=True)
            axes.plot(steps, losses, color=COLOURS[2], linewidth=2.4)
        axes.set_xlim(left=0)
        axes.set_xlabel("steps")
        axes.set_ylabel("held-out loss, nats a target")
        return as_png(drawn)
