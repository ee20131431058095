"""What a corpus costs by its size: preparing it, and a token of training read from it.

A text is repeated to several sizes. For each: bytes a second of tokenizing (text in memory to ids)
and of the whole of `prepare`, its largest memory, and the time to read a training window from
memory and from the disk. Each size runs in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rondeau.config import TextConfig
from rondeau.text.batches import Windows
from rondeau.text.loading import load_corpus, read_songs
from rondeau.text.preparing import prepare

WINDOWS = 2000
LARGEST_IN_MEMORY = 300
"""Megabytes up to which the corpus is read into memory too."""


def work(source: Path | None, documents: str, megabytes: int) -> dict[str, float]:
    """Figures of one size."""
    text = source.read_text("utf-8") if source else "\n\n".join(read_songs(TextConfig()))
    config = TextConfig(documents=documents)  # type: ignore[arg-type]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / "corpus.txt"
        size = len(text.encode())
        with path.open("w", encoding="utf-8") as file:
            for _ in range(max(1, round(megabytes * 1e6 / size))):
                file.write(text + "\n\n")
        bytes_ = path.stat().st_size
        held = [own_memory()]
        start = time.perf_counter()
        corpus = prepare(
            [path], config, out=folder / "ready", report=lambda *_: held.append(own_memory())
        )
        figures = {"MB": bytes_ / 1e6, "prepare MB/s": bytes_ / 1e6 / (time.perf_counter() - start)}
        figures["prepare memory MB"] = max(held) - held[0]
        tokenizer = corpus.tokenizer
        start = time.perf_counter()
        while time.perf_counter() - start < 1:
            begin = time.perf_counter()
            tokenizer.encode(text)
            figures["tokenize MB/s"] = size / 1e6 / (time.perf_counter() - begin)
        figures["window from disk µs"] = window_microseconds(corpus)
        if megabytes <= LARGEST_IN_MEMORY:
            figures["window from memory µs"] = window_microseconds(load_corpus([path], config))
    return figures


def window_microseconds(corpus) -> float:
    """Median time of a window of 32 streams and 64 steps, over the whole corpus."""
    ring, once = corpus.train.ring, corpus.tokenizer.seen_once
    windows = Windows(ring, once, batch=32, seq_len=64, seed=0)
    stride = max(1, int(windows.steps_per_epoch) // WINDOWS)
    seconds = []
    for step in range(0, WINDOWS * stride, stride):
        start = time.perf_counter()
        windows.at(step)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds) * 1e6


def own_memory() -> float:
    """Megabytes that are this process's own: pages of mapped files, which can go, left out."""
    status = Path("/proc/self/status").read_text()
    return float(status.split("RssAnon:")[1].split()[0]) / 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--text", type=Path, help="a text to repeat (default: the songs)")
    parser.add_argument("--documents", default="blank-line")
    parser.add_argument("--megabytes", type=int, nargs="+", default=[10, 100, 1000])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--work", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        print(json.dumps(work(options.text, options.documents, options.work)))
        return
    records = []
    for megabytes in options.megabytes:
        command = [sys.executable, __file__, *(["--text", options.text] if options.text else [])]
        command += ["--documents", options.documents, "--work", str(megabytes)]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        records.append(json.loads(output))
        print("  ".join(f"{name} {value:,.1f}" for name, value in records[-1].items()), flush=True)
    if options.json:
        options.json.write_text(json.dumps(records, indent=1) + "\n")


if __name__ == "__main__":
    main()
