"""The commands as a user types them: what they print, where, and with which exit code."""

import io
import itertools
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import torch

from rondeau.cli import main
from rondeau.config import TextConfig
from rondeau.network.model import Model
from rondeau.text.preparing import prepare

ROOT = Path(__file__).parents[2]


SMALL = ["--hidden", 16, "--batch", 4, "--seq-len", 16, "--steps", 20, "--threads", 1]


def test_train_shows_progress_on_stderr_and_numbers_on_stdout(rondeau, rhymes, tmp_path):
    out = tmp_path / "run"
    code, stdout, stderr = rondeau(
        "train", rhymes, "--documents", "blank-line", "--out", out, *SMALL
    )
    assert code == 0
    assert re.search(r"step +20/20 .*tokens/s.*held out: perplexity", stderr)
    assert re.search(r"validation .* \d+\.\d+", stdout)
    assert "step " not in stdout.replace("step 20", "")


def test_train_json_is_one_document_and_quiet_is_silent(rondeau, rhymes, tmp_path):
    code, stdout, stderr = rondeau(
        "train", rhymes, "--documents", "blank-line", "--out", tmp_path / "run", *SMALL,
        "--json", "--quiet",
    )  # fmt: skip
    assert (code, stderr) == (0, "")
    assert json.loads(stdout)["config"]["hidden"] == 16


def test_settings_come_from_flag_then_environment_then_file(rondeau, rhymes, tmp_path, monkeypatch):
    path = tmp_path / "settings.toml"
    path.write_text('hidden = 8\nlayers = 2\ncell = "lstm"\n')
    monkeypatch.setenv("RONDEAU_LAYERS", "3")
    small = [a for a in SMALL if a not in ("--hidden",)][1:]
    code, stdout, _ = rondeau(
        "train", rhymes, "--config", path, "--cell", "rnn", "--out", tmp_path / "run", *small,
        "--json", "--quiet",
    )  # fmt: skip
    assert code == 0
    shape = json.loads(stdout)["config"]
    assert (shape["hidden"], shape["layers"], shape["cell"]) == (8, 3, "rnn")


def test_the_settings_of_a_run_repeat_it(rondeau, run, rhymes, tmp_path):
    code, _, _ = rondeau(
        "train", rhymes, "--config", run / "train_config.toml", "--out", tmp_path / "again",
        "--quiet", "--json",
    )  # fmt: skip
    assert code == 0
    again = (tmp_path / "again" / "model.safetensors").read_bytes()
    assert again == (run / "model.safetensors").read_bytes()


def test_generate_streams_a_text_with_its_prefix(rondeau, run):
    code, stdout, _ = rondeau("generate", run, "--prefix", "猫", "--length", 9, "--seed", 1)
    assert code == 0
    assert stdout.startswith("猫")
    again = rondeau("generate", run, "--prefix", "猫", "--length", 9, "--seed", 1)[1]
    assert stdout == again


def test_generate_json_gives_prefix_seed_and_samples_without_the_prefix(rondeau, run):
    arguments = ["generate", run, "--prefix", "猫", "--length", 5, "--num-samples", 3, "--json"]
    code, stdout, _ = rondeau(*arguments)
    document = json.loads(stdout)
    assert code == 0
    assert set(document) == {"prefix", "seed", "samples"}
    assert document["prefix"] == "猫"
    assert all(set(s) == {"text", "finish_reason"} for s in document["samples"])
    repeated = json.loads(rondeau(*arguments, "--seed", document["seed"])[1])
    assert repeated == document


def test_unknown_characters_of_a_prefix_are_reported(rondeau, run):
    code, _, stderr = rondeau("generate", run, "--prefix", "龙猫", "--length", 5)
    assert code == 0
    assert "'龙' not in the vocabulary" in stderr


def test_evaluate_json_has_the_promised_keys(rondeau, run, rhymes):
    code, stdout, _ = rondeau("evaluate", run, "--json")
    splits = json.loads(stdout)["splits"]
    assert code == 0
    assert [s["split"] for s in splits] == ["train", "validation", "test"]
    assert {
        "split", "targets", "perplexity", "bits_per_character", "bits_per_byte", "unknown_share",
    } <= set(splits[0])  # fmt: skip
    (one,) = json.loads(rondeau("evaluate", run, "--split", "test", "--json")[1])["splits"]
    assert one == splits[2]
    (whole,) = json.loads(rondeau("evaluate", run, rhymes, "--json")[1])["splits"]
    assert whole["targets"] == sum(s["targets"] for s in splits)


