"""What torchrun starts in tests: `rondeau` as ever, with faults where and when a test wants them.

    torchrun … worker.py '{"kills": [[step, rank], …]}' train …

The n-th of `kills` is for the n-th time that the processes are started; `damage` has a file read
badly by one process, `hang` stops one for ever.
"""

import json
import os
import signal
import sys

import torch

from rondeau.cli import main
from rondeau.training.learning import Learner


def at_steps(faults):
    """Have `gradient` meet its faults first."""
    gradient, rank = Learner.gradient, int(os.environ["RANK"])
    start = int(os.environ["TORCHELASTIC_RESTART_COUNT"])
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


if __name__ == "__main__":
    faults = json.loads(sys.argv[1])
    if faults.get("double"):
        torch.set_default_dtype(torch.float64)
    at_steps(faults)
    main(sys.argv[2:])
