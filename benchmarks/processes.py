"""One training in two processes beside two independent trainings, and what a step is made of.

    python benchmarks/processes.py [--hidden 128 256 512] [--vocabulary 100 6000]
        [--embedding 0 256] [--rounds 6] [--json processes.json]

Each process has one thread and 32 streams of 64 steps; trainings are what `rondeau.train` returns
(a GRU of one layer), on a text by Zipf's law, together by torchrun. Interleaved, ten steps a round:
one alone, two apart at the same time, two together on a batch of twice the size, and these without
their reduction. Before that parts of a step and reductions are measured on their own, at other
sizes, in one process and in two at once, and what any step takes besides, by a training of very few
numbers: from these alone `cost.py` predicts the rest.
"""

from __future__ import annotations

import argparse
import atexit
import json
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.distributed as dist
from contest import spread
from cost import Machine, Shape, operations, sent
from torch import Tensor, nn

import rondeau
from rondeau.network.backends import unroll
from rondeau.network.cells import GRUCell
from rondeau.network.loss import linear_cross_entropy
from rondeau.training.events import Event
from rondeau.training.group import Group
from rondeau.training.optimisation import clip_gradient, make_optimizer

STEPS = 10
"""Between two events of a training, so of a round."""
CHARACTERS = 400_000
PARTS = {"cell": (96, 640), "output": ((96, 1000), (640, 1000)), "parameters": 3_000_000}
LEAST = 16
"""The hidden size of a training whose steps take next to nothing but what any step takes."""
REDUCED = (1, 1 << 18, 1 << 20, 1 << 22)
"""Numbers that are added up to measure a link."""
REPEATS = 5
PATIENCE = 120
"""Seconds that workers have to be ready."""
TOGETHER = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]


class Found(NamedTuple):
    """What a shape's rounds have come to: seconds a step, and the rows that a step exchanges."""

    shape: Shape
    seconds: dict[str, list[float]]
    rows: float
    exchange: float


# In a worker's process


class Job:
    """A training that goes on by ten steps when it is told to."""

    def __init__(self, shape: dict[str, Any], text: str, out: str, ranks: int) -> None:
        wanted = Shape(**shape)
        config = rondeau.TrainConfig(
            hidden=wanted.hidden, embedding=wanted.embedding, layers=1, dropout=0.0,
            batch=wanted.batch * ranks, seq_len=wanted.seq_len, split="none", threads=1,
            steps=10**6, eval_every=10**6, checkpoint_minutes=10**4,
        )  # fmt: skip
        self.rows: list[int] = []
        self.exchanged: list[float] = []
        self._watch()
        self.training = rondeau.train(
            text, config, out=f"{out}-{os.getpid()}" if ranks == 1 else out
        )
        self.events: Iterator[Event] = iter(self.training)
        self.facts = {"vocabulary": len(self.training.tokenizer)}
        next(self.events)  # after the first step
        next(self.events)  # after the tenth

    def _watch(self) -> None:
        """Note how many rows are exchanged, and how long that takes."""
        add_rows = Group.add_rows

        def watched(group: Group, gradient: Tensor, rows: Sequence[Tensor]) -> None:
            start = time.perf_counter()
            add_rows(group, gradient, rows)
            self.exchanged.append(time.perf_counter() - start)
            self.rows.append(len(rows[group.rank]))

        Group.add_rows = watched  # type: ignore[method-assign]

    def steps(self) -> dict[str, float]:
        """Ten steps -> seconds a step, rows a step, and seconds a step of their exchange."""
        self.rows, self.exchanged = [], []
        start = time.perf_counter()
        next(self.events)
        seconds = (time.perf_counter() - start) / STEPS
        exchange = sum(self.exchanged) / STEPS
        return {"seconds": seconds, "rows": statistics.mean(self.rows or [0]), "exchange": exchange}

    def silent(self) -> dict[str, float]:
        """The same without any gradient sent: what is left is compute."""
        parallel: Any = self.training.learner.loss
        watched, Group.add_rows = Group.add_rows, lambda *_: None  # type: ignore[method-assign]
        parallel.require_backward_grad_sync = False
        try:
            return self.steps()
        finally:
            Group.add_rows = watched  # type: ignore[method-assign]
            parallel.require_backward_grad_sync = True


