"""`metrics.jsonl`: the events of a training, a line each.

It only grows, and its end may be torn.
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
        if isinstance(event, dict) and {"step", "loss", "seconds"} <= event.keys():
            events.append(event)
    return events
