"""`metrics.jsonl`: the events of a training, a line each.

It only grows, isn't in the manifest, and its end may be torn: what isn't an event is passed over.
Of a long file, or one that is somebody else's, no more than a little is in memory at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

from rondeau.errors import RunError
from rondeau.formats import check_version, misfit, read_object
from rondeau.run.folder import FORMAT_VERSION, RunFolder

METRICS = "metrics.jsonl"
MOST, LONGEST = 2**30, 2**20
"""Most bytes of the file (some ten million steps), and of an event in it."""
KEPT = 10_000
"""Most events of a kind (looks at held-out text, others) that `read_events` gives."""
LOOK = {"loss": float, "targets": int, "best": bool, "measure": str, "samples": [str]}
EVENT = {
    "step": int,
    "steps": int,
    "tokens": int,
    "loss": float,
    "learning_rate": float,
    "gradient_norm": float,
    "tokens_per_second": float,
    "seconds": float,
    "held_out": (None, LOOK),
    "gates": (
        None,
        [
            {
                "layer": int,
                "direction": str,
                "gate": str,
                "shut": float,
                "open": float,
                "tenths": [float],
            }
        ],
    ),
}
LATER: dict[str, Any] = {"gates": None}
"""What events of earlier trainings haven't got."""


def read_events(folder: RunFolder) -> list[dict[str, Any]]:
    """What EVENT says of the events that are whole; of very many, every second one, or fourth, ….

    None where there is no such file. RunError for a later format, and for what is no file.
    """
    looks, others = _Some(), _Some()
    for number, event in enumerate(each_event(folder)):
        known = {key: event[key] for key in EVENT}
        if known["held_out"] is None:
            others.add((number, known))
        else:
            looks.add((number, known | {"held_out": {key: known["held_out"][key] for key in LOOK}}))
    return [event for _, event in sorted(looks.kept + others.kept, key=itemgetter(0))]


def each_event(folder: RunFolder) -> Iterator[dict[str, Any]]:
    """All events that are whole, one at a time; errors as for `read_events`."""
    if not folder.place(METRICS).exists():
        return
    source = str(folder.path / METRICS)
    with folder.open_unchecked(METRICS, most=MOST) as file:
        torn = False
        while line := file.readline(LONGEST):
            whole, torn = not torn, not line.endswith(b"\n")
            try:
                event = LATER | read_object(line, METRICS, error=RunError) if whole else {}
            except RunError:
                continue
            check_version(event, FORMAT_VERSION, source, error=RunError)
            if misfit(event, EVENT) is None:
                yield event


@dataclass
class _Some:
    """Of all that was added, evenly spaced, at most KEPT, the first always."""

    kept: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    every: int = 1
    added: int = 0

    def add(self, numbered: tuple[int, dict[str, Any]]) -> None:
        if self.added % self.every == 0:
            self.kept.append(numbered)
        self.added += 1
        if len(self.kept) > KEPT:
            self.kept, self.every = self.kept[::2], 2 * self.every
