"""What needs no training on the same targets as a model: uniform, n-grams, and a compressor.

Counted as models are: the same targets, each document from `<bos>`, the same cost of unknown
characters; those seen once in training are read as `<unk>` half of the time here too. They depend
on the corpus and its splits alone. What they say about a model is `verdict`'s business.
"""

from __future__ import annotations

import dataclasses
import lzma
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from rondeau.errors import CorpusError, RunError
from rondeau.evaluation.ngram import witten_bell
from rondeau.evaluation.perplexity import COMPRESSOR, Evaluation
from rondeau.evaluation.surprisal import document_targets
from rondeau.formats import misfit, shown
from rondeau.text.documents import Documents
from rondeau.text.tokenizer import SPECIALS, UNK, CharTokenizer, Ids

ORDER = 6
LEARNED, MEASURED = 10_000_000, 2_000_000
"""Most characters that are learned from, and that are measured of each split."""
COMPRESSED, DICTIONARY = 2**23, 2**24
"""Most bytes that the compressor learns from, and those that it looks back over: all of them."""
ROW = {
    "split": str,
    "targets": int,
    "characters": int,
    "utf8_bytes": int,
    "bits": float,
    "unknown": int,
    "known_bits": float,
    "leak": float,
    "model": str,
    "sample": bool,
}
"""An evaluation in a file."""
DOCUMENT_END = "\0"
"""What tells a compressor, for which models pay too, that a whole document ends."""


@dataclass(frozen=True)
class Baselines:
    """The baselines of every split: uniform, n-grams of orders 1 to 6, and xz.

    notes: sentences on what was left out of a large corpus.
    """

    splits: Mapping[str, tuple[Evaluation, ...]]
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """All of it, for a file; `from_dict` reads it back."""
        splits = {name: [dataclasses.asdict(e) for e in es] for name, es in self.splits.items()}
        return {"splits": splits, "notes": list(self.notes)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], source: str) -> Self:
        """What `as_dict` gave; RunError, naming the source, for anything else."""
        wrong = misfit(values, {"splits": {str: [ROW]}, "notes": [str]}, "baselines")
        if wrong is None and not all(map(_possible, values["splits"].values())):
            wrong = "impossible figures"
        if wrong is not None:
            raise RunError(f"{source}: doesn't hold baselines ({shown(wrong)}); delete it")
        splits = {
            split: tuple(Evaluation(**{name: row[name] for name in ROW}) for row in rows)
            for split, rows in values["splits"].items()
        }
        return cls(splits, tuple(values["notes"]))


def _possible(rows: Sequence[Mapping[str, Any]]) -> bool:
    """Whether rows of a file are what `baselines` may have found on a split."""
    names = [f"{n}-gram" if n else "uniform" for n in range(ORDER + 1)]
    return [row["model"] for row in rows] == [*names, COMPRESSOR] and all(
        1 <= row["characters"] <= row["utf8_bytes"]
        and 0 <= row["unknown"] <= row["characters"] <= row["targets"]
        and 0 <= row["known_bits"] <= row["bits"]
        and row["leak"] == 0
        for row in rows
    )


def best_ngram(evaluations: Iterable[Evaluation]) -> Evaluation:
    """The n-gram model that needs the fewest bits."""
    ngrams = [e for e in evaluations if e.model.endswith("-gram")]
    return min(ngrams, key=lambda e: e.bits)


