"""Generation, ours beside the notebook's loop and beside its floor, interleaved in one run.

    python benchmarks/generation.py [--rounds 20] [--json FILE]

A GRU of H=256 over V=1,027 characters writes with temperature 0.8 and top-p 0.9. *ours* is the
compiled loop for one stream, *ours-64* for 64, *model* our own forward pass character by character;
*notebook* is its scratch loop (one-hot vectors, a product for every gate, arg max). The floor of
one stream is the time in which the machine reads as many bytes as a character's weights have; that
of 64 streams, their matrix products by torch and the sampling alone. Before anything is timed, ours
and the notebook's loop must write the same greedy text.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from contest import Contest, compete, spread
from torch.nn import functional as F

from rondeau.config import DecodingConfig, ModelConfig
from rondeau.generation.decoding import Choosers, choose_rows, controls
from rondeau.generation.writing import make_writer
from rondeau.network.device import set_threads
from rondeau.network.model import Model

H, V, STREAMS, CHUNK = 256, 1027, 64, 32
SAMPLING = DecodingConfig(temperature=0.8, top_p=0.9)
BANNED = (0, 2)
REPEATS = 20


def make_model() -> Model:
    """A GRU whose choices are about as wide as a trained model's: untrained ones are flat."""
    torch.manual_seed(0)
    model = Model(ModelConfig(hidden=H), V).eval()
    with torch.no_grad():
        model.output.weight *= 20
        model.stack.cells[0][0].weight_x *= 20
    return model


def writing(streams: int, backend: str, config: DecodingConfig) -> Callable[[], np.ndarray]:
    """A call writes the next 32 ids of each stream."""
    model = make_model()
    model.backend = backend  # type: ignore[assignment]
    writer = make_writer(model)
    writer.add(model.initial_carry(streams), [controls(config, V, BANNED)] * streams)
    uniforms = np.random.default_rng(0).random((CHUNK, streams))
    return lambda: writer.write(uniforms).ids


def notebook() -> Callable[[], np.ndarray]:
    """The notebook's way: one-hot vectors, six products a step, and the arg max."""
    model = make_model()
    cell = model.stack.cells[0][0]
    W = [w.contiguous() for w in cell.weight_x.chunk(3, -1)]
    U = [u.contiguous() for u in cell.weight_h.chunk(3, -1)]
    b, c = cell.bias_x.chunk(3), cell.bias_h.chunk(3)
    W_q, b_q = model.output.weight.t().contiguous(), model.output.bias.clone()
    b_q[list(BANNED)] = -torch.inf
    state = [torch.zeros(1, H)]

    def write() -> np.ndarray:
        ids = np.empty(CHUNK, np.int64)
        (h,) = state
        for t in range(CHUNK):
            ids[t] = int((h @ W_q + b_q).argmax(dim=1).item())
            X = F.one_hot(torch.tensor([ids[t]]), V).float()
            r = torch.sigmoid(X @ W[0] + h @ U[0] + b[0] + c[0])
            z = torch.sigmoid(X @ W[1] + h @ U[1] + b[1] + c[1])
            n = torch.tanh(X @ W[2] + b[2] + r * (h @ U[2] + c[2]))
            h = (1 - z) * n + z * h
        state[0] = h
        return ids

    return write


def reading() -> Callable[[], object]:
    """The weights of 32 characters, read and added up."""
    weights = torch.randn(H * 3 * H + H * V)
    return lambda: [weights.sum() for _ in range(CHUNK)]


def products() -> Callable[[], object]:
    """The matrix products of 64 streams for 32 characters, preallocated, and the sampling."""
    threads = torch.get_num_threads()
    h, U, W = torch.randn(STREAMS, H), torch.randn(H, 3 * H), torch.randn(H, V)
    gates, logits = torch.empty(STREAMS, 3 * H), torch.empty(STREAMS, V)
    model = make_model()
    drawn = model.output(torch.randn(STREAMS, H).tanh()).numpy()[: STREAMS // threads]
    choosers = Choosers(V)
    choosers.add([controls(SAMPLING, V, BANNED)] * len(drawn))
    uniforms = np.random.default_rng(0).random(len(drawn))
    room = np.empty(V, np.float32), np.empty(V, np.int64)
    written = [part[0] for part in choosers.room(1)]

    def work() -> None:
        for _ in range(CHUNK):
            torch.mm(h, U, out=gates)
            torch.mm(h, W, out=logits)
            choose_rows(drawn, uniforms, *choosers.arguments, *room, *written)

    return work


CONTESTANTS: dict[str, tuple[Callable[[], Callable[[], object]], int]] = {
    "ours": (lambda: writing(1, "auto", SAMPLING), 1),
    "model": (lambda: writing(1, "reference", SAMPLING), 1),
    "notebook": (notebook, 1),
    "floor": (reading, 1),
    "ours-64": (lambda: writing(STREAMS, "auto", SAMPLING), STREAMS),
    "floor-64": (products, STREAMS),
}
GREEDY = {"ours": "auto", "model": "reference", "ours-64": "auto"}


def work(name: str, threads: int) -> None:
    """A contestant's process: its greedy text, then seconds a character."""
    set_threads(threads)
    make, streams = CONTESTANTS[name]
    greedy = None
    if name in GREEDY:
        write = writing(streams, GREEDY[name], DecodingConfig(greedy=True))
        greedy = write().reshape(CHUNK, -1)[:, -1].tolist()
    elif name == "notebook":
        greedy = notebook()().tolist()
    compete(greedy, make(), CHUNK * streams)


def main() -> None:
    """Parse, compare, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--work", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        with torch.inference_mode():
            work(options.work, options.threads[0])
        return
    records = []
    for threads in options.threads:
        arguments = ["--threads", str(threads), "--work"]
        commands = {name: [__file__, *arguments, name] for name in CONTESTANTS}
        contest = Contest(commands, ours=[name for name in CONTESTANTS if name.startswith("ours")])
        texts = [text for text in contest.results.values() if text]
        if any(text != texts[0] for text in texts) or len(set(texts[0])) < 5:
            raise SystemExit("the contestants don't write the same greedy text; nothing is timed")
        seconds = contest.rounds(options.rounds, REPEATS)
        contest.end()
        median = {name: statistics.median(s) for name, s in seconds.items()}
        print(f"\nGRU, H={H}, V={V}, temperature 0.8, top-p 0.9, {threads} thread(s)")
        for name, s in seconds.items():
            print(f"  {name:10} {spread(s, 1e-6, 'µs a character')}")
        print(
            f"  notebook over ours {median['notebook'] / median['ours']:.1f}; ours over the floor "
            f"{median['ours'] / median['floor']:.2f}, with 64 streams "
            f"{median['ours-64'] / median['floor-64']:.2f}; one stream over 64, a character, "
            f"{median['ours'] / median['ours-64']:.1f}",
            flush=True,
        )
        records.append({"threads": threads, "seconds": seconds})
    if options.json:
        options.json.write_text(json.dumps(records, indent=1) + "\n")


if __name__ == "__main__":
    main()
