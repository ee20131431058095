"""The compiled loop writes what the model's own forward pass writes, whoever stands beside it."""

import dataclasses
from functools import partial

import numpy as np
import pytest
import torch

from recording import record
from rondeau.config import DecodingConfig, ModelConfig
from rondeau.generation.decoding import controls
from rondeau.generation.writing import (
    WRITE,
    CompiledWriter,
    DeviceWriter,
    ModelWriter,
    make_writer,
)
from rondeau.network.cells import map_carry
from rondeau.network.model import Model

V, STEPS = 37, 12
DECODING = DecodingConfig(temperature=0.9, top_p=0.95)
BANNED = (0, 2)
SHAPES = [
    {"cell": "rnn", "hidden": 7},
    {"cell": "rnn", "activation": "relu", "layers": 2},
    {"cell": "gru", "layers": 1},
    {"cell": "gru", "reset": "before", "layers": 3, "embedding": 5},
    {"cell": "gru", "layers": 2, "embedding": 30, "tie_weights": True},
    {"cell": "lstm", "embedding": 9, "tie_weights": True},
    {"cell": "lstm", "layers": 2, "hidden": 33},
]


def make_model(hidden_bias=True, **shape):
    torch.manual_seed(3)
    return Model(ModelConfig(**({"hidden": 30} | shape)), V, hidden_bias=hidden_bias).eval()


def writer_of(model, B, backend):
    model.backend = backend
    generator = torch.Generator().manual_seed(7)
    carry = map_carry(
        lambda part: part + torch.randn(part.shape, generator=generator), model.initial_carry(B)
    )
    writer = make_writer(model)
    writer.add(carry, [controls(DECODING, V, BANNED, told=3)] * B)
    return writer


@pytest.fixture(autouse=True)
def no_gradient():
    with torch.inference_mode():
        yield


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("hidden_bias", [True, False])
def test_the_compiled_loop_writes_the_same_ids_as_the_model(shape, hidden_bias):
    model = make_model(hidden_bias, **shape)
    uniforms = np.random.default_rng(0).random((2 * STEPS, 5))
    ids = []
    for backend, kind in (("numba", CompiledWriter), ("reference", ModelWriter)):
        writer = writer_of(model, 5, backend)
        assert type(writer) is kind
        first = writer.write(uniforms[:STEPS]).ids
        writer.keep(np.array([3, 0]))
        ids.append((first.tolist(), writer.write(uniforms[STEPS:, :2]).ids.tolist()))
    assert ids[0] == ids[1]
    assert len(np.unique(ids[0][0])) > 5


@pytest.mark.parametrize("threads", [1, 2])
def test_a_stream_alone_has_the_state_of_the_stream_among_63_others(threads):
    model = make_model(layers=2, embedding=20, tie_weights=True)
    uniforms = np.random.default_rng(0).random((STEPS, 64))
    torch.set_num_threads(threads)
    among = writer_of(model, 64, "numba")
    ids = among.write(uniforms).ids
    for stream in (0, 41, 63):
        alone = writer_of(model, 64, "numba")
        alone.keep(np.array([stream]))
        written = alone.write(uniforms[:, [stream]]).ids
        assert written[:, 0].tolist() == ids[:, stream].tolist()
        for mine, theirs in zip(alone.steps.carry, among.steps.carry, strict=True):
            assert (mine[:, 0, 0] == theirs[:, 0, stream]).all()


@pytest.mark.parametrize("decoding", [DECODING, DecodingConfig(), DecodingConfig(top_k=5)])
def test_choices_made_on_a_device_are_those_made_on_the_host(decoding):
    model = make_model(layers=2, embedding=20, tie_weights=True)
    model.backend = "reference"
    uniforms = np.random.default_rng(0).random((2 * STEPS, 6))
    written = []
    for kind in (ModelWriter, DeviceWriter, partial(DeviceWriter, capture=record)):
        model.cuda_graphs = isinstance(kind, partial)
        writer = kind(model)
        penalties = dataclasses.replace(decoding, presence_penalty=0.5, frequency_penalty=0.3)
        for streams, told in ((4, 3), (2, -1)):
            asked = controls(penalties, V, BANNED, told=told)
            writer.add(model.initial_carry(streams), [asked] * streams)
        parts = list(writer.write(uniforms[:STEPS]))
        writer.keep(np.array([5, 0, 2]))
        parts += writer.write(uniforms[STEPS:, :3])
        written.append([np.where(part == -np.inf, 0, part) for part in parts])
    for number, (host, device, recorded) in enumerate(zip(*written, strict=True)):
        shown = [slice(4), slice(1, 3)][number // 4] if number % 4 else slice(None)
        assert device[:, shown] == pytest.approx(host[:, shown])
        assert (recorded == device).all()


def test_double_precision_is_written_by_the_model_itself():
    model = make_model().double()
    ids = writer_of(model, 2, "auto").write(np.full((STEPS, 2), 0.5)).ids
    assert ids.shape == (STEPS, 2)


def test_each_loop_is_compiled_for_one_type_of_arguments():
    for threads in (1, 2):
        torch.set_num_threads(threads)
        for shape in SHAPES:
            for B in (1, 16):
                writer_of(make_model(**shape), B, "numba").write(np.full((1, B), 0.5))
    for run in WRITE.values():
        assert len(run.kernel.signatures) == 1, run.kernel.signatures
        assert len(run.fork.signatures) <= 1  # none on one core
