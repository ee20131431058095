"""What held gates cost, near and far, in sentences: the part of an inspection that is measured.

It says what the numbers say, and nothing that they can't carry.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from rondeau.inspection.ablation import Ablation, Cost
from rondeau.inspection.context import NEAR, Context, Curve, Difference
from rondeau.inspection.inspect import Inspection
from rondeau.report import inspection_pictures as pictures
from rondeau.report import words
from rondeau.report.illustrated import Section, Table

SURE = 2.0
"""Standard errors from which on a difference is one."""


def ablation_section(found: Inspection, ablation: Ablation) -> Section:
    """Every gate held shut, open and still."""
    said = [
        "A gate is held in all layers: shut, open, or each unit at its own mean, which leaves how "
        "long a unit remembers and takes away that this depends on the text. The weights stay as "
        "they are, so that values the model never met cost more than a model trained without the "
        "gate would pay.",
        f"{ablation.characters:,} characters, in pieces of at most 1,000 from an empty state; "
        "± is the standard error over pieces.",
    ]
    rows = [["as it is", words.bits(ablation.bits_per_character), ""]]
    rows += [
        [
            f"{found.gates[cost.held.gate]} gate, {cost.held.label}",
            words.bits(cost.bits_per_character),
            _signed(cost.cost, cost.error),
        ]
        for cost in ablation.costs
    ]
    return Section(
        "What holding a gate costs",
        said,
        picture=pictures.ablation(found, cost_title(found, ablation)),
        table=Table(["", "bits a character", "cost"], rows, frozenset({0})),
    )


def _signed(value: float, error: float) -> str:
    spread = f" ± {error:.3f}" if math.isfinite(error) else ""
    return f"{value:+.3f}{spread}"


def cost_title(found: Inspection, ablation: Ablation) -> str:
    """What holding each gate at its mean costs, the dearest first."""
    means = sorted((cost for cost in ablation.costs if cost.held.value is None), key=_dearest)
    names = [found.gates[cost.held.gate] for cost in means]
    parts = [f"the {names[0]} gate costs {means[0].cost:.3f} bits a character"]
    parts += [f"the {name} gate {c.cost:.3f}" for name, c in zip(names[1:], means[1:], strict=True)]
    return f"Held at its mean, {', '.join(parts)}"


def _dearest(cost: Cost) -> float:
    return -cost.cost


def context_section(found: Inspection, context: Context) -> Section:
    """Bits against context, whole and with each gate held."""
    said = [
        f"Before each of {context.targets:,} sampled characters the model reads only the last "
        "ones, from an empty state; where the document began later, from its beginning.",
    ]
    rows = [
        [
            "as it is"
            if curve.held is None
            else f"{found.gates[curve.held.gate]} gate at its mean",
            *(words.bits(float(curve.mean[i])) for i in (0, context.split, -1)),
            "" if curve.held is None else _difference(context.near(curve)),
            "" if curve.held is None else _difference(context.far(curve)),
        ]
        for curve in (context.whole, *context.held)
    ]
    near, far = context.lengths[context.split], context.lengths[-1]
    headings = [
        "bits a character after",
        *(f"{length}" for length in (context.lengths[0], near, far)),
        f"holding costs within {near}",
        "and more beyond",
    ]
    if found.gates:
        said += _textbook(found, context)
    return Section(
        "How far back it matters, and which gate carries it",
        said,
        picture=pictures.context(found, context, context_title(context)),
        table=Table(headings, rows, frozenset({0})),
    )


def _difference(difference: Difference) -> str:
    return _signed(difference.value, difference.error)


def context_title(context: Context) -> str:
    """What the far context is worth."""
    saved = context.saved
    near = context.lengths[context.split]
    if context.lengths[-1] <= NEAR:
        return f"No document is longer than {NEAR} characters"
    if saved.value < SURE * saved.error:
        return f"What lies more than {near} characters back saves nothing that could be measured"
    much = f"{saved.value:.3f} ± {saved.error:.3f}"
    return f"What lies more than {near} characters back saves {much} bits a character"


def _textbook(found: Inspection, context: Context) -> list[str]:
    """What the numbers say to “reset for the short, update for the long”."""
    told = []
    if found.config.cell == "gru":
        told.append(
            "Textbooks have it that the reset gate serves short dependencies and the update gate "
            "long ones. Here is what this model says."
        )
    saved = context.saved
    for curve in context.held:
        assert curve.held is not None
        near, far = context.near(curve), context.far(curve)
        told.append(
            f"Holding the {found.gates[curve.held.gate]} gate costs {_difference(near)} within "
            f"{context.lengths[context.split]} characters, and {_difference(far)} more beyond."
        )
    if saved.value < SURE * saved.error:
        told.append(
            "The model uses next to nothing from farther back, so that no gate can be said to "
            "serve long dependencies here."
        )
        return told
    needed = [_needed(found, context.held, cost) for cost in (context.near, context.far)]
    told.append(f"What lies near depends {needed[0]}; what lies farther back, {needed[1]}.")
    return told


def _needed(found: Inspection, curves: Sequence[Curve], cost: Callable[[Curve], Difference]) -> str:
    """The gate that is dearest to hold, where that is more than noise."""
    first, second = sorted(curves, key=lambda curve: -cost(curve).value)[:2]
    ahead = cost(first).value - cost(second).value
    if ahead < SURE * math.hypot(cost(first).error, cost(second).error) or first.held is None:
        return "on no gate clearly more than on another"
    return f"most on the {found.gates[first.held.gate]} gate"
