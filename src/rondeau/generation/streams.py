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
from rondeau.generation.writing import make_writer
from rondeau.network.cells import map_carry
from rondeau.network.model import Model
from rondeau.text.tokenizer import BOS, MASK, UNK, CharTokenizer

FinishReason = Literal["length", "stop", "end"]
LONGEST_CHUNK = 32
"""Characters that are written before they are looked at; the first chunks are 1, 2, 4, … long."""


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
            "train one without --bidirectional, or one with --objective cloze and use infill"
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
    banned = (UNK, MASK) if whole_documents else (UNK, BOS, MASK)
    generators = [np.random.default_rng((seed, sample)) for sample in range(num_samples)]
    ids = torch.from_numpy(np.concatenate([[BOS], tokenizer.encode(prefix)])[:, None])
    _, carry = model.features(ids.to(model.output.weight.device), model.initial_carry(1))
    carry = map_carry(lambda part: part.repeat(num_samples, 1), carry)
    writer = make_writer(model, carry, decoding, banned)
    characters = ("",) * len(tokenizer.specials) + tokenizer.characters
    texts = [""] * num_samples
    running = list(range(num_samples))
    written, chunk = 0, 1
    while running:
        chunk = min(chunk, length - written)
        uniforms = np.stack([generators[sample].random(chunk) for sample in running], 1)
        written_ids = writer.write(uniforms).tolist()
        ended: set[int] = set()
        for row in written_ids:
            written += 1
            for sample, index in zip(running, row, strict=True):
                if sample in ended:
                    continue
                texts[sample] += characters[index]
                reason: FinishReason | None = None
                if index == BOS:
                    reason = "end"
                elif stop is not None and texts[sample].endswith(stop):
                    reason = "stop"
                elif written == length:
                    reason = "length"
                if reason is not None:
                    ended.add(sample)
                yield Piece(sample, characters[index], reason)
        if ended:
            keep = [row for row, sample in enumerate(running) if sample not in ended]
            running = [running[row] for row in keep]
            if running:
                writer.keep(np.array(keep))
        chunk = min(2 * chunk, LONGEST_CHUNK)
