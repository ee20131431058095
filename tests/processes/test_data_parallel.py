"""The same global batch in 1, 2 and 4 processes is the same training."""

import json

import numpy as np
from launching import flags, launch

from rondeau.run.folder import RunFolder
from rondeau.run.metrics import read_events

DEEP = {"layers": 2, "dropout": 0.3, "cell": "lstm", "embedding": 6}
PARTS = "dropout in two layers, the gradient in two parts, in float64"
SHARDED = PARTS.replace("the gradient", "weights shared out, the gradient")
WHOLE = PARTS.replace(", the gradient in two parts", "")
KINDS = {
    WHOLE: DEEP,
    PARTS: DEEP | {"accumulate": 2},
    SHARDED: DEEP | {"accumulate": 2, "shard": True},
    "random windows, in float64": {"sampling": "random", "optimizer": "sgd", "lr": 1, "clip": 0.5},
    "dropout in two layers": DEEP,
    "a cloze": {"objective": "cloze", "hidden": 6},
}


def curve(run):
    """Losses, gradients' norms and looks, and the final numbers, of a run."""
    events = read_events(RunFolder.open(run))
    losses = [[e["loss"], e["gradient_norm"]] for e in events]
    looks = [e["held_out"]["loss"] for e in events if e["held_out"]]
    rows = json.loads((run / "results.json").read_text())["held_out"]
    keys = ("perplexity", "bits_per_byte", "pseudo_perplexity", "accuracy")
    numbers = [row[key] for row in rows for key in keys if key in row]
    return np.array([*np.ravel(losses), *looks, *numbers])


def trained(text, out, processes, kinds):
    """Train each kind in so many processes, in one launch -> their curves."""
    jobs = [
        {
            "arguments": [
                *["train", str(text), "--out", str(out / f"{processes}, {kind}")],
                *flags(steps=200, eval_every=50, **KINDS[kind]),
            ],
            "double": "float64" in kind,
        }
        for kind in kinds
    ]
    ended = launch(processes, jobs=jobs)
    assert ended.code == 0, ended.said
    return {kind: curve(out / f"{processes}, {kind}") for kind in kinds}


def test_the_same_batch_in_1_2_and_4_processes_is_the_same_training(rhymes, tmp_path, long):
    kinds = list(KINDS) if long else [WHOLE, SHARDED, "a cloze"]
    alone = trained(rhymes, tmp_path, 1, set(kinds) - {PARTS, SHARDED})
    alone |= dict.fromkeys((PARTS, SHARDED), alone[WHOLE])
    two = trained(rhymes, tmp_path, 2, kinds)
    for kind, found in two.items():
        tolerance = 1e-8 if "float64" in kind else 1e-4
        np.testing.assert_allclose(found, alone[kind], rtol=tolerance, err_msg=kind)
    four = trained(rhymes, tmp_path, 4, [WHOLE])
    np.testing.assert_allclose(four[WHOLE], alone[WHOLE], rtol=1e-8)
