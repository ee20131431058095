"""Gaps in a text filled, several at once, so that the whole is likely.

A cloze model fills the gap that it is surest of first, then reads both sides again. A model of the
next character goes from left to right with the most likely beginnings (beam search), and what
follows a gap decides between its fillings.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from operator import itemgetter

import torch
from torch import Tensor

from rondeau.config import require
from rondeau.errors import OptionError, UnsupportedError
from rondeau.network.cells import map_carry
from rondeau.network.model import Model
from rondeau.text.tokenizer import BOS, MASK, UNK, CharTokenizer


@dataclass(frozen=True)
class Infilling:
    """A text with its gaps filled, what fills them, and the surprisal in bits.

    Of the fillings for a cloze model, of the whole text for a model of the next character.
    """

    text: str
    filled: tuple[str, ...]
    bits: float


Filling = tuple[tuple[int, ...], float]
"""The ids of the gaps in order, and ln P."""


@torch.inference_mode()
def infill(
    model: Model,
    tokenizer: CharTokenizer,
    text: str,
    *,
    gap: str,
    num_samples: int,
    beam: int,
    temperature: float | None,
    seed: int,
    whole_documents: bool,
) -> list[Infilling]:
    """At most `num_samples` fillings of a document with a gap character for each hidden one.

    beam: how many are followed side by side; temperature: draw fillings at random (from the beam
    where the model goes from left to right) instead of the likeliest, first ones first.
    Raises OptionError for impossible numbers and a text without gaps, UnsupportedError for a model
    that reads its own answer.
    """
    if not model.causal and model.config.objective != "cloze":
        raise UnsupportedError(
            "infill: this model has learned to read its own answer; "
            "train one with --objective cloze, or without --bidirectional"
        )
    require(num_samples >= 1, "num_samples", num_samples, "must be at least 1")
    require(beam >= 1, "beam", beam, "must be at least 1")
    warm = temperature is None or 0 < temperature < math.inf
    require(warm, "temperature", temperature, "must be a finite number above 0")
    require(seed >= 0, "seed", seed, "must not be negative")
    require(len(gap) == 1, "gap", repr(gap), "must be one character")
    characters = list(text)
    places = [place for place, character in enumerate(characters) if character == gap]
    if not places:
        raise OptionError(f"infill: the text has no gap in it; write {gap} for each (--gap)")
    ids = tokenizer.encode(text)
    ids[places] = MASK
    document = torch.from_numpy(ids).to(model.output.weight.device)
    generator = torch.Generator().manual_seed(seed % 2**63)
    model.eval()
    if model.config.objective == "next":
        found = _from_the_left(model, document, max(beam, num_samples), whole_documents)
        if temperature is not None:
            scores = torch.tensor([score for _, score in found])
            drawn = _draw(scores, num_samples, temperature, generator)
            found = [found[i] for i in drawn.tolist()]
    elif temperature is None:
        found = _from_both_sides(model, document, max(beam, num_samples))
    else:
        found = _drawn_from_both_sides(model, document, num_samples, temperature, generator)
    result = []
    for filling, log_probability in found[:num_samples]:
        chosen = tokenizer.decode(filling)
        for place, character in zip(places, chosen, strict=True):
            characters[place] = character
        bits = -log_probability / math.log(2)
        result.append(Infilling("".join(characters), tuple(chosen), bits))
    return result


def _filling(logits: Tensor) -> Tensor:
    """ln P (…, V); no special token fills a gap."""
    found = torch.log_softmax(logits, -1)
    found[..., [UNK, BOS, MASK]] = -math.inf
    return found


def _from_both_sides(model: Model, document: Tensor, beam: int) -> list[Filling]:
    """Gap after gap, each time the one whose best character is the most probable."""
    texts = _framed(document)
    places = gaps = (document == MASK).nonzero()[:, 0] + 1
    scores = torch.zeros(1, device=document.device)
    while len(gaps):
        found, surest = _surest(model, texts, gaps)
        rows, filled, scores = _best(scores[:, None] + found, beam)
        texts = texts[:, rows]
        texts[gaps[surest]] = filled
        gaps = gaps[torch.arange(len(gaps)) != surest]
    return _fillings(texts[places], scores)


def _drawn_from_both_sides(
    model: Model, document: Tensor, count: int, temperature: float, generator: torch.Generator
) -> list[Filling]:
    """The same, each character drawn at random."""
    texts = _framed(document).repeat(1, count)
    places = gaps = (document == MASK).nonzero()[:, 0] + 1
    scores = torch.zeros(count, device=document.device)
    while len(gaps):
        found, surest = _surest(model, texts, gaps)
        filled = _draw(found, 1, temperature, generator)
        scores = scores + found.gather(1, filled)[:, 0]
        texts[gaps[surest]] = filled[:, 0]
        gaps = gaps[torch.arange(len(gaps)) != surest]
    return _fillings(texts[places], scores)


def _draw(scores: Tensor, count: int, temperature: float, generator: torch.Generator) -> Tensor:
    """So many places in each row of ln P, (…, V) -> (…, count), drawn at a temperature."""
    # Beside the greatest, and in double precision, any temperature leaves something to draw.
    below = scores.double() - scores.double().amax(-1, keepdim=True)
    weights = (below / temperature).softmax(-1).cpu()
    drawn = torch.multinomial(weights, count, replacement=True, generator=generator)
    return drawn.to(scores.device)


def _framed(document: Tensor) -> Tensor:
    """A document (N) between two `<bos>`, as one text (N + 2, 1)."""
    ends = document.new_tensor([BOS])
    return torch.cat([ends, document, ends])[:, None]


def _surest(model: Model, texts: Tensor, gaps: Tensor) -> tuple[Tensor, int]:
    """ln P (B, V) at the gap that the first of the texts (N, B) is surest of, and which gap."""
    features, _ = model.features(texts, model.initial_carry(texts.shape[1]))
    found = _filling(model.output(features[gaps]))
    surest = int(found[:, 0].amax(-1).argmax())
    return found[surest], surest


def _best(sums: Tensor, beam: int) -> tuple[Tensor, Tensor, Tensor]:
    """Rows and ids of the greatest sums (B, V), and these, greatest first."""
    best = sums.flatten().topk(min(beam, int(sums.isfinite().sum())))
    return best.indices // sums.shape[1], best.indices % sums.shape[1], best.values


def _fillings(filled: Tensor, scores: Tensor) -> list[Filling]:
    """Columns of ids (G, B) and their scores (B), greatest first."""
    order = scores.argsort(descending=True, stable=True)
    columns = map(tuple, filled.T[order].tolist())
    return list(zip(columns, scores[order].tolist(), strict=True))


def _from_the_left(model: Model, document: Tensor, beam: int, whole: bool) -> list[Filling]:
    """Beam search: fixed characters are read and counted, gaps branch."""
    last = document.new_tensor([BOS])
    targets = torch.cat([document, last]) if whole else document
    carry = model.initial_carry(1)
    scores = torch.zeros(1, device=document.device)
    filled = document.new_empty(0, 1)
    at = 0
    for gap in [*(targets == MASK).nonzero()[:, 0].tolist(), len(targets)]:
        # Up to a gap everything is known: one window for all beams.
        known = targets[at:gap, None].expand(-1, len(scores))
        features, carry = model.features(torch.cat([last[None], known]), carry)
        for step, wanted in zip(features[:-1], known, strict=True):
            found = torch.log_softmax(model.output(step), -1)
            scores = scores + found.gather(1, wanted[:, None])[:, 0]
        if gap == len(targets):
            break
        rows, last, scores = _best(scores[:, None] + _filling(model.output(features[-1])), beam)
        carry = map_carry(itemgetter(rows), carry)
        filled = torch.cat([filled[:, rows], last[None]])
        at = gap + 1
    return _fillings(filled, scores)