def test_evaluate_prints_a_table_and_names_a_leak(rondeau, run, backwards_run):
    assert "perplexity" in rondeau("evaluate", run)[1]
    assert "leaked loss" in rondeau("evaluate", backwards_run)[1]
    splits = json.loads(rondeau("evaluate", backwards_run, "--json")[1])["splits"]
    assert all("leaked_loss" in s and "perplexity" not in s for s in splits)


def test_score_json_sums_to_its_total_and_spells_the_text(rondeau, run):
    code, stdout, _ = rondeau("score", run, "猫白大来了", "--json")
    document = json.loads(stdout)
    assert code == 0
    assert "".join(c["character"] for c in document["characters"]) == "猫白大来了"
    assert sum(c["bits"] for c in document["characters"]) == pytest.approx(document["bits"])
    assert "bits in all" in rondeau("score", run, "猫白大来了")[1]


def test_info_tells_the_config_the_sizes_the_data_and_the_numbers(rondeau, run):
    document = json.loads(rondeau("info", run, "--json")[1])
    assert {"config", "vocabulary", "parameters", "data", "held_out"} <= set(document)
    code, stdout, _ = rondeau("info", run)
    assert code == 0
    assert "parameters" in stdout


def test_prepare_tells_what_it_kept_and_train_uses_it(rondeau, rhymes, tmp_path):
    ready = tmp_path / "ready"
    code, stdout, _ = rondeau("prepare", rhymes, "--documents", "blank-line", "--out", ready)
    assert code == 0
    assert re.search(r"train +\d+ +[\d,]+ +\d+\.\d MB", stdout)
    code, stdout, _ = rondeau(
        "prepare", rhymes, "--documents", "blank-line", "--out", tmp_path / "again", "--json"
    )
    characters = json.loads(stdout)["splits"]["train"]["characters"]
    code, stdout, stderr = rondeau("train", ready, "--out", tmp_path / "run", *SMALL, "--json")
    assert (code, json.loads(stdout)["data"]["characters"]["train"]) == (0, characters), stderr


