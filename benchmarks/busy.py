"""Training on two threads while something else runs, ours beside torch.nn.

    python benchmarks/busy.py [--rounds 10] [--json busy.json]

Quiet rounds alternate with rounds beside a process that keeps one core busy, and beside another
training on two threads. What counts is the share of its quiet speed that each keeps.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
from pathlib import Path

from contest import Contest, spread

NAMES = ("auto", "embedding", "concise")
STEPS = 3
STEP = str(Path(__file__).with_name("step.py"))
ARGUMENTS = [STEP, "--threads", "2", "--kinds", "gru", "--work"]


def start_burner() -> subprocess.Popen[str]:
    """A process that keeps one core busy."""
    core = min(os.sched_getaffinity(0))
    program = f"import os; os.sched_setaffinity(0, [{core}])\nwhile True: pass"
    return subprocess.Popen([sys.executable, "-c", program], text=True)


def start_training() -> subprocess.Popen[str]:
    """Another training on two threads."""
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        [sys.executable, *ARGUMENTS, "auto"], stdin=pipe, stdout=pipe, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdout.readline()
    print(10**9, file=process.stdin, flush=True)
    return process


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    contest = Contest({name: [*ARGUMENTS, name] for name in NAMES}, ours=("auto",))
    others = {"a busy core": start_burner(), "a training": start_training()}
    for process in others.values():
        process.send_signal(signal.SIGSTOP)
    states = ("quiet", *others)
    seconds = {(name, state): list[float]() for name in NAMES for state in states}
    try:
        for _ in range(options.rounds):
            for state in states:
                if state in others:
                    others[state].send_signal(signal.SIGCONT)
                for name in NAMES:
                    seconds[name, state].append(contest.round(name, STEPS))
                if state in others:
                    others[state].send_signal(signal.SIGSTOP)
    finally:
        for process in others.values():
            process.kill()
    contest.end()
    print("GRU step, H=256, V=1027, B=32, T=35, 2 threads")
    for name in NAMES:
        quiet = statistics.median(seconds[name, "quiet"])
        for state in states:
            share = quiet / statistics.median(seconds[name, state])
            print(f"  {name:10} {state:12} {spread(seconds[name, state], 1e-3, 'ms')}  {share:.0%}")
    if options.json:
        records = [{"name": n, "state": s, "seconds": seconds[n, s]} for n, s in seconds]
        options.json.write_text(json.dumps(records, indent=1) + "\n")


if __name__ == "__main__":
    main()
