"""`rondeau infill`."""

from __future__ import annotations

from pathlib import Path

from rondeau.cli.output import note, note_compilation, print_json, show
from rondeau.cli.use import Computing, load
from rondeau.config import ComputeConfig


def infill(
    run: Path,
    text: str,
    *,
    gap: str = "＿",
    num_samples: int = 1,
    beam: int = 16,
    temperature: float | None = None,
    seed: int = 0,
    json: bool = False,
    compute: Computing = ComputeConfig(),  # noqa: B008
) -> None:
    """Fill the gaps of a text: best with a model trained by --objective cloze.

    A model of the next character can do it too, from left to right.

    Parameters
    ----------
    run
        The run folder.
    text
        A document from its beginning to its end, with gaps.
    gap
        The character that stands for one hidden character.
    num_samples
        How many fillings, the likeliest first.
    beam
        How many fillings are followed side by side.
    temperature
        Draw fillings at random at this temperature, instead of the likeliest.
    seed
        Same seed, same fillings, where they are drawn.
    json
        Print one JSON document.
    """
    model = load(run, compute)
    unknown = model.unknown(text.replace(gap, ""))
    if unknown:
        note(f"{' '.join(map(repr, unknown))} not in the vocabulary, read as <unk>")
    found = model.infill(
        text, gap=gap, num_samples=num_samples, beam=beam, temperature=temperature, seed=seed
    )
    note_compilation(False)
    if json:
        listed = [{"text": f.text, "filled": list(f.filled), "bits": f.bits} for f in found]
        print_json({"fillings": listed})
    elif num_samples == 1:
        show(found[0].text)
    else:
        for number, filling in enumerate(found, 1):
            show(f"--- {number}: {filling.bits:.2f} bits ---\n{filling.text}")
