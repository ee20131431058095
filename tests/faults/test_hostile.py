"""Files made by hand to do harm: each is refused in one line, before anything happens."""

import hashlib
import io
import json
import os
import pickle
import shutil
import struct
import tracemalloc
import zipfile

import pytest
import torch
from scene import watched

import rondeau
from rondeau.errors import RondeauError
from rondeau.report.page import write_report
from rondeau.run.folder import RunFolder, to_json
from rondeau.run.metrics import METRICS, read_events
from rondeau.run.states import state_from_bytes, state_to_bytes

MODEL, STATE = "model.safetensors", "checkpoints/step-00000060/training_state.pt"


@pytest.fixture
def own(run, tmp_path):
    """A run of one's own, to be spoilt."""
    return shutil.copytree(run, tmp_path / "own")


def spoil(run, files):
    """Put files into a run, whose manifest believes them."""
    manifest = json.loads((run / "manifest.json").read_bytes())
    for name, data in files.items():
        (run / name).write_bytes(data)
        manifest["files"][name] = [hashlib.sha256(data).hexdigest()]
    (run / "manifest.json").write_bytes(to_json(manifest))


def tensors(header, body=b""):
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


def changed_header(run, change):
    """The run's model file with another header."""
    data = (run / MODEL).read_bytes()
    end = 8 + struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:end])
    change(header)
    return tensors(header, data[end:])


def refuses(what, match):
    """That a call is refused, within bounds."""
    with watched([]), pytest.raises(RondeauError, match=match) as refusal:
        what()
    assert "\n" not in str(refusal.value)


def asks_for_a_terabyte(header):
    header["output.weight"] |= {"shape": [10**6, 250_000], "data_offsets": [0, 10**12]}


def overlaps(header):
    names = sorted(set(header) - {"__metadata__"}, key=lambda n: header[n]["data_offsets"])
    for name in names[1:]:
        size = header[name]["data_offsets"][1] - header[name]["data_offsets"][0]
        header[name]["data_offsets"] = [0, size]


def begins_before_the_file(header):
    header["output.bias"]["data_offsets"] = [-8, 4 * header["output.bias"]["shape"][0] - 8]


def has_very_many_names(header):
    header |= {f"tensor{i}": header["output.bias"] for i in range(10**5)}


@pytest.mark.parametrize(
    "change", [asks_for_a_terabyte, overlaps, begins_before_the_file, has_very_many_names]
)
def test_tensors_that_are_not_what_the_header_says(own, change):
    spoil(own, {MODEL: changed_header(own, change)})
    refuses(lambda: rondeau.load(own), r"model\.safetensors")


@pytest.mark.parametrize(
    "sizes",
    [
        {"hidden": 10**9},
        {"layers": 10**9},
        {"hidden": 10**9, "layers": 10**9},
        {"hidden": 2**62, "layers": 2**62, "embedding": 2**62},
        {"embedding": 10**9, "tie_weights": True},
    ],
    ids=str,
)
def test_a_config_of_a_model_larger_than_its_file(own, sizes):
    config = json.loads((own / "config.json").read_bytes()) | sizes
    spoil(own, {"config.json": to_json(config)})
    refuses(lambda: rondeau.load(own), r"model\.safetensors: has .* bytes; a model as in config")


def test_a_config_and_a_header_that_agree_on_what_is_not_there(own):
    config = json.loads((own / "config.json").read_bytes()) | {"hidden": 10**6}
    spoil(own, {"config.json": to_json(config)})
    spoil(own, {MODEL: changed_header(own, asks_for_a_terabyte)})
    refuses(lambda: rondeau.load(own), r"model\.safetensors: has")


@pytest.mark.parametrize(
    "name",
    ["manifest.json", "config.json", "tokenizer.json", "results.json", "private/corpus.json"],
)
@pytest.mark.parametrize(
    "text", ["[" * 10**5 + "]" * 10**5, '{"a":' * 10**5 + "1" + "}" * 10**5, "9" * 10**5]
)
def test_json_without_a_bottom(own, name, text):
    data = b'{"x": ' + text.encode() + b"}"
    if name == "manifest.json":
        (own / name).write_bytes(data)
    else:
        spoil(own, {name: data})

    def use():
        model = rondeau.load(own)
        model.info()
        model.corpus()

    refuses(use, name)


@pytest.mark.parametrize(
    "line",
    ["a" + ".a" * 10**5 + " = 1", "steps = " + "[" * 10**5, "steps = {a" + ".a" * 4000 + "=1}"],
)
def test_toml_without_a_bottom(own, line):
    spoil(own, {"train_config.toml": (own / "train_config.toml").read_bytes() + line.encode()})
    refuses(lambda: rondeau.resume(own), r"train_config\.toml")


