"""What others wrote, on a terminal and in settings: it steers neither, and breaks neither."""

import json
import re
import sys
import tomllib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rondeau.cli import output
from rondeau.config import TextConfig, TrainConfig
from rondeau.errors import OptionError

RAW = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\r]")
EVIL = "\x1b[31mred\x1b]0;title\x07\u202eturned\x9b2J\rover"


def test_a_text_shown_on_a_terminal_keeps_its_shape_and_steers_nothing(capsys, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    family = "\U0001f468\u200d\U0001f469\u200d\U0001f467 \u05e9\u05b8\tcafe\u0301\n"
    output.show(family + EVIL)
    said = capsys.readouterr().out
    assert said.startswith(family)
    assert not RAW.search(said)
    assert "\\u001b[31mred" in said


def test_a_text_shown_elsewhere_is_the_text_to_the_letter(capsys):
    output.show(EVIL, end="")
    assert capsys.readouterr().out == EVIL


def test_notes_errors_and_tables_are_tame_everywhere(capsys):
    output.note(EVIL + "\nsecond")
    output.complain(OptionError(EVIL + "\nsecond" + "x" * 5000))
    output.print_table([EVIL], [[EVIL + " :heart:"]])
    said = capsys.readouterr()
    assert not RAW.search(said.out + said.err)
    assert ":heart:" in said.out
    assert said.err.count("\n") == 2
    assert len(said.err) < 3000


def test_json_is_tame_and_says_the_same(capsys):
    output.print_json({"text": EVIL})
    said = capsys.readouterr().out
    assert not RAW.search(said)
    assert json.loads(said) == {"text": EVIL}


def test_the_name_of_a_file_cannot_steer_the_terminal(rondeau, tmp_path):
    path = tmp_path / f"{EVIL}.txt"
    code, _, stderr = rondeau("train", path)
    assert code == 2
    assert stderr.count("\n") == 1
    assert not RAW.search(stderr)


def test_a_text_whose_name_is_no_utf8_is_found_again(rondeau, rhymes, tmp_path):
    path = tmp_path / "caf\udce9\x1b[31m.txt"
    path.write_bytes(rhymes.read_bytes())
    small = ["--hidden", 4, "--steps", 1, "--threads", 1, "--documents", "blank-line"]
    assert rondeau("train", path, *small, "--out", tmp_path / "run")[0] == 0
    for verb in ("evaluate", "info", "report"):
        code, _, stderr = rondeau(verb, tmp_path / "run")
        assert code == 0, stderr
        assert not stderr


def test_repairs_are_said_by_every_command_that_reads_a_text(rondeau, run, rhymes, tmp_path):
    path = tmp_path / "rhymes.txt"
    path.write_bytes(rhymes.read_bytes() + b"\n\xff\0")
    said = f"byte {len(rhymes.read_bytes()) + 1} is not utf-8, read as U+FFFD"
    small = ["--documents", "blank-line", "--hidden", 4, "--steps", 1, "--threads", 1]
    runs = [tmp_path / "one", tmp_path / "two"]
    for out in runs:
        assert said in rondeau("train", path, *small, "--out", out)[2]
    assert said in rondeau("prepare", path, "--out", tmp_path / "ready")[2]
    assert said in rondeau("train", tmp_path / "ready", *small[2:], "--out", tmp_path / "three")[2]
    assert said in rondeau("evaluate", run, path)[2]
    assert said in rondeau("evaluate", runs[0])[2]
    assert said in rondeau("score", run, "--lines", path)[2]
    assert said in rondeau("compare", *runs)[1]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (
            "hidden = 0x" + "f" * 5000,
            "--hidden a int too large to show: must be a whole number below",
        ),
        ("lr = 0x" + "f" * 300, "--lr .*: must be a finite number"),
        ("lr = 1" + "0" * 400, "--lr .*: must be a finite number"),
        (
            "layers = 99999999999999999999",
            "--layers 99999999999999999999: must be a whole number below 2",
        ),
        ("cell = [[[]]]", r"--cell \[\[\[\]\]\]: choose one of"),
        ("encoding = 1979-05-27", "--encoding .*: must be a text"),
        ('"\\n" = 1', "unknown setting '.n'"),
        ("x" * 5000 + " = 1", "unknown setting x+…"),
    ],
)
def test_a_setting_beyond_bounds_is_refused_by_name(rondeau, tmp_path, setting, message):
    values = tomllib.loads(setting)
    with pytest.raises(OptionError, match=message) as error:
        TrainConfig.from_mapping(values, "settings.toml")
    assert len(str(error.value)) < 400
    (tmp_path / "settings.toml").write_text(setting)
    code, _, stderr = rondeau("train", tmp_path / "nowhere", "--config", tmp_path / "settings.toml")
    assert code == 2
    assert stderr.count("\n") == 1


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(2**60, 2**70)
    | st.floats()
    | st.text(max_size=9)
    | st.dates()
)
VALUES = st.recursive(
    SCALARS,
    lambda of: st.lists(of, max_size=3) | st.dictionaries(st.text(max_size=3), of),
    max_leaves=5,
)
NAMES = st.sampled_from(TrainConfig.field_names()) | st.text(max_size=9)


@settings(max_examples=100)
@given(st.dictionaries(NAMES, VALUES, max_size=4))
def test_any_values_are_settings_or_an_error_in_one_line(values):
    for kind in (TrainConfig, TextConfig):
        try:
            made = kind.from_mapping(values, "settings.toml")
        except OptionError as error:
            said = str(error)
        else:
            said = ""
            assert made == kind.from_mapping(made.as_dict(), "settings.toml")
        assert "\n" not in said


LINES = st.builds(
    lambda name, value: f"{name} = {value}\n".encode(),
    NAMES.map(json.dumps) | st.sampled_from(TrainConfig.field_names()),
    st.sampled_from(
        [
            "1",
            "-1",
            "nan",
            "'gru'",
            "''",
            "true",
            "[]",
            "[1, {a = 2}]",
            "{}",
            "1979-05-27",
            "0xff",
            '"\\n"',
        ]
    ),
)
SECTIONS = st.sampled_from(
    [b"[train]\n", b"[a.b]\n", b"[[c]]\n", b"\xff", b"\0", b"a" + b".a" * 2000 + b"=1\n"]
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=50) | st.lists(LINES | SECTIONS, max_size=4).map(b"".join))
def test_any_config_file_ends_in_one_line(rondeau, tmp_path_factory, data):
    path = tmp_path_factory.mktemp("config") / "settings.toml"
    path.write_bytes(data)
    # With any good settings the corpus is what is missing.
    code, stdout, stderr = rondeau("train", path.parent / "nowhere", "--config", path)
    assert (code, stdout, stderr.count("\n")) == (2, "", 1)
    assert stderr.startswith("rondeau: error: ")


@pytest.mark.parametrize(
    "data", [b"a = " + b"[" * 5000, b"a" + b".a" * 5000 + b" = 1", b"\xff", b"a = 1\0"]
)
def test_a_config_file_nested_without_end_or_no_text_is_refused(rondeau, tmp_path, data):
    (tmp_path / "settings.toml").write_bytes(data)
    code, _, stderr = rondeau("train", "--config", tmp_path / "settings.toml")
    assert code == 2
    assert stderr.count("\n") == 1
