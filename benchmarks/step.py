"""One training step, ours beside what people would use instead, interleaved in one run.

    python benchmarks/step.py [--threads 1 2] [--hidden 256] [--vocabulary 1027] [--rounds 20]

Compared are whole steps (forward, loss, backward, clipping, Adam) at B=32, T=35, on the same token
ids: the notebook's scratch loop, its concise form (one-hot vectors and torch.nn), nn.Embedding and
torch.nn, our `reference`, `library` and `auto`; and the floor: the step's matrix products alone, at
their real shapes, preallocated. Each runs in a process of its own, one at a time, round after
round. Before anything is timed, all are given the same weights and must give the same losses over
three steps (with an embedding, whose weights learn in another way, over the first); if one doesn't,
nothing is reported.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable
from pathlib import Path

import torch
from contest import Contest, compete, spread
from torch import Tensor, nn
from torch.nn import functional as F

from rondeau.config import ModelConfig
from rondeau.network.cells import detach
from rondeau.network.device import set_threads
from rondeau.network.model import Model
from rondeau.training.optimisation import clip_gradient

B, T, CLIP = 32, 35, 1.0
STEPS = 3
OURS = ("auto", "library", "reference")
KINDS = {
    "gru": ModelConfig(cell="gru"),
    "lstm": ModelConfig(cell="lstm"),
    "gru-before": ModelConfig(cell="gru", reset="before"),
}


def factors(V: int, H: int, G: int) -> tuple[Tensor, Tensor]:
    """An embedding (V, H) and input weights (H, G): their product is everyone's input table."""
    generator = torch.Generator().manual_seed(2)
    shapes = ((V, H), 1.0), ((H, G), H**-1.0)
    E, W = (scale * torch.randn(shape, generator=generator) for shape, scale in shapes)
    return E, W


class Ours:
    """Our model on one backend."""

    def __init__(self, config: ModelConfig, V: int, backend: str) -> None:
        torch.manual_seed(0)
        self.model = Model(config, V)
        (cell,) = self.model.stack.cells[0]
        with torch.no_grad():
            cell.weight_x.copy_(torch.mm(*factors(*cell.weight_x.shape[:1], *cell.weight_h.shape)))
        self.model.backend = backend  # type: ignore[assignment]
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=1e-3, fused=True)
        self.carry = self.model.initial_carry(B)

    def step(self, ids: Tensor, targets: Tensor) -> float:
        self.model.zero_grad()
        loss, carry = self.model.loss(ids, targets, self.carry)
        loss.backward()
        clip_gradient(self.model, CLIP)
        self.optimizer.step()
        self.carry = detach(carry)
        return float(loss.detach())


class Concise(nn.Module):
    """The notebook's concise form: one-hot vectors, torch.nn, a linear layer."""

    def __init__(self, like: Model, embedding: bool) -> None:
        super().__init__()
        self.vocabulary = like.vocabulary
        self.embedding = None
        with torch.no_grad():
            self.rnn = like.stack.to_torch()
            if embedding:
                H = like.config.hidden
                E, W = factors(like.vocabulary, H, self.rnn.weight_ih_l0.shape[0])
                self.embedding = nn.Embedding.from_pretrained(E, freeze=False)
                weights = self.rnn.state_dict() | {"weight_ih_l0": W.t()}
                self.rnn = type(self.rnn)(H, H)
                self.rnn.load_state_dict(weights)
            self.output = nn.Linear(like.config.hidden, like.vocabulary)
            self.output.load_state_dict(like.output.state_dict())
        self.optimizer = torch.optim.Adam(self.parameters(), lr=1e-3)
        self.carry = None

    def step(self, ids: Tensor, targets: Tensor) -> float:
        if self.embedding is None:
            inputs = F.one_hot(ids, self.vocabulary).float()
        else:
            inputs = self.embedding(ids)
        self.zero_grad()
        outputs, carry = self.rnn(inputs, self.carry)
        loss = F.cross_entropy(self.output(outputs.flatten(0, 1)), targets.flatten())
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters(), CLIP)
        self.optimizer.step()
        self.carry = carry.detach() if isinstance(carry, Tensor) else detach(carry)
        return float(loss.detach())


class Scratch:
    """The notebook's scratch loop: a matrix product for every gate of every step of one-hots."""

    def __init__(self, like: Model) -> None:
        (cell,) = like.stack.cells[0]
        self.kind, self.V, H = like.config.cell, like.vocabulary, like.config.hidden
        names = cell.gate_names
        split = [p.detach().clone().split(H, -1) for p in (cell.weight_x, cell.weight_h)]
        biases = [p.detach().clone().split(H) for p in (cell.bias_x, cell.bias_h)]
        self.W = dict(zip(names, split[0], strict=True))
        self.U = dict(zip(names, split[1], strict=True))
        self.b = dict(zip(names, biases[0], strict=True))
        self.c = dict(zip(names, biases[1], strict=True))
        self.W_q = like.output.weight.detach().t().clone()
        self.b_q = like.output.bias.detach().clone()
        groups = [*self.W.values(), *self.U.values(), *self.b.values(), *self.c.values()]
        self.parameters = [p.requires_grad_() for p in (*groups, self.W_q, self.b_q)]
        self.optimizer = torch.optim.Adam(self.parameters, lr=1e-3)
        self.carry = [torch.zeros(B, H) for _ in range(2)]

    def gate(self, X: Tensor, H: Tensor, name: str) -> Tensor:
        return X @ self.W[name] + self.b[name] + H @ self.U[name] + self.c[name]

    def step(self, ids: Tensor, targets: Tensor) -> float:
        h, c = self.carry
        outputs = []
        for X in F.one_hot(ids, self.V).float():
            if self.kind == "gru":
                r, z = (torch.sigmoid(self.gate(X, h, g)) for g in "rz")
                n = X @ self.W["n"] + self.b["n"] + r * (h @ self.U["n"] + self.c["n"])
                h = (1 - z) * torch.tanh(n) + z * h
            else:
                i, f, o = (torch.sigmoid(self.gate(X, h, g)) for g in "ifo")
                c = f * c + i * torch.tanh(self.gate(X, h, "g"))
                h = o * torch.tanh(c)
            outputs.append(h @ self.W_q + self.b_q)
        loss = F.cross_entropy(torch.cat(outputs), targets.flatten())
        for parameter in self.parameters:
            parameter.grad = None
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters, CLIP)
        self.optimizer.step()
        self.carry = [h.detach(), c.detach()]
        return float(loss.detach())


