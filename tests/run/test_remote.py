"""Runs by URL: read as they are needed, mirrored while they are trained, on from either side."""

import json
import shutil

import pytest

import rondeau as library
from rondeau.config import TrainConfig
from rondeau.errors import RunError, TrainingError
from rondeau.run import remote
from rondeau.run.folder import MANIFEST
from rondeau.run.remote import RemoteRun, staging
from rondeau.training.train import resume, train
from rondeau.urls import Remote

SMALL = TrainConfig(
    hidden=8, batch=4, seq_len=8, steps=20, eval_every=10, documents="blank-line", threads=1
)
URL = "memory://runs/one"


@pytest.fixture(autouse=True)
def at_once(cache, monkeypatch):
    """No waiting, and no cache but one's own."""
    monkeypatch.setattr(remote, "PAUSES", (0, 0))


@pytest.fixture
def uploaded(memory, run):
    """A trained run at a URL."""
    for path in run.rglob("*"):
        if path.is_file():
            memory.pipe(f"/runs/one/{path.relative_to(run).as_posix()}", path.read_bytes())
    return URL


def there(memory):
    """What lies at the URL, by name."""
    return {path.removeprefix("/runs/one/"): memory.cat(path) for path in memory.find("/runs/one")}


def test_a_run_at_a_url_is_the_run_and_only_what_is_needed_is_fetched(
    uploaded, run, cache, rondeau, memory
):
    model = library.load(uploaded)
    local = library.load(run)
    assert model.generate("Sing", length=20, seed=1) == local.generate("Sing", length=20, seed=1)
    fetched = {path.name for path in (cache / "runs").rglob("*") if path.is_file()}
    assert "model.safetensors" in fetched
    assert not fetched & {"training_state.pt", "report.html", "corpus.json"}
    assert rondeau("generate", uploaded, "--seed", 1) == rondeau("generate", run, "--seed", 1)
    memory.rm("/runs/one/model.safetensors")
    library.load(uploaded)  # from the cache


def test_where_there_is_no_run_it_is_told_and_what_is_damaged_is_refused(uploaded, memory):
    with pytest.raises(RunError, match=r"^memory://elsewhere: is not a run \(it has no manifest"):
        library.load("memory://elsewhere")
    memory.pipe("/runs/one/model.safetensors", b"other")
    with pytest.raises(RunError, match=r"one/model\.safetensors: is damaged"):
        library.load(uploaded)
    memory.pipe(f"/runs/one/{MANIFEST}", b'{"files": 1}')
    with pytest.raises(RunError, match="is not a manifest of Rondeau"):
        library.load(uploaded)


def test_a_name_that_leads_out_of_the_run_is_not_fetched(uploaded, memory, cache):
    manifest = json.loads(memory.cat(f"/runs/one/{MANIFEST}"))
    manifest["files"]["../../../../evil"] = ["0" * 64]
    memory.pipe(f"/runs/one/{MANIFEST}", json.dumps(manifest).encode())
    folder = RemoteRun.at(uploaded)
    with pytest.raises(RunError, match="leads out of the run; not touched"):
        folder.read("../../../../evil")


def test_a_training_at_a_url_is_the_training_here_and_is_there_at_its_end(memory, rhymes, tmp_path):
    train(rhymes, SMALL, out=tmp_path / "here").finish()
    train(rhymes, SMALL, out=URL).finish()
    mirror, own = there(memory), tmp_path / "here"
    assert "private/lock" not in mirror
    assert mirror["model.safetensors"] == (own / "model.safetensors").read_bytes()
    names = {p.relative_to(own).as_posix() for p in own.rglob("*") if p.is_file()}
    assert mirror.keys() == names - {"private/lock"}
    model = library.load(URL)
    assert model.evaluate(splits=["validation"])[0].as_dict() == (
        library.load(own).evaluate(splits=["validation"])[0].as_dict()
    )


def test_a_reader_finds_a_valid_run_after_every_upload(memory, rhymes, monkeypatch):
    write, seen = Remote.write, []

    def watched(self, source):
        write(self, source)
        manifest = json.loads(memory.cat(f"/runs/one/{MANIFEST}"))
        files = there(memory)
        for name, accepted in manifest["files"].items():
            found = remote.sha256(files[name]) if name in files else remote.ABSENT
            assert found in accepted, name
        seen.append(self.path)

    monkeypatch.setattr(Remote, "write", watched)
    train(rhymes, SMALL, out=URL).finish()
    assert len(seen) > 20


def test_a_training_goes_on_from_a_url_on_another_machine_to_the_same_bits(memory, rhymes, cache):
    train(rhymes, SMALL, out="memory://runs/whole").finish()
    training = train(rhymes, SMALL, out=URL)
    for event in training:
        if event.step == 10:
            training.interrupt()
    shutil.rmtree(cache)
    resumed = resume(URL)
    assert resumed.step == 10
    resumed.finish()
    whole = memory.cat("/runs/whole/model.safetensors")
    assert memory.cat("/runs/one/model.safetensors") == whole


def test_an_upload_that_fails_is_tried_again_then_ends_the_training_and_what_is_here_goes_on(
    memory, rhymes, monkeypatch
):
    write, failing = Remote.write, []

    def fails(self, source):
        if "checkpoints" in self.path and len(failing) < 3:
            failing.append(self.path)
            raise RunError(f"{self.name}: cannot be written: 503")
        write(self, source)

    monkeypatch.setattr(Remote, "write", fails)
    with pytest.raises(TrainingError, match=r"one-.*after step 10: memory://runs/one/.*3 times"):
        train(rhymes, SMALL, out=URL).finish()
    resumed = resume(URL)
    assert resumed.step == 10
    resumed.finish()
    assert library.load(URL).info()["training"]["step"] == 20
    assert (staging(URL) / "model.safetensors").read_bytes() == there(memory)["model.safetensors"]


def test_a_url_where_there_is_a_run_is_not_written_to(uploaded, rhymes, memory):
    before = there(memory)
    with pytest.raises(RunError, match=f"--out {URL}: already exists; .*--resume {URL}"):
        train(rhymes, SMALL, out=URL)
    assert there(memory) == before
