"""Gaps restored: counted by hand, from both sides and from the left."""

import math

import numpy as np
import pytest
import torch

import rondeau
from rondeau.config import ModelConfig
from rondeau.errors import CorpusError
from rondeau.evaluation.cloze import CANDIDATES, SIDE, evaluate_cloze
from rondeau.network.model import Model
from rondeau.text.tokenizer import ASSIGNED_CODE_POINTS, BOS, MASK, CharTokenizer

TOKENIZER = CharTokenizer("ab")


def constant(config, probabilities=(1 / 8, 1 / 8, 1 / 16, 1 / 2, 3 / 16)):
    """A model that gives <unk> <bos> <mask> a b the same distribution everywhere."""
    model = Model(config, len(TOKENIZER)).double()
    with torch.no_grad():
        model.output.weight.zero_()
        model.output.bias.copy_(torch.tensor(probabilities, dtype=torch.double).log())
    return model


CLOZE = ModelConfig(hidden=2, objective="cloze", bidirectional=True)


def test_pseudo_perplexity_and_accuracy_are_those_counted_by_hand():
    result = evaluate_cloze(constant(CLOZE), TOKENIZER, ["aaab", "龙"], split="test")
    which = math.log2(ASSIGNED_CODE_POINTS - 2)
    assert (result.gaps, result.right, result.unknown) == (5, 3, 1)
    assert result.bits == pytest.approx(3 * 1 + math.log2(16 / 3) + 3 + which)
    assert result.pseudo_perplexity == pytest.approx(2 ** (result.bits / 5))


def test_a_gap_is_hidden_alone_with_all_of_its_surroundings(monkeypatch):
    read = []

    def features(self, ids, carry, *, masks=None):
        read.append(ids.clone())
        return Model.features(self, ids, carry, masks=masks)

    model = constant(CLOZE)
    monkeypatch.setattr(model, "features", features.__get__(model))
    evaluate_cloze(model, TOKENIZER, ["ab" * 300], split="x", gaps=7)
    (ids,) = read
    assert ids.shape == (2 * SIDE + 1, 7)
    assert ((ids == MASK).sum(0) == 1).all()
    assert (ids[SIDE] == MASK).all()


def test_from_the_left_the_best_candidate_is_the_one_of_brute_force():
    torch.manual_seed(0)
    tokenizer = CharTokenizer("abcdefgh")
    model = Model(ModelConfig(hidden=12), len(tokenizer)).double()
    with torch.no_grad():
        model.output.weight.mul_(4)
    assert len(tokenizer) < CANDIDATES
    rng = np.random.default_rng(0)
    text = "".join(rng.choice(list("abcdefgh"), 9))
    result = evaluate_cloze(model, tokenizer, [text], split="x")
    ring = [BOS, *tokenizer.encode(text)]
    right = 0
    for place in range(1, len(ring)):
        # The window of ten ids around the gap, on the ring; the gap is its fifth from 0.
        window = [ring[(place - 5 + i) % len(ring)] for i in range(len(ring))]
        scores = []
        for candidate in range(3, len(tokenizer)):
            ids = torch.tensor([*window[:5], candidate, *window[6:]])
            logits, _ = model(ids[:-1, None], model.initial_carry(1))
            found = torch.log_softmax(logits[:, 0], -1).gather(1, ids[1:, None])[4:]
            scores.append(float(found.detach().sum()))
        right += int(np.argmax(scores)) + 3 == ring[place]
    assert (result.gaps, result.right) == (9, right)
    assert result.bits is None
    assert "pseudo_perplexity" not in result.as_dict()


@pytest.mark.parametrize("text", ["a", "ab", "龙"])
@pytest.mark.parametrize("config", [CLOZE, ModelConfig(hidden=2)])
def test_the_shortest_texts_are_evaluated_too(text, config):
    assert evaluate_cloze(constant(config), TOKENIZER, [text], split="x").gaps == len(text)


def test_no_text_is_an_error():
    with pytest.raises(CorpusError, match="no text to evaluate"):
        evaluate_cloze(constant(CLOZE), TOKENIZER, [], split="test")


def test_both_sides_restore_more_than_the_left(cloze_run, run):
    (both,), (left,) = (
        rondeau.load(path).evaluate_cloze(splits=["validation"]) for path in (cloze_run, run)
    )
    assert both.gaps == left.gaps
    assert both.accuracy >= left.accuracy
    assert both.pseudo_perplexity < rondeau.load(run).evaluate(splits=["validation"])[0].perplexity
