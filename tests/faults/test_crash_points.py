"""Killed at the n-th file operation, for every n: what is left is valid, and goes on to the bit."""

import random
import shutil
from collections import Counter

import pytest
from runs import check_readable, differences, fresh, go_on, phase, sample, usual

from rondeau.text.prepared import is_prepared


def test_killed_at_any_file_operation_a_training_goes_on_to_the_same_bits(
    warm, whole, operations, place, rhymes, long, record_property
):
    phases: Counter[str] = Counter()
    kinds: Counter[str] = Counter()
    points = range(1, operations + 1) if long else sample(operations, 10)
    for at in points:
        run = fresh(place / "points")
        killed = warm([*usual(rhymes), "--out", run], root=run, at=at)
        assert killed.killed, (at, killed)
        phases[phase(run)] += 1
        kinds[killed.last.split()[0]] += 1
        check_readable(run)
        resumed = go_on(warm, run, usual(rhymes))
        assert resumed.code == 0, (at, killed, resumed)
        assert differences(whole, run) == [], (at, killed, resumed)
    record_property(
        "figures", f"crash points: {len(points)} of {operations}, {dict(phases)}, {dict(kinds)}"
    )


def test_killed_again_while_it_goes_on_it_goes_on_all_the_same(
    warm, whole, operations, place, rhymes, long, record_property
):
    draw = random.Random(1)
    kills = 0
    for at in sample(operations, 60 if long else 2, seed=1):
        run = fresh(place / "again")
        result = warm([*usual(rhymes), "--out", run], root=run, at=at)
        while result.killed and kills < 1000:
            kills += 1
            check_readable(run)
            result = go_on(warm, run, usual(rhymes), root=run, at=draw.randrange(1, 200))
        assert result.code == 0, (at, result)
        assert differences(whole, run) == [], (at, result)
    record_property("figures", f"crash points of resumed trainings: {kills} kills")


def test_after_a_loss_of_power_at_any_file_operation_it_goes_on_to_the_same_bits(
    warm, whole, operations, place, rhymes, long, record_property
):
    phases: Counter[str] = Counter()
    points = range(1, operations + 1) if long else sample(operations, 6, seed=2)
    for at in points:
        run = fresh(place / "power")
        lost = warm([*usual(rhymes), "--out", run], root=run.parent, at=at, fault="power")
        assert lost.killed, (at, lost)
        phases[phase(run)] += 1
        check_readable(run)
        resumed = go_on(warm, run, usual(rhymes))
        assert resumed.code == 0, (at, lost, resumed)
        assert differences(whole, run) == [], (at, lost, resumed)
    record_property("figures", f"losses of power: {len(points)} of {operations}, {dict(phases)}")


def test_a_killed_prepare_leaves_a_whole_corpus_or_none_and_no_litter_once_it_is_repeated(
    warm, whole, place, rhymes, long
):
    out = fresh(place / "prepared").with_name("corpus")
    command = ["prepare", rhymes, "--documents", "blank-line", "--out", out]
    total = warm(command, root=out.parent).operations
    files = {path.name: path.read_bytes() for path in out.iterdir()}
    for at in range(1, total + 1) if long else sample(total, 4):
        shutil.rmtree(out)
        assert warm(command, root=out.parent, at=at).killed
        assert is_prepared(out) == out.exists()
        if not out.exists():
            assert warm(command).code == 0
        assert {path.name: path.read_bytes() for path in out.iterdir()} == files
        assert list(out.parent.iterdir()) == [out]


@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM"])
def test_a_signal_in_any_phase_saves_and_leaves_with_its_code(
    warm, whole, operations, place, rhymes, long, number
):
    of_checkpoints = ("checkpoints/", "manifest.json")  # one more is kept, of the step it came at
    for at in sample(operations - 6, 60 if long else 3):
        run = fresh(place / number)
        ended = warm([*usual(rhymes), "--out", run], root=run, at=at, fault=number)
        assert ended.code == {"SIGINT": 130, "SIGTERM": 143}[number], (at, ended)
        assert "Traceback" not in ended.said
        check_readable(run)
        if run.exists():
            assert go_on(warm, run, usual(rhymes)).code == 0
            differ = differences(whole, run)
            assert [name for name in differ if not name.startswith(of_checkpoints)] == [], at
