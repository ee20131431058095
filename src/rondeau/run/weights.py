"""A model to bytes and back: safetensors beside a config, never a pickle that runs code."""

from __future__ import annotations

from typing import Any

import safetensors
import safetensors.torch
import torch

from rondeau.config import ModelConfig
from rondeau.errors import RondeauError, RunError
from rondeau.network.model import Model
from rondeau.run.folder import FORMAT_VERSION, RunFolder
from rondeau.text.tokenizer import CharTokenizer

SHARED = "output.weight"
"""With tied weights the output table is the embedding: stored once."""


def weights_to_bytes(model: Model) -> bytes:
    """All parameters as safetensors."""
    tied = model.config.tie_weights
    state = {
        name: tensor.detach().cpu().contiguous()
        for name, tensor in model.state_dict().items()
        if not (tied and name == SHARED)
    }
    return safetensors.torch.save(state, metadata={"format": "pt"})


def load_weights(model: Model, data: bytes, source: str) -> None:
    """Set all parameters from safetensors; RunError if they aren't this model's."""
    try:
        state = safetensors.torch.load(data)
        if model.config.tie_weights:
            state[SHARED] = state["embedding.weight"]
        model.load_state_dict(state)
    except (safetensors.SafetensorError, RuntimeError, KeyError) as error:
        reason = str(error).splitlines()[0]
        raise RunError(f"{source}: doesn't fit the run's config.json: {reason}") from None


def config_to_dict(model: Model, *, whole_documents: bool) -> dict[str, Any]:
    """What config.json holds: shape, vocabulary size, and whether documents have ends."""
    return {
        "format_version": FORMAT_VERSION,
        "model_type": "rondeau",
        "vocabulary": model.vocabulary,
        "whole_documents": whole_documents,
        **model.config.as_dict(),
    }


def load_model(folder: RunFolder) -> tuple[Model, CharTokenizer, bool]:
    """The run's best model, its tokenizer, and whether its documents have ends (RunError)."""
    config = folder.read_json("config.json")
    tokenizer = CharTokenizer.from_json(
        folder.read("tokenizer.json").decode("utf-8"), str(folder.path / "tokenizer.json")
    )
    source = str(folder.path / "config.json")
    try:
        shape = ModelConfig(**{name: config[name] for name in ModelConfig.field_names()})
        vocabulary, whole_documents = int(config["vocabulary"]), bool(config["whole_documents"])
    except (KeyError, TypeError, ValueError, RondeauError) as error:
        raise RunError(f"{source}: is not the config of a model ({error})") from None
    if vocabulary != len(tokenizer):
        raise RunError(
            f"{source}: vocabulary {vocabulary}, but tokenizer.json has {len(tokenizer)}"
        )
    with torch.random.fork_rng(devices=[]):
        model = Model(shape, vocabulary)
    load_weights(model, folder.read("model.safetensors"), str(folder.path / "model.safetensors"))
    return model.eval(), tokenizer, whole_documents
