"""The events of a training, read back from a file that anything may have happened to."""

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
}
LOOK = {"loss": 2.0, "targets": 9, "best": True, "measure": "perplexity", "samples": []}


def test_events_are_read_and_lines_that_are_none_passed_over(tmp_path):
    good = [EVENT, EVENT | {"step": 2, "held_out": LOOK}]
    bad = [[], {}, EVENT | {"step": "2"}, EVENT | {"loss": None}, EVENT | {"held_out": {}}]
    lines = [json.dumps(event) for event in (good[0], *bad, good[1])]
    (tmp_path / METRICS).write_text("\n".join([*lines, '{"step": 3, "to']))
    assert read_events(RunFolder(tmp_path)) == good


def test_a_run_without_the_file_has_no_events(tmp_path):
    assert read_events(RunFolder(tmp_path)) == []
