"""`rondeau tune`."""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from rich.console import Console
from rich.text import Text

from rondeau.cli.output import note, one_line, print_json, print_table, show, tame
from rondeau.config import TrainConfig
from rondeau.errors import OptionError

if TYPE_CHECKING:
    from rondeau.studies.trials import Trial
    from rondeau.studies.tune import Search
    from rondeau.studies.tune_findings import Findings


def tune(
    *corpus: str,
    search: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    trials: int | None = None,
    workers: int | None = None,
    out: Path | None = None,
    resume: Path | None = None,
    settings: Annotated[TrainConfig, Parameter(name="*")] = TrainConfig(),  # noqa: B008
    json: bool = False,
    quiet: bool = False,
) -> None:
    """Search the settings of a recipe for those that suit a text, and leave a recipe.

    Every trial trains with the same text, seed and number of steps (--steps, default 600) in a
    process of its own, and is judged by the validation split; those that fall behind are pruned.
    The test split is left for `rondeau train CORPUS --config tuned/best.toml`.

    Parameters
    ----------
    corpus
        Files or folders, as for train, but not standard input. Without any: the embedded songs.
    search
        What to vary: lr=0.001..0.02 (a span), hidden=128,256,512 (choices); once a setting. Also
        as a table [search] of the --config file, which this replaces. Without any: the learning
        rate, hidden size, layers and dropout around those of the recipe.
    trials
        How many trials in all (default: 20).
    workers
        How many are trained at a time, with a share of --threads each (default: one a processor,
        at most 4). With one worker the same seed gives the same trials.
    out
        The folder to make (default: tuned).
    resume
        Go on with a search that was interrupted or killed, with its own settings; --trials above
        those it has adds more.
    json
        Print one JSON document.
    quiet
        Show no progress.
    """
    from rondeau.studies import tune as study

    if resume is not None:
        if corpus or search or out is not None or settings != TrainConfig():
            raise OptionError("--resume: a search goes on with its own settings; give no others")
        under_way = study.resume(resume, trials=trials, workers=workers)
    else:
        under_way = study.tune(
            corpus,
            settings,
            search=search,
            trials=20 if trials is None else trials,
            workers=workers,
            out=out or "tuned",
        )
    try:
        run_search(under_way, quiet=quiet)
        found = under_way.finish()
    except KeyboardInterrupt:
        say_how_to_go_on(under_way)
        raise
    pages = write_pages(found)
    if json:
        print_json(found.as_dict())
        return
    report_search(found, pages)


def run_search(search: Search, *, quiet: bool) -> None:
    """Iterate a search with its progress shown: a line a trial, and on a terminal what goes on."""
    console = Console(stderr=True, highlight=False, markup=False, emoji=False, quiet=quiet)
    for sentence in () if quiet else search.notes:
        note(sentence)
    best: float | None = None
    under_way: dict[int, Trial] = {}
    with closing(iter(search)) as trials, console.status("") as status:
        for trial in trials:
            before = under_way.pop(trial.number, trial)
            better = trial.state == "complete" and (best is None or (trial.loss or 0.0) < best)
            best = trial.loss if better else best
            if trial.state == "running":
                under_way[trial.number] = trial
            if trial.state != "running" or trial.error != before.error:
                said = one_line(tame(trial_shown(trial, search.plan.trials, best=better)))
                console.print(said, soft_wrap=True)
            status.update(Text("; ".join(map(progress_shown, under_way.values()))))


def progress_shown(trial: Trial) -> str:
    """How far a trial under way has come."""
    step, loss = trial.looks[-1] if trial.looks else (0, None)
    return f"trial {trial.number} after step {step:,}" + ("" if loss is None else f": {loss:.3f}")


def trial_shown(trial: Trial, planned: int, *, best: bool) -> str:
    """What there is to say of a trial that has ended, or must begin again."""
    from rondeau.studies.tune_findings import settings_shown

    said = f"trial {trial.number} of {planned}  {settings_shown(trial)}  "
    if trial.state == "running":
        return f"{said}begins again: {trial.error}"
    if trial.state == "failed":
        return f"{said}failed: {trial.error}"
    if trial.state == "pruned":
        step, loss = trial.looks[-1]
        return f"{said}pruned after step {step:,}: {loss:.4f} nats held out"
    look = f"{trial.loss:.4f} nats held out after step {trial.best_step:,}"
    return f"{said}{look}, {trial.seconds:.0f} s{' (best)' if best else ''}"


def say_how_to_go_on(search: Search) -> None:
    """A line for the user who has ended a search."""
    folder = tame(str(search.folder.path))
    found = search.findings
    ended = len(found.trials) - found.count("running")
    if found.best is not None:
        write_pages(found)
    print(
        f"rondeau: interrupted; {ended} of {found.planned} trials have ended and are kept in "
        f"{folder}; rondeau tune --resume {folder} goes on",
        file=sys.stderr,
    )


def write_pages(found: Findings) -> list[Path]:
    """The page and its pictures in the search's folder; their paths."""
    from rondeau.report.illustrated import write_page
    from rondeau.studies import tune_page

    return write_page(tune_page.page(found), Path(found.folder), "report")


def report_search(found: Findings, pages: list[Path]) -> None:
    """What was found on standard output."""
    from rondeau.studies import tune_page

    print_table(*tune_page.table(found))
    for sentence in found.sentences:
        show(sentence)
    recipe = Path(found.folder) / "best.toml"
    show(f"The recipe: {recipe}; all of it, with pictures: {pages[0]}")
