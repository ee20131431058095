"""`rondeau evaluate`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rondeau.cli.output import note, note_compilation, print_json, print_numbers, show
from rondeau.cli.use import Computing, load
from rondeau.config import ComputeConfig
from rondeau.errors import OptionError, UserError
from rondeau.text.splits import SplitName

if TYPE_CHECKING:
    from rondeau.evaluation.overlap import Overlap
    from rondeau.language_model import LanguageModel


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

    Beside them stand models that need no training, learned from the same text: all characters
    alike (uniform), n-grams of orders 1 to 6 (Witten-Bell), and a compressor (xz). For a model
    trained by --objective cloze: how many hidden characters it restores.

    Parameters
    ----------
    run
        The run folder.
    file
        A text to evaluate instead of the run's splits.
    split
        Only this split: train, validation or test.
    beside
        Another run on the same text, or with a FILE any other, which both then read as RUN does:
        how many of the same hidden characters each of them restores.
    json
        Print one JSON document.
    """
    if file is not None and split is not None:
        raise OptionError(f"--split {split}: a FILE has no splits; give one of them")
    if beside is not None and beside.resolve() == run.resolve():
        raise OptionError(f"--beside {beside}: is the same run; name another")
    splits = [split] if split else None
    models = [load(path, compute) for path in (run, beside) if path is not None]
    if file is None and len({model.fingerprint for model in models}) > 1:
        raise OptionError(f"--beside {beside}: was trained on another text or split; name a FILE")
    # Read once: standard input can't be read again.
    texts = models[0].texts(file, splits=splits, note=note)
    if beside is None and models[0].model.config.objective == "next":
        evaluate_beside_baselines(models[0], texts, own=file is None, json=json)
        return
    restored = {
        str(model.run.path): [model.evaluate_cloze_on(text, split=name) for name, text in texts]
        for model in models
    }
    note_compilation(False)
    if json:
        print_json({"cloze": {name: [e.as_dict() for e in es] for name, es in restored.items()}})
        return
    for name, numbers in restored.items():
        if beside is not None:
            show(f"{name}:")
        print_numbers(numbers)


def evaluate_beside_baselines(
    model: LanguageModel,
    texts: Sequence[tuple[str, Sequence[str]]],
    *,
    own: bool,
    json: bool,
) -> None:
    """The cost of texts, beside what needs no training, and what that says about the model.

    own: they are splits of the run's.
    """
    from rondeau.evaluation.baselines import Baselines
    from rondeau.evaluation.verdict import verdict

    evaluations = [model.evaluate_documents(text, split=name) for name, text in texts]
    baselines = Baselines({})
    try:
        baselines = model.baselines(None if own else texts)
    except UserError as error:
        note(f"no baselines, which are learned from the training text: {error}")
    note_compilation(False)
    left = model.overlap() if own and baselines.splits else {}
    found = [overlap_sentence(e.split, left[e.split]) for e in evaluations if e.split in left]
    shown = {e.split: baselines.splits.get(e.split, ()) for e in evaluations}
    said = verdict({e.split: e for e in evaluations}, shown) if any(shown.values()) else []
    if json:
        listed = [e.as_dict() for e in evaluations]
        beside = {name: [b.as_dict() for b in others] for name, others in shown.items()}
        overlapping = {name: {"grams": o.grams, "lines": o.lines} for name, o in left.items()}
        print_json({"splits": listed, "baselines": beside, "overlap": overlapping, "verdict": said})
        return
    print_numbers([row for e in evaluations for row in (e, *shown[e.split])])
    for sentence in (*filter(None, found), *baselines.notes, *said):
        show(sentence)


def overlap_sentence(split: str, overlap: Overlap) -> str:
    """What of a held-out split stands in the training text all the same."""
    parts = [
        f"{share:.1%} of its {what}"
        for share, what in ((overlap.grams, "20-grams"), (overlap.lines, "lines"))
        if share is not None
    ]
    return f"{split}: {' and '.join(parts)} stand in the training text." if parts else ""
