"""What ends a command from outside: Ctrl-C (SIGINT) and SIGTERM, and with which code it leaves."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from rondeau.training.loop import Training


class Terminated(KeyboardInterrupt):
    """SIGTERM, raised where SIGINT would raise KeyboardInterrupt."""


def exit_code(interrupt: KeyboardInterrupt) -> int:
    """143 for SIGTERM, 130 for SIGINT."""
    return 128 + (signal.SIGTERM if isinstance(interrupt, Terminated) else signal.SIGINT)


@contextlib.contextmanager
def termination_raised() -> Iterator[None]:
    """Have SIGTERM raise Terminated, so that what is half done is cleaned away."""

    def handle(number: int, frame: Any) -> NoReturn:
        raise Terminated

    with _handling(handle, signal.SIGTERM):
        yield


@contextlib.contextmanager
def interruptible(training: Training) -> Iterator[list[int]]:
    """Turn SIGINT and SIGTERM into an end after the step under way; lists what came."""
    came: list[int] = []

    def handle(number: int, frame: Any) -> None:
        came.append(number)
        training.interrupt()

    with _handling(handle, signal.SIGINT, signal.SIGTERM):
        yield came


@contextlib.contextmanager
def _handling(handle: Any, *numbers: signal.Signals) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():  # only it receives signals
        yield
        return
    before = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
