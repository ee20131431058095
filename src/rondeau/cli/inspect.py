"""`rondeau inspect`."""

from __future__ import annotations

from pathlib import Path

from rondeau.cli.output import note, note_compilation, print_json, show
from rondeau.cli.use import Computing, load
from rondeau.config import ComputeConfig


def inspect(
    run: Path,
    text: str | None = None,
    *,
    out: Path | None = None,
    seed: int = 0,
    json: bool = False,
    compute: Computing = ComputeConfig(),  # noqa: B008
) -> None:
    """What happens inside a model while it reads: gates, memory, readable units, held gates.

    Writes one self-contained page, which quotes the text, and its pictures.

    Parameters
    ----------
    run
        The run folder.
    text
        A file (or - for standard input), or the text itself (default: the run's own held-out text).
    out
        The folder to write into (default: inspection in the run).
    seed
        Of the targets and shifts that are sampled.
    json
        Print the numbers as one JSON document.
    """
    from rondeau.report.inspection_page import write_inspection

    model = load(run, compute)
    source = None if text is None else file_or_text(text)
    if isinstance(source, str) and (unknown := model.unknown(source)):
        note(f"{' '.join(map(repr, unknown[:20]))} not in the vocabulary, read as <unk>")
    found = model.inspect(source, seed=seed, note=note)
    paths = write_inspection(model, found, out=out)
    note_compilation(False)
    if json:
        print_json({"page": str(paths[0]), **found.as_dict()})
    else:
        show(str(paths[0]))


def file_or_text(given: str) -> Path | str:
    """A path where there is such a file (or - for standard input), or the text itself."""
    if str(Path(given)) == "-":  # standard input
        return Path(given)
    try:
        return Path(given) if given and Path(given).exists() else given
    except (OSError, ValueError):  # too long for a name, or nothing that a name can hold
        return given
