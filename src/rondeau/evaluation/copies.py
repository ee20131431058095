"""The copy meter: which parts of a text stand verbatim in the training text, and where.

Runs are looked for with the training text's suffix array: they never cross a document's border,
and a character that training never saw ends them. The index holds the training text: 8 bytes a
character in memory, 6 in the run's `private/` (8 with more than 65,536 different ones). It knows
no model: whether a text was generated is nothing to it.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from safetensors import SafetensorError

from rondeau.errors import CorpusError, RunError, UserError
from rondeau.evaluation.suffix_array import MOST, Places, longest_runs, suffix_array
from rondeau.run.folder import RunFolder
from rondeau.run.tensors import METADATA, read_header
from rondeau.text.corpus import Corpus
from rondeau.text.documents import BLOCK, Documents
from rondeau.text.tokenizer import CODE_POINTS, SPECIALS, UNK, Codes, to_codes

KEPT = "private/copies.safetensors"
GRAMS = (4, 8, 12)
"""The n of the n-grams that are looked for in the training text."""
CHANCE = 4
"""How many times as long as by chance a run must be to count as copied."""
DTYPES = {"suffixes": "I32", "starts": "I64", "numbers": "I64", "codes": "U32"}
"""The parts of an index in its file, beside the text."""
LARGEST = 2**35
"""Most bytes of an index."""
TITLE = 24
"""Most characters of a title."""


@dataclass(frozen=True)
class Span:
    """A run of a text that stands in the training text, and longer nowhere in it.

    start, length: in characters of the text; document, line: where it stands, or one of the places
    where it does, both counted from 1, documents as they were read (a newline that begins it is
    left to the line before); title: the document's first line, shortened.
    """

    start: int
    length: int
    document: int
    line: int
    title: str

    @property
    def stop(self) -> int:
        """Where the text goes on after it."""
        return self.start + self.length


@dataclass(frozen=True)
class Novelty:
    """What of a text is copied.

    spans: runs of at least `least` characters, in order; they may overlap, none lies in another.
    copied_share: share of the text's characters that are in a span; novel_share: by n, the share
    of its n-grams that stand nowhere in the training text, for every n that it is long enough for;
    longest: the longest run of all, however short, None where no character is known.
    """

    characters: int
    least: int
    spans: tuple[Span, ...]
    copied_share: float
    novel_share: dict[int, float]
    longest: Span | None

    def as_dict(self) -> dict[str, Any]:
        """What `generate --novelty --json` gives for a sample."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class CopyIndex:
    """A training text, ready to be looked up.

    text: its ring of ids; suffixes: their suffix array; starts: the places of `<bos>`, and the
    ring's length last; numbers: which of the corpus's documents they are, counted from 0; codes:
    the code point of each id.
    """

    text: NDArray[np.int32]
    suffixes: Places
    starts: NDArray[np.int64]
    numbers: NDArray[np.int64]
    codes: Codes

    @classmethod
    def build(cls, documents: Documents) -> Self:
        """The index of documents; CorpusError for too many characters.

        Memory while it is made: 16 bytes a character; time: some 100 ns.
        """
        size = len(documents.ring)
        if size > MOST:
            raise CorpusError(
                f"the training text has {size:,} characters, the copy meter takes {MOST:,}; "
                "train on less to use it"
            )
        text = np.empty(size, dtype=np.int32)
        for at in range(0, size, BLOCK):
            places = np.arange(at, min(at + BLOCK, size))
            text[places] = documents.ring[places]
        codes = documents.codes[: int(text.max()) + 1]
        return cls(text, suffix_array(text), documents.starts, documents.numbers, codes)

    @cached_property
    def least(self) -> int:
        """The characters from which on a run counts as copied, when nothing else is said.

        Characters drawn independently as often as in this text would repeat a run of
        log(N) / −log(Σ p²) characters of it by chance; language, of whose formulas nobody is the
        author, repeats longer ones: it is four times that (`docs/decisions.md`).
        """
        counts = np.bincount(self.text)[len(SPECIALS) :]
        shares = counts / counts.sum()
        bits = max(1.0, -math.log2(shares @ shares))
        return math.ceil(CHANCE * math.log2(len(self.text)) / bits)

    def report(self, text: str, *, prefix: str = "", least: int | None = None) -> Novelty:
        """What of a text is copied, spans counting from `least` characters on.

        prefix: what stands before the text and isn't judged: a run or an n-gram may begin in it,
        and only the part in the text is told. Time as for `longest_runs`.
        """
        least = self.least if least is None else least
        skipped, whole = len(prefix), prefix + text
        lengths, places = longest_runs(self.text, self.suffixes, self._ids(whole))
        starts = np.arange(len(whole))
        stops = starts + lengths
        novel = {}
        for n in GRAMS:
            closed_in_text = lengths[max(0, skipped - n + 1) : max(0, len(whole) - n + 1)]
            if len(closed_in_text):
                novel[n] = float((closed_in_text < n).mean())
        first = np.maximum(starts, skipped)
        inside = stops - first

        def span(at: Any) -> Span:
            place = int(places[at] + first[at] - at)
            return self._span(int(first[at]) - skipped, int(inside[at]), place)

        maximal = np.diff(stops, prepend=0) > 0
        chosen = np.flatnonzero(maximal & (lengths >= least) & (inside > 0))
        # Of several that begin in the prefix the last one holds what the others have in the text.
        spans = [span(at) for at in chosen[np.diff(first[chosen], append=len(whole)) > 0]]
        copied = np.zeros(len(text), dtype=np.bool_)
        for one in spans:
            copied[one.start : one.stop] = True
        longest = int(inside.argmax()) if len(whole) else 0
        return Novelty(
            characters=len(text),
            least=least,
            spans=tuple(spans),
            copied_share=float(copied.mean()) if text else 0.0,
            novel_share=novel,
            longest=span(longest) if text and inside[longest] > 0 else None,
        )

    def to_bytes(self) -> bytes:
        """The index as safetensors, ids in 16 bits where they fit."""
        small = np.uint16 if len(self.codes) <= 2**16 else np.int32
        return safetensors.numpy.save(
            {
                "text": self.text.astype(small),
                "suffixes": self.suffixes,
                "starts": np.asarray(self.starts, dtype=np.int64),
                "numbers": np.asarray(self.numbers, dtype=np.int64),
                "codes": np.asarray(self.codes, dtype=np.uint32),
            },
            metadata=METADATA,
        )

    @classmethod
    def from_bytes(cls, data: bytes, source: str) -> Self:
        """Read back what `to_bytes` wrote; RunError, naming the source, for anything else.

        Every place is checked: kernels would follow it out of the text.
        """
        found = {name: tensor["dtype"] for name, tensor in read_header(data, source).items()}
        if found not in [DTYPES | {"text": ids} for ids in ("U16", "I32")]:
            raise RunError(f"{source}: is not an index of a training text (its parts are others)")
        try:
            arrays = safetensors.numpy.load(data)
            text = np.array(arrays["text"], dtype=np.int32)
            suffixes = np.array(arrays["suffixes"], dtype=np.int32)
            starts, numbers, codes = (arrays[name] for name in ("starts", "numbers", "codes"))
            fits = (
                all(array.ndim == 1 and len(array) for array in (text, starts, numbers, codes))
                and suffixes.shape == text.shape
                and 0 <= suffixes.min() <= suffixes.max() < len(text)
                and text.min() >= 0
                and len(SPECIALS) <= text.max() < len(codes)
                and codes.max() < CODE_POINTS
                and (starts[0], starts[-1]) == (0, len(text))
                and len(starts) == len(numbers) + 1
                and bool((np.diff(starts) > 0).all())
            )
        except SafetensorError as error:
            raise RunError(f"{source}: is not an index of a training text ({error})") from None
        if not fits:
            raise RunError(f"{source}: is not an index of a training text (its parts don't fit)")
        return cls(text, suffixes, starts, numbers, codes)

    def _ids(self, text: str) -> NDArray[np.int32]:
        """Ids of a text; `<unk>`, which stands nowhere in a training text, for unknown ones."""
        wanted, known = to_codes(text), self.codes[len(SPECIALS) :]
        at = np.searchsorted(known, wanted).clip(max=len(known) - 1)
        return np.where(known[at] == wanted, at + len(SPECIALS), UNK).astype(np.int32)

    def _span(self, start: int, length: int, place: int) -> Span:
        """A span from its place in the ring."""
        at = int(np.searchsorted(self.starts, place, "right")) - 1
        first, stop = int(self.starts[at]) + 1, int(self.starts[at + 1])
        line = 1 + int((self.text[first : place + 1] == self._ids("\n")).sum())
        head = self.codes[self.text[first : min(stop, first + 10 * TITLE)]].astype("<u4")
        title = head.tobytes().decode("utf-32-le", "surrogatepass").strip().partition("\n")[0]
        if len(title) > TITLE:
            title = title[: TITLE - 1].rstrip() + "…"
        return Span(start, length, int(self.numbers[at]) + 1, line, title)


