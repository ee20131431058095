"""Perplexity by hand, by brute force, and with everything that can go wrong in counting."""

import math

import numpy as np
import pytest
import torch

import rondeau
from rondeau.config import ModelConfig
from rondeau.errors import CorpusError
from rondeau.evaluation.perplexity import evaluate
from rondeau.evaluation.surprisal import STEPS, document_targets, surprisals
from rondeau.network.model import Model
from rondeau.text.tokenizer import ASSIGNED_CODE_POINTS, BOS, CharTokenizer


def constant_model(tokenizer, probabilities):
    """A model that gives the same distribution at every step."""
    model = Model(ModelConfig(hidden=2), len(tokenizer)).double()
    with torch.no_grad():
        model.output.weight.zero_()
        model.output.bias.copy_(torch.tensor(probabilities, dtype=torch.double).log())
    return model


def test_the_perplexity_of_a_tiny_corpus_is_the_one_computed_by_hand():
    tokenizer = CharTokenizer("ab")  # <unk> <bos> <mask> a b
    model = constant_model(tokenizer, [1 / 8, 1 / 8, 1 / 16, 1 / 2, 3 / 16])
    result = evaluate(model, tokenizer, ["aa龙", "a"], split="test", whole=True)
    # a a <unk> <bos> a <bos>: 1 + 1 + (3 + which of the others) + 3 + 1 + 3 bits
    which = math.log2(ASSIGNED_CODE_POINTS - 2)
    assert result.targets == 6
    assert result.bits == pytest.approx(12 + which)
    assert result.perplexity == pytest.approx(2 ** ((12 + which) / 6))
    assert result.known_perplexity == pytest.approx(2 ** (9 / 5))
    assert result.bits_per_character == pytest.approx((12 + which) / 4)
    assert result.bits_per_byte == pytest.approx((12 + which) / 6)
    assert result.unknown_share == pytest.approx(1 / 4)


def test_a_text_without_ends_has_its_characters_as_targets_only():
    tokenizer = CharTokenizer("ab")
    model = constant_model(tokenizer, [1 / 8, 1 / 8, 1 / 16, 1 / 2, 3 / 16])
    result = evaluate(model, tokenizer, ["aaa"], split="tail", whole=False)
    assert (result.targets, result.bits) == (3, pytest.approx(3))


def test_a_text_of_unknown_characters_only_has_no_perplexity_of_known_ones():
    tokenizer = CharTokenizer("ab")
    model = constant_model(tokenizer, [1 / 8, 1 / 8, 1 / 16, 1 / 2, 3 / 16])
    result = evaluate(model, tokenizer, ["龙"], split="tail", whole=False)
    assert math.isnan(result.known_perplexity)
    assert "known_perplexity" not in result.as_dict()
    assert result.perplexity == pytest.approx(8 * (ASSIGNED_CODE_POINTS - 2))


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_batched_surprisals_equal_a_loop_over_single_steps(cell):
    torch.manual_seed(0)
    model = Model(ModelConfig(cell=cell, hidden=7, layers=2, embedding=4), 11).double().eval()
    rng = np.random.default_rng(0)
    lengths = [1, 5, STEPS, STEPS + 1, 3, 2 * STEPS + 9]
    pairs = [document_targets(rng.integers(3, 11, n), whole=True) for n in lengths]
    for (inputs, targets), nats in zip(pairs, surprisals(model, pairs), strict=True):
        assert inputs[0] == targets[-1] == BOS
        carry = model.initial_carry(1)
        for x, y, found in zip(inputs, targets, nats, strict=True):
            logits, carry = model(torch.tensor([[x]]), carry)
            expected = -torch.log_softmax(logits[0, 0], -1)[y]
            assert found == pytest.approx(float(expected.detach()), abs=1e-9)


def test_evaluation_leaves_a_model_in_training_as_it_was():
    tokenizer = CharTokenizer("ab")
    model = Model(ModelConfig(hidden=4, dropout=0.5), len(tokenizer)).train()
    first, second = (
        evaluate(model, tokenizer, ["abba"], split="x", whole=True).bits for _ in range(2)
    )
    assert first == second
    assert model.training


def test_the_sum_of_scores_is_the_evaluation(run):
    model = rondeau.load(run)
    documents = [*model.corpus().validation, "猫龙来了"]
    total = sum(model.score(document).bits for document in documents)
    assert model.evaluate_documents(documents, split="x").bits == pytest.approx(total, abs=1e-4)


def test_a_leaking_model_gets_no_perplexity(backwards_run):
    for result in rondeau.load(backwards_run).evaluate():
        numbers = result.as_dict()
        assert "leaked_loss" in numbers
        assert not {"perplexity", "bits_per_character", "bits_per_byte"} & set(numbers)


def test_nothing_to_evaluate_is_an_error():
    tokenizer = CharTokenizer("ab")
    with pytest.raises(CorpusError, match="no text to evaluate"):
        evaluate(Model(ModelConfig(hidden=2), 5), tokenizer, [], split="test", whole=True)
