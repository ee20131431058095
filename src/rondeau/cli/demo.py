"""`make demo`: train on the embedded songs, sing, and say what to try next."""

from __future__ import annotations

import itertools
from pathlib import Path

from rondeau.cli.train import report_training, run_training
from rondeau.config import TrainConfig

STEPS = 300
RUNS = Path("runs")


def demo() -> int:
    """Train a small model on the embedded songs into runs/demo-N; the exit code."""
    import rondeau

    out = next(p for n in itertools.count(1) if not (p := RUNS / f"demo-{n}").exists())
    config = TrainConfig(steps=STEPS, dropout=0.6, lr=0.003)
    training = rondeau.train((), config, out=out)
    code = run_training(training, quiet=False)
    if code:
        return code
    model = training.finish()
    print()
    report_training(model, training)
    for prefix in ("分开", "不分开", ""):
        (sample,) = model.generate(prefix, length=60, seed=1)
        print(f"\n--- {prefix or 'a new song'} ---\n{prefix}{sample.text}")
    print(
        "\nNow try:\n"
        f"  .venv/bin/rondeau generate {out} --prefix 月亮 --length 80 --num-samples 3\n"
        f"  .venv/bin/rondeau score {out} 雨落在铁皮屋顶\n"
        f"  .venv/bin/rondeau serve {out}\n"
        "  .venv/bin/rondeau train YOUR_TEXT.txt --minutes 3"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(demo())
