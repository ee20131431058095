"""`rondeau report`."""

from __future__ import annotations

from pathlib import Path

from rondeau.cli.output import note_compilation, show
from rondeau.cli.use import Computing, load
from rondeau.config import ComputeConfig
from rondeau.errors import RondeauError


def report(
    run: Path,
    *,
    out: Path | None = None,
    compute: Computing = ComputeConfig(),  # noqa: B008
) -> None:
    """One self-contained page from a run: data, curves, numbers, samples, and how to repeat it.

    Parameters
    ----------
    run
        The run folder.
    out
        The file to write (default: report.html in the run).
    """
    from rondeau.report.page import write_report

    try:
        path = write_report(load(run, compute), out=out)
    except OSError as error:
        reason = f"cannot be written to: {error.strerror or error}"
        raise RondeauError(f"{run}: {reason}; name a file elsewhere with --out") from None
    note_compilation(False)
    show(str(path))
