"""A memory task as a page: a picture, a table and words. It learns nothing."""

from __future__ import annotations

from rondeau.report.illustrated import Page, Picture, Section, Table
from rondeau.report.pictures import as_png, figure
from rondeau.studies.memory import ADDED, CRITERIA, RECALLED, MemoryStudy, Task
from rondeau.studies.variants import VARIANTS

TITLES: dict[Task, str] = {
    "copy": "Copying after a delay",
    "recall": "Recalling one symbol",
    "add": "Adding two marked numbers",
}
TASKS: dict[Task, str] = {
    "copy": "Four symbols out of eight are shown, then blanks; after a mark they are to be said in "
    "order, each so many steps (the lag) after it was shown.",
    "recall": "One symbol out of eight is shown, then others of another kind, which don't matter; "
    "so many steps (the lag) after it a mark asks for it.",
    "add": "So many numbers between 0 and 1 (the lag) are shown, one marked in each half; at the "
    "last the sum of those two is to be said.",
}
MARKERS = "osD^vP"


def page(study: MemoryStudy) -> Page:
    """The whole task."""
    config = study.config
    headings, rows = table(study)
    return Page(
        kind="memory task",
        name=TITLES[study.task],
        about=f"one layer of {config.hidden}, at most {config.steps:,} steps a lag of "
        f"{config.batch} fresh sequences, Adam at {config.lr:g}, seed {config.seed}",
        message=study.sentences,
        figures=[(lag_shown(study, c), f"longest lag, {VARIANTS[c].title}") for c in study.cells],
        sections=[
            Section(
                "How well each cell remembers",
                [
                    TASKS[study.task],
                    f"A lag is learned when {CRITERIA[study.task]}. Every cell has the same budget "
                    "and the same sequences. Its longest lag is the last before its first failure; "
                    "after two failures in a row longer ones are left out.",
                ],
                picture=Picture(
                    f"memory-{study.task}",
                    picture(study),
                    "Fresh sequences after learning, against the lag; the dotted line is where a "
                    "lag counts as learned.",
                ),
                table=Table(headings, rows),
            )
        ],
    )


def lag_shown(study: MemoryStudy, cell: str) -> str:
    """The longest lag of a cell as a number stands alone."""
    lag = study.longest(cell)
    if lag == study.config.lags[-1]:
        return f"≥ {lag}"
    return str(lag) if lag else "–"


def table(study: MemoryStudy) -> tuple[list[str], list[list[str]]]:
    """Headings and rows: a cell a row, its longest lag, then how well it does at each lag."""
    lags = sorted({trial.lag for trial in study.trials})
    found = {(trial.cell, trial.lag): trial for trial in study.trials}
    rows = []
    for cell in study.cells:
        row = [VARIANTS[cell].title, lag_shown(study, cell)]
        for lag in lags:
            trial = found.get((cell, lag))
            row.append("" if trial is None else score_shown(study.task, trial.score))
        rows.append(row)
    return ["cell", "longest lag learned", *(f"lag {lag}" for lag in lags)], rows


def score_shown(task: Task, score: float) -> str:
    """A share of symbols in per cent, or a squared error."""
    return f"{score:.4f}" if task == "add" else f"{score:.1%}"


def picture(study: MemoryStudy) -> bytes:
    """The scores against the lag, a line a cell."""
    adding = study.task == "add"
    with figure(8, 4.4) as drawn:
        axes = drawn.subplots()
        for number, cell in enumerate(study.cells):
            trials = [trial for trial in study.trials if trial.cell == cell]
            axes.plot(
                [trial.lag for trial in trials],
                [trial.score for trial in trials],
                marker=MARKERS[number % len(MARKERS)],
                color=VARIANTS[cell].colour,
                linewidth=2,
                markersize=6,
                label=VARIANTS[cell].title,
            )
        axes.axhline(ADDED if adding else RECALLED, color="#555555", linewidth=1, linestyle=":")
        axes.set_xscale("log")
        lags = sorted({trial.lag for trial in study.trials})
        axes.set_xticks(lags, [str(lag) for lag in lags])
        axes.minorticks_off()
        axes.set_xlabel("lag, steps")
        if adding:
            axes.set_yscale("log")
            axes.set_ylabel("mean squared error of the sum")
        else:
            axes.set_ylim(0, 1.05)
            axes.set_ylabel("share of symbols recalled")
        drawn.legend(loc="outside upper center", ncols=3)
        return as_png(drawn)