def test_settings_that_leave_the_length_of_a_training_open(own):
    lines = (own / "train_config.toml").read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if not line.startswith("steps")]
    spoil(own, {"train_config.toml": "\n".join([*kept, "minutes = 1e6"]).encode()})
    refuses(lambda: rondeau.resume(own), "how long the training is")


class Program:
    """Runs a command when it is unpickled by a reader that believes it."""

    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


def state_of(members, method=zipfile.ZIP_STORED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return buffer.getvalue()


def test_a_state_that_is_a_program_is_not_run(tmp_path):
    mark = tmp_path / "ran"
    program = pickle.dumps(Program(f"touch {mark}"), protocol=2)
    bare = pickle.dumps(Program(f"touch {mark}"))
    hidden = io.BytesIO()
    torch.save({"format_version": 1, "rate": Program(f"touch {mark}")}, hidden)
    zipped = state_of([("archive/data.pkl", program), ("archive/version", b"3\n")])
    for data in (bare, program, zipped, hidden.getvalue()):
        refuses(lambda data=data: state_from_bytes(data, "state"), "state: is not the state")
    assert not mark.exists()


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_state_whose_zip_is_none_of_ours(tmp_path):
    sound = state_to_bytes({"rate": 1.0, "losses": torch.arange(9.0)})
    with zipfile.ZipFile(io.BytesIO(sound)) as archive:
        members = [(m.filename, archive.read(m)) for m in archive.infolist()]
    bomb = [*members, ("archive/data/9", bytes(2**24))]
    refuses(
        lambda: state_from_bytes(state_of(bomb, zipfile.ZIP_DEFLATED), "state"),
        "its zip is compressed",
    )
    huge = sound.replace(struct.pack("<II", 36, 36), struct.pack("<II", 2**32 - 2, 2**32 - 2))
    assert huge != sound
    refuses(lambda: state_from_bytes(huge, "state"), "state: is not the state")
    # What lies beside, outside or twice in a zip is left alone, or is not believed.
    beside = [*members, ("../../escaped", b"x"), ("/escaped", b"x")]
    assert state_from_bytes(state_of(beside), "state")["rate"] == 1.0
    program = pickle.dumps(Program(f"touch {tmp_path / 'ran'}"), protocol=2)
    first, last = ([("x/data.pkl", program), *members], [*members, ("x/data.pkl", program)])
    assert state_from_bytes(state_of(first), "state")["rate"] == 1.0
    refuses(lambda: state_from_bytes(state_of(last), "state"), "is not expected")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "a/../../x", "..", ""])
def test_a_manifest_that_names_what_lies_elsewhere(own, name):
    folder = RunFolder.open(own)
    manifest = json.loads((own / "manifest.json").read_bytes())
    manifest["files"][name] = [hashlib.sha256(b"").hexdigest()]
    (own / "manifest.json").write_bytes(to_json(manifest))
    rondeau.load(own)
    refuses(lambda: folder.read(name), "leads out of the run; not touched")
    refuses(lambda: folder.change({}, remove=[name]), "leads out of the run; not touched")


def test_a_manifest_of_very_many_names(own):
    manifest = json.loads((own / "manifest.json").read_bytes())
    manifest["files"] |= {f"checkpoints/step-{i:08d}/training_state.pt": [""] for i in range(10**5)}
    (own / "manifest.json").write_bytes(to_json(manifest))
    refuses(lambda: rondeau.load(own), r"manifest\.json: has .* bytes, more than")


@pytest.fixture
def elsewhere(own, tmp_path):
    """The same run, which another's links lead to."""
    return shutil.copytree(own, tmp_path / "elsewhere")


@pytest.mark.parametrize("name", [MODEL, "config.json", "checkpoints", "private", METRICS])
def test_links_that_lead_out_of_a_run(own, elsewhere, name):
    path = own / name
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    path.symlink_to(elsewhere / name)
    before = {p: p.read_bytes() for p in elsewhere.rglob("*") if p.is_file()}

    def use():
        rondeau.load(own).corpus()
        rondeau.resume(own)

    refuses(use, "leads out of the run; not touched")
    assert {p: p.read_bytes() for p in elsewhere.rglob("*") if p.is_file()} == before


