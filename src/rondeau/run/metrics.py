"""`metrics.jsonl`: the events of a training, a line each.

It only grows, its end may be torn, and no manifest vouches for it.
"""

from __future__ import annotations

import json
from typing import Any

from rondeau.run.folder import RunFolder

METRICS = "metrics.jsonl"


def read_events(folder: RunFolder) -> list[dict[str, Any]]:
    """All events that are whole; none where there is no such file."""
    path = folder.path / METRICS
    if not path.exists():
        return []
    events = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict) and _are_numbers(event, "step", "tokens", "loss", "seconds"):
            look = event.get("held_out")
            if look is None or (isinstance(look, dict) and _are_numbers(look, "loss")):
                events.append(event)
    return events


def _are_numbers(values: dict[str, Any], *names: str) -> bool:
    return all(isinstance(values.get(name), int | float) for name in names)
