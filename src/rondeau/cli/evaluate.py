"""`rondeau evaluate`."""

from __future__ import annotations

from pathlib import Path

from rondeau.cli.output import note_compilation, print_json, print_numbers
from rondeau.cli.use import Computing, load
from rondeau.config import ComputeConfig
from rondeau.errors import OptionError
from rondeau.text.splits import SplitName


def evaluate(
    run: Path,
    file: str | None = None,
    *,
    split: SplitName | None = None,
    beside: Path | None = None,
    json: bool = False,
    compute: Computing = ComputeConfig(),  # noqa: B008
) -> None:
    """Perplexity, bits per character and per byte of a file, or of the run's own splits.

    For a model trained by --objective cloze: how many hidden characters it restores.

    Parameters
    ----------
    run
        The run folder.
    file
        A text to evaluate instead of the run's splits.
    split
        Only this split: train, validation or test.
    beside
        Another run on the same text: how many of the same hidden characters each of them restores.
    json
        Print one JSON document.
    """
    splits = [split] if split else None
    models = [load(path, compute) for path in (run, beside) if path is not None]
    if file is None and len({model.fingerprint for model in models}) > 1:
        raise OptionError(f"--beside {beside}: was trained on another text or split; name a FILE")
    if beside is None and models[0].model.config.objective == "next":
        evaluations = models[0].evaluate(file, splits=splits)
        listed = [evaluation.as_dict() for evaluation in evaluations]
        note_compilation(False)
        print_json({"splits": listed}) if json else print_numbers(evaluations)
        return
    restored = {str(model.run.path): model.evaluate_cloze(file, splits=splits) for model in models}
    note_compilation(False)
    if json:
        print_json({"cloze": {name: [e.as_dict() for e in es] for name, es in restored.items()}})
        return
    for name, numbers in restored.items():
        if beside is not None:
            print(f"{name}:")
        print_numbers(numbers)
