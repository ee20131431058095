"""Recurrent language models: from the equations of the cell to songs, with honest numbers.

    training = rondeau.train("mysongs.txt", rondeau.TrainConfig(minutes=3), out="run")
    for event in training: ...            # or at once: model = training.finish()
    model = rondeau.load("run")
    model.generate("分开", length=50); model.score("分开"); model.evaluate()

Names are loaded on first use, so that importing this package does not import torch.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

from rondeau.version import __version__ as __version__

# OpenMP's threads are to sleep soon when there is nothing to do, so that a busy machine is shared
# fairly (docs/performance.md); libgomp reads this once, when torch is loaded.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "3000")

if TYPE_CHECKING:
    from rondeau.config import DecodingConfig as DecodingConfig
    from rondeau.config import ModelConfig as ModelConfig
    from rondeau.config import TrainConfig as TrainConfig
    from rondeau.errors import RondeauError as RondeauError
    from rondeau.language_model import LanguageModel as LanguageModel
    from rondeau.network import cells as cells
    from rondeau.network.backends import unroll as unroll
    from rondeau.network.model import Model as Model
    from rondeau.network.stack import Stack as Stack
    from rondeau.training.loop import Training as Training
    from rondeau.training.train import resume as resume
    from rondeau.training.train import train as train

    load = LanguageModel.load

_HOMES = {
    "DecodingConfig": "rondeau.config",
    "LanguageModel": "rondeau.language_model",
    "Model": "rondeau.network.model",
    "ModelConfig": "rondeau.config",
    "RondeauError": "rondeau.errors",
    "Stack": "rondeau.network.stack",
    "TrainConfig": "rondeau.config",
    "Training": "rondeau.training.loop",
    "resume": "rondeau.training.train",
    "train": "rondeau.training.train",
    "unroll": "rondeau.network.backends",
}

__all__ = [*sorted(_HOMES), "cells", "load"]


def __getattr__(name: str) -> Any:
    """Find a public name in its home."""
    if name == "cells":
        return importlib.import_module("rondeau.network.cells")
    if name == "load":
        return importlib.import_module("rondeau.language_model").LanguageModel.load
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'rondeau' has no attribute {name!r}")


def __dir__() -> list[str]:
    """The public names."""
    return [*__all__, "__version__"]
