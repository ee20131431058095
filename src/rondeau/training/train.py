"""How a training begins in a new run folder, and how it goes on in an old one.

`train` and `resume` prepare a `Training`, of which `loop` knows how it learns. Where torchrun has
started several processes each calls the same; the first one alone touches the run folder.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from rondeau.config import BUDGETS, ModelConfig, TextConfig, TrainConfig, flag
from rondeau.errors import CorpusError, OptionError, RunError, TrainingError
from rondeau.network.backends import refuse_unserved
from rondeau.network.device import pick_device
from rondeau.network.precision import lowered, set_precision
from rondeau.network.stack import make_cell
from rondeau.run.checkpoints import Checkpoint, latest_checkpoint
from rondeau.run.folder import RunFolder
from rondeau.run.lock import cut_off, locked
from rondeau.run.origin import KEPT, read_corpus, read_origin
from rondeau.run.remote import open_to_go_on
from rondeau.run.start import beginning, has_begun, is_unfinished, new_run
from rondeau.run.weights import read_shape
from rondeau.text.corpus import Corpus
from rondeau.text.loading import load_corpus
from rondeau.training import records
from rondeau.training.captured import refuse_uncaptured
from rondeau.training.group import Group, is_launched, join
from rondeau.training.keeping import restore
from rondeau.training.loop import Training
from rondeau.training.memory import check_memory, check_reading, failures_told
from rondeau.training.restoring import told
from rondeau.urls import label


def train(
    corpus: Sequence[str | Path] | str | Path = (),
    config: TrainConfig | None = None,
    *,
    out: str | Path | None = None,
) -> Training:
    """Prepare a training on files or folders (none: the embedded songs) into a new run folder.

    out: the folder (default: runs/NAME, numbered). Where torchrun starts the same command again the
    training in it goes on.
    Raises CorpusError, OptionError or RunError, before anything is written.
    """
    config = config or TrainConfig()
    sources = [corpus] if isinstance(corpus, (str, Path)) else list(corpus)
    group = join(config)
    with group.reached(lambda: "at the start"):
        return _begin(sources, config, out, group)


def _begin(
    sources: Sequence[str | Path], config: TrainConfig, out: str | Path | None, group: Group
) -> Training:
    """`train` for a group."""
    with group.together():
        path = _place(sources, out)
        again = group.first and is_launched() and has_begun(path)
    path = Path(os.fsdecode(group.tell(os.fsencode(path))))
    if group.tell(b"again" if again else b""):
        return _go_on(path, sources, group, asked=config)
    with group.together():
        loaded = _read(sources, config, group)
    same = group.tell(loaded.fingerprint.encode()).decode()
    with group.together():
        _check_same(loaded, same)
        # Where they differ the corpus has its own: prepared so, or one document split by its tail.
        config = replace(config, **loaded.settings.as_dict() | {"seed": config.seed})
        device = _device(config, group)
        with lowered(config.precision, device):
            refuse_unserved(make_cell(replace(config, hidden=1), 1).to(device), config.backend)
        note = _check_memory(config, loaded, group, device)
    try:
        with group.together():
            folder = new_run(path) if group.first else RunFolder(path)
        folder = _told(group, folder)
        with failures_told(lambda: "to begin: a smaller --hidden or --batch needs less"):
            training = Training(config, loaded, folder, device=device, group=group)
        with group.together():
            if group.first:
                with beginning(folder):
                    records.write_start(training)
    except BaseException as error:
        if group.first:
            with contextlib.suppress(OSError):
                path.rmdir()  # where it is still empty
        if isinstance(error, OSError):
            raise TrainingError(
                f"--out {label(path)}: cannot be written: {error.strerror or error}; nothing was "
                "trained; mend that, or choose another"
            ) from error
        raise
    training.notes += (note,) if note else ()
    return training


def resume(run: str | Path, corpus: Sequence[str | Path] = ()) -> Training:
    """Go on with a training from its latest checkpoint, or its start, with its own settings.

    corpus: where its text is now, if it has moved. It may be of another number of processes now.
    Raises RunError if the run is damaged or the text isn't the one it was trained on.
    """
    group = join(TrainConfig())
    with group.reached(lambda: "at the start"):
        return _go_on(Path(run), corpus, group)


@dataclass(frozen=True)
class _Found:
    """A training that the first process has found, and where its text is."""

    folder: RunFolder
    config: TrainConfig
    corpus: Corpus
    sources: Sequence[str]
    checkpoint: Checkpoint | None
    notes: tuple[str, ...]

    def to_json(self) -> bytes:
        """What the others must know to read the same text."""
        same = self.corpus.fingerprint
        known = {"config": self.config.as_dict(), "sources": self.sources, "fingerprint": same}
        return json.dumps(known).encode()


def _go_on(
    path: Path, corpus: Sequence[str | Path], group: Group, *, asked: TrainConfig | None = None
) -> Training:
    """`resume` for a group; asked: settings that must be the run's."""
    folder = RunFolder(path)
    found: _Found | None = None
    with contextlib.ExitStack() as held:
        held.enter_context(records.failed_writes_told(folder, lambda: "to go on"))
        held.enter_context(failures_told(lambda: f"to go on with {path}, which is as it was"))
        with group.together():
            if group.first:
                found = _find(folder, corpus, group, held, asked)
        known = json.loads(group.tell(found.to_json() if found else b""))
        config = TrainConfig(**known["config"])
        folder = _told(group, found.folder if found else folder)
        checkpoint = told(group, lambda: found.checkpoint if found else None)
        with group.together():
            loaded = found.corpus if found else _read(known["sources"], config, group)
            _check_same(loaded, known["fingerprint"])
            config, elsewhere = _as_can_be(config, group)
            device = _device(config, group)
            note = _check_memory(config, loaded, group, device, fixed=True)
        training = Training(config, loaded, folder, device=device, group=group)
        with group.together():
            restore(training, checkpoint)
    notes = found.notes if found else ()
    training.notes = (*training.notes, *notes, *elsewhere, *((note,) if note else ()))
    return training


