"""A search over the settings of a recipe: many short trainings, the best by validation.

Every trial is a training of its own in a process of its own, with the same text, seed and number
of steps; one that looks worse than half of the others did by then is pruned. Nobody here reads the
test split. What a search has found is in its folder at every instant:

    tune.json      every trial        best.toml     the best one's settings, a recipe
    journal.log    optuna's storage   trials/NNNN   the best one's run; others are removed
    private/       what resuming needs              workers.log   what its processes complained of
"""

from __future__ import annotations

import queue
import shutil
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from rondeau.config import TextConfig, TrainConfig, require
from rondeau.errors import CorpusError, OptionError, RunError, TrainingError
from rondeau.files import write_atomic
from rondeau.machine import memory_limits
from rondeau.network.device import set_threads
from rondeau.run.folder import RunFolder, to_json
from rondeau.run.lock import locked
from rondeau.run.origin import whole
from rondeau.run.start import new_run
from rondeau.studies.search_space import (
    check_space,
    default_space,
    largest,
    parse_space,
    with_settings,
)
from rondeau.studies.trials import Journal, Trial, import_optuna
from rondeau.studies.tune_findings import Findings
from rondeau.studies.tune_plan import Plan
from rondeau.studies.worker import Words, Worker
from rondeau.text.corpus import Corpus
from rondeau.text.loading import load_corpus
from rondeau.training.defaults import fill_defaults
from rondeau.training.group import processes
from rondeau.training.memory import TextSize, check_reading, gigabytes, needed
from rondeau.training.records import REMEDIES, public_sources, settings_to_toml

JOURNAL, LOG, RUNS = "journal.log", "workers.log", "trials"
STEPS = 600
"""Of every trial, where nothing is said."""
WORKERS = 4
"""Processes at most, where nothing is said."""
TRIES = 2
"""How often a trial is begun whose process dies without a word."""


