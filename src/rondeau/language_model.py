"""A loaded run: the one object with which other programs use a model.

Each method is one call into evaluation or generation; the command line and a server call these, so
they cannot disagree.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from rondeau.config import Backend, DecodingConfig, Device, Precision, TextConfig
from rondeau.errors import CorpusError, RunError, UnsupportedError
from rondeau.evaluation.baselines import Baselines, baselines
from rondeau.evaluation.cloze import ClozeEvaluation, evaluate_cloze
from rondeau.evaluation.copies import CopyIndex, Novelty, index_of
from rondeau.evaluation.overlap import Overlap, overlap
from rondeau.evaluation.perplexity import Evaluation, evaluate
from rondeau.evaluation.scoring import Score, ScoredLine, score_lines, score_text
from rondeau.evaluation.verdict import verdict
from rondeau.generation.batching import Batch, FinishReason, Prompt
from rondeau.generation.decoding import controls
from rondeau.generation.infill import Infilling, infill
from rondeau.generation.streams import (
    Piece,
    banned_ids,
    generate_pieces,
    refuse_to_write,
    stop_ids,
)
from rondeau.inspection.inspect import Inspection, inspect
from rondeau.network.capture import refuse_graphs
from rondeau.network.device import pick_device
from rondeau.network.model import Model
from rondeau.network.precision import set_precision
from rondeau.network.stack import StackCarry
from rondeau.run.decoding import read_decoding
from rondeau.run.folder import FORMAT_VERSION, RunFolder, to_json
from rondeau.run.origin import read_corpus, read_origin
from rondeau.run.remote import open_run
from rondeau.run.results import read_results, read_text_config
from rondeau.run.weights import load_model
from rondeau.text.corpus import Corpus, one_text
from rondeau.text.documents import Documents, documents_of
from rondeau.text.reading import normalise, read_documents
from rondeau.text.repairs import Repairs
from rondeau.text.splits import SPLIT_NAMES, SplitName
from rondeau.text.tokenizer import BOS, CharTokenizer, Ids
from rondeau.urls import label

SAMPLE_SEEDS = 2**32
BASELINES = "baselines.json"

Note = Callable[[str], None]
"""Is told a sentence for the user."""


def quietly(sentence: str) -> None:
    """A note that nobody asked for."""


@dataclass(frozen=True)
class Sample:
    """One generated text, without its prefix, and why it ended (length, stop or end)."""

    text: str
    finish_reason: FinishReason


class LanguageModel:
    """A model with its tokenizer; `run` is the folder it came from."""

    def __init__(
        self,
        model: Model,
        tokenizer: CharTokenizer,
        run: RunFolder,
        *,
        whole_documents: bool,
        corpus: Corpus | None = None,
    ) -> None:
        """Put together what `load` and `train` have read or made."""
        self.model, self.tokenizer, self.run = model, tokenizer, run
        self.whole_documents = whole_documents
        self._corpus = corpus

    @classmethod
    def load(
        cls,
        run: str | Path,
        *,
        device: Device = "auto",
        backend: Backend = "auto",
        precision: Precision = "float32",
        cuda_graphs: bool = False,
    ) -> LanguageModel:
        """The best model of a run folder (RunError if it is missing or damaged).

        OptionError where the device isn't there, or lacks the precision.
        """
        place = pick_device(device)
        refuse_graphs(cuda_graphs, place)
        set_precision(precision, place)
        folder = open_run(run)
        model, tokenizer, whole = load_model(folder)
        model.backend, model.precision, model.cuda_graphs = backend, precision, cuda_graphs
        return cls(model.to(place), tokenizer, folder, whole_documents=whole)

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

        decoding: the run's own where it is left out. Unknown characters of the prefix are read as
        `<unk>` (`unknown` names them). Raises UnsupportedError for a bidirectional model,
        OptionError for impossible numbers.
        """
        return generate_pieces(
            self.model,
            self.tokenizer,
            self.normalise(prefix),
            length=length,
            decoding=decoding or self.decoding,
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

    def batch(self) -> Batch:
        """Room for many texts that this model writes at once, made by `prompt`.

        Raises UnsupportedError for a bidirectional model.
        """
        refuse_to_write(self.model)
        return Batch(self.model)

    def prompt(
        self,
        text: str | Ids = "",
        *,
        length: int = 0,
        decoding: DecodingConfig | None = None,
        seed: int = 0,
        num_samples: int = 1,
        stops: Sequence[str] = (),
        bias: Mapping[int, float] | None = None,
        told: int = -1,
        carry: StackCarry | None = None,
        tell: bool = False,
        keep: bool = False,
        traced: bool = False,
    ) -> Prompt:
        """A text, or its ids, as a batch reads and continues it: with a seed, as `generate` does.

        Ids that begin with `<bos>` begin a document, as all others do. bias: added to the logits of
        ids; told: how many alternatives are told, −1 for nothing; the rest is `Prompt`'s.
        """
        ids = self.tokenizer.encode(self.normalise(text)) if isinstance(text, str) else text
        begun = carry is None and len(ids) > 0 and ids[0] == BOS
        banned = banned_ids(self.whole_documents)
        return Prompt(
            ids=ids[1:] if begun else ids,
            controls=controls(
                decoding or self.decoding, len(self.tokenizer), banned, bias=bias, told=told
            ),
            seeds=[(seed, sample) for sample in range(num_samples)] if length else (),
            length=length,
            stops=stop_ids(self.tokenizer, stops),
            carry=carry,
            tell=tell,
            keep=keep,
            traced=traced,
        )

    def infill(
        self,
        text: str,
        *,
        gap: str = "＿",
        num_samples: int = 1,
        beam: int = 16,
        temperature: float | None = None,
        seed: int = 0,
    ) -> list[Infilling]:
        """Fill the gaps of a text, read as one document: the likeliest fillings first.

        beam: fillings kept side by side; temperature: draw them at random instead, with this seed.
        Raises OptionError for a text without gaps, UnsupportedError for a model that reads its own
        answer.
        """
        return infill(
            self.model,
            self.tokenizer,
            self.normalise(text),
            gap=gap,
            num_samples=num_samples,
            beam=beam,
            temperature=temperature,
            seed=seed,
            whole_documents=self.whole_documents,
        )

    def score(self, text: str) -> Score:
        """The surprisal of each character of a text, read as one document, with alternatives.

        Raises CorpusError for an empty text, UnsupportedError for a bidirectional model.
        """
        self._refuse_to_score()
        text = self.normalise(text)
        if not text:
            raise CorpusError("the text to score is empty; give at least one character")
        return score_text(self.model, self.tokenizer, text, whole=self.whole_documents)

    def score_lines(self, lines: Sequence[str]) -> list[ScoredLine]:
        """The surprisal of every line that isn't blank, each as a document of its own.

        Raises CorpusError where all are blank, UnsupportedError for a bidirectional model.
        """
        self._refuse_to_score()
        lines = [self.normalise(line) for line in lines]
        scored = score_lines(self.model, self.tokenizer, lines, whole=self.whole_documents)
        if not scored:
            raise CorpusError("the lines to score are all blank; give at least one character")
        return scored

    def _refuse_to_score(self) -> None:
        if not self.model.causal:
            raise UnsupportedError(
                "score: a bidirectional model reads its own answer, its surprisal means nothing; "
                "train one without --bidirectional, or restore hidden characters with infill"
            )

    def evaluate(
        self, source: str | Path | None = None, *, splits: Sequence[SplitName] | None = None
    ) -> list[Evaluation]:
        """The cost of a file (read as the corpus was) or of the run's own splits.

        Raises CorpusError for a file that can't be read, RunError if the corpus has changed since.
        """
        texts = self.texts(source, splits=splits)
        return [self.evaluate_documents(documents, split=name) for name, documents in texts]

    def evaluate_documents(self, documents: Sequence[str], *, split: str) -> Evaluation:
        """The cost of documents, under a name for the split."""
        return evaluate(
            self.model, self.tokenizer, documents, split=split, whole=self.whole_documents
        )

    def evaluate_cloze(
        self, source: str | Path | None = None, *, splits: Sequence[SplitName] | None = None
    ) -> list[ClozeEvaluation]:
        """How many hidden characters of the same texts this model restores, whatever its kind."""
        texts = self.texts(source, splits=splits)
        return [self.evaluate_cloze_on(documents, split=name) for name, documents in texts]

    def evaluate_cloze_on(
        self, documents: Documents | Sequence[str], *, split: str
    ) -> ClozeEvaluation:
        """The same on documents, under a name for the split."""
        return evaluate_cloze(self.model, self.tokenizer, documents, split=split)

    def inspect(
        self, source: str | Path | None = None, *, seed: int = 0, note: Note = quietly
    ) -> Inspection:
        """What happens inside while it reads a text, a file (a Path), or its own held-out text.

        The validation split, or the training split of a run without one; seed: of what is sampled;
        note: is told what was mended in a file.
        Raises CorpusError for an empty text or file, RunError if the corpus has changed since.
        """
        if isinstance(source, str):
            texts: list[tuple[str, Documents | Sequence[str]]]
            texts = [("a text", [self.normalise(source)])]
        elif source is not None:
            texts = self.texts(source, note=note)
        else:
            held_out = self.corpus().validation
            texts = self.texts(splits=["validation" if held_out.characters else "train"])
        ((name, documents),) = texts
        return inspect(
            self.model,
            self.tokenizer,
            documents,
            source=name,
            whole=self.whole_documents,
            seed=seed,
        )

    def texts(
        self,
        source: str | Path | None = None,
        *,
        splits: Sequence[SplitName] | None = None,
        note: Note = quietly,
    ) -> list[tuple[str, Documents | Sequence[str]]]:
        """What is evaluated, with its names: a file, read as the corpus was, or the run's splits.

        note: is told what of the text was mended. Raises as `evaluate`.
        """
        if source is not None:
            reading = replace(self.text_config, limit=None, encoding=None)
            repairs = Repairs()
            documents = read_documents([source], reading, repairs)
            for sentence in repairs.notes:
                note(sentence)
            if not self.whole_documents:
                documents = [one_text(documents, reading)]
            name = "standard input" if str(Path(source)) == "-" else label(source)
            return [(name, documents)]
        corpus = self.corpus()
        for sentence in corpus.repairs:
            note(sentence)
        wanted = splits or [s for s in SPLIT_NAMES if corpus.parts[s]]
        for split in wanted:
            if not corpus.parts[split]:
                raise RunError(f"--split {split}: the run was trained with no {split} split")
        return [(split, corpus.parts[split]) for split in wanted]

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the splits' texts: the same for runs on the same text, split alike."""
        return str(read_origin(self.run)["fingerprint"])

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
        if self._corpus is None:
            self._corpus = read_corpus(self.run, self.text_config)
        return self._corpus

    def baselines(self, texts: Sequence[tuple[str, Sequence[str]]] | None = None) -> Baselines:
        """What needs no training, on named texts or on all of the run's splits: n-grams, xz.

        The splits' figures are kept in the run. Raises RunError where the training text isn't
        there, CorpusError for a text without characters.
        """
        if texts is None:
            with contextlib.suppress(RunError):  # damaged: measured again
                kept = self.run.read_json(BASELINES)
                return Baselines.from_dict(kept, str(self.run.path / BASELINES))
        corpus = self.corpus()
        splits: dict[str, Documents] = {name: d for name, d in corpus.parts.items() if d}
        if texts is not None:
            splits = {name: documents_of(text, self.tokenizer) for name, text in texts}
        found = baselines(corpus.train, splits, self.tokenizer, whole=self.whole_documents)
        if texts is None:
            with contextlib.suppress(OSError):
                content = {"format_version": FORMAT_VERSION, **found.as_dict()}
                self.run.change({BASELINES: to_json(content)})
        return found

    def verdict(self, evaluations: Sequence[Evaluation]) -> list[str]:
        """What evaluations of the run's splits say beside the baselines, in sentences."""
        return verdict({e.split: e for e in evaluations}, self.baselines().splits)

    def overlap(self) -> dict[str, Overlap]:
        """What of each held-out split stands in the training text all the same."""
        corpus = self.corpus()
        held_out = (name for name in SPLIT_NAMES if name != "train" and corpus.parts[name])
        return {name: overlap(corpus.train, corpus.parts[name]) for name in held_out}

    def unknown(self, text: str) -> list[str]:
        """The distinct characters of a text that the model doesn't know."""
        return self.tokenizer.unknown(self.normalise(text))

    def normalise(self, text: str) -> str:
        """A text as the corpus was normalised: NFC, newlines kept or turned into spaces."""
        return normalise(text, self.text_config)

    @cached_property
    def text_config(self) -> TextConfig:
        """How the corpus was read."""
        return read_text_config(self.run)

    @cached_property
    def decoding(self) -> DecodingConfig:
        """How the run says that its model is to write; RunError if what it says is impossible."""
        return read_decoding(self.run)

    def info(self) -> dict[str, Any]:
        """The shape, sizes, settings, data and held-out numbers of the run."""
        results = read_results(self.run)
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
