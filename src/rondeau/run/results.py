"""`results.json` read back: settings, data, progress and numbers, all that readers ask for."""

from __future__ import annotations

from typing import Any, get_args

from rondeau.config import Split, TextConfig
from rondeau.errors import OptionError, RunError
from rondeau.formats import ABSENT, misfit, shown
from rondeau.run.folder import RunFolder

RESULTS = "results.json"
SIZES = {"train": int, "validation": int, "test": int}
ROW = {"split": str, "unknown_share": float, "sample": (bool, ABSENT)}
COST = ROW | {
    "targets": int,
    "perplexity": float,
    "bits_per_character": float,
    "bits_per_byte": float,
    "known_perplexity": (float, ABSENT),
}
LEAK = ROW | {"targets": int, "leaked_loss": float}
CLOZE = ROW | {"gaps": int, "accuracy": float, "pseudo_perplexity": float}
SHAPE = {
    "settings": {"seed": int, "limit": (int, None, ABSENT), "seq_len": (int, ABSENT)},
    "data": {
        "sources": [str],
        "split": get_args(Split),
        "documents": SIZES,
        "characters": SIZES,
    },
    "training": {"step": int, "steps": int, "best_step": (int, None), "seconds": float},
    "held_out": ([COST], [LEAK], [CLOZE]),
    "verdict": [str],
}
"""The rows of `held_out` are a model's, one's that reads its own answer, or one's with gaps."""


def read_results(folder: RunFolder) -> dict[str, Any]:
    """All that results.json holds; RunError where something is missing or of another kind."""
    values = folder.read_json(RESULTS)
    wrong = misfit(values, SHAPE, "results")
    if wrong is not None:
        raise RunError(f"{folder.path / RESULTS}: is not the results of a training ({wrong})")
    return values


def read_text_config(folder: RunFolder) -> TextConfig:
    """How the run's corpus was read; RunError as for `read_results`."""
    settings = read_results(folder)["settings"]
    try:
        return TextConfig(**{name: settings.get(name) for name in TextConfig.field_names()})
    except OptionError as error:
        reason = shown(str(error))
        raise RunError(f"{folder.path / RESULTS}: has impossible settings ({reason})") from None
