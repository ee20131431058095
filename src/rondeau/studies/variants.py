"""The cells that studies lay side by side."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from rondeau.report.pictures import COLOURS


@dataclass(frozen=True)
class Variant:
    """A cell: its title, its settings, and its colour in every picture."""

    title: str
    colour: str
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def gated(self) -> bool:
        """Whether it has gates."""
        return bool(self.settings["cell"] != "rnn")


VARIANTS = {
    "rnn-tanh": Variant("RNN (tanh)", COLOURS[2], {"cell": "rnn", "activation": "tanh"}),
    "rnn-relu": Variant("RNN (relu)", COLOURS[3], {"cell": "rnn", "activation": "relu"}),
    "gru": Variant("GRU", COLOURS[0], {"cell": "gru", "reset": "after"}),
    "gru-before": Variant("GRU (reset before)", COLOURS[1], {"cell": "gru", "reset": "before"}),
    "lstm": Variant("LSTM", COLOURS[4], {"cell": "lstm", "forget_bias": 0.0}),
    "lstm-forget": Variant(
        "LSTM (forget bias 1)", COLOURS[5], {"cell": "lstm", "forget_bias": 1.0}
    ),
}
"""By the names that folders and programs know them by."""


def listed(parts: list[str]) -> str:
    """Words in a row: a, b and c."""
    return " and ".join([*([", ".join(parts[:-1])] if parts[1:] else []), *parts[-1:]])
