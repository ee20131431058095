"""Most memory that a training holds at H=512, V=8,000, B=32, T=128.

python benchmarks/memory.py [--cell gru] [--json memory.json]
"""

from __future__ import annotations

import argparse
import json
import resource
from pathlib import Path

import torch

from rondeau.config import ModelConfig, TrainConfig
from rondeau.network.cells import detach
from rondeau.network.model import Model
from rondeau.training.optimisation import clip_gradient, make_optimizer

H, V, B, T, STEPS = 512, 8000, 32, 128, 5


def resident() -> float:
    """The most that this process has held, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Train some steps, print the most that was held."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cell", default="gru", choices=["rnn", "gru", "lstm"])
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    loaded = resident()
    model = Model(ModelConfig(cell=options.cell, hidden=H), V)
    optimizer = make_optimizer(model, TrainConfig())
    carry = model.initial_carry(B)
    ids = torch.randint(V, (T + 1, B))
    for _ in range(STEPS):
        model.zero_grad()
        loss, carry = model.loss(ids[:-1], ids[1:], carry)
        loss.backward()
        clip_gradient(model, 1.0)
        optimizer.step()
        carry = detach(carry)
    print(
        f"{options.cell}, H={H}, V={V}, B={B}, T={T}: {resident():,.0f} MB resident at most, "
        f"{loaded:,.0f} MB before the model"
    )
    if options.json:
        record = {"cell": options.cell, "most_MB": resident(), "before_MB": loaded}
        options.json.write_text(json.dumps(record) + "\n")


if __name__ == "__main__":
    main()
