"""Training on a large corpus beside a small one: characters a second, taken in turn.

Both are made by the same seeded generator (characters by Zipf's law, lines, documents between blank
lines), prepared by `rondeau prepare` and read from the disk. Two trainings of the same shape
then go on by turns, so that a busy machine slows both. Prints how fast the large one was prepared,
what its first process held, and the two speeds.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from rondeau import TrainConfig
from rondeau.training.train import train

CHARACTERS = 4000
"""Distinct ones, of three bytes each."""
LINE, DOCUMENT = 40, 1000
BLOCK = 2**22

PREPARE = """
import sys
from pathlib import Path
from rondeau.cli import main
try:
    main(sys.argv[1:])
finally:
    print(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0], file=sys.stderr)
"""


def write_text(path: Path, megabytes: float, seed: int) -> None:
    """A text of so many megabytes."""
    rng = np.random.default_rng(seed)
    edges = np.cumsum(1 / np.arange(1, CHARACTERS + 1))
    edges /= edges[-1]
    left = int(megabytes * 1e6)
    with path.open("wb") as file:
        while left > 0:
            drawn = rng.random(min(BLOCK, left // 3 + 1))
            codes = (0x4E00 + np.searchsorted(edges, drawn)).astype("<u4")
            codes[LINE - 1 :: LINE] = ord("\n")
            codes[DOCUMENT - 1 :: DOCUMENT] = codes[DOCUMENT - 2 :: DOCUMENT] = ord("\n")
            left -= file.write(codes.tobytes().decode("utf-32-le").encode())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=float, nargs=2, default=[20, 2000])
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--turns", type=int, default=40, help="of ten steps each")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--place", type=Path, help="where the corpora lie meanwhile")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    record: dict[str, float] = {}
    with tempfile.TemporaryDirectory(dir=options.place) as name:
        folders = []
        for size in options.megabytes:
            folder = Path(name) / f"{size:g}"
            folder.mkdir()
            write_text(folder / "text.txt", size, seed=round(size))
            start = time.perf_counter()
            ready = folder / "ready"
            command = [sys.executable, "-c", PREPARE, "prepare", "--quiet", folder / "text.txt"]
            command += ["--documents", "blank-line", "--out", ready]
            told = subprocess.run(command, check=True, capture_output=True, text=True).stderr
            record[f"{size:g} MB, prepare held, MB"] = int(told.split()[-1]) / 1e3
            (folder / "text.txt").unlink()
            record[f"{size:g} MB prepared, MB/s"] = size / (time.perf_counter() - start)
            folders.append(folder)
        config = TrainConfig(
            hidden=options.hidden,
            layers=1,
            dropout=0.0,
            steps=10 * (options.turns + 2),
            eval_every=10**9,
            checkpoint_minutes=10**6,
            threads=options.threads,
        )
        speeds: list[list[float]] = [[], []]
        trainings = [train(folder / "ready", config, out=folder / "run") for folder in folders]
        turns = [iter(training) for training in trainings]
        for size, events in zip(options.megabytes, turns, strict=True):
            start = time.perf_counter()
            next(events)  # its first step opens the shards and checks their hashes
            record[f"{size:g} MB, first step after s"] = time.perf_counter() - start
            next(events)
        for turn in range(options.turns):
            for at in (0, 1) if turn % 2 else (1, 0):
                speeds[at].append(next(turns[at]).tokens_per_second)
        for events in turns:
            events.close()
    for size, found in zip(options.megabytes, speeds, strict=True):
        record[f"{size:g} MB, characters/s"] = statistics.median(found)
    ratios = [large / small for small, large in zip(*speeds, strict=True)]
    record["large / small, median of turns"] = statistics.median(ratios)
    for what, figure in record.items():
        print(f"{what:>36}  {figure:,.3f}" if figure < 10 else f"{what:>36}  {figure:,.0f}")
    if options.json:
        options.json.write_text(json.dumps(record | {"cores": os.cpu_count()}, indent=1) + "\n")


if __name__ == "__main__":
    main()
