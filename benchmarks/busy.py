"""Training on two threads while another process keeps one core busy, ours beside torch.nn.

    python benchmarks/busy.py [--rounds 10]

Quiet and busy rounds alternate. What counts is the share of its quiet speed that each keeps.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import subprocess
import sys
from pathlib import Path

from contest import Contest, spread

NAMES = ("auto", "embedding", "concise")
STEPS = 3


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=10)
    options = parser.parse_args()
    script = str(Path(__file__).with_name("step.py"))
    arguments = [script, "--threads", "2", "--kinds", "gru", "--work"]
    contest = Contest({name: [*arguments, name] for name in NAMES})
    core = min(os.sched_getaffinity(0))
    burner = subprocess.Popen(
        [sys.executable, "-c", f"import os; os.sched_setaffinity(0, [{core}])\nwhile True: pass"]
    )
    quiet: dict[str, list[float]] = {name: [] for name in NAMES}
    busy: dict[str, list[float]] = {name: [] for name in NAMES}
    try:
        for _ in range(options.rounds):
            for seconds, state in ((quiet, signal.SIGSTOP), (busy, signal.SIGCONT)):
                burner.send_signal(state)
                for name in NAMES:
                    seconds[name].append(contest.round(name, STEPS))
    finally:
        burner.kill()
    contest.end()
    print("GRU step, H=256, V=1027, 2 threads, quiet and with one core kept busy")
    for name in NAMES:
        share = statistics.median(quiet[name]) / statistics.median(busy[name])
        print(
            f"  {name:10} quiet {spread(quiet[name], 1e-3, 'ms')}"
            f"  busy {spread(busy[name], 1e-3, 'ms')}  keeps {share:.0%}"
        )


if __name__ == "__main__":
    main()
