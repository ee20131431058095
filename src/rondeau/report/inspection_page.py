"""The page of an inspection: what its numbers say, in sentences, pictures and tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from markupsafe import Markup

from rondeau.errors import RunError
from rondeau.inspection.gates import KEEPS
from rondeau.inspection.inspect import Inspection, Layer, Shown
from rondeau.inspection.units import OPEN
from rondeau.language_model import LanguageModel
from rondeau.report import inspection_pictures as pictures
from rondeau.report import words
from rondeau.report.illustrated import Page, Section, Table, write_page
from rondeau.report.inspection_gradients import gradient_sections, reach_title
from rondeau.report.inspection_held import (
    ablation_section,
    context_section,
    context_title,
    cost_title,
)
from rondeau.report.templates import render
from rondeau.run.results import read_results

NAME = "inspection"
READABLE = 6
"""Readable units that are shown on a text."""
DEEPEST = 5
"""Shades on each side of a unit's mean."""
SHADES = [
    *(f"below{n}" for n in range(DEEPEST, 0, -1)),
    "mean",
    *(f"above{n}" for n in range(1, DEEPEST + 1)),
]
STYLE = "\n".join(
    [
        ".unit { columns: 15rem; column-gap: 2rem; }",
        ".unit span { padding: 0.15em 0; }",
        *(
            f".{side}{n} {{ background: rgba({colour}, {0.15 * n:.2f}); }}"
            for side, colour in {"below": "0, 114, 178", "above": "230, 130, 0"}.items()
            for n in range(1, DEEPEST + 1)
        ),
    ]
)


def write_inspection(
    model: LanguageModel, found: Inspection, *, out: Path | None = None
) -> list[Path]:
    """Write the page and its pictures into a folder (default: `inspection` in the run).

    Returns their paths, the page first. Raises OptionError where they can't be written, RunError
    where the run's own folder leads out of the run.
    """
    folder = out or model.run.place(NAME)
    if out is None and folder.is_file():
        raise RunError(f"{folder}: is a file; name a folder with --out")
    seq_len = read_results(model.run)["settings"].get("seq_len")
    return write_page(
        page(found, name=model.run.path.resolve().name, seq_len=seq_len), folder, NAME
    )


def page(found: Inspection, *, name: str, seq_len: int | None = None) -> Page:
    """The whole page; seq_len: the window of the training, where it is known."""
    sections = []
    if found.gradients:
        sections += gradient_sections(found.gradients, seq_len=seq_len)
    sections += [*_gates(found), _time_constants(found)]
    if found.gates:
        sections.append(_saturation(found))
    sections.append(_readable(found))
    if found.ablation:
        sections.append(ablation_section(found, found.ablation))
    if found.context:
        sections.append(context_section(found, found.context))
    else:
        sections.append(Section("What holding a gate costs", [BOTH_SIDES]))
    return Page(
        kind="what happens inside",
        name=name,
        about=_about(found),
        message=_message(found),
        sections=sections,
        style=STYLE,
    )


BOTH_SIDES = (
    "A model that reads in both directions has no bits a character, so that neither a held gate "
    "nor a shorter context is measured. Train one without --bidirectional on the same text."
)


def _about(found: Inspection) -> str:
    config = found.config
    cell = {"rnn": "plain RNN", "gru": "GRU", "lstm": "LSTM"}[config.cell]
    shape = f"{cell}, {config.layers} × {config.hidden} units"
    if config.bidirectional:
        shape += ", in both directions"
    return f"{shape}, while it reads {found.characters:,} characters ({found.source})"


def _message(found: Inspection) -> list[str]:
    """What the page comes to, in a few sentences."""
    said = [reach_title(found.gradients)] if found.gradients else []
    said.append(_held_times(found))
    if found.ablation:
        said.append(cost_title(found, found.ablation))
    if found.context:
        said.append(context_title(found.context))
    return said


def _duration(characters: float, most: int) -> str:
    """A time constant in words; what is longer than the text can't be measured on it."""
    if characters > most:
        return "more characters than the text has"
    return (
        f"{words.characters(characters)} characters" if characters >= 1 else "less than a character"
    )


def _held_times(found: Inspection) -> str:
    slow = [(float(np.quantile(layer.time_constants, 0.9)), layer) for layer in found.layers]
    parts = [f"{_duration(time, found.characters)} in {layer.name}" for time, layer in slow]
    slowest = max(float(layer.time_constants.max()) for layer in found.layers)
    return (
        f"Nine units in ten forget within {words.listed(parts)}; "
        f"the slowest remembers for {_duration(slowest, found.characters)}"
    )


def _gates(found: Inspection) -> list[Section]:
    if not found.gates:
        stuck = np.mean([np.abs(layer.passage.state) > OPEN for layer in found.layers])
        title = f"The units are at {OPEN} or beyond {words.percent(float(stuck))} of the time"
        picture = pictures.state_over_text(found, title)
        said = "A plain RNN has no gates: its state is written anew at every character."
        return [Section("The state, character by character", [said], picture=picture)]
    sections = []
    keeps = KEEPS[found.config.cell]
    for gate, name in found.gates.items():
        share = float(np.mean([layer.mean[gate].mean() for layer in found.layers]))
        title = f"The {name} gate {gate} is {words.percent(share)} open on average"
        said = DOES[gate]
        if gate == keeps:
            title = f"The {name} gate keeps {words.percent(share)} of the state at a character"
        picture = pictures.gate_over_text(found, gate, name, title)
        sections.append(
            Section(f"The {name} gate, character by character", [said], picture=picture)
        )
    return sections


