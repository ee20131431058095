"""What torchrun starts in tests: `rondeau` as ever, with faults where and when a test wants them.

    torchrun … worker.py '{"kills": [[step, rank], …]}' train …

The n-th of `kills` is for the n-th time that the processes are started, `hang` stops a process for
ever, `terminate` sends one SIGTERM; `jobs` are commands to run one after another. At its end each
process tells of the threads of gloo that still run.
"""

import atexit
import json
import os
import signal
import sys
from pathlib import Path

import torch

from rondeau.cli import main
from rondeau.training import loop
from rondeau.training.learning import Learner
from rondeau.training.loop import Training


def at_steps(faults):
    """Have `gradient` meet its faults first."""
    gradient, rank = Learner.gradient, int(os.environ.get("RANK", "0"))
    start = int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))
    kills = faults.get("kills", [])[start : start + 1]

    def learn(self, step, *arguments):
        if [step, rank] in kills:
            os.kill(os.getpid(), signal.SIGKILL)
        if [step, rank] == faults.get("hang"):
            signal.pause()
        if [step, rank] == faults.get("terminate"):
            os.kill(os.getpid(), signal.SIGTERM)
        return gradient(self, step, *arguments)

    Learner.gradient = learn


def run(arguments, *, double=False):
    """One command -> its exit code. A run is of float32: one in float64 ends before it is read."""
    finish = Training.finish
    torch.set_default_dtype(torch.float64 if double else torch.float32)
    if double:
        Training.finish = lambda training: sys.exit(training.group.leave_together())
    try:
        main(arguments)
    except SystemExit as exit_:
        return exit_.code or 0
    finally:
        Training.finish = finish


def tell_threads():
    """Tell of gloo's threads; registered first it is called last."""
    names = [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]
    if any("gloo" in name for name in names):
        sys.stdout.write(f"threads at the end: {sorted(names)}\n")


if __name__ == "__main__":
    atexit.register(tell_threads)
    faults = json.loads(sys.argv[1])
    at_steps(faults)
    if "jobs" in faults:
        # Nobody looks at what is written at a look and at the end.
        loop.write_report = lambda model: None
        loop.sample_texts = lambda *_, **__: ()
    jobs = faults.get("jobs", [{"arguments": sys.argv[2:]}])
    sys.exit(max([run(**job) for job in jobs]))
