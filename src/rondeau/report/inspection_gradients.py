"""What an inspection says of gradients, in sections: reach, one step, truncation."""

from __future__ import annotations

import numpy as np

from rondeau.inspection.gradients import Gradients
from rondeau.inspection.reach import ReachCurve
from rondeau.report import words
from rondeau.report.illustrated import Picture, Section, Table
from rondeau.report.pictures import COLOURS, as_png, figure, set_title

SHARE = 0.01
"""The share below which a gradient counts as vanished."""
FLOOR = 1e-6
"""The smallest share that the picture shows."""
STYLES = ("-", "--", ":", "-.")


def gradient_sections(gradients: Gradients, *, seq_len: int | None) -> list[Section]:
    """The sections; seq_len: the window of the training, where it is known."""
    return [_reach(gradients), _step(gradients), _truncation(gradients, seq_len)]


def reach_title(gradients: Gradients) -> str:
    """How far the gradient comes, in a sentence."""
    reach = gradients.reach
    vanished = reach.vanishing(SHARE)
    if reach.explodes():
        return "The gradient explodes on its way back: somewhere it is over ten times what it was"
    if vanished is None:
        return f"Of a loss, over 1 % still reaches the states {reach.horizon} characters before"
    return f"Of a loss, less than 1 % reaches states {vanished} or more characters before"


def _name(curve: ReachCurve) -> str:
    backwards = ", backwards" if curve.direction == "backward" else ""
    return f"layer {curve.layer}{backwards}, {curve.state}"


def _reach(gradients: Gradients) -> Section:
    reach = gradients.reach
    title = reach_title(gradients)
    rows = []
    for curve in reach.curves:
        far = [_shown(curve.vanishing(share), reach.horizon) for share in (0.1, SHARE)]
        rows.append([_name(curve), *far, words.number(float(curve.shares.max()))])
    said = (
        "A network learns that a character depends on one k characters before only if the gradient "
        "of its loss comes back that far. Shown is the size of that gradient at the states k "
        f"characters before, as a share of its size at the loss: the mean over "
        f"{len(reach.positions)} positions, each by exact back-propagation. A backward layer "
        "counts k in its own direction, towards later characters."
    )
    with figure(8, 4.4) as drawn:
        axes = drawn.subplots()
        for number, curve in enumerate(reach.curves):
            colour = COLOURS[number % len(COLOURS)]
            style = STYLES[number // len(COLOURS) % len(STYLES)]
            axes.plot(np.arange(reach.horizon + 1), curve.shares, style, color=colour, lw=2)
            axes.plot([], [], style, color=colour, lw=2, label=_name(curve))
        axes.axhline(SHARE, color="#555555", lw=1, ls=":")
        axes.set_yscale("log")
        axes.set_ylim(FLOOR, max(2.0, float(axes.get_ylim()[1])))
        axes.set_xlim(0, reach.horizon)
        axes.set_xlabel("k, characters before the loss")
        axes.set_ylabel("gradient, share of that at k = 0")
        axes.legend()
        set_title(drawn, title)
        picture = Picture("gradient-reach", as_png(drawn), f"{title} (the dotted line).")
    headings = ["state", "below 10 % from", "below 1 % from", "largest share"]
    table = Table(headings, rows)
    return Section("How far back a loss is heard", [said], picture=picture, table=table)


def _shown(k: int | None, horizon: int) -> str:
    return f"beyond {horizon}" if k is None else f"{k} characters"


def _step(gradients: Gradients) -> Section:
    rows = []
    for spectrum in gradients.spectra:
        backwards = ", backwards" if spectrum.direction == "backward" else ""
        low, median, high = spectrum.radius_quartiles
        stretch = spectrum.singular_value_quartiles[1]
        radius = f"{words.number(median)} ({words.number(low)} to {words.number(high)})"
        rows.append([f"layer {spectrum.layer}{backwards}", radius, words.number(stretch)])
    said = (
        "Going back one step multiplies the gradient by the recurrent Jacobian, the derivative of "
        "the carry by the carry before. A spectral radius below 1 shrinks what comes through when "
        "the step is repeated, the closer to 1 the slower; above 1 it can grow. The largest "
        "singular value is the most that a single step can stretch a change."
    )
    headings = ["", "spectral radius, median (quartiles)", "largest singular value, median"]
    return Section("What one step does", [said], table=Table(headings, rows))


def _truncation(gradients: Gradients, seq_len: int | None) -> Section:
    cut = gradients.truncated
    enough = next((one.T for one in cut if one.relative_error < 0.1), cut[-1].T)
    title = f"Windows of {enough} steps keep the gradient to within 10 %"
    said = (
        "Training cuts the gradient at the edges of its windows. Shown is by how much the gradient "
        f"of the recurrent weights over {cut[-1].T} steps changes when it is cut after T: the "
        "length of the difference, as a share of the whole gradient's."
    )
    if seq_len is not None:
        said += f" This model was trained with windows of {seq_len}."
    with figure(8, 3.6) as drawn:
        axes = drawn.subplots()
        lengths, errors = [one.T for one in cut], [one.relative_error for one in cut]
        axes.plot(lengths, errors, "o-", color=COLOURS[0])
        axes.axhline(0.1, color="#555555", lw=1, ls=":")
        axes.set_xscale("log", base=2)
        axes.set_xticks(lengths, list(map(str, lengths)))
        axes.set_ylim(bottom=0)
        axes.set_xlabel("T, steps of a window")
        axes.set_ylabel("relative error of the gradient")
        set_title(drawn, title)
        picture = Picture("truncation", as_png(drawn), f"{title} (the dotted line).")
    return Section("What windows throw away", [said], picture=picture)
