"""Processes of ours that do the same work on many things; what they find comes back in order.

A worker is a Python of its own that imports only what it is called for (a fork would copy threads
of kernels that are under way, multiprocessing would run the user's script again). It speaks through
its standard input and output, in JSON and plain bytes. It knows no texts.
"""

from __future__ import annotations

import contextlib
import importlib
import itertools
import json
import os
import signal
import subprocess
import sys
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import IO, Any

from rondeau import errors
from rondeau.errors import RondeauError

Answer = tuple[Any, list[bytes]]
"""What is found: a JSON value, and bytes."""
COMMAND = "from rondeau.text.workers import serve; serve()"


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

    def in_order(self, do: Callable[[Any], Answer], jobs: Iterable[Any]) -> Iterator[Answer]:
        """What a function of a module gives for each job, in order; its RondeauError is raised.

        Jobs are JSON values.

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
                _send(busy[-1], do, job)
        try:
            while busy:
                worker = busy[0]
                result = _receive(worker)
                busy.popleft()
                for job in itertools.islice(jobs, 1):
                    _send(worker, do, job)
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


def _send(worker: subprocess.Popen[bytes], do: Callable[[Any], Answer], job: Any) -> None:
    assert worker.stdin is not None
    try:
        _write(worker.stdin, [do.__module__, do.__name__, job], [])
    except BrokenPipeError:
        raise _lost(worker) from None


def _receive(worker: subprocess.Popen[bytes]) -> Answer:
    assert worker.stdout is not None
    try:
        (kind, found), parts = _read(worker.stdout)
    except EOFError:
        raise _lost(worker) from None
    if kind == "found":
        return found, parts
    error = getattr(errors, kind, RuntimeError)
    raise error(found)


def _write(file: IO[bytes], value: Any, parts: list[bytes]) -> None:
    """A line of JSON, which begins with the sizes of the bytes that follow it."""
    file.write(json.dumps([[len(part) for part in parts], value]).encode() + b"\n")
    for part in parts:
        file.write(part)
    file.flush()


def _read(file: IO[bytes]) -> tuple[Any, list[bytes]]:
    line = file.readline()
    if not line.endswith(b"\n"):
        raise EOFError
    sizes, value = json.loads(line)
    parts = [file.read(size) for size in sizes]
    if [len(part) for part in parts] != sizes:
        raise EOFError
    return value, parts


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
            (module, name, job), _ = _read(sys.stdin.buffer)
            try:
                found, parts = getattr(importlib.import_module(module), name)(job)
                answer = ["found", found]
            except RondeauError as error:
                answer, parts = [type(error).__name__, str(error)], []
            except Exception:  # a bug of ours, told where it can be seen
                answer, parts = ["RuntimeError", traceback.format_exc()], []
            _write(answers, answer, parts)
