"""All of it for one model and one text: what `LanguageModel.inspect` gives."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rondeau.config import ModelConfig
from rondeau.inspection.ablation import Ablation, ablate
from rondeau.inspection.context import Context, Curve, context_curves
from rondeau.inspection.features import Feature, features
from rondeau.inspection.gates import GATES, Activity, Floats, record, select
from rondeau.inspection.gradients import Gradients, gradients_through_time
from rondeau.inspection.readable import Tracked, shifts, tracked
from rondeau.inspection.reading import Reading, read
from rondeau.inspection.units import saturation, time_constants
from rondeau.network.model import Model
from rondeau.text.tokenizer import CharTokenizer

RECORDED = 6_000
"""Characters over which gates are recorded."""
KEPT = 2**26
"""Most numbers that are recorded (256 MiB in float32): a wide model is recorded on less text."""
MEASURED = 20_000
"""Characters on which held gates are measured."""
PASSAGE = 64
"""Characters of the passage whose gates are shown one by one."""
SHOWN = 240
"""Characters of the passage that a readable unit is shown on."""


@dataclass(frozen=True)
class Shown:
    """A readable unit on a passage: how far it is from its mean, in standard deviations, (T,)."""

    tracked: Tracked
    text: str
    activity: Floats


@dataclass(frozen=True)
class Layer:
    """One layer in one direction.

    time_constants: characters, (H,); shut, open: shares of the steps of each unit, by gate, (H,)
    each; passage: the rows of the passage; readable: units with what they track.
    """

    time_constants: NDArray[np.float64]
    shut: Mapping[str, NDArray[np.float64]]
    open: Mapping[str, NDArray[np.float64]]
    mean: Mapping[str, NDArray[np.float64]]
    passage: Activity
    readable: tuple[Shown, ...]

    @property
    def name(self) -> str:
        """The layer, and the direction where it is backwards."""
        return self.passage.name

    @property
    def order(self) -> NDArray[np.intp]:
        """Units from the slowest to the fastest."""
        return np.argsort(-self.time_constants, kind="stable")


@dataclass(frozen=True)
class Inspection:
    """What happens inside a model while it reads a text.

    source: the text's name; characters: of it, recorded; ablation, context: None for a model that
    has no bits a character because it reads both sides (and for a plain RNN no ablation);
    gradients: through time, None where the text is too short to go back over;
    shifts: how often facts were shifted around; chance: at most so many of the readable units are
    there by chance, on average.
    """

    config: ModelConfig
    source: str
    characters: int
    passage: str
    layers: tuple[Layer, ...]
    gradients: Gradients | None
    shifts: int
    chance: float
    ablation: Ablation | None
    context: Context | None

    @property
    def gates(self) -> Mapping[str, str]:
        """The names of the cell's gates, by letter."""
        return GATES[self.config.cell]

    def as_dict(self) -> dict[str, Any]:
        """The numbers, for programs."""
        return {
            "source": self.source,
            "characters": self.characters,
            "cell": self.config.cell,
            "gradients": self.gradients and self.gradients.as_dict(),
            "layers": [_layer_as_dict(layer) for layer in self.layers],
            "ablation": self.ablation and _ablation_as_dict(self.ablation),
            "context": self.context and _context_as_dict(self.context),
        }


