"""The pictures of an inspection: one message each, which its title says. Facts in, PNGs out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rondeau.inspection.context import Context
from rondeau.inspection.inspect import Inspection, Layer, Shown
from rondeau.report import words
from rondeau.report.illustrated import Picture
from rondeau.report.pictures import COLOURS, as_png, diverging, figure, set_title, undrawable

WIDTH = 10.0
GATE_COLOURS = {"r": COLOURS[2], "z": COLOURS[0], "i": COLOURS[4], "f": COLOURS[0], "o": COLOURS[2]}
UNDRAWN = "□"
"""Stands for a character that no font here has."""
SHARES = "cividis"
"""The scale of shares from 0 to 1, which colour-blind readers can tell apart too."""


def gate_over_text(found: Inspection, gate: str, name: str, title: str) -> Picture:
    """Every unit of a gate under every character of the passage, a panel a layer."""
    columns = [layer.passage.gates[gate] for layer in found.layers]
    label = f"{gate}: 0 shut, 1 open"
    return _over_text(found, columns, f"gate-{name}", title, label, (SHARES, 0, 1))


def state_over_text(found: Inspection, title: str) -> Picture:
    """The same of the state of a cell without gates."""
    columns = [layer.passage.state for layer in found.layers]
    most = max(1.0, *(float(np.abs(column).max()) for column in columns))
    return _over_text(found, columns, "state", title, "h", (diverging(), -most, most))


def _over_text(
    found: Inspection,
    columns: Sequence[Any],
    name: str,
    title: str,
    label: str,
    scale: tuple[Any, float, float],
) -> Picture:
    colours, low, high = scale
    with figure(WIDTH + 1.5, 0.8 + 2.7 * len(columns), text=found.passage) as drawn:
        panels = drawn.subplots(len(columns), 1, squeeze=False)[:, 0]
        for axes, layer, values in zip(panels, found.layers, columns, strict=True):
            shown = axes.imshow(
                values[:, layer.order].T,
                aspect="auto",
                cmap=colours,
                vmin=low,
                vmax=high,
                interpolation="nearest",
            )
            _characters(axes, found.passage)
            _time_ticks(axes, layer)
            axes.set_title(layer.name)
        drawn.colorbar(shown, ax=list(panels), label=label, fraction=0.025, pad=0.01)
        set_title(drawn, title)
        return Picture(name, as_png(drawn), f"{title}. Rows are units, the slowest on top.")


def _characters(axes: Any, text: str) -> None:
    marks = [words.mark(character) for character in text]
    missing = undrawable("".join(marks))
    shown = [UNDRAWN if mark in missing else mark for mark in marks]
    axes.set_xticks(range(len(text)), shown, fontsize=9)
    axes.tick_params(axis="x", length=0)
    axes.grid(visible=False)


def _time_ticks(axes: Any, layer: Layer) -> None:
    """A few units on the vertical axis, by their time constants."""
    order = layer.order
    rows = np.unique(np.linspace(0, len(order) - 1, min(5, len(order))).round().astype(int))
    axes.set_yticks(rows, [words.characters(layer.time_constants[order[row]]) for row in rows])
    axes.set_ylabel("unit, by τ in characters")


def time_constants(found: Inspection, title: str) -> Picture:
    """The time constants of all units, sorted, a curve a layer."""
    with figure(WIDTH * 0.7, 3.6) as drawn:
        axes = drawn.subplots()
        for number, layer in enumerate(found.layers):
            times = np.maximum(layer.time_constants[layer.order], 1e-2)
            share = 100 * (np.arange(len(times)) + 0.5) / len(times)
            style = "--" if layer.passage.direction else "-"
            axes.plot(share, times, style, color=COLOURS[number % 6], label=layer.name, lw=2)
        axes.set_yscale("log")
        axes.set_xlabel("share of the units, the slowest first, %")
        axes.set_ylabel("time constant τ, characters")
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:,g}")
        axes.yaxis.set_minor_formatter(lambda value, _: f"{value:,g}" * (f"{value:e}"[0] in "25"))
        set_title(drawn, title)
        axes.legend()
        return Picture("time-constants", as_png(drawn), f"{title}.")


def saturation(found: Inspection, title: str) -> Picture:
    """Each unit of each gate by how often it is open and how often it is shut."""
    count = len(found.layers)
    across = min(count, 2)
    down = -(-count // across)
    with figure(1.4 + 3.8 * across, 0.8 + 3.8 * down) as drawn:
        panels = drawn.subplots(down, across, squeeze=False, sharex=True, sharey=True).flat
        for axes, layer in zip(panels, found.layers, strict=False):
            for gate, name in found.gates.items():
                axes.scatter(
                    100 * layer.open[gate],
                    100 * layer.shut[gate],
                    s=12,
                    alpha=0.6,
                    linewidths=0,
                    color=GATE_COLOURS[gate],
                    label=f"{name} gate {gate}",
                )
            axes.plot([0, 100], [100, 0], color="#999999", lw=0.8)
            axes.set(xlim=(-3, 103), ylim=(-3, 103), aspect="equal", title=layer.name)
            axes.set_xlabel("above 0.9, % of the characters")
            axes.set_ylabel("below 0.1, % of the characters")
        for axes in list(panels):
            axes.set_visible(False)
        handles, labels = drawn.axes[0].get_legend_handles_labels()
        drawn.legend(handles, labels, loc="outside lower center", ncols=3, markerscale=2)
        set_title(drawn, title)
        says = f"{title}. A dot is a unit; on the line it is never in between."
        return Picture("saturation", as_png(drawn), says)


def readable(found: Inspection, units: Sequence[tuple[Layer, Shown]], title: str) -> Picture:
    """The states of readable units under the characters of the passage, a row a unit."""
    rows = np.stack([layer.passage.state[:, shown.tracked.unit] for layer, shown in units])
    labels = [
        f"{shown.tracked.feature}\n{layer.name}, unit {shown.tracked.unit}"
        for layer, shown in units
    ]
    most = float(np.abs(rows).max()) or 1.0
    with figure(WIDTH + 3, 1.2 + 0.42 * len(rows), text=found.passage) as drawn:
        axes = drawn.subplots()
        shown_rows = axes.imshow(rows, aspect="auto", cmap=diverging(), vmin=-most, vmax=most)
        _characters(axes, found.passage)
        axes.set_yticks(range(len(rows)), labels, fontsize=8)
        drawn.colorbar(shown_rows, ax=axes, label="state", fraction=0.025, pad=0.01)
        set_title(drawn, title)
        return Picture("readable-units", as_png(drawn), f"{title}.")


def ablation(found: Inspection, title: str) -> Picture:
    """What each held gate costs, a bar each."""
    assert found.ablation is not None
    costs = found.ablation.costs
    with figure(WIDTH * 0.75, 1.1 + 0.32 * len(costs)) as drawn:
        axes = drawn.subplots()
        rows = np.arange(len(costs)) + 0.5 * (np.arange(len(costs)) // 3)
        values = np.array([cost.cost for cost in costs])
        errors = np.nan_to_num([cost.error for cost in costs])
        axes.barh(
            rows,
            values,
            xerr=errors,
            color=[GATE_COLOURS[cost.held.gate] for cost in costs],
            error_kw={"lw": 1},
        )
        air = 0.01 * max(values.max(), 1e-9)
        for row, value, error in zip(rows, values, errors, strict=True):
            axes.text(max(value, 0) + error + air, row, f"{value:+.3f}", va="center", fontsize=9)
        names = [f"{found.gates[cost.held.gate]} gate, {cost.held.label}" for cost in costs]
        axes.set_yticks(rows, names)
        axes.invert_yaxis()
        axes.margins(x=0.12)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel("cost of holding it, bits a character")
        set_title(drawn, title)
        return Picture("held-gates", as_png(drawn), f"{title}.")


def context(found: Inspection, curves: Context, title: str) -> Picture:
    """Bits against how many characters may be read, of the model and of each held gate."""
    with figure(WIDTH * 0.75, 4.0) as drawn:
        axes = drawn.subplots()
        for curve in (*curves.held, curves.whole):
            colour = GATE_COLOURS[curve.held.gate] if curve.held else "#000000"
            label = "the model as it is"
            if curve.held:
                label = f"{found.gates[curve.held.gate]} gate at its mean"
            style = "--" if curve.held else "-"
            axes.plot(curves.lengths, curve.mean, style, color=colour, label=label, lw=2)
            low, high = curve.mean - curve.error, curve.mean + curve.error
            if not curve.held:
                axes.fill_between(curves.lengths, low, high, color=colour, alpha=0.12, lw=0)
        axes.set_xscale("log", base=2)
        axes.set_xticks(curves.lengths, [str(length) for length in curves.lengths])
        axes.set_xlabel("characters that may be read before the target")
        axes.set_ylabel("bits a character")
        set_title(drawn, title)
        axes.legend()
        return Picture("context", as_png(drawn), f"{title}. Grey: one standard error.")
