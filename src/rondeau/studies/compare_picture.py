"""The curves of several runs in one picture: held-out loss against steps, seconds and tokens."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rondeau.studies.compare import ComparedRun

AXES = ("steps", "seconds of training", "characters read")


def draw_curves(runs: Sequence[ComparedRun], out: Path) -> None:
    """Write the picture; its format is the ending of its name."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 4.2), dpi=110, layout="constrained")
    panels = figure.subplots(1, len(AXES), sharey=True)
    for i, (axes, name) in enumerate(zip(panels, AXES, strict=True)):
        for run in runs:
            if run.looks:
                losses = [look[-1] for look in run.looks]
                axes.plot([look[i] for look in run.looks], losses, marker=".", label=run.name)
        axes.set_xlabel(name)
        axes.locator_params(axis="x", nbins=5)
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("held-out loss while training, nats")
    if any(run.looks for run in runs):
        panels[-1].legend(frameon=False)
    figure.savefig(out)
