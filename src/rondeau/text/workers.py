"""Processes of ours that do the same work on many things; what they find comes back in order.

A worker is a Python of its own that imports only what it is called for (a fork would copy threads
of kernels that are under way, multiprocessing would run the user's script again). It speaks through
its standard input and output, in pickles: both ends are ours. It knows no texts.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import pickle
import signal
import subprocess
import sys
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import IO, Any, TypeVar

from rondeau.errors import RondeauError

Job = TypeVar("Job")
Result = TypeVar("Result")
COMMAND = "from rondeau.text.workers import serve; serve()"


def processors() -> int:
    """How many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Workers:
    """So many workers, started when there is something for them to do; with one, none is."""

    def __init__(self, count: int) -> None:
        """Nothing is started yet."""
        self.count = count
        self.started: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Workers:
        """Themselves."""
        return self

    def __exit__(self, *_: object) -> None:
        """End them, whatever they are at."""
        for worker in self.started:
            _end(worker)

    def in_order(self, do: Callable[[Job], Result], jobs: Iterable[Job]) -> Iterator[Result]:
        """What a function of a module gives for each job, in order; its RondeauError is raised.

        Each worker has one job at a time and keeps its result until its turn has come: that many
        results are in memory at most, however many jobs there are.
        """
        jobs = iter(jobs)
        first = list(itertools.islice(jobs, 2))
        if self.count == 1 or len(first) < 2:
            yield from map(do, itertools.chain(first, jobs))
            return
        jobs = itertools.chain(first, jobs)
        busy: deque[subprocess.Popen[bytes]] = deque()
        for number in range(self.count):
            for job in itertools.islice(jobs, 1):
                if number == len(self.started):
                    self.started.append(_start())
                busy.append(self.started[number])
                _send(busy[-1], (do, job))
        try:
            while busy:
                worker = busy[0]
                result = _receive(worker)
                busy.popleft()
                for job in itertools.islice(jobs, 1):
                    _send(worker, (do, job))
                    busy.append(worker)
                yield result
        finally:  # nobody wants to know what these are at
            for worker in busy:
                self.started.remove(worker)
                _end(worker)


def _start() -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", COMMAND],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))},
    )


def _end(worker: subprocess.Popen[bytes]) -> None:
    worker.kill()
    for pipe in (worker.stdin, worker.stdout):
        if pipe is not None:
            with contextlib.suppress(BrokenPipeError):
                pipe.close()
    worker.wait()


def _send(worker: subprocess.Popen[bytes], job: object) -> None:
    assert worker.stdin is not None
    try:
        pickle.dump(job, worker.stdin)
        worker.stdin.flush()
    except BrokenPipeError:
        raise _lost(worker) from None


def _receive(worker: subprocess.Popen[bytes]) -> Any:
    assert worker.stdout is not None
    try:
        well, result = pickle.load(worker.stdout)
    except (EOFError, pickle.UnpicklingError):
        raise _lost(worker) from None
    if well:
        return result
    if isinstance(result, RondeauError):
        raise result
    raise RuntimeError(result)


def _lost(worker: subprocess.Popen[bytes]) -> RondeauError:
    code = worker.wait()
    how = f"killed by signal {-code}" if code < 0 else f"with exit code {code}"
    return RondeauError(
        f"a process that was reading has ended ({how}); --workers 1 does all in one process"
    )


def serve() -> None:
    """Be a worker, until nobody has anything to do any more."""
    # Ctrl-C goes to all processes of a terminal; the one that was started says what becomes of it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what anything else writes is no answer
    with contextlib.suppress(EOFError, BrokenPipeError):
        while True:
            _answer(sys.stdin.buffer, answers)


def _answer(jobs: IO[bytes], answers: IO[bytes]) -> None:
    do, job = pickle.load(jobs)
    try:
        answer = (True, do(job))
    except RondeauError as error:
        answer = (False, error)
    except Exception:
        answer = (False, traceback.format_exc())
    pickle.dump(answer, answers, protocol=pickle.HIGHEST_PROTOCOL)
    answers.flush()