def index_of(folder: RunFolder, read: Callable[[], Corpus]) -> CopyIndex:
    """The index of a run's training text: the one it keeps, or one made from the corpus and kept.

    A damaged one is made anew; a folder that can't be written to does without. Raises RunError
    where there is neither an index nor the corpus, which `read` then can't give.
    """
    with contextlib.suppress(RunError):
        return CopyIndex.from_bytes(folder.read(KEPT, most=LARGEST), str(folder.path / KEPT))
    try:
        corpus = read()
    except UserError as error:
        raise RunError(
            f"{folder.path}: finding copies needs the training text, or its index {KEPT}, which "
            f"isn't there; restore one of them ({error})"
        ) from None
    index = CopyIndex.build(corpus.train)
    with contextlib.suppress(OSError):
        folder.change({KEPT: index.to_bytes()})
    return index


def pieces(text: str, novelty: Novelty) -> Iterator[tuple[str, Span | None]]:
    """A text cut where copied spans begin and end, each piece with its span, None between them.

    Where spans overlap the characters are the earlier one's.
    """
    at = 0
    for span in novelty.spans:
        if span.start > at:
            yield text[at : span.start], None
            at = span.start
        yield text[at : span.stop], span
        at = span.stop
    if at < len(text):
        yield text[at:], None
