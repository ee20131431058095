"""Trainings of many kinds, killed again and again at random: the end is the same to the bit."""

import itertools
import random
from collections import Counter

import pytest
from runs import SMALL, Cold, check_readable, differences, fresh, go_on, phase

STEPS = ["--steps", 30, "--eval-every", 10]
KINDS = {
    "gru, 1 layer": [*STEPS, "--dropout", 0.3],
    "lstm, 2 layers": ["--cell", "lstm", "--layers", 2, *STEPS, "--dropout", 0.2, "--keep", 1],
    "random windows": [*STEPS, "--sampling", "random", "--checkpoint-every", 7, "--keep", 3],
    "cloze": ["--objective", "cloze", *STEPS, "--checkpoint-every", 4],
    "early stop": [
        *["--steps", 400, "--eval-every", 5, "--patience", 3, "--checkpoint-every", 3],
        *["--schedule", "constant", "--lr", 0.1],
    ],
    "prepared": [*STEPS, "--embedding", 4, "--optimizer", "adam"],
    "standard input": ["--epochs", 4, "--eval-every", 8, "--optimizer", "sgd"],
    "two threads": [*STEPS, "--threads", 2, "--hidden", 64, "--batch", 64],
}
WARM = ("gru, 1 layer", "standard input")
"""Those that the short form kills, in a warm process."""


def killed_until_it_ends(launch, folder, kind, text, *, kills, seed):
    """Train whole, then again and again with kills, so many in all -> where each of them fell."""
    given = ["--threads", 1, *SMALL, *KINDS[kind]]
    settings = dict(zip(given[::2], given[1::2], strict=True))
    arguments = ["train", text, *itertools.chain.from_iterable(settings.items())]
    job = {}
    if kind == "prepared":
        prepared = fresh(folder / "corpus").with_name("prepared")
        assert launch(["prepare", text, "--documents", "blank-line", "--out", prepared]).code == 0
        arguments[1] = prepared
    elif kind == "standard input":
        arguments[1], job = "-", {"stdin": text}
    whole = fresh(folder / "whole")
    result = launch([*arguments, "--out", whole], root=whole, **job)
    assert result.code == 0, result
    seconds, operations = result.seconds, result.operations
    draw = random.Random(seed)
    phases = Counter()
    while phases.total() < kills:
        run, said = fresh(folder / "killed"), []
        while not said or said[-1].killed:
            # Two in three after so many operations, which spreads them over all that it does.
            last = operations if not said else operations // 2
            cut = {"root": run, "at": draw.randrange(1, last)}
            if draw.random() < 1 / 3:
                cut = {"seconds": draw.uniform(0.05, 0.98) * seconds}
            if not said:
                result = launch([*arguments, "--out", run], **cut, **job)
            else:
                result = go_on(launch, run, arguments, **cut, **job)
            said.append(result)
            if result.killed:
                phases[phase(run)] += 1
                check_readable(run)
        assert result.code == 0, (kind, said)
        assert differences(whole, run) == [], (kind, said)
    return phases


@pytest.mark.parametrize("kind", WARM)
def test_a_training_that_is_killed_again_and_again_ends_with_the_same_bits(
    warm, whole, place, rhymes, record_property, kind
):
    phases = killed_until_it_ends(warm, place / "kills", kind, rhymes, kills=4, seed=3)
    record_property("figures", f"kills, warm, {kind}: {dict(phases)}")


def test_every_kind_of_training_survives_being_killed_as_a_user_starts_it(
    place, rhymes, long, record_property
):
    if not long:
        pytest.skip("minutes: --long, or make test-faults")
    total = Counter()
    for seed, kind in enumerate(KINDS):
        launch = Cold(fresh(place / "cold").parent)
        phases = killed_until_it_ends(launch, place / "cold", kind, rhymes, kills=8, seed=seed)
        record_property("figures", f"kills, {kind}: {dict(phases)}")
        total += phases
    record_property("figures", f"kills over {len(KINDS)} runs: {total.total()}, {dict(total)}")
    assert total.total() >= 60
    assert total.keys() >= {"start-up", "training", "writing", "end"}