class Search:
    """A search under way: iterate it for trials as they change, then `finish()`.

    notes: sentences for the user about what was chosen.
    """

    def __init__(
        self,
        plan: Plan,
        corpus: Corpus,
        folder: RunFolder,
        *,
        workers: int | None,
        notes: Sequence[str] = (),
    ) -> None:
        """Share out the machine; nothing is written yet.

        Raises OptionError for more workers than memory has room for, and beneath torchrun.
        """
        self.plan, self.folder = plan, folder
        self.sources = tuple(public_sources(corpus))
        self.has_test = bool(corpus.test)
        self.workers, self.threads = _shares(plan, corpus, workers)
        each = "1 thread each" if self.threads == 1 else f"{self.threads} threads each"
        self.notes = (
            *notes,
            "searched: " + " ".join(f"{name}={range_}" for name, range_ in plan.space.items()),
            f"{plan.trials} trials of {plan.config.steps:,} steps by {self.workers} "
            f"worker{'s' * (self.workers > 1)}, {each}, into {folder.path}",
        )
        self._trials: tuple[Trial, ...] = ()

    def __iter__(self) -> Generator[Trial, None, None]:
        """Search on to the end, yielding a trial whenever it begins, was looked at, or ends.

        Leave it at any time, by closing the iterator too: trials under way begin again when the
        search goes on. RunError while another process searches here; TrainingError where files
        can't be written or the text has changed.
        """
        with (
            self._failed_writes_told(),
            locked(self.folder),
            self.folder.place(LOG).open("ab") as log,
        ):
            journal = self._journal()
            self._settle(journal)
            heard: queue.SimpleQueue[tuple[Worker, Words | None]] = queue.SimpleQueue()
            with _stopped_at_the_end() as workers:
                waiting = journal.cut_off
                while True:
                    busy = [worker for worker in workers if worker.trial is not None]
                    if len(busy) < self.workers and (waiting or self._more(journal)):
                        trial = journal.go_on(waiting.pop(0)) if waiting else journal.begin()
                        idle = [worker for worker in workers if worker.trial is None]
                        worker = idle[0] if idle else Worker(log, lambda *said: heard.put(said))
                        workers += [] if idle else [worker]
                        worker.begin(trial.number, self._order(trial))
                        yield trial
                        continue
                    if not busy:
                        return
                    worker, words = heard.get()
                    if words is not None:
                        yield self._heard(journal, worker, words)
                        continue
                    workers.remove(worker)
                    worker.stop()
                    if worker.trial is not None:
                        trial, again = self._died(journal, worker)
                        waiting += [trial.number] if again else []
                        yield trial

    def finish(self) -> Findings:
        """Search to the end; what was found. TrainingError if no trial came to its end."""
        for _ in self:
            pass
        found = self.findings
        if found.best is None:
            failed = [trial for trial in found.trials if trial.error]
            why = f" (trial {failed[-1].number}: {failed[-1].error})" if failed else ""
            raise TrainingError(f"{self.folder.path}: no trial came to its end{why}")
        return found

    @property
    def findings(self) -> Findings:
        """What has been found so far."""
        return Findings(
            trials=self._trials,
            space=self.plan.space,
            config=self.plan.config,
            sources=self.sources,
            planned=self.plan.trials,
            has_test=self.has_test,
            folder=str(self.folder.path),
        )

    @contextmanager
    def _failed_writes_told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            remedy = REMEDIES.get(error.errno or 0, "see to the disk")
            raise TrainingError(
                f"{self.folder.path}: cannot be written: {error.strerror or error}; {remedy}, then "
                f"go on with rondeau tune --resume {self.folder.path}"
            ) from error

    def _journal(self) -> Journal:
        plan = self.plan
        assert plan.config.steps is not None
        return Journal(
            self.folder.place(JOURNAL),
            plan.space,
            seed=plan.config.seed,
            steps=plan.config.steps,
            parallel=self.workers > 1,
        )

    def _more(self, journal: Journal) -> bool:
        return len(journal.trials()) < self.plan.trials

    def _order(self, trial: Trial) -> Words:
        """What a worker is told of a trial, whose folder of an earlier try is removed."""
        run = self._run(trial.number)
        shutil.rmtree(run, ignore_errors=True)
        given = self.plan.config.as_dict() | trial.settings | {"threads": self.threads, "keep": 1}
        return {
            "corpus": self.plan.sources,
            "fingerprint": self.plan.fingerprint,
            "settings": given,
            "out": str(run),
        }

    def _run(self, number: int) -> Path:
        return self.folder.place(f"{RUNS}/{number:04d}")

    def _heard(self, journal: Journal, worker: Worker, words: Words) -> Trial:
        """Write down what a worker says of its trial."""
        assert worker.trial is not None
        number, end = worker.trial, words.get("end")
        if "look" in words:
            worker.tell({"go_on": journal.look(number, words["look"], words["loss"])})
        if end is None:
            facts = {"parameters": words["parameters"]} if "parameters" in words else {}
            journal.note(number, **facts)
            return journal.trial(number)
        if end == "halt":
            raise TrainingError(
                f"trial {number}: {words['error']}; mend that, then go on with rondeau tune "
                f"--resume {self.folder.path}"
            )
        worker.trial = None
        journal.note(number, **{k: words[k] for k in ("seconds", "error") if k in words})
        trial = journal.end(number, end)
        self._settle(journal)
        return trial

    def _died(self, journal: Journal, worker: Worker) -> tuple[Trial, bool]:
        """A worker's end without a word: the trial, and whether it is to begin again."""
        assert worker.trial is not None
        number = worker.trial
        error = f"its process {worker.end} ({self.folder.path / LOG})"
        tries = journal.tries(number) + 1
        journal.note(number, error=error, tries=tries)
        if tries < TRIES:
            return journal.trial(number), True
        trial = journal.end(number, "failed")
        self._settle(journal)
        return trial, False

    def _settle(self, journal: Journal) -> None:
        """Write down what is known so far, and keep the best trial's run alone."""
        self._trials = tuple(journal.trials())
        found = self.findings
        running = {trial.number for trial in self._trials if trial.state == "running"}
        kept = {f"{n:04d}" for n in running | ({found.best.number} if found.best else set())}
        for run in self.folder.place(RUNS).glob("*"):
            if run.name not in kept:
                shutil.rmtree(run, ignore_errors=True)
        write_atomic(self.folder.place("tune.json"), to_json(found.as_dict()))
        if found.best is not None:
            recipe = settings_to_toml(found.recipe, *found.recipe_comment)
            write_atomic(self.folder.place("best.toml"), recipe.encode())


