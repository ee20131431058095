"""A loaded run: the one object with which other programs use a model.

Each method is one call into evaluation or generation; the command line and a server call these, so
they cannot disagree.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from rondeau.config import Backend, DecodingConfig, Device, TextConfig
from rondeau.errors import CorpusError, RunError, UnsupportedError
from rondeau.evaluation.copies import CopyIndex, Novelty, index_of
from rondeau.evaluation.perplexity import Evaluation, document_bits, evaluate
from rondeau.generation.streams import FinishReason, Piece, generate_pieces
from rondeau.network.device import pick_device
from rondeau.network.model import Model
from rondeau.run.folder import RunFolder
from rondeau.run.origin import read_corpus
from rondeau.run.weights import load_model
from rondeau.text.corpus import Corpus, one_text
from rondeau.text.reading import normalise, read_documents
from rondeau.text.splits import SPLIT_NAMES, SplitName
from rondeau.text.tokenizer import CharTokenizer

SAMPLE_SEEDS = 2**32


@dataclass(frozen=True)
class Sample:
    """One generated text, without its prefix, and why it ended (length, stop or end)."""

    text: str
    finish_reason: FinishReason


@dataclass(frozen=True)
class Score:
    """The surprisal of a text in bits: one entry a character; ("", bits) last for its end."""

    characters: tuple[tuple[str, float], ...]

    @property
    def bits(self) -> float:
        """All of it: the sum over documents is what `evaluate` counts."""
        return sum(bits for _, bits in self.characters)


class LanguageModel:
    """A model with its tokenizer; `run` is the folder it came from."""

    def __init__(
        self, model: Model, tokenizer: CharTokenizer, run: RunFolder, *, whole_documents: bool
    ) -> None:
        """Put together what `load` and `train` have read or made."""
        self.model, self.tokenizer, self.run = model, tokenizer, run
        self.whole_documents = whole_documents

    @classmethod
    def load(
        cls, run: str | Path, *, device: Device = "auto", backend: Backend = "auto"
    ) -> LanguageModel:
        """The best model of a run folder (RunError if it is missing or damaged)."""
        folder = RunFolder.open(run)
        model, tokenizer, whole = load_model(folder)
        model.backend = backend
        return cls(model.to(pick_device(device)), tokenizer, folder, whole_documents=whole)

    def stream(
        self,
        prefix: str = "",
        *,
        length: int = 200,
        decoding: DecodingConfig | None = None,
        seed: int | None = None,
        num_samples: int = 1,
        stop: str | None = None,
    ) -> Iterator[Piece]:
        """Continue a prefix, character by character, in one or several samples at once.

        Unknown characters of the prefix are read as `<unk>` (`unknown` names them).
        Raises UnsupportedError for a bidirectional model, OptionError for impossible numbers.
        """
        return generate_pieces(
            self.model,
            self.tokenizer,
            self.normalise(prefix),
            length=length,
            decoding=decoding or DecodingConfig(),
            seed=secrets.randbelow(SAMPLE_SEEDS) if seed is None else seed,
            num_samples=num_samples,
            stop=stop,
            whole_documents=self.whole_documents,
        )

    def generate(
        self,
        prefix: str = "",
        *,
        length: int = 200,
        decoding: DecodingConfig | None = None,
        seed: int | None = None,
        num_samples: int = 1,
        stop: str | None = None,
    ) -> list[Sample]:
        """The whole texts that `stream` gives piece by piece."""
        texts = [""] * num_samples
        reasons: list[FinishReason] = ["length"] * num_samples
        for piece in self.stream(
            prefix,
            length=length,
            decoding=decoding,
            seed=seed,
            num_samples=num_samples,
            stop=stop,
        ):
            texts[piece.sample] += piece.text
            reasons[piece.sample] = piece.finish_reason or reasons[piece.sample]
        return [Sample(text, reason) for text, reason in zip(texts, reasons, strict=True)]

    def score(self, text: str) -> Score:
        """The surprisal of each character of a text, read as one document.

        Raises CorpusError for an empty text, UnsupportedError for a bidirectional model.
        """
        if not self.model.causal:
            raise UnsupportedError(
                "score: a bidirectional model reads its own answer, its surprisal means nothing; "
                "train one without --bidirectional"
            )
        text = self.normalise(text)
        if not text:
            raise CorpusError("the text to score is empty; give at least one character")
        (bits,) = document_bits(self.model, self.tokenizer, [text], whole=self.whole_documents)
        ends = [""] if self.whole_documents else []
        return Score(tuple(zip([*text, *ends], bits.tolist(), strict=True)))

    def evaluate(
        self, source: str | Path | None = None, *, splits: Sequence[SplitName] | None = None
    ) -> list[Evaluation]:
        """The cost of a file (read as the corpus was) or of the run's own splits.

        Raises CorpusError for a file that can't be read, RunError if the corpus has changed since.
        """
        if source is not None:
            reading = replace(self.text_config, limit=None, encoding=None)
            documents = read_documents([source], reading)
            if not self.whole_documents:
                documents = [one_text(documents, reading)]
            return [self.evaluate_documents(documents, split=str(source))]
        corpus = self.corpus()
        wanted = splits or [s for s in SPLIT_NAMES if corpus.parts[s]]
        for split in wanted:
            if not corpus.parts[split]:
                raise RunError(f"--split {split}: the run was trained with no {split} split")
        return [self.evaluate_documents(corpus.parts[s], split=s) for s in wanted]

    def evaluate_documents(self, documents: Sequence[str], *, split: str) -> Evaluation:
        """The cost of documents, under a name for the split."""
        return evaluate(
            self.model, self.tokenizer, documents, split=split, whole=self.whole_documents
        )

    def novelty(self, text: str, prefix: str = "") -> Novelty:
        """What of a text, taken as it is, stands verbatim in the training text, and where.

        prefix: what it continues, not judged itself. Raises RunError without the training text.
        """
        return self.copies.report(text, prefix=self.normalise(prefix))

    @cached_property
    def copies(self) -> CopyIndex:
        """The index of the training text, kept in the run when it is first made."""
        return index_of(self.run, self.corpus)

    def corpus(self) -> Corpus:
        """The corpus of the run, read again; RunError if it isn't the same any more."""
        return read_corpus(self.run, self.text_config)

    def unknown(self, text: str) -> list[str]:
        """The distinct characters of a text that the model doesn't know."""
        return self.tokenizer.unknown(self.normalise(text))

    def normalise(self, text: str) -> str:
        """A text as the corpus was normalised: NFC, newlines kept or turned into spaces."""
        return normalise(text, self.text_config)

    @cached_property
    def text_config(self) -> TextConfig:
        """How the corpus was read."""
        settings = self.info()["settings"]
        return TextConfig(**{name: settings.get(name) for name in TextConfig.field_names()})

    def info(self) -> dict[str, Any]:
        """The shape, sizes, settings, data and held-out numbers of the run."""
        results = self.run.read_json("results.json")
        return {
            "run": str(self.run.path),
            "config": self.model.config.as_dict(),
            "vocabulary": self.model.vocabulary,
            "parameters": self.model.parameter_count,
            **{key: value for key, value in results.items() if key != "format_version"},
        }

    def to(self, device: str | torch.device) -> LanguageModel:
        """The same model on another device."""
        self.model.to(device)
        return self
