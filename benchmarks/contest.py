"""Contestants side by side: each in a process of its own, one at a time, round after round.

A contestant prints what it computes, to be compared before anything is timed, and then the seconds
that each round took. Two that share a process would share its threads, and wake each other's.
"""

from __future__ import annotations

import importlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Sequence
from typing import Any

USERS = dict(os.environ)
"""The environment before Rondeau is imported, which settles how long OpenMP's threads wait."""
importlib.import_module("rondeau")


def compete(result: Any, work: Callable[[], object], units: float = 1.0) -> None:
    """A contestant's process: its result, then the seconds a unit of each round.

    A round comes as a line with a number: `work` is done once unmeasured, and so many times more.
    """
    print(json.dumps(result), flush=True)
    for line in sys.stdin:
        work()
        start = time.perf_counter()
        for _ in range(int(line)):
            work()
        print((time.perf_counter() - start) / int(line) / units, flush=True)


class Contest:
    """The processes of some contestants, by name, started from their command lines.

    ours: those that run as Rondeau does; the others are given the user's environment.
    """

    def __init__(self, commands: dict[str, list[str]], *, ours: Collection[str]) -> None:
        """Start all and read their results."""
        self.processes = {
            name: subprocess.Popen(
                [sys.executable, *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=None if name in ours else USERS,
            )
            for name, command in commands.items()
        }
        self.results = {name: json.loads(self._read(name)) for name in commands}

    def _read(self, name: str) -> str:
        stdout = self.processes[name].stdout
        assert stdout is not None
        line = stdout.readline()
        if not line:
            raise SystemExit(f"{name}: failed, see above")
        return line

    def round(self, name: str, repeats: int) -> float:
        """Seconds a unit of one contestant's round."""
        print(repeats, file=self.processes[name].stdin, flush=True)
        return float(self._read(name))

    def rounds(self, count: int, repeats: int) -> dict[str, list[float]]:
        """Seconds a unit of everyone's rounds, interleaved."""
        seconds: dict[str, list[float]] = {name: [] for name in self.processes}
        for _ in range(count):
            for name in self.processes:
                seconds[name].append(self.round(name, repeats))
        return seconds

    def end(self) -> None:
        """Let the processes go."""
        for process in self.processes.values():
            process.communicate()


def spread(seconds: Sequence[float], unit: float, name: str) -> str:
    """The median and the quartiles, in a unit of so many seconds."""
    low, middle, high = (value / unit for value in statistics.quantiles(seconds, n=4))
    return f"{middle:9.2f} {name}  ({low:.2f}–{high:.2f})"
