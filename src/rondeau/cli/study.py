"""`rondeau study`."""

from __future__ import annotations

import json as json_module
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from rondeau.cli.output import note, print_json, print_table
from rondeau.cli.train import run_training
from rondeau.config import StudyConfig, flag
from rondeau.errors import OptionError
from rondeau.formats import finite

if TYPE_CHECKING:
    from rondeau.language_model import LanguageModel
    from rondeau.report.illustrated import Page
    from rondeau.studies.memory import MemoryConfig, Task
    from rondeau.training.loop import Training

MEMORY_SETTINGS = ("hidden", "batch", "steps", "lr", "clip", "seed", "threads")


def study(
    *corpus: str,
    task: Literal["reach", "copy", "add", "recall"] = "reach",
    out: Path = Path("study"),
    settings: Annotated[StudyConfig, Parameter(name="*")] = StudyConfig(),  # noqa: B008
    json: bool = False,
    quiet: bool = False,
) -> None:
    """Lay a plain RNN, GRUs and an LSTM side by side: how far back they learn, and why.

    reach trains each of them on the same text and measures how far the gradient of a loss comes
    back in time, before and after training. copy, add and recall need no text: they look for the
    longest lag over which each cell learns to remember within the same budget.

    Parameters
    ----------
    corpus
        The text of reach: files or folders, as for train. Without any: the embedded songs.
    task
        What is studied.
    out
        The folder for the page, its pictures, its numbers and the runs.
    json
        Print one JSON document.
    quiet
        Show no progress.
    """
    if task == "reach":
        study_reach(corpus, settings, out=out, json=json, quiet=quiet)
        return
    if corpus:
        raise OptionError(f"{corpus[0]}: the task {task} needs no text; leave it out")
    study_memory(task, settings, out=out, json=json, quiet=quiet)


def study_reach(
    corpus: tuple[str, ...], settings: StudyConfig, *, out: Path, json: bool, quiet: bool
) -> None:
    """Train the cells, with their progress shown, and lay them side by side."""
    from rondeau.studies import reach, reach_page

    def follow(training: Training) -> LanguageModel:
        code = run_training(training, quiet=quiet)
        if code:
            sys.exit(code)
        return training.finish()

    found = reach.study(corpus, settings, out=out, follow=follow)
    paths = write(reach_page.page(found), found.as_dict(), out, "study")
    if json:
        print_json(found.as_dict())
        return
    print_table(*reach_page.table(found))
    tell(found.sentences, paths)


def study_memory(task: Task, settings: StudyConfig, *, out: Path, json: bool, quiet: bool) -> None:
    """Learn a task by every cell at growing lags, and lay them side by side."""
    from rondeau.network.device import set_threads
    from rondeau.studies import memory, memory_page

    config = memory_config(settings)
    set_threads(settings.threads)
    trials = []
    for trial in memory.trials(task, config):
        trials.append(trial)
        if not quiet:
            score = memory_page.score_shown(task, trial.score)
            word = "learned" if trial.learned else "not learned"
            note(f"{trial.cell} lag {trial.lag}: {word} in {trial.steps:,} steps, {score}")
    found = memory.MemoryStudy(task, config, tuple(trials))
    paths = write(memory_page.page(found), found.as_dict(), out, f"memory-{task}")
    if json:
        print_json(found.as_dict())
        return
    print_table(*memory_page.table(found))
    tell(found.sentences, paths)


def memory_config(settings: StudyConfig) -> MemoryConfig:
    """The settings of a memory task among all; OptionError for others that were given."""
    from rondeau.studies.memory import MemoryConfig

    default = StudyConfig()
    for name in StudyConfig.field_names():
        if name not in MEMORY_SETTINGS and getattr(settings, name) != getattr(default, name):
            known = ", ".join(map(flag, MEMORY_SETTINGS))
            raise OptionError(f"{flag(name)}: a memory task has no such setting, only {known}")
    given = {
        name: getattr(settings, name)
        for name in MemoryConfig.field_names()
        if getattr(settings, name, None) is not None
    }
    return MemoryConfig(**given)


def write(page: Page, numbers: dict[str, object], out: Path, name: str) -> list[Path]:
    """The page, its pictures and its numbers in a folder; their paths."""
    from rondeau.files import write_output
    from rondeau.report.illustrated import write_page

    paths = write_page(page, out, name)
    document = json_module.dumps(finite(numbers), ensure_ascii=False, indent=1, allow_nan=False)
    write_output(out / f"{name}.json", f"{document}\n".encode())
    return [*paths, out / f"{name}.json"]


def tell(sentences: list[str], paths: list[Path]) -> None:
    """What was found, and where it is."""
    for sentence in sentences:
        print(sentence)
    print(f"All of it: {', '.join(map(str, paths))}")
