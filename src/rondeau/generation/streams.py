"""Streams of characters from a model: the loop of reading a prefix, choosing, and reading on.

Every stream has a random generator of its own, so that its text doesn't depend on its neighbours.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from rondeau.config import DecodingConfig
from rondeau.errors import OptionError, UnsupportedError
from rondeau.generation.decoding import choose, probabilities
from rondeau.network.model import Model
from rondeau.text.tokenizer import BOS, MASK, UNK, CharTokenizer

FinishReason = Literal["length", "stop", "end"]


@dataclass(frozen=True)
class Piece:
    """The next character of a stream, or (with a finish_reason) the end of it.

    length: as many characters as asked for; stop: the stop text came (it is part of the text);
    end: the model ended the document.
    """

    sample: int
    text: str
    finish_reason: FinishReason | None = None


def generate_pieces(
    model: Model,
    tokenizer: CharTokenizer,
    prefix: str,
    *,
    length: int,
    decoding: DecodingConfig,
    seed: int,
    num_samples: int = 1,
    stop: str | None = None,
    whole_documents: bool = True,
) -> Iterator[Piece]:
    """Continue `<bos>` and a prefix in several streams at once, a Piece a character.

    Unknown characters of the prefix are read as `<unk>`, which is never generated.
    Raises OptionError for impossible numbers, UnsupportedError for a bidirectional model.
    """
    if length < 1:
        raise OptionError(f"--length {length}: must be at least 1")
    if seed < 0:
        raise OptionError(f"--seed {seed}: must not be negative")
    if num_samples < 1:
        raise OptionError(f"--num-samples {num_samples}: must be at least 1")
    if stop == "":
        raise OptionError("--stop: needs at least one character")
    if not model.causal:
        raise UnsupportedError(
            "generate: a bidirectional model reads what follows and cannot write it; "
            "train one without --bidirectional, or use this one with score and evaluate"
        )
    return _pieces(
        model, tokenizer, prefix, length, decoding, seed, num_samples, stop, whole_documents
    )


@torch.inference_mode()
def _pieces(
    model: Model,
    tokenizer: CharTokenizer,
    prefix: str,
    length: int,
    decoding: DecodingConfig,
    seed: int,
    num_samples: int,
    stop: str | None,
    whole_documents: bool,
) -> Iterator[Piece]:
    model.eval()
    device = model.output.weight.device
    banned = (UNK, MASK) if whole_documents else (UNK, BOS, MASK)
    generators = [np.random.default_rng((seed, sample)) for sample in range(num_samples)]
    ids = np.concatenate([[BOS], tokenizer.encode(prefix)])
    logits, carry = model(torch.from_numpy(ids)[:, None].to(device), model.initial_carry(1))
    logits = logits[-1:].expand(1, num_samples, -1)
    carry = tuple(
        tuple(type(s)(*(p.repeat(num_samples, 1) for p in s)) for s in layer) for layer in carry
    )
    texts = [""] * num_samples
    running = list(range(num_samples))
    for count in range(1, length + 1):
        rows = logits[0].cpu().double().numpy()
        chosen: list[int] = []
        keep: list[int] = []
        for row, sample in enumerate(running):
            distribution = probabilities(rows[row].copy(), decoding, banned)
            index = choose(distribution, generators[sample].random())
            character = tokenizer.decode([index])
            texts[sample] += character
            reason: FinishReason | None = None
            if index == BOS:
                reason = "end"
            elif stop is not None and texts[sample].endswith(stop):
                reason = "stop"
            elif count == length:
                reason = "length"
            yield Piece(sample, character, reason)
            if reason is None:
                chosen.append(index)
                keep.append(row)
        if not chosen:
            return
        if len(keep) < len(running):
            rows_kept = torch.tensor(keep, device=device)
            carry = tuple(
                tuple(type(s)(*(p[rows_kept] for p in s)) for s in layer) for layer in carry
            )
            running = [running[row] for row in keep]
        logits, carry = model(torch.tensor([chosen], device=device), carry)
