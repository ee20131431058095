"""The runs that are served, by name, each with the thread that writes for all clients."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote

import torch

from rondeau.errors import OptionError
from rondeau.evaluation.copies import KEPT
from rondeau.formats import finite
from rondeau.language_model import LanguageModel
from rondeau.report.page import NAME as REPORT
from rondeau.server.engine import Engine, Observer
from rondeau.server.errors import ApiError, busy, stopping
from rondeau.server.limits import Limits
from rondeau.server.schemas import LENGTH

T = TypeVar("T")


@dataclass(frozen=True)
class Served:
    """One run: its name, its model, and, where that can write, its engine."""

    name: str
    model: LanguageModel
    engine: Engine | None

    def writer(self) -> Engine:
        """The engine; ApiError for a model that can't write."""
        if self.engine is None:
            message = "this model reads both sides of a text and can't write one; use /v1/infill"
            raise ApiError(400, message, param="model", code="unsupported")
        return self.engine

    def warm(self) -> None:
        """Have what must be compiled compiled, before anybody waits for it."""
        if self.engine is not None:
            batch = self.model.batch()
            batch.add(self.model.prompt(length=1, told=1, tell=True))
            while batch.busy:
                batch.turn(1)

    @property
    def has_copies(self) -> bool:
        """Whether it is known what stands in the training text."""
        return self.model.run.has(KEPT)

    @property
    def has_report(self) -> bool:
        """Whether the run has the page of its training."""
        return self.model.run.place(REPORT).is_file()

    def report(self) -> bytes:
        """That page."""
        return self.model.run.read_unchecked(REPORT)

    @property
    def capabilities(self) -> list[str]:
        """What may be asked of it."""
        infills = self.model.model.causal or self.model.model.config.objective == "cloze"
        can = {
            "completions": self.engine is not None,
            "sessions": self.engine is not None,
            "score": self.engine is not None,
            "infill": infills,
            "novelty": self.has_copies,
        }
        return [name for name, able in can.items() if able]

    def describe(self) -> dict[str, Any]:
        """What `/v1/models` tells: no path, and nothing of the text."""
        info = self.model.info()
        config = info["config"]
        report = f"/v1/models/{quote(self.name)}/report" if self.has_report else None
        described = {
            "id": self.name,
            "object": "model",
            "created": int(self.model.run.path.stat().st_mtime),
            "owned_by": "rondeau",
            "objective": config["objective"],
            "causal": self.model.model.causal,
            "capabilities": self.capabilities,
            "cell": config["cell"],
            "hidden": config["hidden"],
            "layers": config["layers"],
            "parameters": info["parameters"],
            "vocabulary": info["vocabulary"],
            "whole_documents": self.model.whole_documents,
            "max_length": LENGTH,
            "data": {k: info["data"][k] for k in ("split", "documents", "characters")},
            "held_out": info["held_out"],
            "verdict": info["verdict"],
            "report": report,
        }
        return dict(finite(described))


class Models:
    """All that are served, the first of them by default."""

    def __init__(self, models: Sequence[LanguageModel], limits: Limits, observer: Observer) -> None:
        """Name runs by their folders; OptionError where two have the same name."""
        self.limits = limits
        self.by_name: dict[str, Served] = {}
        for model in models:
            name = model.run.path.resolve().name
            if name in self.by_name:
                raise OptionError(f"serve {model.run.path}: two runs are named {name}; rename one")
            engine = Engine(model, limits, observer) if model.model.causal else None
            self.by_name[name] = Served(name, model, engine)
        self.aside = Aside(limits.aside)

    def get(self, name: str | None) -> Served:
        """A model by its id, the first one without; ApiError where there is none."""
        if name is None:
            return next(iter(self.by_name.values()))
        if name not in self.by_name:
            message = "there is no such model here; /v1/models lists them"
            raise ApiError(404, message, param="model", code="model_not_found")
        return self.by_name[name]

    @property
    def engines(self) -> list[Engine]:
        """Of those that write."""
        return [served.engine for served in self.by_name.values() if served.engine]

    def start(self) -> None:
        """Begin to write, from the event loop."""
        for engine in self.engines:
            engine.start()

    async def stop(self, grace: float) -> None:
        """Finish or end what is under way."""
        await asyncio.gather(*(engine.stop(grace) for engine in self.engines))
        self.aside.stop()


class Aside:
    """One more thread, for whole calls of the library, one after another beside the engines."""

    def __init__(self, most: int) -> None:
        """At most so many may wait."""
        self.most, self.waiting, self._stopping = most, 0, False
        threads = torch.get_num_threads()
        self._pool = ThreadPoolExecutor(1, "aside", lambda: torch.set_num_threads(threads))

    async def call(self, function: Callable[[], T]) -> T:
        """What a function returns; ApiError where too many wait."""
        if self._stopping:
            raise stopping()
        if self.waiting >= self.most:
            raise busy("scoring and filling")
        self.waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, function)
        finally:
            self.waiting -= 1

    def stop(self) -> None:
        """Take no more; what has begun ends by itself."""
        self._stopping = True
        self._pool.shutdown(wait=False, cancel_futures=True)