def inspect(
    model: Model,
    tokenizer: CharTokenizer,
    documents: Sequence[str],
    *,
    source: str,
    whole: bool,
    seed: int = 0,
) -> Inspection:
    """Look into a model while it reads documents, each from a zero carry and `<bos>`.

    Gates are recorded over the first 6,000 characters, held gates measured on the first 20,000.
    Raises CorpusError where there is no text.
    """
    config = model.config
    per_character = sum(
        (len(cell.gate_names) + len(cell.carry_type._fields)) * cell.hidden_size
        for directions in model.stack.cells
        for cell in directions
    )
    most = max(PASSAGE, min(RECORDED, KEPT // per_character))
    reading = read(documents, tokenizer, whole=whole, most=most)
    recorded = _of_characters(record(model, reading.framed), reading)
    facts = features(reading.texts)
    gates = GATES[config.cell]
    layers = tuple(_layer(activity, gates, reading, facts, seed) for activity in recorded)
    ablation = context = None
    if model.causal:
        measured = read(documents, tokenizer, whole=whole, most=MEASURED)
        ablation = ablate(model, measured, recorded) if gates else None
        context = context_curves(model, measured, recorded, seed=seed)
    return Inspection(
        config=config,
        source=source,
        characters=reading.characters,
        passage="".join(reading.texts)[:PASSAGE],
        layers=layers,
        gradients=gradients_through_time(model, np.concatenate(reading.framed), seed=seed),
        shifts=shifts(reading.characters),
        chance=len(layers) * len(facts) / (shifts(reading.characters) + 1),
        ablation=ablation,
        context=context,
    )


def _of_characters(activities: Sequence[Activity], reading: Reading) -> list[Activity]:
    """The rows of the characters, without those of the documents' ends and beginnings."""
    starts = np.cumsum([0, *(len(ids) for ids in reading.framed)])
    rows = np.concatenate(
        [
            start + 1 + np.arange(len(text))
            for start, text in zip(starts[:-1], reading.texts, strict=True)
        ]
    )
    return [select(activity, rows) for activity in activities]


def _layer(
    activity: Activity,
    gates: Iterable[str],
    reading: Reading,
    facts: Sequence[Feature],
    seed: int,
) -> Layer:
    values = {gate: activity.gates[gate] for gate in gates}
    shares = {gate: saturation(steps) for gate, steps in values.items()}
    state = activity.state
    text = "".join(reading.texts)
    return Layer(
        time_constants=time_constants(activity),
        shut={gate: shut for gate, (shut, _) in shares.items()},
        open={gate: open_ for gate, (_, open_) in shares.items()},
        mean={gate: steps.mean(0, dtype=np.float64) for gate, steps in values.items()},
        passage=select(activity, slice(PASSAGE)),
        readable=tuple(
            _shown(one, state[:, one.unit], facts, text) for one in tracked(state, facts, seed=seed)
        ),
    )


def _shown(one: Tracked, values: Floats, facts: Sequence[Feature], text: str) -> Shown:
    """The passage of the second half in which the fact changes most."""
    fact = next(fact.values for fact in facts if fact.name == one.feature)
    half = len(text) // 2
    starts = range(half, max(half + 1, len(text) - SHOWN), SHOWN // 4)
    start = max(starts, key=lambda start: float(fact[start : start + SHOWN].std()))
    rows = slice(start, start + SHOWN)
    spread = values.std() or 1.0
    return Shown(one, text[rows], (values[rows] - values.mean()) / spread)


def _layer_as_dict(layer: Layer) -> dict[str, Any]:
    return {
        "name": layer.name,
        "time_constants": layer.time_constants.tolist(),
        "gates": {
            gate: {
                "mean": float(layer.mean[gate].mean()),
                "shut": float(layer.shut[gate].mean()),
                "open": float(layer.open[gate].mean()),
            }
            for gate in layer.mean
        },
        "readable": [asdict(shown.tracked) for shown in layer.readable],
    }


def _ablation_as_dict(ablation: Ablation) -> dict[str, Any]:
    return {
        "characters": ablation.characters,
        "bits_per_character": ablation.bits_per_character,
        "held": [
            {
                "held": cost.held.label,
                "bits_per_character": cost.bits_per_character,
                "cost": cost.cost,
                "error": cost.error,
            }
            for cost in ablation.costs
        ],
    }


def _context_as_dict(context: Context) -> dict[str, Any]:
    held = [
        {
            "held": curve.held and curve.held.label,
            **_curve_as_dict(curve),
            "near": asdict(context.near(curve)),
            "far": asdict(context.far(curve)),
        }
        for curve in context.held
    ]
    return {
        "targets": context.targets,
        "lengths": list(context.lengths),
        "near": context.lengths[context.split],
        "saved_beyond": asdict(context.saved),
        "whole": _curve_as_dict(context.whole),
        "held": held,
    }


def _curve_as_dict(curve: Curve) -> dict[str, Any]:
    return {"bits": curve.mean.tolist(), "error": curve.error.tolist()}
