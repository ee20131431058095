"""Gaps restored: single characters hidden one at a time, on text that was held out.

A cloze model reads both sides of a gap; its pseudo-perplexity comes from what it gives the hidden
characters (Salazar et al. 2020). A model of the next character fills the same gaps by its own
means: every likely character is put there, and the one wins that makes the text around it likely.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rondeau.errors import CorpusError
from rondeau.network.cells import map_carry
from rondeau.network.model import Model
from rondeau.text.documents import Documents, Ring, documents_of
from rondeau.text.tokenizer import BOS, MASK, UNK, CharTokenizer, Ids

ALL = slice(None)
GAPS = 1_000
"""Gaps that stand for a split."""
SIDE = 64
"""Ids read on each side of a gap, across documents as in training."""
CANDIDATES = 32
"""Most characters that a left-to-right model tries in a gap: its likeliest after the left side."""
READ_ON = 16
"""Ids after the gap by which it chooses among them."""
TOGETHER = 64
"""Gaps filled at once."""


@dataclass(frozen=True)
class ClozeEvaluation:
    """Gaps of one split, and how many of them the most probable character restored.

    bits: of the hidden characters by a cloze model, unknown ones told as in `Evaluation`; None for
    a left-to-right model, which only chooses. unknown: gaps outside the vocabulary, never right.
    """

    split: str
    gaps: int
    right: int
    unknown: int
    bits: float | None = None

    @property
    def accuracy(self) -> float:
        """Share of gaps restored."""
        return self.right / self.gaps

    @property
    def nats(self) -> float:
        """Mean loss in nats a gap; NaN for a left-to-right model."""
        return math.nan if self.bits is None else self.bits * math.log(2) / self.gaps

    @property
    def pseudo_perplexity(self) -> float:
        """e to the nats a gap: not a perplexity, since both sides were read."""
        return math.exp(min(self.nats, 700))

    @property
    def unknown_share(self) -> float:
        """Share of gaps outside the vocabulary."""
        return self.unknown / self.gaps

    def as_dict(self) -> dict[str, Any]:
        """What `evaluate --json` gives for one split."""
        pseudo = {} if self.bits is None else {"pseudo_perplexity": self.pseudo_perplexity}
        return {
            "split": self.split,
            "gaps": self.gaps,
            "accuracy": self.accuracy,
            **pseudo,
            "unknown_share": self.unknown_share,
        }


@torch.inference_mode()
def evaluate_cloze(
    model: Model,
    tokenizer: CharTokenizer,
    documents: Documents | Sequence[str],
    *,
    split: str,
    gaps: int = GAPS,
    part: slice = ALL,
) -> ClozeEvaluation:
    """Restore the characters at places that depend on the length of the text only.

    Two models are so asked for the same ones. part: of the gaps only these. Raises CorpusError
    without any text.
    """
    if not isinstance(documents, Documents):
        documents = documents_of(documents, tokenizer)
    if not documents.characters:
        raise CorpusError(f"{split}: has no text to evaluate")
    windows = _windows(documents.ring, len(tokenizer), gaps)[:, part]
    device = model.output.weight.device
    was_training = model.training
    model.eval()
    restored, costs = [np.empty(0, dtype=np.int64)], [0.0]
    for start in range(0, windows.shape[1], TOGETHER):
        ids = torch.from_numpy(windows[:, start : start + TOGETHER]).to(device)
        chosen, nats = (_from_both_sides if model.config.objective == "cloze" else _from_the_left)(
            model, ids
        )
        restored.append(chosen.cpu().numpy())
        costs.append(nats)
    model.train(was_training)
    hidden = windows[windows.shape[0] // 2]
    unknown = hidden == UNK
    bits = None
    if model.config.objective == "cloze":
        bits = sum(costs) / math.log(2) + int(unknown.sum()) * tokenizer.unknown_bits
    right = (np.concatenate(restored) == hidden) & ~unknown
    return ClozeEvaluation(split, len(hidden), int(right.sum()), int(unknown.sum()), bits)


def _windows(ring: Ring, vocabulary: int, gaps: int) -> Ids:
    """Windows of ids (T, N) around gaps; a gap is in the middle, and is no `<bos>`."""
    length = len(ring)
    steps = min(2 * SIDE + 1, length)
    generator = np.random.default_rng(length)
    middles = np.sort(generator.choice(length, min(2 * gaps, length), replace=False))
    positions = (middles + np.arange(steps)[:, None] - steps // 2) % length
    ids = ring[positions].astype(np.int64)
    ids = np.where(ids < vocabulary, ids, UNK)
    kept = np.flatnonzero(ids[steps // 2] != BOS)
    return ids[:, generator.permutation(kept)[:gaps]]


def _likely(logits: Tensor) -> Tensor:
    """ln P without special tokens, which fill no gap."""
    logits[..., [UNK, BOS, MASK]] = -math.inf
    return logits


def _from_both_sides(model: Model, ids: Tensor) -> tuple[Tensor, float]:
    """The most probable characters of the gaps in ids (T, B), and the nats of the hidden ones."""
    middle = len(ids) // 2
    hidden = ids[middle].clone()
    masked = ids.clone()
    masked[middle] = MASK
    features, _ = model.features(masked, model.initial_carry(ids.shape[1]))
    logits = model.output(features[middle])
    nats = torch.nn.functional.cross_entropy(logits, hidden, reduction="sum")
    return _likely(logits).argmax(-1), float(nats)


def _from_the_left(model: Model, ids: Tensor) -> tuple[Tensor, float]:
    """The characters (B) that make the ids (T, B) around the gaps most likely."""
    middle, B = len(ids) // 2, ids.shape[1]
    # Without anything on the left (a text of one character) only what follows can tell.
    left = ids[:middle] if middle else torch.full_like(ids[:1], BOS)
    features, carry = model.features(left, model.initial_carry(B))
    logits = torch.log_softmax(model.output(features[-1]), -1)
    found = _likely(logits).topk(min(CANDIDATES, logits.shape[-1] - 3), -1)
    candidates = found.indices.shape[1]
    after = ids[middle + 1 : middle + 1 + READ_ON]
    if not len(after):
        return found.indices[:, 0], math.nan
    repeated = after.repeat_interleave(candidates, 1)
    inputs = torch.cat([found.indices.flatten()[None], repeated[:-1]])
    carry = map_carry(lambda part: part.repeat_interleave(candidates, 0), carry)
    features, _ = model.features(inputs, carry)
    read_on = torch.zeros(B * candidates, device=ids.device)
    for step, wanted in zip(features, repeated, strict=True):
        logits = torch.log_softmax(model.output(step), -1)
        read_on += logits.gather(-1, wanted[:, None])[:, 0]
    best = (found.values + read_on.view(B, candidates)).argmax(-1)
    return found.indices.gather(1, best[:, None])[:, 0], math.nan
