"""Trainings in several processes, as a user starts them: by torchrun."""

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
sys.path.append(str(HERE.parent / "faults"))  # how two runs are compared
SMALL = {"hidden": 12, "batch": 8, "seq_len": 8, "documents": "blank-line", "threads": 1}
ENVIRONMENT = {"TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1", "GLOO_SOCKET_IFNAME": "lo"}
NOISE = re.compile(r"^\[?[WE]\d{4} ")


@dataclass(frozen=True)
class Ended:
    """How a launch ended: its exit code, and what the processes said, without torchrun's words."""

    code: int
    said: str

    @property
    def errors(self):
        """Our error lines."""
        return re.findall("rondeau: error: (.*)", self.said)


def without_noise(said):
    """What was said, but for torchrun's words."""
    return "".join(line for line in said.splitlines(True) if not NOISE.match(line))


def flags(**settings):
    """Settings as a command line has them."""
    return [f"--{name.replace('_', '-')}={value}" for name, value in (SMALL | settings).items()]


def launch(processes, *arguments, restarts=0, **faults):
    """Run a command in so many processes, 1 without torchrun, and wait for its end."""
    command = [sys.executable]
    if processes > 1:
        command += ["-m", "torch.distributed.run", "--standalone"]
        command += ["--nproc-per-node", processes, "--max-restarts", restarts]
    command += [HERE / "worker.py", json.dumps(faults), *arguments]
    done = subprocess.run(
        list(map(str, command)),
        capture_output=True,
        text=True,
        env=os.environ | ENVIRONMENT,
        check=False,
    )
    return Ended(done.returncode, without_noise(done.stderr) + done.stdout)