def _find(
    folder: RunFolder,
    corpus: Sequence[str | Path],
    group: Group,
    held: contextlib.ExitStack,
    asked: TrainConfig | None,
) -> _Found:
    """What is in a run's folder to go on with; `held` has its lock then."""
    if is_unfinished(folder.path):
        raise RunError(
            f"--resume {folder.path}: its start was cut off, nothing is there to go on with; begin "
            f"again with --out {folder.path}"
        )
    folder = open_to_go_on(folder.path)
    was_cut_off = cut_off(folder)
    held.enter_context(locked(folder))
    folder.tidy()
    config = records.read_train_config(folder)
    if ModelConfig.of(config) != read_shape(folder).config:
        raise RunError(f"{folder.path}: train_config.toml and config.json are of two models")
    if asked is not None:
        _check_asked(config, asked, folder)
    sources = [str(source) for source in corpus] or read_origin(folder)["sources"]
    _refuse_shared_input(sources, group)
    checkpoint, damaged = latest_checkpoint(folder)
    loaded = read_corpus(folder, TextConfig.of(config), sources=corpus)
    notes = [f"passed over: {reason}" for reason in damaged]
    if was_cut_off:
        step = checkpoint.step if checkpoint else 0
        notes.append(f"{was_cut_off}; going on after step {step:,}")
    return _Found(folder, config, loaded, sources, checkpoint, tuple(notes))


def _told(group: Group, folder: RunFolder) -> RunFolder:
    """The first process's folder; for the others its place, where they look for shards."""
    path = Path(os.fsdecode(group.tell(os.fsencode(folder.path))))
    return folder if group.first else RunFolder(path)


def _check_asked(config: TrainConfig, asked: TrainConfig, folder: RunFolder) -> None:
    """OptionError where a setting was given that isn't the run's."""
    settled = {*BUDGETS, "eval_every"}  # which become others at the start
    for name, value in asked.as_dict().items():
        own = getattr(config, name)
        if name not in settled and value not in (own, getattr(TrainConfig(), name)):
            raise OptionError(
                f"{flag(name)} {value}: {folder.path} holds a training with {own}; choose another "
                "--out"
            )


def _place(sources: Sequence[str | Path], out: str | Path | None) -> Path:
    """The run's folder; OptionError where none is named that a second start would find."""
    if out is not None:
        return Path(out)
    if is_launched() and os.environ.get("TORCHELASTIC_MAX_RESTARTS", "0") != "0":
        raise OptionError(
            "--out: name the run's folder, so that processes which torchrun starts again find it"
        )
    return records.free_folder(sources)


def _read(sources: Sequence[str | Path], config: TrainConfig, group: Group) -> Corpus:
    """The corpus, read by this process for itself."""
    _refuse_shared_input(sources, group)
    check_reading(sources, TextConfig.of(config))
    with failures_told(lambda: "to read the text: rondeau prepare keeps it on the disk"):
        return load_corpus(sources, TextConfig.of(config))


def _refuse_shared_input(sources: Sequence[str | Path], group: Group) -> None:
    if group.size > 1 and any(str(source) in ("-", KEPT) for source in sources):
        raise CorpusError(
            "standard input: can't be read by several processes; rondeau prepare - --out DIR keeps "
            "it for them"
        )


def _check_same(corpus: Corpus, fingerprint: str) -> None:
    """CorpusError where a process has another text before it than the first one."""
    if corpus.fingerprint != fingerprint:
        raise CorpusError(
            f"{', '.join(corpus.sources)}: isn't the text that the first process reads; give all "
            "the same"
        )


def _device(config: TrainConfig, group: Group) -> torch.device:
    """Where this process computes, in what numbers: of several graphics processors each has one."""
    device = pick_device(config.device)
    if device.type == "cuda" and "LOCAL_RANK" in os.environ:
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
    refuse_uncaptured(config, device, group)
    set_precision(config.precision, device)
    return device


def _as_can_be(config: TrainConfig, group: Group) -> tuple[TrainConfig, list[str]]:
    """A run's settings without what isn't to be had where it goes on, and sentences that say so."""
    gpu, notes = pick_device(config.device).type == "cuda", []
    if config.cuda_graphs and (not gpu or group.size > 1):
        config = replace(config, cuda_graphs=False)
        notes.append("without --cuda-graphs, which one process on an NVIDIA GPU can have")
    if config.precision == "tf32" and not gpu:
        config = replace(config, precision="float32")
        notes.append("in float32, since there is no tf32 without an NVIDIA GPU")
    return config, notes


def _check_memory(
    config: TrainConfig,
    corpus: Corpus,
    group: Group,
    device: torch.device,
    *,
    fixed: bool = False,
) -> str | None:
    """`check_memory` for this process's share of the batch."""
    share = replace(config, accumulate=config.accumulate * group.size)
    return check_memory(share, corpus, device=device.type, fixed=fixed)
