"""Ours beside torch.nn (cuDNN) on an NVIDIA GPU, with and without CUDA graphs, interleaved.

    python benchmarks/gpu.py unroll [--cells gru] [--precisions bfloat16 tf32] [--json F]
    python benchmarks/gpu.py step [--hidden 256] [--vocabulary 1027] [--json F]
    python benchmarks/gpu.py learn TEXT --hidden 384 --steps 2600 [--target 1.4697]

unroll: forward and backward of a layer, its input projected too; every contestant must come as near
to the loop in float64 as twice torch.nn's own error, or it isn't timed. step: a whole training
step, ours on the same weights and ids, whose losses are compared first, and what people would write
(nn.Embedding and torch.nn, at one window again and again). learn: seconds of training until the
loss on the last tenth of a text (nanoGPT's split of tinyshakespeare) is below a target: looks are
at 20,000 characters of it, all of it is read once at the end.

`--device cpu` runs the same without graphs, to try the script. Rounds are timed by the GPU's own
clock; given are medians, and ratios to torch.nn without graphs.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import rondeau
from rondeau.config import ModelConfig, Precision, TrainConfig
from rondeau.network.backends import library, triton, unroll
from rondeau.network.capture import capture_on_gpu
from rondeau.network.cells import Cell, detach
from rondeau.network.model import Model
from rondeau.network.precision import HALVES, lowered, set_precision
from rondeau.network.stack import make_cell
from rondeau.text.batches import Windows
from rondeau.training.captured import CapturedStep
from rondeau.training.group import ALONE
from rondeau.training.learning import Learner
from rondeau.training.optimisation import clip_gradient, make_optimizer

Work = Callable[[], Any]
KINDS = {
    "gru": ModelConfig(cell="gru"),
    "gru-before": ModelConfig(cell="gru", reset="before"),
    "lstm": ModelConfig(cell="lstm"),
}
WARM = 3
PEAK = "torch.nn"


def graphed(work: Work) -> Work:
    """The same as a graph."""
    for _ in range(WARM):
        work()
    return capture_on_gpu(work)


def seconds(work: Work, repeats: int, device: torch.device) -> float:
    """Seconds that one of some repeats takes."""
    if device.type != "cuda":
        start = time.perf_counter()
        for _ in range(repeats):
            work()
        return (time.perf_counter() - start) / repeats
    first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    first.record()
    for _ in range(repeats):
        work()
    last.record()
    last.synchronize()
    return first.elapsed_time(last) / 1e3 / repeats


def timed(contestants: dict[str, Work], rounds: int, device: torch.device) -> dict[str, Any]:
    """Medians, quartiles and ratios, the contestants taking turns."""
    repeats = {}
    for name, work in contestants.items():
        for _ in range(WARM):
            work()
        repeats[name] = max(1, min(50, int(0.02 / seconds(work, 1, device))))
    told: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, work in contestants.items():
            told[name].append(seconds(work, repeats[name], device))
    quartiles = {name: statistics.quantiles(values, n=4) for name, values in told.items()}
    base = quartiles.get(PEAK)
    return {
        name: {
            "milliseconds": [1e3 * value for value in found],
            "times as fast as torch.nn": base[1] / found[1] if base else None,
        }
        for name, found in quartiles.items()
    }


def layer(
    cell: Cell, inputs: Tensor, backend: str, precision: Precision
) -> Callable[[], list[Tensor]]:
    """Forward and backward of our layer: outputs and gradients."""

    def work() -> list[Tensor]:
        cell.zero_grad()
        inputs.grad = None
        with lowered(precision, inputs.device):
            carry = cell.initial_carry(inputs.shape[1])
            outputs, _ = unroll(cell, inputs, carry, backend=backend)  # type: ignore[arg-type]
        outputs.sum().backward()
        return [outputs, inputs.grad, *(p.grad for p in cell.parameters())]

    return work


def torch_layer(cell: Cell, inputs: Tensor, precision: Precision) -> Callable[[], list[Tensor]]:
    """The same of torch.nn, all in the precision's own numbers."""
    kind = HALVES.get(precision, inputs.dtype)
    module = library.to_torch([[cell]]).to(kind)
    module.flatten_parameters()
    own = inputs.detach().to(kind).requires_grad_()

    def work() -> list[Tensor]:
        module.zero_grad()
        own.grad = None
        outputs, _ = module(own)
        outputs.sum().backward()
        weights = [p.grad.t() if p.ndim == 2 else p.grad for p in module.parameters()]
        return [outputs, own.grad, *weights]

    return work


