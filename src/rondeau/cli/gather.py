"""`rondeau gather`."""

from __future__ import annotations

from pathlib import Path

from rondeau.cli.output import show


def gather(run: Path) -> None:
    """Make a run whose weights several processes have shared out (--shard) an ordinary one.

    In place, by one process, which needs memory for all of it.

    Parameters
    ----------
    run
        The run folder.
    """
    from rondeau.training.gather import gather as gather_run

    steps = gather_run(run)
    show(
        f"{run} is an ordinary run now, its checkpoints after {', '.join(f'{s:,}' for s in steps)} "
        f"steps whole: rondeau generate {run} writes with the best, rondeau train --resume {run} "
        "goes on in one process."
    )