def test_a_run_that_is_itself_a_link_is_a_run(own, elsewhere, tmp_path):
    (tmp_path / "link").symlink_to(own, target_is_directory=True)
    assert rondeau.load(tmp_path / "link").generate("猫", length=2)
    assert write_report(rondeau.load(tmp_path / "link")).exists()


def test_a_report_is_written_through_no_link_and_into_no_pipe(own, tmp_path):
    model = rondeau.load(own)
    (tmp_path / "precious").write_text("mine")
    (own / "report.html").unlink()
    (own / "report.html").symlink_to(tmp_path / "precious")
    refuses(lambda: write_report(model), r"report\.html leads out of the run")
    assert (tmp_path / "precious").read_text() == "mine"
    (own / "report.html").unlink()
    os.mkfifo(own / "report.html")
    refuses(lambda: write_report(model), r"report\.html: is not a file")


@pytest.mark.parametrize("kind", ["folder", "pipe"])
def test_a_lock_that_is_no_file(own, kind):
    (own / "private" / "lock").unlink()
    (os.mkfifo if kind == "pipe" else os.mkdir)(own / "private" / "lock")
    refuses(lambda: rondeau.resume(own), "lock: is not a file")


@pytest.mark.parametrize(
    "source", ["-", "", "poems.txt", "../..", "/dev/zero", "/dev/stdin", "a\0b"]
)
def test_a_text_that_is_said_to_lie_where_none_can(own, source):
    origin = json.loads((own / "private" / "corpus.json").read_bytes())
    spoil(own, {"private/corpus.json": to_json(origin | {"sources": [source]})})
    refuses(lambda: rondeau.load(own).corpus(), r"corpus\.json: .* is no file or folder")


@pytest.mark.parametrize("source", ["/" + "9" * 5000, "/a\0b", "/nowhere/poems.txt"])
def test_a_text_that_is_not_where_it_is_said_to_lie(own, source):
    origin = json.loads((own / "private" / "corpus.json").read_bytes())
    spoil(own, {"private/corpus.json": to_json(origin | {"sources": [source]})})
    refuses(lambda: rondeau.load(own).corpus(), "was trained on it: put it back")


def test_a_text_that_is_said_to_lie_among_far_more_is_read_no_further_than_the_runs_own(
    own, tmp_path
):
    (tmp_path / "all").mkdir()
    (tmp_path / "all" / "a.txt").write_text("小猫\n" * 2**16)
    (tmp_path / "all" / "b.txt").write_text(" ")  # refused, if it is read
    origin = json.loads((own / "private" / "corpus.json").read_bytes())
    spoil(own, {"private/corpus.json": to_json(origin | {"sources": [str(tmp_path / "all")]})})
    refuses(lambda: rondeau.load(own).corpus(), "no longer the text")


def test_metrics_without_an_end_take_no_memory(own):
    path = own / METRICS
    wanted = read_events(RunFolder(own))
    lines = path.read_bytes()
    with path.open("wb") as file:
        file.truncate(2**26)
        file.seek(0, os.SEEK_END)
        file.write(b"\n" + lines + b'{"x": "' + b"y" * 2**22 + b'"}\n' + lines)
    tracemalloc.start()
    assert read_events(RunFolder(own)) == wanted * 2
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**24
    os.truncate(path, 2**30 + 1)
    refuses(lambda: read_events(RunFolder(own)), "has 1,073,741,825 bytes, more than 1,073,741,824")


def vocabulary_of(own, change):
    document = json.loads((own / "tokenizer.json").read_bytes())
    document["model"]["vocab"] = change(document["model"]["vocab"])
    spoil(own, {"tokenizer.json": json.dumps(document).encode()})


@pytest.mark.parametrize("special", ["<unk>", "<bos>", "<mask>"])
def test_a_vocabulary_without_a_special_token(own, special):
    def without(vocabulary):
        return {t: i for i, t in enumerate(t for t in vocabulary if t != special)}

    vocabulary_of(own, without)
    refuses(lambda: rondeau.load(own), r"tokenizer\.json")


def test_a_vocabulary_of_characters_alone(own):
    vocabulary_of(own, lambda v: {chr(0x4E00 + i): i for i in range(len(v))})
    refuses(lambda: rondeau.load(own), r"tokenizer\.json: has no <unk>, <bos>, <mask>")


def test_a_vocabulary_with_half_a_character(own):
    last = "\ud800"
    vocabulary_of(
        own, lambda v: {t: i for i, t in enumerate([*list(v)[:3], *sorted([*list(v)[3:-1], last])])}
    )
    refuses(lambda: rondeau.load(own), r"tokenizer\.json: .*no character")
