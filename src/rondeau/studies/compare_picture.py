"""The curves of several runs in one picture: held-out loss against steps, seconds and tokens."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

from rondeau.files import write_output
from rondeau.report.pictures import COLOURS, font_families
from rondeau.studies.compare import ELSEWHERE, ComparedRun

AXES = ("steps", "seconds of training", "characters read")
STYLES = ("-", "--", ":")


def draw_curves(runs: Sequence[ComparedRun], out: Path) -> None:
    """Write the picture, in the format that its name ends in; a dot is at each run's best look."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter

    labels = [f"{run.name} (another text)" if run.why == ELSEWHERE else run.name for run in runs]
    families = font_families("".join(labels))
    if families is None:
        labels = [label.encode("ascii", "backslashreplace").decode() for label in labels]
    buffer = io.BytesIO()
    with rc_context({"font.family": families or ["DejaVu Sans"]}):
        figure = Figure(figsize=(13, 4.2), dpi=110, layout="constrained")
        panels = figure.subplots(1, len(AXES), sharey=True)
        for i, (axes, name) in enumerate(zip(panels, AXES, strict=True)):
            for number, (run, label) in enumerate(zip(runs, labels, strict=True)):
                if not run.looks:
                    continue
                places, losses = [look[i] for look in run.looks], [look[-1] for look in run.looks]
                colour = COLOURS[number % len(COLOURS)]
                style = STYLES[number // len(COLOURS) % len(STYLES)]
                axes.plot(places, losses, style, color=colour, label=label)
                lowest = losses.index(min(losses))
                axes.plot(places[lowest], losses[lowest], "o", color=colour, markersize=6)
            axes.set_xlim(left=0)
            axes.set_xlabel(name)
            axes.locator_params(axis="x", nbins=5)
            axes.grid(alpha=0.25)
            axes.spines[["top", "right"]].set_visible(False)
        panels[-1].xaxis.set_major_formatter(EngFormatter(sep=""))
        panels[0].set_ylabel("held-out loss while training, nats a target")
        if any(run.looks for run in runs):
            panels[-1].legend(frameon=False)
        figure.savefig(buffer, format=out.suffix[1:])
    write_output(out, buffer.getvalue())