def error(results: list[Tensor], truth: list[Tensor]) -> float:
    """The largest max|a − b| / max|b|."""
    return max(
        float((a.detach().cpu().double() - b).abs().max() / b.abs().max())
        for a, b in zip(results, truth, strict=True)
    )


def contest_of_layers(
    kind: str, precision: Precision, shape: tuple[int, int, int], options: argparse.Namespace
) -> dict[str, Any]:
    """One layer (T, B, H) in one precision."""
    T, B, H = shape
    device = options.device
    torch.manual_seed(0)
    truth = make_cell(ModelConfig(**KINDS[kind].as_dict() | {"hidden": H}), H).to(device).double()
    inputs = torch.randn(T, B, H, device=device, dtype=torch.double, requires_grad=True)
    expected = [
        part.detach().cpu().double() for part in layer(truth, inputs, "reference", "float32")()
    ]
    cell = make_cell(ModelConfig(**KINDS[kind].as_dict() | {"hidden": H}), H).to(device)
    cell.load_state_dict(truth.state_dict())
    own = inputs.detach().float().requires_grad_()
    set_precision(precision, device)
    contestants: dict[str, Work] = {}
    if library.serves(cell):
        contestants[PEAK] = torch_layer(cell, own, precision)
    base = error(layer(cell, own, "reference", precision)(), expected)
    names = [name for name in options.backends if name != "library" or library.serves(cell)]
    contestants |= {name: layer(cell, own, name, precision) for name in names}
    errors = {name: error(work(), expected) for name, work in contestants.items()}
    allowed = 2 * errors.get(PEAK, max(base, 1e-5))
    right = {name: work for name, work in contestants.items() if errors[name] <= allowed}
    if options.device.type == "cuda":
        right |= {f"{name}, graph": graphed(work) for name, work in right.items()}
    for name in errors.keys() - right.keys():
        print(f"left out, as it errs by more than {allowed:.2g}: {name}", flush=True)
    found = {"cell": kind, "precision": precision, "T": T, "B": B, "H": H, "errors": errors}
    return found | {"results": timed(right, options.rounds, device)}


def run_unroll(options: argparse.Namespace) -> list[dict[str, Any]]:
    """All layers that are asked for."""
    if options.tiles:
        triton.LARGEST = tuple(options.tiles)
    shapes = list(product(options.steps, options.batches, options.hidden))
    found = []
    for kind, precision, shape in product(options.cells, options.precisions, shapes):
        found.append(contest_of_layers(kind, precision, shape, options))
        show(found[-1])
    return found


class Concise(nn.Module):
    """What people would write: nn.Embedding, torch.nn, a linear layer, Adam."""

    def __init__(self, config: TrainConfig, V: int, device: torch.device) -> None:
        super().__init__()
        kind = nn.LSTM if config.cell == "lstm" else nn.GRU
        self.embedding = nn.Embedding(V, config.hidden)
        self.rnn = kind(config.hidden, config.hidden)
        self.output = nn.Linear(config.hidden, V)
        self.to(device)
        self.optimizer = torch.optim.AdamW(self.parameters(), lr=1e-3, fused=True)
        self.carry: Any = None

    def step(self, ids: Tensor, targets: Tensor, precision: Precision) -> Tensor:
        self.zero_grad()
        with lowered(precision, ids.device):
            outputs, carry = self.rnn(self.embedding(ids), self.carry)
            logits = self.output(outputs.flatten(0, 1))
            loss = nn.functional.cross_entropy(logits.float(), targets.flatten())
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters(), 1.0)
        self.optimizer.step()
        self.carry = carry.detach() if isinstance(carry, Tensor) else detach(carry)
        return loss


def our_step(config: TrainConfig, V: int, device: torch.device) -> tuple[Work, Learner]:
    """A whole step of our training, with or without a graph."""
    torch.manual_seed(0)
    model = Model(ModelConfig.of(config), V).to(device).train()
    model.backend, model.precision = config.backend, config.precision
    ring = np.random.default_rng(0).integers(3, V, 10**6)
    windows = Windows(ring, np.zeros(V, bool), config.batch, config.seq_len, seed=0)
    learner = Learner(model, windows, config, group=ALONE, device=device)
    optimizer = make_optimizer(model, config)
    state: dict[str, Any] = {"step": 0, "carry": learner.initial_carry}
    captured = CapturedStep(learner, optimizer, clip=config.clip)

    def work() -> Tensor:
        if config.cuda_graphs:
            loss, _, state["carry"] = captured(state["step"], config.peak_lr, state["carry"])
        else:
            loss, carry, _ = learner.gradient(state["step"], state["carry"])
            clip_gradient(model, config.clip)
            optimizer.step()
            state["carry"] = detach(carry)
        state["step"] += 1
        return loss

    return work, learner


