"""Several hosts: each a network namespace with an address of its own, joined by a virtual cable."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field

import pytest
from launching import ENVIRONMENT, HERE, Ended, flags, launch, without_noise
from runs import differences, fresh

SETTINGS = {"layers": 2, "dropout": 0.2, "steps": 60, "eval_every": 20, "checkpoint_every": 7}
NETWORK = "10.213.7"
SOON = "keep_alive_interval=1,keep_alive_max_attempt=2"
"""So many seconds without a word from another host and torchrun takes it for lost (else 15)."""
PATIENCE = 300
"""Seconds after which a test takes a host for hung, on a slow machine too."""


@dataclass(frozen=True)
class Host:
    """Host `number` of 1 and 2: its processes see its own addresses alone."""

    number: int
    processes: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def name(self):
        return f"rondeau-{os.getpid()}-{self.number}"

    @property
    def address(self):
        return f"{NETWORK}.{self.number}"

    def start(self, *arguments, restarts=0, **faults):
        """Start this host's torchrun, with one process."""
        first = int(self.number == 1)  # holds the rendezvous
        command = [
            *["ip", "netns", "exec", self.name],
            *[sys.executable, "-m", "torch.distributed.run", "--nnodes=2", "--nproc-per-node=1"],
            *["--rdzv-backend=c10d", f"--rdzv-endpoint={NETWORK}.1:29400", "--rdzv-id=hosts"],
            *[f"--rdzv-conf=is_host={first},{SOON}", f"--local-addr={self.address}"],
            *["--max-restarts", restarts, HERE / "worker.py", json.dumps(faults), *arguments],
        ]
        process = subprocess.Popen(
            list(map(str, command)),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=os.environ | ENVIRONMENT | {"GLOO_SOCKET_IFNAME": "cable"},
        )
        self.processes.append(process)

    def end(self):
        """Wait for the end of what was started last."""
        process = self.processes[-1]
        said, _ = process.communicate(timeout=PATIENCE)
        self.processes.remove(process)
        return Ended(process.returncode, without_noise(said))

    def die(self):
        """Kill all processes at once, as when a host is lost."""
        for process in ip("netns", "pids", self.name).split():
            os.kill(int(process), signal.SIGKILL)
        while self.processes:
            self.processes.pop().communicate()


def ip(*arguments):
    """A command of iproute2 -> what it prints."""
    done = subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)
    return done.stdout


@pytest.fixture
def hosts():
    """Two hosts with a cable between them, where this user may have some."""
    if shutil.which("ip") is None:
        pytest.skip("two hosts are made by ip, of iproute2, which isn't installed")
    with contextlib.ExitStack() as made:
        both = Host(1), Host(2)
        try:
            for host in both:
                ip("netns", "add", host.name)
                made.callback(ip, "netns", "delete", host.name)
                made.callback(host.die)
            ends = ["cable", "netns", both[0].name], ["cable", "netns", both[1].name]
            ip("link", "add", *ends[0], "type", "veth", "peer", *ends[1])
            for host in both:
                ip("-n", host.name, "address", "add", f"{host.address}/24", "dev", "cable")
                for device in ("cable", "lo"):
                    ip("-n", host.name, "link", "set", device, "up")
        except subprocess.CalledProcessError as error:
            pytest.skip(f"hosts of their own aren't permitted here: {error.stderr.strip()}")
        yield both


def training(text, run):
    """The command line of a training."""
    return ["train", text, "--out", run, *flags(**SETTINGS)]


def wait_for_step(run, step):
    """Wait until a training has told of a step."""
    until, told = time.monotonic() + PATIENCE, run / "metrics.jsonl"
    while not (told.exists() and f'"step": {step},' in told.read_text()):
        assert time.monotonic() < until
        time.sleep(0.02)


@pytest.fixture(scope="module")
def undisturbed(rhymes, tmp_path_factory):
    """The same training in two processes on this host."""
    run = fresh(tmp_path_factory.mktemp("one host"))
    ended = launch(2, *training(rhymes, run))
    assert ended.code == 0, ended.said
    return run


def end_well(hosts):
    """Both have come to their end."""
    for ended in [host.end() for host in hosts]:
        assert ended.code == 0, ended.said


def test_a_host_that_is_lost_and_comes_back_leaves_the_bits_of_one_host(
    hosts, undisturbed, rhymes, tmp_path
):
    run = fresh(tmp_path / "hosts")
    first, second = hosts
    first.start(*training(rhymes, run), restarts=3)
    second.start(*training(rhymes, run), restarts=3, hang=[30, 1])
    wait_for_step(run, 30)
    second.die()
    second.start(*training(rhymes, run), restarts=3)
    end_well(hosts)
    assert differences(undisturbed, run) == []


def test_the_host_of_the_rendezvous_is_lost_and_both_are_started_again(
    hosts, undisturbed, rhymes, tmp_path, long
):
    if not long:
        pytest.skip("some ten seconds more: with --long")
    run = fresh(tmp_path / "hosts")
    first, second = hosts
    first.start(*training(rhymes, run), restarts=3, hang=[40, 0])
    second.start(*training(rhymes, run), restarts=3)
    wait_for_step(run, 40)
    first.die()
    assert second.end().code == 1
    for host in hosts:
        host.start(*training(rhymes, run), restarts=3)
    end_well(hosts)
    assert differences(undisturbed, run) == []
