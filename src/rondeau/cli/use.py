"""`rondeau generate` and `info`: a trained model at work."""

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
    print_json,
    show,
)
from rondeau.config import AskedDecoding, ComputeConfig

if TYPE_CHECKING:
    from rondeau.language_model import LanguageModel

Computing = Annotated[ComputeConfig, Parameter(name="*")]


def generate(
    run: Path,
    *,
    prefix: str = "",
    length: int = 200,
    asked: Annotated[AskedDecoding, Parameter(name="*")] = AskedDecoding(),  # noqa: B008
    stop: str | None = None,
    seed: int | None = None,
    num_samples: int = 1,
    novelty: bool = False,
    json: bool = False,
    compute: Computing = ComputeConfig(),  # noqa: B008
) -> None:
    """Continue a text with a trained model, shown as it is written.

    What isn't said of the decoding is as the run's generation_config.json has it.

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
    decoding = asked.over(model.decoding)
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
        show(prefix, end="")
        for piece in pieces:
            show(piece.text, end="")
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
            show(f"{prefix}{sample.text}")


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
    show("\n".join(as_rows(described)))
    for number in numbers:
        show("\n".join(as_rows({number.pop("split"): number})))


def load(run: Path, compute: ComputeConfig) -> LanguageModel:
    """The model of a run, on its device."""
    from rondeau.language_model import LanguageModel
    from rondeau.network.device import set_threads

    set_threads(compute.threads)
    return LanguageModel.load(
        run,
        device=compute.device,
        backend=compute.backend,
        precision=compute.precision,
        cuda_graphs=compute.cuda_graphs,
    )