DOES = {
    "r": "The reset gate r decides how much of the state the candidate gets to see.",
    "z": (
        "The update gate z is the share of the state that is kept: h' = (1 − z) n + z h. A row "
        "that stays light is a unit that remembers; a dark column is a character at which units "
        "are overwritten."
    ),
    "i": "The input gate i decides how much of the candidate is written into the cell.",
    "f": (
        "The forget gate f is the share of the cell that is kept: c' = f c + i g. A row that stays "
        "light is a unit that remembers; a dark column is a character at which units forget."
    ),
    "o": "The output gate o decides how much of the cell is shown to the other units.",
}


def _time_constants(found: Inspection) -> Section:
    if found.gates:
        gate = KEEPS[found.config.cell]
        how = (
            f"τ = −1 / ln(mean {gate}): along the gate alone, about exp(−T/τ) of what a unit held "
            f"is left after T characters. What it writes back through its candidate isn't counted."
        )
    else:
        how = (
            "τ is the first lag at which the autocorrelation of the unit falls below 1/e. It "
            "counts what the text itself repeats as well as what the unit remembers."
        )
    rows = []
    for layer in found.layers:
        slow, fast = layer.order[:3], layer.order[-3:][::-1]
        quantiles = np.quantile(layer.time_constants, (0.5, 0.9, 1.0))
        rows.append(
            [
                layer.name,
                *(words.characters(float(q)) for q in quantiles),
                ", ".join(map(str, slow)),
                ", ".join(map(str, fast)),
            ]
        )
    headings = ["", "median τ", "slowest tenth from", "slowest", "slowest units", "fastest units"]
    title = _held_times(found)
    return Section(
        "How long units remember",
        [how],
        picture=pictures.time_constants(found, title),
        table=Table(headings, rows),
    )


def _saturation(found: Inspection) -> Section:
    said = (
        "A gate that is below 0.1 or above 0.9 works as a switch, in between it mixes (left- and "
        "right-saturated in Karpathy et al. 2015)."
    )
    rows = [
        [
            f"{name} gate, {layer.name}",
            words.number(float(layer.mean[gate].mean())),
            words.percent(float(layer.shut[gate].mean())),
            words.percent(float(layer.open[gate].mean())),
        ]
        for gate, name in found.gates.items()
        for layer in found.layers
    ]
    gate = KEEPS[found.config.cell]
    shut, opened = (
        float(np.mean([shares[gate].mean() for shares in sides]))
        for sides in ([la.shut for la in found.layers], [la.open for la in found.layers])
    )
    title = (
        f"The {found.gates[gate]} gate is shut {words.percent(shut)} of the time and "
        f"open {words.percent(opened)}"
    )
    return Section(
        "Switches and mixers",
        [said],
        picture=pictures.saturation(found, title),
        table=Table(["", "mean", "below 0.1", "above 0.9"], rows),
    )


def _readable(found: Inspection) -> Section:
    """The units that track something, the clearest of each fact, those that need memory first."""
    best: dict[str, tuple[Layer, Shown]] = {}
    for layer in found.layers:
        for shown in layer.readable:
            fact = shown.tracked.feature
            if fact not in best or abs(shown.tracked.r) > abs(best[fact][1].tracked.r):
                best[fact] = layer, shown
    title = "Units that track something readable"
    if not best:
        nothing = "No unit tracks one of the facts tried more closely than chance explains."
        return Section(title, [nothing])
    said = [
        "Every unit is set beside simple facts about the text on its first half. One is listed "
        "only where no unit follows the same fact, shifted around the text, as closely "
        f"({found.shifts} shifts; by chance {words.number(found.chance)} would still be listed in "
        "all layers), and where the second half confirms it, which had no part in the choice: its "
        "correlation is r.",
        "A fact that lies before the character has to be remembered, one that lies after it to be "
        "foreseen; one that lies in the character itself can be read off.",
    ]
    order = sorted(best.values(), key=_interest)
    rows = [
        [
            shown.tracked.feature,
            WHERE[shown.tracked.where],
            f"{layer.name}, unit {shown.tracked.unit}",
            words.characters(layer.time_constants[shown.tracked.unit]),
            f"{shown.tracked.r:+.2f}",
            f"{shown.tracked.noise:.2f}",
        ]
        for layer, shown in order
    ]
    headings = ["fact", "lies", "unit", "τ", "r", "by chance"]
    shown_first = order[:READABLE]
    _, first = shown_first[0]
    message = f"One unit tracks “{first.tracked.feature}”, r = {first.tracked.r:+.2f}"
    return Section(
        title,
        said,
        html=_shaded(shown_first),
        picture=pictures.readable(found, shown_first, message),
        table=Table(headings, rows),
    )


WHERE = {"before": "before it", "after": "after it", "here": "in the character"}


def _interest(entry: tuple[Layer, Shown]) -> tuple[bool, float]:
    """What has to be remembered or foreseen comes first, then what is clearest."""
    one = entry[1].tracked
    return one.where == "here", -abs(one.r)


def _shaded(units: Sequence[tuple[Layer, Shown]]) -> Markup:
    shown = [
        {
            "fact": unit.tracked.feature,
            "which": f"{layer.name}, unit {unit.tracked.unit}, r = {unit.tracked.r:+.2f}",
            "language": words.language(unit.text),
            "tiles": [
                (_seen(character), SHADES[_shade(float(value))])
                for character, value in zip(unit.text, unit.activity, strict=True)
            ],
        }
        for layer, unit in units
    ]
    return Markup(render("inspected.html.j2", units=shown, shades=SHADES))


def _seen(character: str) -> str:
    return "↵\n" if character == "\n" else words.visible(character)


def _shade(deviations: float) -> int:
    """The place of a value among the shades, the last one at two standard deviations."""
    return DEEPEST + max(-DEEPEST, min(DEEPEST, round(deviations / 2 * DEEPEST)))
