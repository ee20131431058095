"""EleutherAI's lm-evaluation-harness asks a served run what `evaluate` says too: the same bits.

    python benchmarks/harness.py LM_EVAL

LM_EVAL is the harness's command, in an environment of its own (`make test-lm-eval` makes one). A
small model is trained on the embedded songs as one text; the harness reads its held-out end by
`local-completions` and the server's own tokenizer. Fails where the bits per byte differ by 1e-6.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
from pathlib import Path

from serving import Server

import rondeau

TASK = """\
task: held_out
dataset_path: json
dataset_kwargs: {{data_files: {{validation: {text}}}}}
output_type: loglikelihood_rolling
validation_split: validation
doc_to_text: ""
doc_to_target: "{{{{text}}}}"
metric_list: [{{metric: bits_per_byte, aggregation: bits_per_byte, higher_is_better: false}}]
"""


def ask(command: str, folder: Path, address: str, text: str) -> float:
    """The harness's bits per byte of a text."""
    data = folder / "text.jsonl"
    data.write_text(json.dumps({"text": text}) + "\n", encoding="utf-8")
    (folder / "held_out.yaml").write_text(TASK.format(text=data))
    model = f"base_url={address}v1/completions,model=run,max_length=1000000"
    words = [command, "run", "--model", "local-completions", "--model_args", model]
    words += ["--tasks", "held_out", "--include_path", str(folder)]
    words += ["--output_path", str(folder / "out")]
    offline = {"HF_HUB_OFFLINE": "1", "OPENAI_API_KEY": "none", "HF_HOME": str(folder / "cache")}
    subprocess.run(words, check=True, env=os.environ | offline, cwd=folder)
    (found,) = (folder / "out").rglob("results_*.json")
    return float(json.loads(found.read_text())["results"]["held_out"]["bits_per_byte,none"])


def main() -> None:
    """Train, serve, ask both, compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("lm_eval", type=Path)
    options = parser.parse_args()
    command = str(options.lm_eval.absolute())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = rondeau.TrainConfig(split="tail", hidden=64, steps=100)
        model = rondeau.train((), config, out=folder / "run").finish()
        ((_, documents),) = model.texts(splits=["validation"])
        (evaluation,) = model.evaluate(splits=["validation"])
        server = Server(folder / "run", None)
        try:
            found = ask(command, folder, server.address, "".join(documents))
        finally:
            server.end()
    wanted = evaluation.bits_per_byte
    print(f"bits per byte: the harness {found:.8f}, rondeau evaluate {wanted:.8f}")
    if abs(found - wanted) > 1e-6:
        raise SystemExit("they differ")


if __name__ == "__main__":
    main()
