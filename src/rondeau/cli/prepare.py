"""`rondeau prepare`."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from rondeau.cli.output import note, print_json, print_table, show
from rondeau.config import TextConfig

SECONDS_BETWEEN_LINES = 2


def prepare(
    *corpus: str,
    out: Path,
    workers: int | None = None,
    settings: Annotated[TextConfig, Parameter(name="*")] = TextConfig(),  # noqa: B008
    json: bool = False,
    quiet: bool = False,
) -> None:
    """Read a text of any size once, split it, and keep it as ids for `rondeau train DIR`.

    Training then starts at once and reads the ids from the disk as it needs them. How documents
    are told apart and split is settled here; `--seed` decides what is held out. Interrupted or
    killed, it goes on where it was when the same command is given again.

    Parameters
    ----------
    corpus
        Files (.txt, .txt.gz, .zip, .jsonl), folders of them, URLs of either, data sets of Hugging
        Face (datasets:NAME), or - for standard input.
    out
        The folder to make.
    workers
        Processes that read (default: as many as processors may be used); the result is the same.
    json
        Print what was prepared as one JSON document.
    quiet
        Show no progress.
    """
    from rondeau.text import preparing
    from rondeau.text.splits import SPLIT_NAMES

    said = time.monotonic()

    def report(doing: str, characters: int) -> None:
        nonlocal said
        if not quiet and time.monotonic() - said > SECONDS_BETWEEN_LINES:
            print(f"{doing}: {characters:,} characters", file=sys.stderr, flush=True)
            said = time.monotonic()

    try:
        result = preparing.prepare(corpus, settings, out=out, workers=workers, report=report)
    except KeyboardInterrupt:
        if preparing.under_way(out).exists():
            left = "rondeau: interrupted; the same command goes on where it was"
            print(left, file=sys.stderr)
        raise
    if not quiet:
        for sentence in (*result.repairs, *result.notes):
            note(sentence)
    parts = {name: result.parts[name] for name in SPLIT_NAMES}
    if json:
        listed = {
            name: {"documents": len(p), "characters": p.characters, "utf8_bytes": p.utf8_bytes}
            for name, p in parts.items()
        }
        vocabulary = {"vocabulary": len(result.tokenizer), "unknown": len(result.alphabet.unknown)}
        print_json({"out": str(out), "split": result.split, "splits": listed} | vocabulary)
        return
    rows = [
        [name, f"{len(p):,}", f"{p.characters:,}", f"{p.utf8_bytes / 1e6:,.1f} MB"]
        for name, p in parts.items()
        if p
    ]
    print_table(["split", "documents", "characters", "UTF-8"], rows)
    show(
        f"{len(result.tokenizer):,} tokens, of the training split; {len(result.alphabet.unknown):,}"
        f" characters stand in held-out text only.\nrondeau train {out} trains on it."
    )
