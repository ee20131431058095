"""`rondeau generate`, `evaluate`, `score` and `info`: a trained model at work."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from rondeau.cli.novelty import print_novelty
from rondeau.cli.output import (
    as_rows,
    note,
    note_compilation,
    print_evaluations,
    print_json,
    print_table,
)
from rondeau.config import ComputeConfig, DecodingConfig
from rondeau.text.splits import SplitName

if TYPE_CHECKING:
    from rondeau.language_model import LanguageModel

Computing = Annotated[ComputeConfig, Parameter(name="*")]


def generate(
    run: Path,
    *,
    prefix: str = "",
    length: int = 200,
    decoding: Annotated[DecodingConfig, Parameter(name="*")] = DecodingConfig(),  # noqa: B008
    stop: str | None = None,
    seed: int | None = None,
    num_samples: int = 1,
    novelty: bool = False,
    json: bool = False,
    compute: Computing = ComputeConfig(),  # noqa: B008
) -> None:
    """Continue a text with a trained model, shown as it is written.

    Parameters
    ----------
    run
        The run folder.
    prefix
        How the text begins; empty for the beginning of a document.
    length
        Most characters to add; a document may end before.
    stop
        End after this text has been written.
    seed
        Same seed, same text; drawn and reported when not given.
    num_samples
        How many continuations.
    novelty
        Mark what stands verbatim in the training text, and say where; shown when complete.
    json
        Print one JSON document with the seed.
    """
    model = load(run, compute)
    drawn = seed is None
    seed = secrets.randbelow(2**32) if seed is None else seed
    unknown = model.unknown(prefix)
    if unknown:
        note(f"--prefix: {' '.join(map(repr, unknown))} not in the vocabulary, read as <unk>")
    pieces = model.stream(
        prefix, length=length, decoding=decoding, seed=seed, num_samples=num_samples, stop=stop
    )
    if drawn and not decoding.greedy:
        note(f"--seed {seed} gives this text again")
    if num_samples == 1 and not (json or novelty):
        print(prefix, end="", flush=True)
        for piece in pieces:
            print(piece.text, end="", flush=True)
        print()
        note_compilation(False)
        return
    samples = model.generate(
        prefix, length=length, decoding=decoding, seed=seed, num_samples=num_samples, stop=stop
    )
    reports = [model.novelty(s.text, prefix) if novelty else None for s in samples]
    note_compilation(False)
    if json:
        listed = [
            {"text": s.text, "finish_reason": s.finish_reason}
            | ({"novelty": report.as_dict()} if report else {})
            for s, report in zip(samples, reports, strict=True)
        ]
        print_json({"prefix": prefix, "seed": seed, "samples": listed})
        return
    for number, (sample, report) in enumerate(zip(samples, reports, strict=True), 1):
        if num_samples > 1:
            print(f"--- {number} ---")
        if report:
            print_novelty(prefix, sample.text, report)
        else:
            print(f"{prefix}{sample.text}")


def evaluate(
    run: Path,
    file: str | None = None,
    *,
    split: SplitName | None = None,
    json: bool = False,
    compute: Computing = ComputeConfig(),  # noqa: B008
) -> None:
    """Perplexity, bits per character and per byte of a file, or of the run's own splits.

    Parameters
    ----------
    run
        The run folder.
    file
        A text to evaluate instead of the run's splits.
    split
        Only this split: train, validation or test.
    json
        Print one JSON document.
    """
    model = load(run, compute)
    evaluations = model.evaluate(file, splits=[split] if split else None)
    note_compilation(False)
    if json:
        print_json({"splits": [evaluation.as_dict() for evaluation in evaluations]})
    else:
        print_evaluations(evaluations)


def score(
    run: Path,
    text: str,
    *,
    json: bool = False,
    compute: Computing = ComputeConfig(),  # noqa: B008
) -> None:
    """The surprisal of a text in bits, in total and per character.

    Parameters
    ----------
    run
        The run folder.
    text
        The text, read as a document from its beginning to its end.
    json
        Print one JSON document.
    """
    model = load(run, compute)
    unknown = model.unknown(text)
    if unknown:
        note(f"{' '.join(map(repr, unknown))} not in the vocabulary, read as <unk>")
    result = model.score(text)
    if json:
        listed = [{"character": c, "bits": bits} for c, bits in result.characters]
        print_json({"bits": result.bits, "characters": listed})
        return
    rows = [[repr(c)[1:-1] if c else "(end)", f"{bits:.2f}"] for c, bits in result.characters]
    print_table(["character", "bits"], [*rows, ["total", f"{result.bits:.2f}"]])


def info(run: Path, *, json: bool = False) -> None:
    """What a run is: shape, sizes, data, settings, held-out numbers.

    Parameters
    ----------
    run
        The run folder.
    json
        Print one JSON document.
    """
    model = load(run, ComputeConfig(device="cpu"))
    described = model.info()
    if json:
        print_json(described)
        return
    numbers = described.pop("held_out")
    print("\n".join(as_rows(described)))
    for number in numbers:
        print("\n".join(as_rows({number.pop("split"): number})))


def load(run: Path, compute: ComputeConfig) -> LanguageModel:
    """The model of a run, on its device."""
    from rondeau.language_model import LanguageModel
    from rondeau.network.device import set_threads

    set_threads(compute.threads)
    return LanguageModel.load(run, device=compute.device, backend=compute.backend)
