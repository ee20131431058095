"""`metrics.jsonl`: the events of a training, a line each.

It only grows, isn't in the manifest, and its end may be torn: what isn't an event is passed over.
"""

from __future__ import annotations

from typing import Any

from rondeau.errors import RunError
from rondeau.formats import check_version, misfit, read_object
from rondeau.run.folder import FORMAT_VERSION, RunFolder

METRICS = "metrics.jsonl"
MOST = 2**30
"""Most bytes: some hundred million steps."""
EVENT = {
    "step": int,
    "steps": int,
    "tokens": int,
    "loss": float,
    "learning_rate": float,
    "gradient_norm": float,
    "tokens_per_second": float,
    "seconds": float,
    "held_out": (
        None,
        {"loss": float, "targets": int, "best": bool, "measure": str, "samples": [str]},
    ),
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
    """All events that are whole; none where there is no such file. RunError for a later format."""
    if not folder.place(METRICS).exists():
        return []
    events = []
    for line in folder.read_unchecked(METRICS, most=MOST).splitlines():
        try:
            event = LATER | read_object(line, METRICS, error=RunError)
        except RunError:
            continue
        check_version(event, FORMAT_VERSION, str(folder.path / METRICS), error=RunError)
        if misfit(event, EVENT) is None:
            events.append(event)
    return events
