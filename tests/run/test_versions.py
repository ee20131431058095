"""Runs of every released version are read; those of later ones are refused by name."""

import json
import shutil
from pathlib import Path

import pytest

import rondeau
from rondeau.errors import CorpusError, RunError
from rondeau.formats import check_version
from rondeau.run.folder import RunFolder, to_json
from rondeau.run.metrics import read_events
from rondeau.version import __version__

RUNS = Path(__file__).parents[1] / "data" / "runs"
GREEDY = {"0.1.0": "黑大来了\n小黑大来了\n小"}
"""What the model of each version's run wrote after 猫 when it was new."""
BITS = {"0.1.0": {"train": 316.270408, "validation": 34.419794, "test": 31.746790}}
CHECKPOINTS = {"0.1.0": [50, 60]}

versions = pytest.mark.parametrize("version", GREEDY)


def test_there_is_a_run_of_every_version():
    assert sorted(path.name for path in RUNS.iterdir()) == sorted(GREEDY)
    sizes = (path.stat().st_size for path in RUNS.rglob("*") if path.is_file())
    assert sum(sizes) < 60_000 * len(GREEDY)


@pytest.fixture
def old(tmp_path, version):
    return shutil.copytree(RUNS / version, tmp_path / "run")


@versions
def test_it_writes_what_it_wrote(old, version):
    greedy = rondeau.DecodingConfig(greedy=True)
    (sample,) = rondeau.load(old).generate("猫", length=12, decoding=greedy)
    assert sample.text == GREEDY[version]


@versions
def test_it_costs_what_it_cost_and_tells_what_it_told(old, version):
    model = rondeau.load(old)
    measured = {e.split: e.bits for e in model.evaluate()}
    assert measured == pytest.approx(BITS[version], rel=1e-5)
    told = {row["split"]: row["perplexity"] for row in model.info()["held_out"]}
    assert told == pytest.approx({e.split: e.perplexity for e in model.evaluate()}, rel=1e-5)
    assert model.baselines().splits.keys() == measured.keys()
    assert model.copies.report("猫白大来了").characters == 5
    assert len(read_events(model.run)) == 7


@versions
def test_it_goes_on_from_each_of_its_checkpoints(old, version):
    for step in reversed(CHECKPOINTS[version]):
        training = rondeau.resume(old)
        assert training.step == step
        steps = [event.step for event in training]
        assert steps == [*range(step + 10, training.steps + 1, 10)]
        (old / "checkpoints" / f"step-{step:08d}" / "training_state.pt").write_bytes(b"")
    model = training.finish()
    assert training.steps == 60
    assert [e.split for e in model.evaluate()] == ["train", "validation", "test"]


def later(path, name):
    """Give a file of a run the format of a later Rondeau, as that would have written it."""
    values = json.loads((path / name).read_bytes())
    manifest = json.loads((path / "manifest.json").read_bytes()) | {"rondeau": "7.8.9"}
    (path / "manifest.json").write_bytes(to_json(manifest))
    if name == "manifest.json":
        (path / name).write_bytes(to_json(manifest | {"format_version": 2, "files": []}))
    else:
        RunFolder(path).change({name: to_json(values | {"format_version": 2})})
        manifest["files"] = json.loads((path / "manifest.json").read_bytes())["files"]
        (path / "manifest.json").write_bytes(to_json(manifest))


@pytest.mark.parametrize("name", ["manifest.json", "config.json"])
def test_a_later_file_is_refused_with_the_version_that_made_it(run, tmp_path, name):
    path = shutil.copytree(run, tmp_path / "run")
    later(path, name)
    with pytest.raises(RunError) as refusal:
        rondeau.load(path)
    assert str(refusal.value) == (
        f"{path / name}: has format 2 (made by Rondeau 7.8.9); this is Rondeau {__version__}, "
        "which reads formats up to 1: update it"
    )


def test_every_file_that_a_machine_reads_names_its_format(run):
    rondeau.load(run).baselines()
    for path in run.rglob("*.json*"):
        if path.name != "tokenizer.json":  # its format is another project's
            text = path.read_text()
            for line in [text] if path.suffix == ".json" else text.splitlines():
                assert json.loads(line)["format_version"] == 1, path
    for path in run.rglob("*.safetensors"):
        assert b'"__metadata__":{"format_version":"1"}' in path.read_bytes()[:200], path
    assert json.loads((run / "manifest.json").read_text())["rondeau"] == __version__


@pytest.mark.parametrize("version", [0, -1, "1", True, 1.5, None, 10**40, [1]])
def test_what_is_no_version_is_refused(version):
    with pytest.raises(CorpusError, match=r"corpus\.json: format_version .* is none of Rondeau's"):
        check_version({"format_version": version}, 1, "corpus.json", error=CorpusError)
