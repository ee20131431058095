"""Results read back are all that readers ask for, whoever wrote them."""

import json
import shutil

import pytest

import rondeau
from rondeau.errors import RunError
from rondeau.report.data import gather
from rondeau.report.page import page
from rondeau.run.folder import RunFolder, to_json
from rondeau.run.results import RESULTS, read_results

LEAK = {"split": "test", "targets": 9, "leaked_loss": 0.1, "unknown_share": 0.0}
GAPS = {"split": "test", "gaps": 9, "accuracy": 0.5, "unknown_share": 0.0}


@pytest.fixture
def own(run, tmp_path):
    return shutil.copytree(run, tmp_path / "own")


def forge(run, *path, value):
    results = json.loads((run / RESULTS).read_bytes())
    *holders, key = path
    part = results
    for holder in holders:
        part = part[holder]
    part[key] = value
    RunFolder(run).change({RESULTS: to_json(results)})
    return RunFolder(run)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("data", "split"), "by hand"),
        (("settings", "limit"), "many"),
        (("training", "best_step"), 1.5),
        (("held_out", 0, "perplexity"), None),
        (("held_out", 0, "known_perplexity"), "low"),
        (("held_out", 0, "sample"), 1),
        (("held_out", 0), LEAK),
        (("held_out",), [GAPS]),
    ],
    ids=str,
)
def test_what_no_training_writes_is_refused(own, path, value):
    with pytest.raises(RunError, match=r"results\.json: is not the results of a training"):
        read_results(forge(own, *path, value=value))


def test_a_split_without_known_characters_has_no_figure_for_them(own):
    rows = json.loads((own / RESULTS).read_bytes())["held_out"]
    del rows[0]["known_perplexity"]
    assert read_results(forge(own, "held_out", value=rows))["held_out"] == rows


@pytest.mark.parametrize("row", [LEAK, GAPS | {"pseudo_perplexity": 3.0}], ids=["leak", "gaps"])
def test_numbers_of_another_kind_than_the_models_have_a_page(own, row):
    forge(own, "held_out", value=[row])
    assert "</html>" in page(gather(rondeau.load(own)))
