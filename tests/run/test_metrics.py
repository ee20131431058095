"""The events of a training, read back from a file that anything may have happened to."""

import itertools
import json

from rondeau.run.folder import RunFolder
from rondeau.run.metrics import METRICS, read_events

EVENT = {
    "step": 1,
    "steps": 9,
    "tokens": 8,
    "loss": 2.5,
    "learning_rate": 0.1,
    "gradient_norm": 1.0,
    "tokens_per_second": 80.0,
    "seconds": 0.1,
    "held_out": None,
    "gates": None,
}
LOOK = {"loss": 2.0, "targets": 9, "best": True, "measure": "perplexity", "samples": []}


GATES = {
    "layer": 1,
    "direction": "forward",
    "gate": "z",
    "shut": 0.2,
    "open": 0.5,
    "tenths": [0.2, *[0.0] * 7, 0.3, 0.5],
}


def test_events_are_read_and_lines_that_are_none_passed_over(tmp_path):
    good = [EVENT, EVENT | {"step": 2, "held_out": LOOK, "gates": [GATES]}]
    bad = [[], {}, EVENT | {"step": "2"}, EVENT | {"loss": None}, EVENT | {"held_out": {}}]
    bad += [EVENT | {"gates": gates} for gates in ({}, [{}], [GATES | {"tenths": "0"}])]
    lines = [json.dumps(event) for event in (good[0], *bad, good[1])]
    (tmp_path / METRICS).write_text("\n".join([*lines, '{"step": 3, "to']))
    assert read_events(RunFolder(tmp_path)) == good


def test_events_from_before_gates_were_recorded_are_read_without_any(tmp_path):
    earlier = {name: value for name, value in EVENT.items() if name != "gates"}
    (tmp_path / METRICS).write_text(json.dumps(earlier))
    assert read_events(RunFolder(tmp_path)) == [EVENT]


def test_a_run_without_the_file_has_no_events(tmp_path):
    assert read_events(RunFolder(tmp_path)) == []


def test_of_very_many_events_some_are_read_evenly_and_looks_beside_them(tmp_path, monkeypatch):
    monkeypatch.setattr("rondeau.run.metrics.KEPT", 10)
    events = [
        EVENT | {"step": step, "held_out": LOOK if step % 50 == 0 else None, "further": [0] * 99}
        for step in range(400)
    ]
    (tmp_path / METRICS).write_text("".join(json.dumps(event) + "\n" for event in events))
    kept = read_events(RunFolder(tmp_path))
    steps = [event["step"] for event in kept]
    assert [e["step"] for e in kept if e["held_out"]] == [*range(0, 400, 50)]
    others = [step for step in steps if step % 50]
    assert 5 < len(others) <= 10
    assert steps == sorted(steps)
    assert max(b - a for a, b in itertools.pairwise(others)) < 70
    assert {*kept[0]} == {*EVENT}


def test_a_line_without_an_end_hides_none_of_the_others(tmp_path, monkeypatch):
    monkeypatch.setattr("rondeau.run.metrics.LONGEST", 1000)
    lines = [json.dumps(EVENT), '{"x": "' + "y" * 5000 + '"}', json.dumps(EVENT | {"step": 2})]
    (tmp_path / METRICS).write_text("\n".join(lines))
    assert [event["step"] for event in read_events(RunFolder(tmp_path))] == [1, 2]
