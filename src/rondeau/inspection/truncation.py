"""What a window of T steps throws away: the gradient cut at its edges, beside the whole one.

Truncated back-propagation through time carries the state from window to window and cuts the
gradient there (Williams & Peng 1990): each T is a training's `seq_len`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from rondeau.errors import CorpusError, OptionError
from rondeau.inspection.traces import TokenIds, Trace, Windows, as_ids, exact_copy, read_windows
from rondeau.network.cells import map_carry
from rondeau.network.model import Model
from rondeau.text.masking import hide

LENGTHS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
STREAMS = 8


class Truncated(NamedTuple):
    """The gradient of all recurrent weights cut after T steps, beside the whole one g.

    relative_error: ‖g_T − g‖ / ‖g‖; cosine: of the angle between the two, 1 where they agree.
    """

    T: int
    relative_error: float
    cosine: float


def truncation(
    model: Model,
    ids: TokenIds,
    *,
    stretch: int = 512,
    lengths: Sequence[int] = LENGTHS,
    streams: int = STREAMS,
    seed: int = 0,
) -> tuple[Truncated, ...]:
    """The gradient of the mean loss over a stretch of text, whole, and cut after T steps.

    ids (N,): so many streams of `stretch` steps are read side by side, evenly spaced; a shorter
    text is one stream. lengths: each T below the stretch, which itself comes last. States are
    carried on, but for a bidirectional model, which starts every window from zero, as in training;
    there the error is of that too. seed: of what a cloze hides.
    Raises OptionError for impossible numbers, CorpusError for a text of fewer than 3 ids.
    """
    for name, number in (
        ("stretch", stretch),
        ("streams", streams),
        ("lengths", min(lengths, default=1)),
    ):
        if number < 1:
            raise OptionError(f"--{name} {number}: must be at least 1")
    text = as_ids(model, ids)
    if len(text) < 3:
        raise CorpusError(f"the text to inspect has {len(text)} tokens; give a longer one")
    steps = min(stretch, len(text) - 1)
    count = min(streams, (len(text) - 1) // steps)
    starts = torch.arange(count) * (len(text) - 1 - steps) // max(1, count - 1)
    window = text[starts + torch.arange(steps + 1)[:, None]]
    inputs, targets = window[:-1], window[1:]
    asked = torch.ones_like(targets, dtype=torch.bool)
    if model.config.objective == "cloze":
        targets = inputs
        inputs, asked = map(torch.from_numpy, hide(targets.numpy(), (seed, 0)))
    model = copy.deepcopy(model).eval()
    traces = _traces(model, inputs) if model.causal else None
    whole = _gradient(model, inputs, targets, asked, T=steps, traces=traces)
    found = []
    for T in sorted({*(min(T, steps) for T in lengths), steps}):
        cut = whole
        if steps != T:
            cut = _gradient(model, inputs, targets, asked, T=T, traces=traces)
        error = float((cut - whole).norm() / whole.norm())
        found.append(Truncated(T, error, float(torch.cosine_similarity(cut, whole, 0))))
    return tuple(found)


def _traces(model: Model, inputs: Tensor) -> list[Trace]:
    carry = map_carry(lambda part: part.cpu().double(), model.initial_carry(inputs.shape[1]))
    return read_windows(exact_copy(model), Windows(inputs, carry, inputs[0], 0))[1]


def _gradient(
    model: Model,
    inputs: Tensor,
    targets: Tensor,
    asked: Tensor,
    *,
    T: int,
    traces: list[Trace] | None,
) -> Tensor:
    """Of the mean loss, with respect to every `weight_h`, as one vector in float64.

    All windows of a stream are read side by side, each from the state that its trace has there;
    where T doesn't divide the stretch, the last and shorter ones by themselves.
    """
    model.zero_grad()
    device = model.output.weight.device
    steps = len(inputs)
    for start, end in ((0, steps - steps % T), (steps - steps % T, steps)):
        length = min(T, end - start)
        if not length or not asked[start:end].any():
            continue
        parts = (_side_by_side(part[start:end], length) for part in (inputs, targets, asked))
        read, wanted, counts = (part.to(device) for part in parts)
        carry = model.initial_carry(read.shape[1])
        if traces is not None:
            edges = (_edges(trace, f, start, end, length) for trace in traces for f in trace.fields)
            carry = map_carry(_replaced_by(edges), carry)
        loss, _ = model.loss(read, wanted, carry, asked=counts)
        (loss * (counts.sum() / asked.sum())).backward()  # type: ignore[no-untyped-call]
    gradients = [cell.weight_h.grad for cells in model.stack.cells for cell in cells]
    return torch.cat([g.double().flatten() for g in gradients if g is not None])


def _replaced_by(parts: Iterator[Tensor]) -> Callable[[Tensor], Tensor]:
    return lambda zero: next(parts).to(zero)


def _side_by_side(part: Tensor, T: int) -> Tensor:
    """(steps, B) cut into windows of T steps, (T, windows · B)."""
    return part.reshape(-1, T, part.shape[1]).transpose(0, 1).flatten(1)


def _edges(trace: Trace, field: str, start: int, end: int, T: int) -> Tensor:
    """A part of the state before every window, (windows · B, H)."""
    return torch.cat([getattr(state, field) for state in trace.states[start:end:T]])
