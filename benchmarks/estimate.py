"""The memory that a training is said to need beside the most that it has held.

    python benchmarks/estimate.py TEXT [--json estimate.json]

Each training runs in a process of its own, to its end. Kernels should have been compiled before:
compiling holds up to 180 MB more, once.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from rondeau.config import TextConfig, TrainConfig
from rondeau.text.loading import load_corpus
from rondeau.training.defaults import fill_defaults
from rondeau.training.memory import TextSize, needed

SETTINGS: tuple[dict[str, Any], ...] = (
    {},
    {"hidden": 1024, "layers": 1},
    {"hidden": 1024, "layers": 1, "optimizer": "sgd"},
    {"seq_len": 512, "batch": 64},
    {"cell": "lstm", "hidden": 512, "layers": 2},
    {"cell": "rnn", "hidden": 512, "batch": 128, "seq_len": 128},
    {"objective": "cloze", "layers": 1},
    {"backend": "reference", "layers": 1},
    {"backend": "library", "cell": "lstm", "layers": 1},
    {"embedding": 256, "tie_weights": True, "hidden": 512},
)
STEPS = {"steps": 8, "eval_every": 4}


def most_held(text: Path, settings: dict[str, Any]) -> int:
    """Bytes that a training on a text has held at most."""
    with tempfile.TemporaryDirectory() as folder:
        script = (
            "import sys, json, rondeau\n"
            "config = rondeau.TrainConfig(**json.loads(sys.argv[2]))\n"
            "rondeau.train(sys.argv[1], config, out=sys.argv[3]).finish()"
        )
        arguments = [str(text), json.dumps(settings), f"{folder}/run"]
        with subprocess.Popen([sys.executable, "-c", script, *arguments]) as process:
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{settings}: ended with {process.returncode}")
    return usage.ru_maxrss * 1024


def main() -> None:
    """Train with each of the settings, print both sizes and how far they are apart."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("text", type=Path)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    size = TextSize.of(load_corpus([options.text], TextConfig()))
    rows = []
    for settings in SETTINGS:
        config, _ = fill_defaults(TrainConfig(**STEPS | settings), size.train)
        estimate, held = needed(config, size), most_held(options.text, STEPS | settings)
        rows.append({"settings": settings, "estimate": estimate, "held": held})
        print(
            f"{estimate / 2**20:6.0f} MiB said, {held / 2**20:6.0f} held, "
            f"{estimate / held - 1:+.0%}  {settings}",
            flush=True,
        )
    if options.json:
        options.json.write_text(json.dumps(rows) + "\n")


if __name__ == "__main__":
    main()
