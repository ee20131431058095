"""Streams of characters from a model: a prefix continued, in one or several samples at once.

Every stream has a random generator of its own, so that its text doesn't depend on its neighbours.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rondeau.config import DecodingConfig
from rondeau.errors import OptionError, UnsupportedError
from rondeau.generation.batching import Batch, FinishReason, Prompt
from rondeau.generation.decoding import controls
from rondeau.network.model import Model
from rondeau.text.tokenizer import BOS, MASK, UNK, CharTokenizer, Ids

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
    refuse_to_write(model)
    return _pieces(
        model, tokenizer, prefix, length, decoding, seed, num_samples, stop, whole_documents
    )


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
    batch = Batch(model)
    prompt = Prompt(
        ids=tokenizer.encode(prefix),
        controls=controls(decoding, len(tokenizer), banned_ids(whole_documents)),
        seeds=[(seed, sample) for sample in range(num_samples)],
        length=length,
        stops=stop_ids(tokenizer, [stop] if stop else []),
    )
    batch.add(prompt)
    characters = ("",) * len(tokenizer.specials) + tokenizer.characters
    chunk = 1
    while batch.busy:
        updates = [update for update in batch.turn(chunk) if update.stream is not None]
        for step in range(chunk):
            for _, sample, ids, reason, *_ in updates:
                if sample is not None and step < len(ids):
                    last = step == len(ids) - 1
                    yield Piece(sample, characters[ids[step]], reason if last else None)
        if updates:
            chunk = min(2 * chunk, LONGEST_CHUNK)


def refuse_to_write(model: Model) -> None:
    """Raise UnsupportedError for a bidirectional model."""
    if not model.causal:
        raise UnsupportedError(
            "generate: a bidirectional model reads what follows and cannot write it; "
            "train one without --bidirectional, or one with --objective cloze and use infill"
        )


def banned_ids(whole_documents: bool) -> tuple[int, ...]:
    """What is never written: `<unk>`, `<mask>`, and `<bos>` where documents have no end."""
    return (UNK, MASK) if whole_documents else (UNK, BOS, MASK)


def stop_ids(tokenizer: CharTokenizer, stops: Sequence[str]) -> list[Ids]:
    """The ids of stop texts; one with an unknown character, which is never written, is left out."""
    return [tokenizer.encode(stop) for stop in stops if not tokenizer.unknown(stop)]