def tune(
    corpus: Sequence[str | Path] | str | Path = (),
    config: TrainConfig | None = None,
    *,
    search: Sequence[str] = (),
    trials: int = 20,
    workers: int | None = None,
    out: str | Path = "tuned",
) -> Search:
    """Prepare a search on files or folders (none: the embedded songs) in a new folder.

    config: the settings that all trials share; its threads are those of all workers together.
    search: what is varied, `lr=0.001..0.02` or `hidden=128,256` each (default: the learning rate,
    hidden size, layers and dropout around those of config). workers: trials at a time (default:
    one a processor, at most 4); the same seed and one worker give the same trials.
    Raises CorpusError, OptionError, RunError or UnsupportedError before anything is written.
    """
    import_optuna()
    require(trials >= 1, "trials", trials, "must be at least 1")
    config = _shared(config or TrainConfig())
    space = parse_space(search) or default_space(config)
    check_space(space, config)
    sources = [corpus] if isinstance(corpus, (str, Path)) else list(corpus)
    if "-" in map(str, map(Path, sources)):
        raise CorpusError("-: every trial reads the text; put it in a file, and name that")
    check_reading(sources, TextConfig.of(config))
    loaded = load_corpus(sources, TextConfig.of(config))
    if not loaded.validation:
        raise OptionError(
            f"--split {config.split}: leaves no validation split to choose by; hold out some text"
        )
    config = replace(config, **loaded.settings.as_dict() | {"seed": config.seed})
    searched = {name: range_.ends[0] for name, range_ in space.items()}
    filled, chosen = fill_defaults(with_settings(config, searched), loaded.train.characters)
    left = {"layers", "dropout"} - space.keys()
    config = replace(config, **{name: getattr(filled, name) for name in left})
    plan = Plan(
        sources=tuple(map(whole, loaded.sources)) if loaded.named else (),
        fingerprint=loaded.fingerprint,
        config=config,
        space=space,
        trials=trials,
    )
    notes = [*loaded.repairs, *loaded.notes, *([chosen] if chosen else [])]
    made = Search(plan, loaded, RunFolder(Path(out)), workers=workers, notes=notes)
    with locked(new_run(out)):
        plan.write(made.folder)
    return made


def resume(folder: str | Path, *, trials: int | None = None, workers: int | None = None) -> Search:
    """Go on with a search from its folder, with its own settings.

    trials: how many it shall have in all, if not as many as it was begun with.
    Raises RunError if the folder is none of a search, or its text is gone or has changed.
    """
    import_optuna()
    held = RunFolder(Path(folder))
    if not held.path.is_dir():
        raise RunError(f"--resume {folder}: no such folder; rondeau tune --out {folder} makes one")
    plan = Plan.read(held)
    if trials is not None:
        require(trials >= 1, "trials", trials, "must be at least 1")
        plan = replace(plan, trials=trials)
    try:
        corpus = load_corpus(plan.sources, TextConfig.of(plan.config))
    except CorpusError as error:
        raise RunError(f"{error}; {folder} was searched on it: put it back") from None
    if corpus.fingerprint != plan.fingerprint:
        name = ", ".join(plan.sources) or "the embedded songs"
        raise RunError(
            f"{name}: no longer the text that {folder} was searched on, with the same splits; put "
            "that back, or begin anew"
        )
    search = Search(plan, corpus, held, workers=workers)
    with locked(held):
        plan.write(held)
    return search


def _shared(config: TrainConfig) -> TrainConfig:
    """The settings of all trials, with one budget in steps; OptionError for what can't be."""
    for name in ("epochs", "minutes"):
        value = getattr(config, name)
        reason = "trials of one number of steps can be compared; give --steps instead"
        require(value is None, name, value, reason)
    if config.bidirectional and config.objective == "next":
        raise OptionError(
            "--bidirectional: a model that reads its own answer has no held-out loss to choose by; "
            "leave it out, or add --objective cloze"
        )
    return config if config.steps else replace(config, steps=STEPS)


def _shares(plan: Plan, corpus: Corpus, workers: int | None) -> tuple[int, int]:
    """How many workers there are, and threads of each."""
    if processes() > 1:
        raise OptionError("rondeau tune: starts its own processes (--workers); leave out torchrun")
    threads = set_threads(plan.config.threads)
    config, _ = fill_defaults(largest(plan.space, plan.config), corpus.train.characters)
    size = needed(config, TextSize.of(corpus))
    # What only each process may hold, it finds out for itself.
    common = [limit for limit in memory_limits() if limit.free is not None]
    limit = min(common, key=lambda limit: limit.size, default=None)
    room = max(1, limit.size // size) if limit else plan.trials
    if workers is None:
        workers = min(WORKERS, threads, plan.trials, room)
    require(workers >= 1, "workers", workers, "must be at least 1")
    if limit and workers > room:
        raise OptionError(
            f"--workers {workers}: so many of the largest trials need about "
            f"{gigabytes(workers * size)} of memory, more than {limit.name}, "
            f"{gigabytes(limit.size)}; take --workers {room}"
        )
    return workers, max(1, threads // workers)


@contextmanager
def _stopped_at_the_end() -> Iterator[list[Worker]]:
    """Workers to be, of which none outlives what is done with them."""
    workers: list[Worker] = []
    try:
        yield workers
    finally:
        for worker in workers:
            worker.stop()