class Floor:
    """The matrix products of a step and nothing else, into preallocated results."""

    def __init__(self, like: Model) -> None:
        (cell,) = like.stack.cells[0]
        H, G = cell.weight_h.shape
        V, N = like.vocabulary, T * B
        rand = torch.randn
        self.small = [rand(B, H), rand(H, G), torch.empty(B, G)]
        self.back = [rand(B, G), rand(G, H), torch.empty(B, H)]
        self.once = [
            (rand(H, N), rand(N, G), torch.empty(H, G)),
            (rand(N, H), rand(H, V), torch.empty(N, V)),
            (rand(N, V), rand(V, H), torch.empty(N, H)),
            (rand(V, N), rand(N, H), torch.empty(V, H)),
        ]

    def step(self, ids: Tensor, targets: Tensor) -> float:
        for a, b, out in (*[self.small] * T, *[self.back] * T, *self.once):
            torch.mm(a, b, out=out)
        return 0.0


def contestant(name: str, kind: str, H: int, V: int) -> Callable[[Tensor, Tensor], float]:
    """The step of one contestant, with the same weights as all others."""
    config = ModelConfig(**KINDS[kind].as_dict() | {"hidden": H})
    if name in OURS:
        return Ours(config, V, name).step
    model = Ours(config, V, "reference").model
    if name == "scratch":
        return Scratch(model).step
    if name == "floor":
        return Floor(model).step
    return Concise(model, embedding=name == "embedding").step


def work(name: str, kind: str, H: int, V: int, threads: int) -> None:
    """A contestant's process: the losses of three steps, then seconds a step."""
    set_threads(threads)
    torch.manual_seed(1)
    ids, targets = torch.randint(V, (T, B)), torch.randint(V, (T, B))
    step = contestant(name, kind, H, V)
    compete([step(ids, targets) for _ in range(STEPS)], lambda: step(ids, targets))


def measure(kind: str, H: int, V: int, threads: int, rounds: int) -> dict[str, list[float]]:
    """Seconds of every contestant in every round."""
    names = ["reference", "auto", "floor"]
    if kind != "gru-before":
        names = ["scratch", "concise", "embedding", "library", *names]
    arguments = ["--kinds", kind, "--hidden", str(H), "--vocabulary", str(V)]
    arguments += ["--threads", str(threads)]
    commands = {name: [__file__, *arguments, "--work", name] for name in names}
    contest = Contest(commands, ours=OURS)
    check(contest.results)
    seconds = contest.rounds(rounds, STEPS)
    contest.end()
    return seconds


def check(losses: dict[str, list[float]]) -> None:
    """The same losses over three steps; over one where the embedding has weights of its own."""
    for name, found in losses.items():
        if name == "floor":
            continue
        compared = found[: 1 if name == "embedding" else STEPS]
        worst = max(abs(a - b) for a, b in zip(compared, losses["reference"], strict=False))
        if worst > 1e-4:
            raise SystemExit(f"{name} doesn't compute what reference computes: {worst}")


def show(
    kind: str, H: int, V: int, threads: int, seconds: dict[str, list[float]]
) -> dict[str, object]:
    """Print medians, spreads and ratios; the same as a record."""
    median = {name: statistics.median(s) for name, s in seconds.items()}
    print(f"\n{kind}, H={H}, V={V}, B={B}, T={T}, {threads} thread(s)")
    for name, s in seconds.items():
        ratio = median[name] / median["auto"]
        print(f"  {name:10} {spread(s, 1e-3, 'ms')}  {ratio:5.2f} × ours")
    print(f"  ours over the floor: {median['auto'] / median['floor']:.2f}", flush=True)
    return {"kind": kind, "hidden": H, "vocabulary": V, "threads": threads, "seconds": seconds}


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--kinds", nargs="+", default=list(KINDS))
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--vocabulary", type=int, default=1027)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--work", help=argparse.SUPPRESS)
    options = parser.parse_args()
    H, V = options.hidden, options.vocabulary
    if options.work:
        work(options.work, options.kinds[0], H, V, options.threads[0])
        return
    records = []
    for threads in options.threads:
        for kind in options.kinds:
            seconds = measure(kind, H, V, threads, options.rounds)
            records.append(show(kind, H, V, threads, seconds))
    if options.json:
        options.json.write_text(json.dumps(records, indent=1) + "\n")


if __name__ == "__main__":
    main()