class Parts:
    """The parts of a step on their own, and reductions, in all processes of a group at once."""

    def __init__(self, shape: dict[str, Any], text: str, out: str, ranks: int) -> None:
        self.shape, self.ranks, self.facts = Shape(**shape), ranks, dict[str, int]()
        torch.set_num_threads(1)
        if ranks > 1:
            dist.init_process_group("gloo")
            atexit.register(dist.destroy_process_group)

    def _time(self, work: Callable[[], object]) -> float:
        """The median seconds of some rounds, which all begin at once."""
        work()
        found = []
        for _ in range(REPEATS):
            if self.ranks > 1:
                dist.barrier()
            start = time.perf_counter()
            work()
            found.append(time.perf_counter() - start)
        return statistics.median(found)

    def steps(self) -> dict[str, Any]:
        """Seconds of each part."""
        return {
            "cell": [self._time(self._cell(hidden)) for hidden in PARTS["cell"]],
            "output": [self._time(self._output(*sizes)) for sizes in PARTS["output"]],
            "parameters": self._time(self._update(PARTS["parameters"])),
            "reduced": [self._time(self._reduce(numbers)) for numbers in REDUCED]
            if self.ranks > 1
            else [],
        }

    def _cell(self, hidden: int) -> Callable[[], object]:
        cell = GRUCell(self.shape.vocabulary, hidden)
        ids = torch.randint(self.shape.vocabulary, (self.shape.seq_len, self.shape.batch))
        carry = cell.initial_carry(self.shape.batch)
        return lambda: unroll(cell, ids, carry)[0].mean().backward()

    def _output(self, hidden: int, vocabulary: int) -> Callable[[], object]:
        layer = nn.Linear(hidden, vocabulary)
        features = torch.randn(self.shape.tokens, hidden, requires_grad=True)
        targets = torch.randint(vocabulary, (self.shape.tokens,))
        return lambda: linear_cross_entropy(features, layer.weight, layer.bias, targets).backward()

    def _update(self, parameters: int) -> Callable[[], object]:
        model = nn.Linear(1000, parameters // 1000, bias=False)
        optimizer = make_optimizer(model, rondeau.TrainConfig())

        def update() -> None:
            model.weight.grad = torch.zeros_like(model.weight)
            clip_gradient(model, 1.0)
            optimizer.step()

        return update

    def _reduce(self, numbers: int) -> Callable[[], object]:
        tensor = torch.zeros(numbers)
        return lambda: dist.all_reduce(tensor)


def work(told: dict[str, Any]) -> None:
    """A worker's process: do what comes, say what it took, until nothing more comes."""
    address = "127.0.0.1", told.pop("port")
    with Client(address, authkey=bytes.fromhex(told.pop("key"))) as coordinator:
        job = {"Job": Job, "Parts": Parts}[told.pop("kind")](**told)
        coordinator.send(job.facts)
        for command in iter(coordinator.recv, ""):
            coordinator.send(getattr(job, command)())


# In the coordinator's


class Team:
    """Workers that begin each round at once: together in one training, or each for itself."""

    def __init__(self, kind: str, shape: Shape, text: Path, *, ranks: int, copies: int = 1) -> None:
        """Start `copies` trainings of so many processes each, and wait until all are ready."""
        key = secrets.token_bytes(16)
        with Listener(("127.0.0.1", 0), authkey=key) as listener:
            listener._listener._socket.settimeout(PATIENCE)  # type: ignore[attr-defined]
            told = {
                "kind": kind, "shape": asdict(shape), "text": str(text), "ranks": ranks,
                "out": str(text.with_name(f"run-{key.hex()}")),
                "port": listener.address[1], "key": key.hex(),
            }  # fmt: skip
            launcher = [*TOGETHER, str(ranks)] if ranks > 1 else []
            command = [sys.executable, *launcher, __file__, "--work", json.dumps(told)]
            self.processes = [subprocess.Popen(command) for _ in range(copies)]
            self.workers: list[Connection[Any, Any]] = [
                listener.accept() for _ in range(copies * ranks)
            ]
        self.facts = [worker.recv() for worker in self.workers]

    def __call__(self, command: str = "steps") -> list[Any]:
        """What each worker says of a round."""
        for worker in self.workers:
            worker.send(command)
        return [worker.recv() for worker in self.workers]

    def end(self) -> None:
        """Let all go."""
        for worker in self.workers:
            worker.send("")
        for process in self.processes:
            process.wait()


def write_text(folder: Path, vocabulary: int) -> Path:
    """A text of so many different characters, drawn by Zipf's law, none of them only once."""
    generator = np.random.default_rng(0)
    chances = 1 / np.arange(1, vocabulary + 1)
    ids = generator.choice(vocabulary, CHARACTERS, p=chances / chances.sum())
    ids = np.concatenate([ids, np.repeat(np.arange(vocabulary), 2)])
    path = folder / f"zipf-{vocabulary}.txt"
    path.write_text("".join(chr(0x4E00 + i) for i in ids), encoding="utf-8")
    return path


def calibrate(shape: Shape, text: Path, ranks: int) -> Machine:
    """What this machine can do with so many processes at work, from parts of a step."""
    team = Team("Parts", shape, text, ranks=ranks)
    rounds = [told for _ in range(3) for told in team()]
    team.end()

    def median(name: str) -> Any:
        return np.median([told[name] for told in rounds], axis=0)

    def two(seconds: Any, amounts: list[tuple[float, float]]) -> list[float]:
        """Seconds of each of two kinds of work, from two mixtures of them."""
        solved = np.linalg.solve(np.array(amounts), seconds)
        if solved.min() >= 0:
            return [float(value) for value in solved]
        return [float(seconds[1] / amounts[1][0]), 0.0]

    cells = [Shape(h, shape.vocabulary) for h in PARTS["cell"]]
    outputs = [Shape(*sizes) for sizes in PARTS["output"]]
    cell_flop, gate = two(median("cell"), [(s.cell_flops, s.gates) for s in cells])
    output_flop, logit = two(median("output"), [(s.output_flops, s.logits) for s in outputs])
    parameter = float(median("parameters")) / PARTS["parameters"]
    operation = byte = 0.0
    if ranks > 1:
        reduced = median("reduced")
        operation = float(reduced[0])
        sizes = np.array(REDUCED[1:]) * 4.0 * 2 * (ranks - 1) / ranks
        byte = float(np.median((reduced[1:] - operation) / sizes))
    machine = Machine(cell_flop, gate, output_flop, logit, parameter, operation, byte)
    least = Shape(LEAST, shape.vocabulary)
    team = Team("Job", least, text, ranks=ranks)
    seconds = [told["seconds"] for _ in range(5) for told in team()]
    team.end()
    return replace(machine, step=max(0.0, np.median(seconds) - machine.seconds(least, ranks)))


def measure(shape: Shape, text: Path, rounds: int) -> Found:
    """Seconds a step of one alone, two apart, two together, and these in silence."""
    alone = Team("Job", shape, text, ranks=1)
    apart = Team("Job", shape, text, ranks=1, copies=2)
    together = Team("Job", shape, text, ranks=2)
    kinds = {"alone": alone, "apart": apart, "together": together}
    vocabularies = {fact["vocabulary"] for team in kinds.values() for fact in team.facts}
    assert vocabularies == {shape.vocabulary}, vocabularies
    seconds: dict[str, list[float]] = {name: [] for name in (*kinds, "silent")}
    rows, exchange = [], []
    for at in range(rounds + 1):
        for name in seconds:
            told = together("silent") if name == "silent" else kinds[name]()
            if at:  # the first round isn't counted
                # Tokens a second are summed: the mean is harmonic.
                seconds[name].append(statistics.harmonic_mean([t["seconds"] for t in told]))
            if at and name == "together":
                rows.append(statistics.mean(t["rows"] for t in told))
                exchange.append(statistics.mean(t["exchange"] for t in told))
    for team in kinds.values():
        team.end()
    return Found(shape, seconds, statistics.mean(rows), statistics.median(exchange))


def show(found: Found, machines: dict[int, Machine]) -> dict[str, Any]:
    """Print a shape's figures; the same as a record."""
    shape, seconds = found.shape, found.seconds
    median = {name: statistics.median(s) for name, s in seconds.items()}
    shares = [a / t for a, t in zip(seconds["apart"], seconds["together"], strict=True)]
    dense, table = sent(shape, 2)
    read = f"E={shape.embedding}" if shape.embedding else "one-hot"
    print(f"\nH={shape.hidden}, V={shape.vocabulary}, {read}, 32 streams × 64 a process")
    predicted = {"alone": machines[1].seconds(shape, 1), "together": machines[2].seconds(shape, 2)}
    for name, s in seconds.items():
        said = predicted.get(name)
        error = (
            "" if said is None else f"  predicted {said * 1e3:.1f} ({said / median[name] - 1:+.0%})"
        )
        print(f"  {name:9} {spread(s, 1e-3, 'ms')}{error}")
    low, middle, high = statistics.quantiles(shares, n=4)
    print(
        f"  together / apart: {middle:.2f} ({low:.2f}–{high:.2f}) of the tokens/s\n"
        f"  reduction: {(median['together'] - median['silent']) * 1e3:.1f} ms a step, of which "
        f"{found.exchange * 1e3:.1f} rows; sent {dense / 1e6:.2f} MB dense, {table / 1e6:.2f} MB "
        f"of the input table ({found.rows:.0f} rows), in {operations(shape)} operations",
        flush=True,
    )
    return {
        "shape": asdict(shape), "seconds": seconds, "predicted": predicted, "share": middle,
        "rows": found.rows, "exchange": found.exchange, "dense": dense, "table": table,
    }  # fmt: skip


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hidden", type=int, nargs="+", default=[128, 256, 512])
    parser.add_argument("--vocabulary", type=int, nargs="+", default=[100, 6000])
    parser.add_argument("--embedding", type=int, nargs="+", default=[0, 256], help="0: one-hot")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--work", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(json.loads(options.work))
        return
    os.environ |= {"GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as name:
        # Three special tokens stand beside the characters.
        texts = {V: write_text(Path(name), V - 3) for V in options.vocabulary}
        some = Shape(256, min(texts)), texts[min(texts)]
        machines = {ranks: calibrate(*some, ranks) for ranks in (1, 2)}
        for ranks, machine in machines.items():
            said = (
                f"{ranks} at work, each: {1e-9 / machine.cell_flop:.0f} GFLOP/s in the cell, "
                f"{1e-9 / machine.output_flop:.0f} in the output layer, "
                f"{machine.gate * 1e9:.2f} ns a gate, {machine.logit * 1e9:.2f} a logit, "
                f"{machine.parameter * 1e9:.2f} a parameter, {machine.step * 1e3:.1f} ms a step"
            )
            if ranks > 1:
                said += f"; {1e-9 / machine.byte:.2f} GB/s, {machine.operation * 1e6:.0f} µs a sum"
            print(said, flush=True)
        found: dict[str, Any] = {"machines": {n: asdict(m) for n, m in machines.items()}}
        found["shapes"] = []
        for V, text in texts.items():
            for embedding in options.embedding:
                for H in options.hidden:
                    shape = Shape(H, V, embedding or None)
                    found["shapes"].append(show(measure(shape, text, options.rounds), machines))
                    if options.json:  # what there is so far
                        options.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
