"""A model to bytes and back: safetensors beside a config, never a pickle that runs code.

A config says how many numbers a model has before one is made: a file that isn't of that size, or
whose tensors aren't exactly the model's, is refused before memory is taken for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import safetensors
import safetensors.torch
import torch

from rondeau.config import ModelConfig
from rondeau.errors import RondeauError, RunError
from rondeau.formats import misfit, shown
from rondeau.network.model import Model, parameter_count
from rondeau.run.folder import FORMAT_VERSION, RunFolder
from rondeau.run.tensors import HEADER, METADATA, read_header
from rondeau.text.tokenizer import SPECIALS, CharTokenizer

SHARED = "output.weight"
"""With tied weights the output table is the embedding: stored once."""


@dataclass(frozen=True)
class Shape:
    """What config.json says: the model's settings, its vocabulary, whether documents have ends."""

    config: ModelConfig
    vocabulary: int
    whole_documents: bool


def weights_to_bytes(model: Model) -> bytes:
    """All parameters as safetensors."""
    state = {name: tensor.cpu().contiguous() for name, tensor in _stored(model).items()}
    return safetensors.torch.save(state, metadata=METADATA)


def load_weights(model: Model, data: bytes, source: str) -> None:
    """Set all parameters from safetensors; RunError if they aren't exactly this model's."""
    tensors = {
        name: {"dtype": "F32", "shape": list(tensor.shape)}
        for name, tensor in _stored(model).items()
    }
    stored = read_header(data, source)
    if stored.keys() != tensors.keys():
        names = ", ".join(sorted(stored.keys() ^ tensors.keys()))
        raise RunError(f"{source}: doesn't fit the run's config.json: {shown(names)}")
    for name, tensor in tensors.items():
        if {key: stored[name][key] for key in tensor} != tensor:
            raise RunError(f"{source}: doesn't fit the run's config.json: {name}")
    try:
        state = safetensors.torch.load(data)
    except safetensors.SafetensorError as error:
        raise RunError(f"{source}: is damaged: {shown(str(error))}") from None
    if model.config.tie_weights:
        state[SHARED] = state["embedding.weight"]
    model.load_state_dict(state)


def config_to_dict(model: Model, *, whole_documents: bool) -> dict[str, Any]:
    """What config.json holds: shape, vocabulary size, and whether documents have ends."""
    return {
        "format_version": FORMAT_VERSION,
        "model_type": "rondeau",
        "vocabulary": model.vocabulary,
        "whole_documents": whole_documents,
        **model.config.as_dict(),
    }


def read_shape(folder: RunFolder) -> Shape:
    """The shape of a run's model, from its config.json; RunError if that isn't one."""
    values, source = folder.read_json("config.json"), folder.path / "config.json"
    wrong = misfit(values, {"vocabulary": int, "whole_documents": bool}, "config")
    if wrong is not None:
        raise RunError(f"{source}: is not the config of a model ({wrong})")
    try:
        config = ModelConfig(**{name: values[name] for name in ModelConfig.field_names()})
    except (KeyError, TypeError, RondeauError) as error:
        raise RunError(f"{source}: is not the config of a model ({shown(str(error))})") from None
    return Shape(config, values["vocabulary"], values["whole_documents"])


def read_weights(folder: RunFolder, name: str, shape: Shape) -> bytes:
    """A model's file that has the size and the layers of a shape; RunError for another one."""
    source = folder.path / name
    size = 4 * parameter_count(shape.config, shape.vocabulary)
    data = folder.read(name, most=size + HEADER)
    stored = read_header(data, str(source))
    if len(data) < size or shape.config.layers > len(stored):
        raise RunError(
            f"{source}: has {len(data):,} bytes; a model as in config.json has {size:,} or more"
        )
    return data


def load_model(folder: RunFolder) -> tuple[Model, CharTokenizer, bool]:
    """The run's best model, its tokenizer, and whether its documents have ends (RunError)."""
    shape = read_shape(folder)
    tokenizer = CharTokenizer.from_json(
        folder.read("tokenizer.json"), str(folder.path / "tokenizer.json")
    )
    if not tokenizer.specials:
        raise RunError(f"{folder.path / 'tokenizer.json'}: has no {', '.join(SPECIALS)}")
    if shape.vocabulary != len(tokenizer):
        raise RunError(
            f"{folder.path / 'config.json'}: vocabulary {shape.vocabulary}, but tokenizer.json has "
            f"{len(tokenizer)}"
        )
    data = read_weights(folder, "model.safetensors", shape)
    with torch.random.fork_rng(devices=[]):
        model = Model(shape.config, shape.vocabulary)
    load_weights(model, data, str(folder.path / "model.safetensors"))
    return model.eval(), tokenizer, shape.whole_documents


def _stored(model: Model) -> dict[str, torch.Tensor]:
    """The tensors that a model's file holds."""
    tied = model.config.tie_weights
    state = model.state_dict()
    return {name: state[name].detach() for name in state if not (tied and name == SHARED)}
