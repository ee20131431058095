"""Characters to ids and back, through one numpy table.

Ids 0, 1 and 2 are `<unk>`, `<bos>` and `<mask>`; then come the characters in code-point order.
Stored as a standard `tokenizer.json`. It doesn't know where the text came from.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from rondeau.errors import RunError
from rondeau.formats import misfit, read_object, shown

UNK, BOS, MASK = 0, 1, 2
SPECIALS = ("<unk>", "<bos>", "<mask>")
ASSIGNED_CODE_POINTS = 144_762
"""Assigned characters of Unicode 14 (graphic, format and control), the same in every Python."""

CODE_POINTS = 0x110000

Ids = NDArray[np.int64]
Codes = NDArray[np.uint32]


def to_codes(text: str) -> Codes:
    """The code points of a text."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")


def count_codes(codes: Codes) -> NDArray[np.int64]:
    """How often each code point is there, (0x110000,)."""
    return np.bincount(codes, minlength=CODE_POINTS)


class CharTokenizer:
    """A sorted vocabulary of characters, with or without the special tokens.

    codes: the code point of each id (of U+FFFD for special tokens). `once` are the characters seen
    once in training, which batches read as `<unk>` half of the time; they are not stored.
    """

    def __init__(
        self, characters: Iterable[str], *, once: Iterable[str] = (), specials: bool = True
    ) -> None:
        """Make a tokenizer for these characters."""
        self.characters = tuple(sorted(set(characters)))
        self.once = frozenset(once)
        self.specials = SPECIALS if specials else ()
        self._table = np.full(CODE_POINTS, UNK if specials else -1, dtype=np.int32)
        codes = np.array([ord(c) for c in self.characters], dtype=np.int64)
        self._table[codes] = np.arange(len(codes)) + len(self.specials)
        self.codes = np.concatenate([np.full(len(self.specials), 0xFFFD), codes]).astype("<u4")

    @classmethod
    def train(cls, documents: Sequence[str], *, specials: bool = True) -> Self:
        """The vocabulary of these documents."""
        return cls.from_counts(count_codes(to_codes("".join(documents))), specials=specials)

    @classmethod
    def from_counts(cls, counts: NDArray[np.int64], *, specials: bool = True) -> Self:
        """The vocabulary of a text that has each code point so often, (0x110000,)."""
        characters, once = (map(chr, np.flatnonzero(c)) for c in (counts, counts == 1))
        return cls(characters, once=once, specials=specials)

    def __len__(self) -> int:
        """Vocabulary size V, special tokens included."""
        return len(self.specials) + len(self.characters)

    def encode(self, text: str) -> Ids:
        """Ids of a text, one a character; unknown ones are `<unk>` (-1 without special tokens)."""
        ids: Ids = self._table[to_codes(text)].astype(np.int64)
        return ids

    def decode(self, ids: Iterable[int] | Ids) -> str:
        """The text of ids; special tokens leave no trace."""
        array = np.asarray(ids if isinstance(ids, np.ndarray) else list(ids), dtype=np.int64)
        kept = array[array >= len(self.specials)]
        return self.codes[kept].tobytes().decode("utf-32-le", "surrogatepass")

    def token(self, index: int) -> str:
        """The character or special token of one id."""
        return (self.specials + self.characters)[index]

    def unknown(self, text: str) -> list[str]:
        """The distinct characters of a text outside the vocabulary, in code-point order."""
        return sorted(set(text) - set(self.characters))

    @cached_property
    def seen_once(self) -> NDArray[np.bool_]:
        """Which ids (V) are characters seen once in training."""
        return np.array([t in self.once for t in self.specials + self.characters], dtype=bool)

    @property
    def unknown_bits(self) -> float:
        """What telling one unknown character from all others costs, in bits, beyond `<unk>`."""
        return math.log2(max(1, ASSIGNED_CODE_POINTS - len(self.characters)))

    def to_json(self) -> str:
        """A standard `tokenizer.json` (word-level over single characters)."""
        tokens = self.specials + self.characters
        document: dict[str, Any] = {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": [
                {
                    "id": index,
                    "content": token,
                    "single_word": False,
                    "lstrip": False,
                    "rstrip": False,
                    "normalized": False,
                    "special": True,
                }
                for index, token in enumerate(self.specials)
            ],
            "normalizer": {"type": "NFC"},
            "pre_tokenizer": {
                "type": "Split",
                "pattern": {"Regex": r"[\s\S]"},
                "behavior": "Isolated",
                "invert": False,
            },
            "post_processor": None,
            "decoder": {"type": "Fuse"},
            "model": {
                "type": "WordLevel",
                "vocab": {token: index for index, token in enumerate(tokens)},
                "unk_token": "<unk>",
            },
        }
        return json.dumps(document, ensure_ascii=True, indent=1)

    @classmethod
    def from_json(cls, data: bytes, source: str) -> Self:
        """Read back what `to_json` wrote; RunError, naming the source, for anything else."""
        document = read_object(data, source, error=RunError)
        wrong = misfit(document, {"model": {"vocab": {str: int}}}, "tokenizer")
        ids = {} if wrong else document["model"]["vocab"]
        tokens = tuple(sorted(ids, key=ids.__getitem__))
        specials = tokens[: len(SPECIALS)] == SPECIALS
        characters = tokens[len(SPECIALS) :] if specials else tokens
        if any(len(one) != 1 or "\ud800" <= one <= "\udfff" for one in characters):
            wrong = "a token is no character"
        elif sorted(ids.values()) != [*range(len(ids))] or [*characters] != sorted(characters):
            wrong = "ids are not in code-point order"
        if wrong:
            raise RunError(f"{source}: is not a tokenizer of Rondeau ({shown(wrong)})")
        return cls(characters, specials=specials)
