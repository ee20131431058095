"""The study of reach as a page: pictures, tables and words. It measures nothing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rondeau.report.illustrated import Page, Picture, Section, Table
from rondeau.report.pictures import as_png, figure
from rondeau.report.words import bits, number
from rondeau.studies.reach import SHARE, Measured, ReachStudy, StudiedCell
from rondeau.studies.variants import VARIANTS

FLOOR = 1e-6
"""The smallest share that the picture shows."""


def page(study: ReachStudy) -> Page:
    """The whole study."""
    return Page(
        kind="study",
        name="How far gradients reach",
        about=study.about,
        message=study.sentences,
        figures=[
            (shown(cell.reach, study.horizon), f"characters, {cell.title}") for cell in study.cells
        ],
        sections=[_reach(study), _jacobians(study), _costs(study)],
    )


def table(study: ReachStudy) -> tuple[list[str], list[list[str]]]:
    """Headings and rows: a cell a row, its costs and what was measured."""
    split = study.cells[0].cost.split
    headings = [
        *("cell", "parameters", "steps", f"perplexity ({split})", "bits/char"),
        *("reach, untrained", "reach, trained", "radius, untrained", "radius, trained"),
    ]
    rows = [
        [
            cell.title,
            f"{cell.parameters:,}",
            f"{cell.steps:,}",
            number(cell.cost.perplexity),
            bits(cell.cost.bits_per_character),
            shown(cell.untrained.reach.vanishing(SHARE), study.horizon),
            shown(cell.reach, study.horizon),
            number(cell.untrained.radius),
            number(cell.trained.radius),
        ]
        for cell in study.cells
    ]
    return headings, rows


def shown(reach: int | None, horizon: int) -> str:
    """A reach as a number stands in a table."""
    return f"> {horizon}" if reach is None else str(reach)


def _reach(study: ReachStudy) -> Section:
    states = [
        [
            cell.title,
            shown(cell.untrained.reach.vanishing(SHARE), study.horizon),
            shown(cell.reach, study.horizon),
            _state(cell),
        ]
        for cell in study.cells
    ]
    return Section(
        "How far back a loss is heard",
        [
            "A network learns that a character depends on one k characters before only if the "
            "gradient of its loss comes back that far. Shown is the size of that gradient at the "
            "state k characters before, as a share of its size at the loss itself: the mean over "
            f"{len(study.cells[0].trained.reach.positions)} positions of the held-out text, each "
            "by exact back-propagation. Of several states (layers, an LSTM's h and c) it is the "
            "one that lasts longest.",
        ],
        picture=Picture(
            "reach",
            _reach_picture(study),
            f"Gradient against distance. Where a line crosses {SHARE:.0%}, the dotted line, its "
            "gradient has practically vanished.",
        ),
        table=Table(["cell", "reach, untrained", "reach, trained", "longest in"], states),
    )


def _state(cell: StudiedCell) -> str:
    longest = cell.trained.reach.longest
    return f"{longest.state} of layer {longest.layer}"


def _jacobians(study: ReachStudy) -> Section:
    return Section(
        "What one step does",
        [
            "Going back one step multiplies the gradient by the recurrent Jacobian of the cell, "
            "the derivative of the carry by the carry before. If its largest eigenvalue, the "
            "spectral radius, is below 1, such steps in a row shrink what comes through; the "
            "closer to 1, the slower. Dots are medians over positions of the held-out text, bars "
            "reach from the lower to the upper quartile; of several layers it is the one with the "
            "largest median.",
        ],
        picture=Picture(
            "jacobians",
            _jacobian_picture(study.cells),
            "Spectral radius of the recurrent Jacobian, before training (hollow) and after (full). "
            "At the dotted line, 1, steps in a row would neither shrink nor amplify.",
        ),
    )


def _costs(study: ReachStudy) -> Section:
    headings, rows = table(study)
    kept = [0, 1, 2, 3, 4, 7, 8]
    best = min(range(len(rows)), key=lambda i: study.cells[i].cost.bits)
    return Section(
        "What it is worth",
        [
            "Held-out cost of the same models, each after the step that was best on the "
            "validation split. A longer reach is a chance to learn long dependencies, and no more "
            "than that: a short text may have few that can be learned.",
        ],
        table=Table(
            [headings[i] for i in kept],
            [[row[i] for i in kept] for row in rows],
            frozenset({best}),
        ),
    )


def _reach_picture(study: ReachStudy) -> bytes:
    with figure(8, 4.6) as picture:
        axes = picture.subplots()
        ks = np.arange(study.horizon + 1)
        for cell in study.cells:
            colour = VARIANTS[cell.name].colour
            before, after = (m.reach.longest.shares for m in (cell.untrained, cell.trained))
            axes.plot(ks, before, "--", color=colour, linewidth=1)
            axes.plot(ks, after, color=colour, linewidth=2.2, label=cell.title)
        axes.plot([], [], "--", color="#555555", linewidth=1, label="before training")
        axes.axhline(SHARE, color="#555555", linewidth=1, linestyle=":")
        axes.set_yscale("log")
        top = max(2.0, axes.get_ylim()[1])
        axes.set_ylim(FLOOR, top)
        axes.set_xlim(0, study.horizon)
        axes.set_xlabel("k, characters before the loss")
        axes.set_ylabel("gradient, share of that at k = 0")
        axes.legend()
        return as_png(picture)


def _jacobian_picture(cells: Sequence[StudiedCell]) -> bytes:
    with figure(8, 0.9 + 0.7 * len(cells)) as picture:
        axes = picture.subplots()
        for row, cell in enumerate(cells):
            colour = VARIANTS[cell.name].colour
            for measured, shift, face in (
                (cell.untrained, -0.14, "white"),
                (cell.trained, 0.14, colour),
            ):
                low, median, high = _quartiles(measured)
                axes.plot([low, high], [row + shift] * 2, color=colour, linewidth=2)
                axes.plot(
                    median, row + shift, "o", color=colour, markerfacecolor=face, markersize=7
                )
        axes.axvline(1, color="#555555", linewidth=1, linestyle=":")
        axes.set_yticks(range(len(cells)), [cell.title for cell in cells])
        axes.set_ylim(len(cells) - 0.5, -0.5)
        axes.set_xlim(left=0)
        axes.set_xlabel("spectral radius of one step")
        return as_png(picture)


def _quartiles(measured: Measured) -> tuple[float, float, float]:
    return max((s.radius_quartiles for s in measured.spectra), key=lambda q: q[1])
