"""Coverage-guided fuzzing of what reads other people's files (`pip install rondeau[faults]`).

    python tests/faults/fuzz.py [TARGET …] [--seconds 120] [--runs N] [--seed 0]

Each target runs in a process of its own under atheris (libFuzzer): bytes go in, and either what was
read or an error of Rondeau's that names the file comes out. Anything else is a finding, told once
for each line of ours that it came through, and the run goes on. Exit code 1 where there is any.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import io
import re
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import atheris

READ_BY = ("zipfile", "gzip", "json", "json.decoder", "json.scanner", "tomllib")
for module in READ_BY:  # imported already: once more, to be followed
    sys.modules.pop(module, None)
with atheris.instrument_imports(include=["rondeau", *READ_BY]):
    import gzip
    import json
    import tomllib
    import zipfile

    from rondeau.config import TextConfig, TrainConfig
    from rondeau.errors import CorpusError, OptionError, RunError, UserError
    from rondeau.formats import check_version, misfit, read_object
    from rondeau.text.reading import read_documents
    from rondeau.text.repairs import Repairs
    from rondeau.text.tokenizer import CharTokenizer

TEXT = "春天来了\r\n鸟飞回来\n\ne\u0301te\u0301 \U0001f468\u200d\U0001f469\u200d\U0001f467\n"
NAMED = re.compile("input|encoding")


def read_text(data: bytes, folder: Path) -> None:
    """Plain text, packed or not, as the first byte says; the rest is the file's."""
    if not data:
        return
    kind, data = data[0], data[1:]
    suffix = (".txt", ".txt.gz", ".zip", ".jsonl", ".txt.gz", ".zip")[kind % 6]
    if kind % 6 == 4:  # honestly packed
        data = gzip.compress(data, 1)
    elif kind % 6 == 5:
        data = zipped({"a.txt": data})
    path = folder / f"input{suffix}"
    path.write_bytes(data)
    config = TextConfig(
        documents=(None, "file", "line", "blank-line")[kind // 6 % 4],
        newlines=("keep", "space")[kind // 24 % 2],
        encoding=(None, None, "utf-8", "gb18030", "utf-16")[kind // 48 % 5],
    )
    documents = read_documents([path], config, Repairs())
    assert documents
    for document in documents:
        document.encode()
        assert "\0" not in document
        assert "\r" not in document


def read_settings(data: bytes, folder: Path) -> None:
    """A --config file's text, as TOML, to settings."""
    try:
        values = tomllib.loads(data.decode("utf-8"))
    except (ValueError, RecursionError):  # which the command line tells by the file's name
        return
    for kind in (TrainConfig, TextConfig):
        with contextlib.suppress(OptionError):
            kind.from_mapping(values, "input.toml")


def read_tokenizer(data: bytes, folder: Path) -> None:
    """tokenizer.json of a run or a prepared corpus."""
    tokenizer = CharTokenizer.from_json(data, "input.json")
    assert CharTokenizer.from_json(tokenizer.to_json().encode(), "input").codes.tolist() == (
        tokenizer.codes.tolist()
    )


def read_json(data: bytes, folder: Path) -> None:
    """Any other JSON of ours: an object, its version, its shape."""
    values = read_object(data, "input.json", error=RunError)
    check_version(values, 1, "input.json", error=RunError, maker=values.get("rondeau"))
    shape = {"a": int, "b": [{"c": (float, None)}], "d": {str: [str]}}
    if misfit(values, shape) is None:
        assert all(part["c"] is None or part["c"] + 0.0 < float("inf") * 2 for part in values["b"])


def zipped(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data)
    return file.getvalue()


def text_seeds() -> Iterator[bytes]:
    """Every format and encoding, whole and damaged, as `read_text` takes them."""
    texts = [TEXT.encode(e) for e in ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "gb18030")]
    texts += [
        TEXT.encode() * 40 + b"\xff" + TEXT.encode(),
        b"a\0b",
        ("e" + "\u0301\u0316" * 40).encode(),
    ]
    for kind in range(6):
        for data in texts:
            if kind == 1:
                data = gzip.compress(data)
            elif kind == 2:
                data = zipped({"a.txt": data, "../b.txt": data, ".hidden": b"", "c/": b""})
            elif kind == 3:
                record = {"text": data.decode("utf-8", "ignore"), "id": 10**20, "x": [None, 1.5]}
                data = json.dumps(record).encode() + b"\n\n" + b'{"text": "\\ud800"}\r\n'
            yield bytes([kind]) + data


def json_seeds() -> Iterator[bytes]:
    yield b'{"format_version": 1, "a": 3, "b": [{"c": 1e5}, {"c": null}], "d": {"x": ["y"]}}'
    yield b'{"format_version": 2, "rondeau": "9", "a": NaN, "a": 1}'
    yield CharTokenizer("abc春\U00020000").to_json().encode()
    yield CharTokenizer("abc", specials=False).to_json().encode()


def toml_seeds() -> Iterator[bytes]:
    yield b"hidden = 256\nlayers = 2\ndropout = 0.1\ncell = 'gru'\nminutes = 3.0\nseed = 0xff\n"
    yield b"lr = inf\nsplit = [1, {a = nan}]\nlimit = 1979-05-27T07:32:00Z\n[a]\nb.c = 'x'\n"


Target = tuple[Callable[[bytes, Path], None], Callable[[], Iterator[bytes]], type[UserError]]
TARGETS: dict[str, Target] = {
    "text": (read_text, text_seeds, CorpusError),
    "settings": (read_settings, toml_seeds, OptionError),
    "tokenizer": (read_tokenizer, json_seeds, RunError),
    "json": (read_json, json_seeds, RunError),
}


def fuzz(name: str, options: list[str]) -> None:
    """Run one target in this process, which libFuzzer ends; findings go to standard output."""
    function, seeds, expected = TARGETS[name]
    seen = set()
    with tempfile.TemporaryDirectory() as folder:
        inputs = Path(folder) / "inputs"
        inputs.mkdir()
        for number, seed in enumerate(seeds()):
            (inputs / f"seed-{number}").write_bytes(seed)

        def one(data: bytes) -> None:
            try:
                function(data, Path(folder))
            except Exception as error:
                named = isinstance(error, expected) and NAMED.search(str(error))
                if named and "\n" not in str(error):
                    return
                frames = traceback.extract_tb(error.__traceback__)
                ours = [
                    f"{Path(f.filename).name}:{f.lineno}" for f in frames if "rondeau" in f.filename
                ]
                place = type(error).__name__, *ours[-1:]
                if place not in seen:
                    seen.add(place)
                    told = base64.b64encode(data[:2000]).decode()
                    print(
                        f"FINDING {name}: {' '.join(place)}: {str(error)[:200]!r}: {told}",
                        flush=True,
                    )

        atheris.Setup([sys.argv[0], str(inputs), *options], one)
        atheris.Fuzz()


def main() -> int:
    """Run targets one after another and tell their figures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("targets", nargs="*", choices=[[], *TARGETS], default=[])
    parser.add_argument("--seconds", type=int, default=120, help="for each target")
    parser.add_argument("--runs", type=int, default=-1, help="most inputs for each target")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", help=argparse.SUPPRESS)
    settings = parser.parse_args()
    options = [
        f"-max_total_time={settings.seconds}", f"-runs={settings.runs}",
        f"-seed={settings.seed + 1}", "-max_len=4096", "-timeout=20", "-rss_limit_mb=4096",
        "-print_final_stats=1",
    ]  # fmt: skip
    if settings.only:
        fuzz(settings.only, options)
    findings = 0
    for name in settings.targets or TARGETS:
        command = [sys.executable, __file__, *sys.argv[1:], "--only", name]
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, errors="replace"
        )
        found = [line for line in done.stdout.splitlines() if line.startswith("FINDING")]
        if done.returncode:  # a hang, too much memory, or a crash of the interpreter
            found.append(f"FINDING {name}: ended with {done.returncode}: {done.stderr[-1500:]}")
        last = re.findall(r"cov: (\d+) ft: (\d+)", done.stderr)
        edges, features = last[-1] if last else ("0", "0")
        runs = re.search(r"number_of_executed_units: (\d+)", done.stderr)
        print(
            f"{name}: {int(runs[1]) if runs else 0:,} inputs, {int(edges):,} edges and "
            f"{int(features):,} features covered, {len(found)} findings",
            *found, sep="\n", flush=True,
        )  # fmt: skip
        findings += len(found)
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