def test_reproduce_json_is_a_list_of_experiments(rondeau, tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("".join(f"分开不分开{chr(0x4E00 + i % 60)}" for i in range(900)))
    code, stdout, _ = rondeau(
        "reproduce", "--corpus", path, "--experiments", "rnn,gru", "--epochs", 4, "--json",
        "--out", tmp_path / "out",
    )  # fmt: skip
    document = json.loads(stdout)
    assert code == 0
    assert [e["experiment"] for e in document] == ["gru", "rnn"]
    assert set(document[0]["epochs"]) == {"1", "2", "3", "4"}
    assert sorted(p.suffix for p in (tmp_path / "out").iterdir()) == [".json", ".md", ".png"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_resume_goes_on(rondeau, rhymes, tmp_path, number):
    out = tmp_path / "run"
    command = [
        sys.executable, "-m", "rondeau", "train", str(rhymes), "--out", str(out), "--hidden", "8",
        "--batch", "4", "--seq-len", "8", "--steps", "100000", "--threads", "1",
    ]  # fmt: skip
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("step"):
                process.send_signal(number)
                break
        rest = process.stderr.read()
    assert process.returncode == 128 + number, rest
    assert f"--resume {out}" in rest
    steps = int(re.search(r"interrupted after step (\d+)", rest)[1])
    settings = out / "train_config.toml"
    assert "steps = 100000" in settings.read_text()
    assert steps >= 1
    from rondeau.training.train import resume

    training = resume(out)
    assert training.step == steps
    assert next(iter(training)).step > steps


def bad_inputs(tmp_path, run, backwards_run):
    """(what is wrong, arguments, a part of the message)."""
    (tmp_path / "empty.txt").touch()
    (tmp_path / "binary.txt").write_bytes(bytes(range(256)) * 20)
    (tmp_path / "torn.txt").write_bytes(b"abc\xff\xff\xfe\xf0 d\x81")
    (tmp_path / "good.txt").write_text("some text that is long enough to train on, " * 9)
    (tmp_path / "typo.toml").write_text("hiden = 3\n")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "precious").write_text("mine")
    damaged = tmp_path / "damaged"
    shutil.copytree(run, damaged)
    data = bytearray((damaged / "model.safetensors").read_bytes())
    data[1000] ^= 1
    (damaged / "model.safetensors").write_bytes(data)
    good = tmp_path / "good.txt"
    ready = tmp_path / "ready"
    prepare([good], TextConfig(split="tail"), out=ready)
    return [
        (["prepare", good], "--out"),
        (["prepare", "--out", tmp_path / "new"], "name a file"),
        (["prepare", good, "--out", tmp_path / "full"], "already exists"),
        (["prepare", tmp_path / "binary.txt", "--out", tmp_path / "new"], "binary"),
        (["train", ready, "--split", "none"], "--split none"),
        (["train", ready, good], "ready: has no .txt"),
        (["train", tmp_path / "nowhere.txt"], "no such file"),
        (["train", tmp_path / "empty.txt"], "has no text"),
        (["train", tmp_path / "binary.txt"], "binary"),
        (["train", tmp_path / "torn.txt"], "unreadable"),
        (["train", good, "--encoding", "klingon"], "--encoding klingon"),
        (["train", good, "--cell", "transformer"], "transformer"),
        (["train", good, "--hidden", "-3"], "--hidden -3"),
        (["train", good, "--hidden", "many"], "many"),
        (["train", good, "--hiden", "3"], "--hiden"),
        (["train", good, "--epochs", "1", "--steps", "1"], "only one budget"),
        (["train", good, "--config", tmp_path / "typo.toml"], "hiden"),
        (["train", good, "--config", tmp_path / "none.toml"], "none.toml"),
        (["train", good, "--device", "cuda"], "--device cuda"),
        (["train", good, "--out", tmp_path / "full"], "already exists"),
        (["train", "--resume", tmp_path / "full"], "is not a run folder"),
        (["train", "--resume", run, "--hidden", "9"], "its own settings"),
        (["train", good, "--resume", run], "no longer the text"),
        (["generate", tmp_path / "full"], "is not a run folder"),
        (["generate", damaged], "model.safetensors: is damaged"),
        (["generate", backwards_run], "bidirectional"),
        (["generate", run, "--temperature", "0"], "--temperature"),
        (["generate", run, "--length", "0"], "--length 0"),
        (["evaluate", run, tmp_path / "empty.txt"], "has no text"),
        (["evaluate", run, "--split", "tests"], "tests"),
        (["score", run, ""], "empty"),
        (["info", tmp_path / "nowhere"], "no such run folder"),
        (["reproduce", "--corpus", good, "--experiments", "gpt"], "--experiments gpt"),
        (["reproduce", "--corpus", good], "32 streams of 35 steps"),
        (["sing"], "sing"),
    ]


def test_bad_input_gets_one_line_exit_code_2_and_harms_nothing(
    rondeau, tmp_path, run, backwards_run, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    if __import__("torch").cuda.is_available():
        pytest.skip("the refusal of a missing GPU needs a machine without one")
    cases = bad_inputs(tmp_path, run, backwards_run)
    before = sorted(str(p) for p in tmp_path.rglob("*"))
    for arguments, part in cases:
        code, stdout, stderr = rondeau(*arguments)
        assert (code, stdout) == (2, ""), arguments
        assert stderr.startswith("rondeau: error: "), arguments
        assert stderr.count("\n") == 1, stderr
        assert part in stderr, stderr
    assert sorted(str(p) for p in tmp_path.rglob("*")) == before
    assert (tmp_path / "full" / "precious").read_text() == "mine"


@pytest.mark.parametrize("words", [["evaluate"], ["score", "猫"], ["infill", "猫＿了"]])
def test_memory_that_runs_out_gets_one_line_and_exit_code_1(rondeau, run, monkeypatch, words):
    verb, *text = words
    monkeypatch.setattr(Model, "features", lambda *arguments: torch.empty(2**50))
    code, stdout, stderr = rondeau(verb, run, *text)
    assert (code, stdout) == (1, "")
    assert stderr.startswith("rondeau: error: no memory left; ")
    assert stderr.count("\n") == 1


def test_a_bug_keeps_its_traceback(run, monkeypatch):
    monkeypatch.setattr(Model, "features", lambda *arguments: torch.zeros(2, 3) @ torch.zeros(2, 3))
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        main(["score", str(run), "猫"])


@pytest.mark.parametrize("recipe", sorted((ROOT / "recipes").glob("*.toml")), ids=lambda p: p.stem)
def test_a_recipe_trains_and_a_budget_of_ones_own_replaces_the_recipes(rondeau, tmp_path, recipe):
    text = tmp_path / "text.txt"
    poems = (
        f"{a}{b}{c}花{d}月\n{d}{c}{b}{a}"
        for a, b, c, d in itertools.permutations("春夏秋冬天地", 4)
    )
    text.write_text("\n\n".join(itertools.islice(poems, 150)))
    words = cut_budget(["train", text, "--config", recipe, "--out", tmp_path / "run", "--quiet"])
    code, stdout, stderr = rondeau(*words)
    assert (code, stderr) == (0, ""), stderr
    code, stdout, _ = rondeau("info", tmp_path / "run", "--json")
    settings = json.loads(stdout)["settings"]
    assert settings["steps"] == 4
    wanted = tomllib.loads(recipe.read_text())
    for name in wanted.keys() - {"epochs", "steps", "minutes", "hidden", "documents", "layers"}:
        assert settings[name] == wanted[name], name


def readme_commands():
    """Every `rondeau …` and `torchrun … -m rondeau …` line in the READMEs' code blocks."""
    lines = {}
    for name in ("README.md", "README.zh.md"):
        blocks = re.findall(r"```(?:sh|bash)?\n(.*?)```", (ROOT / name).read_text(), re.DOTALL)
        for line in "".join(blocks).splitlines():
            command = line.split("  #")[0].strip().removeprefix(".venv/bin/")
            if command.startswith(("rondeau ", "torchrun ")):
                lines[command] = name
    return list(lines)


def test_every_command_of_the_readmes_runs(rondeau, run, rhymes, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(rhymes, "mysongs.txt")
    text = "".join(f"分开不分开{chr(0x4E00 + i % 60)}" for i in range(900))
    Path("jaychou_lyrics.txt.zip").write_bytes(b"")
    Path("lyrics.txt").write_text(text)
    for name in ("tinyshakespeare.txt", "songci.txt"):
        shutil.copy(rhymes, name)
    shutil.copytree(ROOT / "recipes", "recipes")
    commands = readme_commands()
    assert len(commands) >= 8
    for command in commands:
        launcher, *words = shlex.split(command)
        if launcher == "torchrun":
            run_in_processes(words)
            continue
        words = ["lyrics.txt" if w.endswith(".zip") else w for w in words]
        if words[0] == "tune":
            words = few_trials(words)
        if words[0] in ("train", "study", "tune") and "--resume" not in words:
            words = cut_budget(words)
        elif words[0] == "reproduce":
            words += ["--epochs", "1"]
        elif words[0] == "serve":
            serve_for_a_moment(words)
            continue
        code, _, stderr = rondeau(*words)
        assert code == 0, (command, stderr)


def run_in_processes(words):
    """A launch with a small model and a few steps."""
    command = [sys.executable, "-m", "torch.distributed.run", *cut_budget(words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def serve_for_a_moment(words):
    """A server's command on a free port, told to stop once it listens."""
    command = [sys.executable, "-m", "rondeau", *words, "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout.readline().startswith(b"http://127.0.0.1:"), process.stderr.read()
        process.terminate()
        process.communicate()
    assert process.returncode == 143


def cut_budget(words):
    """A training's command with a small model and a few steps."""
    for flag in ("--minutes", "--steps", "--epochs", "--hidden", "--layers"):
        if flag in words:
            at = words.index(flag)
            words = words[:at] + words[at + 2 :]
    return [*words, "--steps", "4", "--hidden", "8", "--threads", "1"]


def few_trials(words):
    """A search's command with two trials, or one more where it goes on."""
    if "--trials" in words:
        at = words.index("--trials")
        words = words[:at] + words[at + 2 :]
    return [*words, "--trials", "3" if "--resume" in words else "2", "--workers", "1"]


def test_a_closed_pipe_is_no_error(run):
    command = f"{shlex.quote(sys.executable)} -m rondeau info {shlex.quote(str(run))} --json"
    result = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command} | head -c 1"],
        capture_output=True, check=False, env=os.environ,
    )  # fmt: skip
    assert result.stderr == b""


def test_a_text_from_standard_input_is_kept_and_found_again(rondeau, rhymes, tmp_path, monkeypatch):
    class Stdin:
        buffer = io.BytesIO(rhymes.read_text(encoding="utf-8").encode("utf-16"))

    monkeypatch.setattr("sys.stdin", Stdin)
    arguments = ["--documents", "blank-line", "--encoding", "utf-16", "--out", tmp_path / "run"]
    assert rondeau("train", "-", *arguments, *SMALL, "--quiet")[0] == 0
    (tmp_path / "run").rename(tmp_path / "moved")
    code, stdout, _ = rondeau("evaluate", tmp_path / "moved", "--json")
    assert code == 0
    assert len(json.loads(stdout)["splits"]) == 3


def test_another_backend_writes_the_same_text(rondeau, run):
    texts = {
        rondeau("generate", run, "--seed", 3, "--backend", backend)[1]
        for backend in ("auto", "reference", "library")
    }
    assert len(texts) == 1
