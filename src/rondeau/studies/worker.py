"""A process that trains trials, one after another, seen from both of its ends.

Orders go in and words come out as JSON, one a line. It ends when its orders do, so that none
outlives the search that started it, however that ended.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import IO, Any

from rondeau.config import TrainConfig
from rondeau.errors import CorpusError, RondeauError, RunError, TrainingError
from rondeau.machine import out_of_memory
from rondeau.training.train import train

Words = dict[str, Any]


class Worker:
    """A search's end: the process, and the trial that it trains (None: it waits for one)."""

    def __init__(self, log: IO[bytes], hear: Callable[[Worker, Words | None], None]) -> None:
        """Start a process. hear: called from a thread with its words, at its end with None.

        log: where its standard error goes.
        """
        self.trial: int | None = None
        # -P: the folder that the user is in isn't for modules. A session of its own: Ctrl-C is the
        # search's.
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "rondeau.studies.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
        )
        threading.Thread(target=self._listen, args=(hear,), daemon=True).start()

    def begin(self, trial: int, order: Words) -> None:
        """Have it train a trial: `corpus`, its `fingerprint`, `settings`, and the run's folder."""
        self.trial = trial
        self.tell(order)

    def tell(self, words: Words) -> None:
        """Send it an order, or an answer; one that has died is heard of by its end."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(words).encode() + b"\n")
            self._process.stdin.flush()

    def stop(self) -> None:
        """Kill it, whatever it does: a run is whole at every instant."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with suppress(BrokenPipeError):
                pipe.close()

    @property
    def end(self) -> str:
        """How the process ended."""
        code = self._process.wait()
        if code < 0:
            return f"was killed by {signal.Signals(-code).name}"
        return f"ended with code {code}"

    def _listen(self, hear: Callable[[Worker, Words | None], None]) -> None:
        assert self._process.stdout is not None
        with suppress(ValueError):  # closed, or cut off by a kill
            for line in self._process.stdout:
                hear(self, json.loads(line))
        hear(self, None)


def words_of(order: Words, answer: Callable[[], Words]) -> Iterator[Words]:
    """What a worker says of a trial: each look, then `complete`, `pruned`, `failed` or `halt`.

    After a look it waits for an answer, whether to go on. What fails without regard to the
    settings (a text that has changed, a full disk) halts the search.
    """
    start = time.perf_counter()
    try:
        training = train(order["corpus"], TrainConfig(**order["settings"]), out=order["out"])
        if training.corpus.fingerprint != order["fingerprint"]:
            raise CorpusError("the text is no longer the one that this search began with")
        yield {"parameters": training.model.parameter_count}
        for event in training:
            if event.held_out is None:
                continue
            yield {"look": event.step, "loss": event.held_out.loss}
            if not answer()["go_on"]:
                yield {"end": "pruned", "seconds": time.perf_counter() - start}
                return
        yield {"end": "complete", "seconds": time.perf_counter() - start}
    except (RondeauError, MemoryError, RuntimeError, OSError) as error:
        cause = error.__cause__ if isinstance(error, TrainingError) else error
        if not isinstance(error, RondeauError) and not out_of_memory(error):
            raise
        halts = isinstance(error, (CorpusError, RunError)) or (
            isinstance(cause, OSError) and not out_of_memory(cause)
        )
        seconds = time.perf_counter() - start
        yield {"end": "halt" if halts else "failed", "error": str(error), "seconds": seconds}


def main() -> None:
    """The process's end: orders on standard input, words on standard output."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print is none of our words
    orders: queue.SimpleQueue[Words] = queue.SimpleQueue()

    def listen() -> None:
        for line in sys.stdin:
            orders.put(json.loads(line))
        os._exit(0)

    threading.Thread(target=listen, daemon=True).start()
    while True:
        for words in words_of(orders.get(), orders.get):
            out.write(json.dumps(words) + "\n")
            out.flush()


if __name__ == "__main__":
    main()
