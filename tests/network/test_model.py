"""The language model over ids: its loss, its tied weights, its count of parameters."""

import math

import pytest
import torch

from rondeau.config import ModelConfig
from rondeau.errors import OptionError
from rondeau.network.model import Model

SHAPES = [
    ModelConfig(hidden=12),
    ModelConfig(hidden=12, embedding=5),
    ModelConfig(hidden=12, embedding=12, tie_weights=True),
    ModelConfig(hidden=12, embedding=5, tie_weights=True, layers=2),
    ModelConfig(hidden=6, bidirectional=True, cell="lstm"),
]


@pytest.mark.parametrize("config", SHAPES)
def test_logits_come_for_every_position_and_a_fresh_model_knows_nothing(config):
    torch.manual_seed(0)
    model = Model(config, 20)
    ids = torch.randint(20, (7, 3))
    logits, _ = model(ids, model.initial_carry(3))
    assert logits.shape == (7, 3, 20)
    loss, _ = model.loss(ids, ids, model.initial_carry(3))
    assert float(loss.detach()) == pytest.approx(math.log(20), rel=0.2)


def test_the_loss_is_the_mean_of_minus_log_probabilities():
    torch.manual_seed(0)
    model = Model(ModelConfig(hidden=5), 4).double()
    ids, targets = torch.tensor([[1], [2]]), torch.tensor([[2], [0]])
    logits, _ = model(ids, model.initial_carry(1))
    chosen = torch.softmax(logits, -1)[[0, 1], [0, 0], [2, 0]]
    loss, _ = model.loss(ids, targets, model.initial_carry(1))
    assert float(loss.detach()) == pytest.approx(float(-chosen.log().mean().detach()))


def test_tied_weights_are_one_table_counted_once():
    model = Model(ModelConfig(hidden=8, embedding=8, tie_weights=True), 20)
    assert model.output.weight is model.embedding.weight
    gru = 8 * 24 + 8 * 24 + 24 + 24
    assert model.parameter_count == 20 * 8 + 20 + gru


def test_a_bidirectional_model_is_not_causal():
    assert Model(SHAPES[0], 5).causal
    assert not Model(SHAPES[-1], 5).causal


def test_tied_weights_without_an_embedding_are_refused():
    with pytest.raises(OptionError, match="--tie-weights: needs --embedding"):
        ModelConfig(tie_weights=True)
