"""What a server counts, as Prometheus reads it, in a registry of its own."""

from __future__ import annotations

import resource
from collections.abc import Callable, Sequence
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from rondeau.generation.batching import Update

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """The counters, and what is looked up when they are read."""

    def __init__(self) -> None:
        """All at nothing."""
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "rondeau_requests",
            "Requests answered",
            ["route", "status"],
            registry=self.registry,
        )
        self.characters = Counter(
            "rondeau_generated_characters", "Characters written", registry=self.registry
        )
        self.first_character = Histogram(
            "rondeau_first_character_seconds",
            "From a request to its first written character",
            buckets=SECONDS,
            registry=self.registry,
        )
        self.watch("rondeau_memory_bytes", "Resident memory", memory)

    def watch(self, name: str, about: str, value: Callable[[], float]) -> None:
        """A number that is looked up whenever the metrics are read."""
        Gauge(name, about, registry=self.registry).set_function(value)

    def written(self, updates: Sequence[Update]) -> None:
        """Of an engine's turn."""
        self.characters.inc(sum(len(u.ids) for u in updates if u.stream is not None))

    def first(self, seconds: float) -> None:
        """From a request to its first character."""
        self.first_character.observe(seconds)

    def text(self) -> bytes:
        """All of it, in Prometheus' text format."""
        return generate_latest(self.registry)


def memory() -> float:
    """Bytes of this process in memory; at its most, where the system doesn't tell the present."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0
