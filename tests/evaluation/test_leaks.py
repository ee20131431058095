"""The leak guard fails on every planted leak, and passes on every causal model."""

from functools import partial

import numpy as np
import pytest
import torch

from rondeau.config import ModelConfig
from rondeau.evaluation import perplexity
from rondeau.evaluation.leaks import TOLERANCE, assert_causal, leak
from rondeau.evaluation.surprisal import STEPS, document_targets, log_probabilities
from rondeau.network.model import Model
from rondeau.text.tokenizer import BOS, CharTokenizer

V = 11
FRAME = partial(document_targets, whole=True)
DOCUMENTS = [np.random.default_rng(n).integers(3, V, n) for n in (1, 2, 9, 40, 600)]


def model(**settings):
    torch.manual_seed(0)
    return Model(ModelConfig(**{"hidden": 8} | settings), V)


class NormalisedOverTime(Model):
    """Subtracts the mean over all steps: each output knows of all inputs."""

    def features(self, ids, carry, *, masks=None):
        outputs, carry = super().features(ids, carry, masks=masks)
        return outputs - outputs.mean(0), carry


class PeekingAtTheNext(Model):
    """Adds a little of the next step, as a convolution with the wrong padding does."""

    def features(self, ids, carry, *, masks=None):
        outputs, carry = super().features(ids, carry, masks=masks)
        return outputs + 0.05 * outputs.roll(-1, 0), carry


def shifted(ids):
    """A batch whose targets are its inputs."""
    return ids, ids


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
@pytest.mark.parametrize(
    "settings", [{}, {"layers": 3, "dropout": 0.5}, {"embedding": 4, "tie_weights": True}]
)
def test_every_causal_model_passes(cell, settings):
    assert_causal(model(cell=cell, **settings).train(), DOCUMENTS, FRAME)


@pytest.mark.parametrize(
    "leaking", [model(bidirectional=True), NormalisedOverTime(ModelConfig(hidden=8), V),
                PeekingAtTheNext(ModelConfig(hidden=8), V)]
)  # fmt: skip
def test_a_model_that_knows_what_follows_is_found(leaking):
    assert leak(leaking, DOCUMENTS, FRAME) > 10 * TOLERANCE
    with pytest.raises(AssertionError, match="reads its own answer"):
        assert_causal(leaking, DOCUMENTS, FRAME)


def test_a_shifted_target_is_found_in_a_causal_model():
    assert leak(model(), DOCUMENTS, shifted) > 10 * TOLERANCE


def test_a_document_of_one_character_has_nothing_before_it_and_passes():
    assert leak(model(), [np.array([5])], FRAME) < TOLERANCE
    assert leak(model(), [np.array([], dtype=np.int64)], FRAME) == 0


def test_an_evaluation_asks_the_guard_and_not_the_settings(monkeypatch):
    tokenizer = CharTokenizer("abcdefgh")
    texts = ["abcd", "hgfedcba" * 50]
    honest = perplexity.evaluate(model(), tokenizer, texts, split="x", whole=True)
    assert not honest.leaks
    assert "perplexity" in honest.as_dict()
    planted = NormalisedOverTime(ModelConfig(hidden=8), V)
    caught = perplexity.evaluate(planted, tokenizer, texts, split="x", whole=True)
    assert caught.leaks
    assert "perplexity" not in caught.as_dict()
    monkeypatch.setattr(perplexity, "document_targets", lambda ids, whole: shifted(ids))
    assert perplexity.evaluate(model(), tokenizer, texts, split="x", whole=True).leaks


def test_the_distribution_at_a_place_is_the_one_of_a_loop_over_single_steps():
    network = model(cell="lstm").double().eval()
    documents = [DOCUMENTS[3], DOCUMENTS[4]]
    places = [17, STEPS + 3]
    found = log_probabilities(network, [FRAME(d) for d in documents], places)
    for ids, place, row in zip(documents, places, found, strict=True):
        carry = network.initial_carry(1)
        for x in [BOS, *ids[:place]]:
            logits, carry = network(torch.tensor([[x]]), carry)
        assert row == pytest.approx(torch.log_softmax(logits[0, 0], -1).tolist(), abs=1e-9)
