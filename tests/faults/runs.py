"""Trainings to be killed: how they are started, cold or warm, and how two runs are compared."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from operations import read_tally

import rondeau
from rondeau.run.folder import RunFolder
from rondeau.run.metrics import read_events
from rondeau.run.results import read_results

HERE = Path(__file__).parent
SMALL = ["--hidden", 8, "--batch", 4, "--seq-len", 8, "--documents", "blank-line"]
SMALL += ["--checkpoint-minutes", 60]
ALONE = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
"""What keeps libraries from starting threads of their own."""
TIMES = {"seconds", "tokens_per_second"}
"""The fields, of events, results and states, in which runs may differ."""
DURATION = re.compile(r"[0-9.,]+ (?:ms|s|min|h)\b")
"""How report.html writes times."""
TIMED = re.compile(r"results\.json|checkpoints/.*/training_state\.pt")
"""Files with times in them, whose hashes in the manifest differ too."""


Launch = Callable[..., "Result"]


@dataclass(frozen=True)
class Result:
    """How a command ended: exit code (−9: killed), all that it said, its seconds and operations."""

    code: int
    said: str
    seconds: float
    operations: int = 0
    last: str = ""

    @property
    def killed(self) -> bool:
        """Whether SIGKILL ended it."""
        return self.code == -signal.SIGKILL


class Warm:
    """Command lines in children of one warm process: tens of milliseconds each, `--threads 1`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, HERE / "forge.py"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=os.environ | ALONE,
        )

    def __call__(
        self,
        arguments: list[Any],
        *,
        root: Path | None = None,
        at: int | None = None,
        fault: str = "kill",
        fork: bool = True,
        **job: Any,
    ) -> Result:
        """Run a command, count its operations under `root`, and let the one numbered `at` fail.

        seconds: when to send it `signal` (SIGKILL); stdin: a file; fork: in a child of its own.
        """
        output, tally = self.folder / "output", self.folder / "tally"
        job |= {"arguments": [str(a) for a in arguments], "output": str(output), "fork": fork}
        if root is not None:
            job["faults"] = {"root": str(root), "tally": str(tally), "at": at, "fault": fault}
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps(job, default=str) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        said = output.read_text(encoding="utf-8", errors="replace")
        result = Result(answer["code"], said, answer["seconds"])
        if root is None:
            return result
        count, last = read_tally(tally)
        return dataclasses.replace(result, operations=count, last=last)

    def close(self) -> None:
        """End the warm process, which has nothing to put away."""
        self.process.kill()
        self.process.communicate()


class Cold:
    """Command lines as a user starts them, each a process group of its own that is killed whole."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(
        self,
        arguments: list[Any],
        *,
        root: Path | None = None,
        at: int | None = None,
        fault: str = "kill",
        seconds: float | None = None,
        stdin: Path | None = None,
        **job: Any,
    ) -> Result:
        """As `Warm`."""
        tally = self.folder / "tally"
        command = [sys.executable, "-m", "rondeau"]
        if root is not None:
            faults = {"root": str(root), "tally": str(tally), "at": at, "fault": fault}
            command = [sys.executable, HERE / "operations.py", json.dumps(faults)]
        start = time.perf_counter()
        with (stdin or Path(os.devnull)).open("rb") as source:
            process = subprocess.Popen(
                [*command, *map(str, arguments)],
                stdin=source,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            output, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, getattr(signal, job.get("signal", "SIGKILL")))
            output, _ = process.communicate()
        said, spent = output.decode(errors="replace"), time.perf_counter() - start
        count, last = read_tally(tally) if root is not None and tally.exists() else (0, "")
        return Result(process.returncode, said, spent, count, last)


def image(run: Path) -> dict[str, Any]:
    """Everything in a run folder by name, times left out: what must be the same to the bit."""
    files = {p.relative_to(run).as_posix(): p for p in run.rglob("*") if not p.is_dir()}
    return {name: _content(name, path) for name, path in sorted(files.items())}


def differences(one: Path, other: Path) -> list[str]:
    """The names of files that two runs don't have alike."""
    first, second = image(one), image(other)
    return [n for n in sorted(first.keys() | second.keys()) if first.get(n) != second.get(n)]


def _content(name: str, path: Path) -> Any:
    if name.endswith("training_state.pt"):
        return _frozen(torch.load(path, weights_only=True))
    text = path.read_bytes()
    if name == "metrics.jsonl":
        return [_frozen(json.loads(line)) for line in text.splitlines()]
    if name == "results.json":
        return _frozen(json.loads(text))
    if name == "report.html":
        return DURATION.sub("TIME", text.decode())
    if name == "manifest.json":
        manifest = json.loads(text)
        hashes = manifest["files"]
        return manifest | {
            "files": {n: len(h) if TIMED.fullmatch(n) else h for n, h in hashes.items()}
        }
    return text


def _frozen(value: Any) -> Any:
    """A value without its times, tensors as their bytes."""
    if isinstance(value, dict):
        return {key: _frozen(part) for key, part in value.items() if key not in TIMES}
    if isinstance(value, list):
        return [_frozen(part) for part in value]
    if isinstance(value, torch.Tensor):
        return (str(value.dtype), tuple(value.shape), value.numpy().tobytes())
    return value


def phase(run: Path) -> str:
    """Where a training was when it was killed, by what it left."""
    if not (run / "metrics.jsonl").exists():
        return "start-up"
    events = (run / "metrics.jsonl").read_bytes().splitlines()
    with contextlib.suppress(ValueError, IndexError):
        last = json.loads(events[-1])
        if (
            last["step"] == last["steps"]
            and (run / f"checkpoints/step-{last['step']:08d}").exists()
        ):
            return "end"
    manifest = json.loads((run / "manifest.json").read_bytes())
    named = {path.rsplit("/", 1)[0] for path in manifest["files"]}
    steps = {p.relative_to(run).as_posix() for p in run.glob("checkpoints/step-*")}
    half = list(run.rglob("*.part")) or any(len(h) > 1 for h in manifest["files"].values())
    return "writing" if half or steps - named else "training"


def fresh(folder: Path) -> Path:
    """An empty place for a run, always of the same name, which its card tells."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder / "run"


def usual(text: Path) -> list[Any]:
    """The training that is cut off everywhere."""
    steps = ["--steps", 20, "--eval-every", 10, "--keep", 1, "--dropout", 0.2]
    return ["train", text, *SMALL, "--threads", 1, *steps]


def sample(total: int, count: int, *, seed: int = 0) -> list[int]:
    """Numbers from 1 to `total`, one drawn from each of `count` equal parts."""
    draw = random.Random(seed)
    edges = [1 + i * total // count for i in range(count + 1)]
    return [draw.randrange(a, b) for a, b in itertools.pairwise(edges)]


def go_on(launch: Launch, run: Path, arguments: list[Any], **job: Any) -> Result:
    """What a user does after a kill: resume, or begin again where that is the advice."""
    resumed = launch(["train", "--resume", run], **job)
    if resumed.code == 2:
        assert not (run / "metrics.jsonl").exists(), resumed.said
        assert f"--out {run}" in resumed.said
        return launch([*arguments, "--out", run], **job)
    return resumed


def check_readable(run: Path) -> None:
    """A reader finds a valid run, or none yet."""
    if not (run / "manifest.json").exists():
        return
    folder = RunFolder.open(run)
    events = read_events(folder)
    if folder.has("results.json"):
        read_results(folder)
    if (run / "model.safetensors").exists():
        assert events
        assert rondeau.load(run).info()