def run_step(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Whole steps at B=32, T=35."""
    device, V, found = options.device, options.vocabulary, []
    sizes = {"batch": 32, "seq_len": 35, "layers": 1, "bidirectional": False, "dropout": 0.0}
    for precision in options.precisions:
        set_precision(precision, device)
        config = TrainConfig(**sizes, hidden=options.hidden[0], precision=precision, lr=1e-3)
        contestants: dict[str, Work] = {}
        losses: dict[str, list[float]] = {}
        for backend, graphs in product(options.backends, (False, True)):
            if graphs and device.type != "cuda":
                continue
            settings = config.as_dict() | {"backend": backend, "cuda_graphs": graphs}
            work, learner = our_step(TrainConfig(**settings), V, device)
            losses[f"{backend}{', graph' * graphs}"] = [float(work()) for _ in range(6)]
            contestants[f"{backend}{', graph' * graphs}"] = work
        first = next(iter(losses.values()))
        for name, told in losses.items():
            assert np.allclose(told, first, rtol=0.02), f"{name}: other losses: {told}, {first}"
        plain = Concise(config, V, device)
        ids, targets, *_ = learner.window(0)
        contestants[PEAK] = partial(plain.step, ids, targets, precision)
        results = timed(contestants, options.rounds, device)
        found.append({"precision": precision, "losses": losses, "results": results})
        show(found[-1])
    return found


def run_learn(options: argparse.Namespace) -> list[dict[str, Any]]:
    """One training, until it is as good as is asked for."""
    config = TrainConfig(
        cell="gru",
        hidden=options.hidden[0],
        layers=2,
        dropout=0.2,
        batch=64,
        seq_len=64,
        lr=4e-3,
        steps=options.steps[0],
        split="tail",
        device=options.device.type,
        cuda_graphs=options.device.type == "cuda",
        backend=options.backends[0],
        precision=options.precisions[0],
        eval_every=options.every,
    )
    found: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        for event in rondeau.train(options.text, config, out=Path(folder) / "run"):
            if event.held_out:
                told = {"step": event.step, "seconds": event.seconds, "loss": event.held_out.loss}
                found.append(told | {"with looks": time.perf_counter() - start})
                show(found[-1])
                if event.held_out.loss <= options.target:
                    break
        (whole,) = rondeau.load(Path(folder) / "run").evaluate(splits=["validation"])
        found[-1]["loss on the whole split"] = whole.nats
        show(found[-1])
    return found


def show(found: dict[str, Any]) -> None:
    """One contest, in lines that can be read."""
    results = found.pop("results", {})
    print(json.dumps(found), flush=True)
    for name, told in results.items():
        low, middle, high = told["milliseconds"]
        ratio = told["times as fast as torch.nn"]
        beside = f"  {ratio:6.2f} × torch.nn" if ratio else ""
        print(f"  {name:22} {middle:9.3f} ms ({low:.3f}-{high:.3f}){beside}", flush=True)
    found["results"] = results


def arguments() -> argparse.ArgumentParser:
    """What can be asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["unroll", "step", "learn"])
    parser.add_argument("text", nargs="?")
    parser.add_argument("--device", type=torch.device, default="cuda")
    parser.add_argument("--cells", nargs="+", choices=KINDS, default=["gru"])
    parser.add_argument("--precisions", nargs="+", default=["bfloat16", "tf32"])
    parser.add_argument("--backends", nargs="+", default=["library", "triton"])
    parser.add_argument("--batches", nargs="+", type=int, default=[16, 32, 64])
    parser.add_argument("--hidden", nargs="+", type=int, default=[256, 512, 1024])
    parser.add_argument("--steps", nargs="+", type=int, default=[128, 1024])
    parser.add_argument("--tiles", nargs=3, type=int, help="of triton: B, H, K", metavar="SIDE")
    parser.add_argument("--vocabulary", type=int, default=1027)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--target", type=float, default=1.4697)
    parser.add_argument("--every", type=int, default=200)
    parser.add_argument("--json", type=Path)
    return parser


def main() -> None:
    """Run what is asked for."""
    options = arguments().parse_args()
    found = {"unroll": run_unroll, "step": run_step, "learn": run_learn}[options.what](options)
    if options.json:
        name = torch.cuda.get_device_name() if options.device.type == "cuda" else "CPU"
        options.json.write_text(json.dumps({"device": name, "found": found}, indent=1))


if __name__ == "__main__":
    main()