def baselines(
    train: Documents, splits: Mapping[str, Documents], tokenizer: CharTokenizer, *, whole: bool
) -> Baselines:
    """Learn from the training split and measure on all splits given, itself or others.

    Of a large corpus the last 10,000,000 characters are learned from (by xz their last 8 MiB) and
    the last 2,000,000 of each split are measured, which notes say.
    Raises CorpusError for a split without text.
    """
    learned = _last(train, LEARNED)
    trained = _some_unknown(_framed(learned, tokenizer, whole=whole), len(tokenizer))
    read = _as_bytes(learned, whole=whole)[-COMPRESSED:]
    alone = _compressed_size(read)
    notes = _notes("learned from", "training", learned, train)
    if len(read) == COMPRESSED:
        notes.append(f"xz learned from the last {COMPRESSED:,} bytes of the training split")
    measured: dict[str, tuple[Evaluation, ...]] = {}
    for name, documents in splits.items():
        text = _last(documents, MEASURED)
        if not any(text):
            raise CorpusError(f"{name}: has no text to evaluate")
        notes += _notes("are measured on", name, text, documents)
        ngrams = tuple(_ngrams(trained, text, tokenizer, split=name, whole=whole))
        bits = 8.0 * (_compressed_size(read + _as_bytes(text, whole=whole)) - alone)
        xz = dataclasses.replace(ngrams[0], model=COMPRESSOR, bits=bits, known_bits=bits)
        measured[name] = (*ngrams, xz)
    return Baselines(measured, tuple(notes))


def _ngrams(
    trained: Sequence[Ids],
    text: Sequence[str],
    tokenizer: CharTokenizer,
    *,
    split: str,
    whole: bool,
) -> Iterator[Evaluation]:
    """Uniform, and the n-grams of every order, on one text."""
    scored = _framed(text, tokenizer, whole=whole)
    unknown = np.concatenate([ids[1:] for ids in scored]) == UNK
    models = witten_bell(trained, scored, vocabulary=len(tokenizer), order=ORDER, given=1)
    for n, p in enumerate(models):
        bits = -np.log2(p)
        known_bits = float(bits[~unknown].sum())
        unknown_bits = float((bits[unknown] + tokenizer.unknown_bits).sum())
        yield Evaluation(
            split=split,
            model=f"{n}-gram" if n else "uniform",
            targets=len(bits),
            characters=sum(map(len, text)),
            utf8_bytes=len(_as_bytes(text, whole=False)),
            bits=known_bits + unknown_bits,
            unknown=int(unknown.sum()),
            known_bits=known_bits,
        )


def _framed(text: Sequence[str], tokenizer: CharTokenizer, *, whole: bool) -> list[Ids]:
    """The ids of documents: `<bos>`, then the targets that a model has."""
    pairs = (document_targets(tokenizer.encode(document), whole=whole) for document in text)
    return [np.concatenate([inputs[:1], targets]) for inputs, targets in pairs]


def _some_unknown(sequences: Sequence[Ids], vocabulary: int) -> list[Ids]:
    """Sequences with half of the characters that stand in them once read as `<unk>`."""
    ids = np.concatenate(sequences)
    once = np.bincount(ids, minlength=vocabulary) == 1
    once[: len(SPECIALS)] = False
    rare = np.flatnonzero(once[ids])
    ids[rare[np.random.default_rng(0).random(len(rare)) < 0.5]] = UNK
    return np.split(ids, np.cumsum([len(s) for s in sequences])[:-1])


def _last(documents: Documents, most: int) -> list[str]:
    """The last documents of at most so many characters together: the first of them may be cut."""
    taken: list[str] = []
    left, lengths = most, documents.lengths
    for index in reversed(range(len(documents))):
        if left == 0:
            break
        taken.append(documents.excerpt(index, max(0, int(lengths[index]) - left)))
        left -= len(taken[-1])
    return taken[::-1]


def _notes(what: str, split: str, text: Sequence[str], documents: Documents) -> list[str]:
    """A sentence where a text isn't all of its documents."""
    characters = sum(map(len, text))
    if characters == documents.characters:
        return []
    part = f"the last {characters:,} of {documents.characters:,} characters"
    return [f"the baselines {what} {part} of the {split} split"]


def _as_bytes(text: Sequence[str], *, whole: bool) -> bytes:
    """Documents in UTF-8; whole ones each with one byte for their end."""
    end = DOCUMENT_END if whole else ""
    return "".join(document + end for document in text).encode("utf-8", "surrogatepass")


def _compressed_size(text: bytes) -> int:
    """Bytes of xz's best compression, without a container."""
    best = {
        "id": lzma.FILTER_LZMA1,
        "preset": 9 | lzma.PRESET_EXTREME,
        "dict_size": DICTIONARY,
    }
    return len(lzma.compress(text, lzma.FORMAT_RAW, filters=[best]))
