"""`rondeau reproduce`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rondeau.cli.output import note, print_json, print_table, show, tame

if TYPE_CHECKING:
    from rondeau.studies import notebook


def reproduce(
    *,
    corpus: str,
    experiments: str = "",
    epochs: int = 160,
    seed: int = 0,
    out: Path | None = None,
    threads: int | None = None,
    json: bool = False,
    quiet: bool = False,
) -> None:
    """Run the reference notebook's experiments on a text, beside its published numbers.

    Parameters
    ----------
    corpus
        The text; its first 10,000 characters train, the next 1,000 are held out.
    experiments
        Some of gru-scratch,gru,lstm-scratch,lstm,deep,bidirectional,rnn,gru-before (default: all).
    epochs
        Passes over the text; reports come after each quarter of them.
    seed
        Seed of the initial weights.
    out
        Write reproduction.md, .json and .png into this folder.
    threads
        Processor threads (default: all that this process may use).
    json
        Print one JSON document.
    quiet
        Show no progress.
    """
    from rondeau.network.device import set_threads
    from rondeau.studies import notebook, notebook_report

    set_threads(threads)
    names = notebook.select([name.strip() for name in experiments.split(",") if name.strip()])
    text = notebook.read_notebook_text(corpus)
    for sentence in text.repairs:
        note(sentence)
    command = f"rondeau reproduce --corpus {Path(corpus).name} --epochs {epochs} --seed {seed}"
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
    reports: list[notebook.Report] = []
    for name in names:
        for item in notebook.run_experiment(name, text, epochs=epochs, seed=seed):
            if isinstance(item, float):
                continue
            reports.append(item)
            if not quiet:
                show_report(item)
        if out is not None:
            notebook_report.write_reproduction(out, text, reports, command)
    if json:
        print_json(notebook.as_json(reports))
        return
    print_table(*notebook_report.table(reports))
    print()
    print_table(*notebook_report.ngram_table(text))
    print()
    for sentence in notebook_report.explanation(text, reports):
        show(f"- {sentence}")
    if out is not None:
        show(f"\nWritten: {out}/reproduction.md, reproduction.json, reproduction.png")


def show_report(report: notebook.Report) -> None:
    """A report as it comes, on standard error."""
    print(
        f"{report.experiment} epoch {report.epoch}, running perplexity {report.perplexity:.6f}, "
        f"{report.seconds_per_epoch:.2f} s an epoch",
        file=sys.stderr,
    )
    for prefix, rest in report.continuations.items():
        print(tame(f"  {prefix}{rest}"), file=sys.stderr, flush=True)
