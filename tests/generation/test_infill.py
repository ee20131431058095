"""Gaps filled: the best filling is the one of brute force, draws repeat, mistakes are told."""

import itertools

import numpy as np
import pytest
import torch

import rondeau
from rondeau.config import ModelConfig
from rondeau.errors import OptionError, UnsupportedError
from rondeau.evaluation.surprisal import document_targets, surprisals
from rondeau.generation.infill import infill
from rondeau.network.model import Model
from rondeau.text.tokenizer import BOS, MASK, CharTokenizer

TOKENIZER = CharTokenizer("abcd")
CLOZE = ModelConfig(hidden=12, objective="cloze", bidirectional=True)


def sharp(config):
    torch.manual_seed(1)
    model = Model(config, len(TOKENIZER)).double()
    with torch.no_grad():
        model.output.weight.mul_(4)
    return model.eval()


def fill(model, text, **settings):
    defaults = {"gap": "_", "num_samples": 1, "beam": 16, "temperature": None, "seed": 0}
    return infill(model, TOKENIZER, text, whole_documents=True, **(defaults | settings))


@pytest.mark.parametrize("text", ["a_b_", "__", "_", "abc_", "c_d_a_b"])
def test_from_the_left_a_wide_beam_finds_the_likeliest_whole_text(text):
    model = sharp(ModelConfig(hidden=12))
    gaps = [i for i, c in enumerate(text) if c == "_"]
    costs = {}
    for letters in itertools.product("abcd", repeat=len(gaps)):
        characters = list(text)
        for place, letter in zip(gaps, letters, strict=True):
            characters[place] = letter
        whole = "".join(characters)
        (nats,) = surprisals(model, [document_targets(TOKENIZER.encode(whole), whole=True)])
        costs[whole] = nats.sum() / np.log(2)
    found = fill(model, text, beam=4 ** len(gaps), num_samples=4 ** len(gaps))
    assert [f.text for f in found] == sorted(costs, key=costs.__getitem__)
    assert [f.bits for f in found] == pytest.approx(sorted(costs.values()))


def test_a_cloze_fills_the_surest_gap_first_and_reads_again():
    model = sharp(CLOZE)
    (found,) = fill(model, "a_b_", beam=1)
    ids = torch.tensor([BOS, 3, MASK, 4, MASK, BOS])[:, None]
    total = 0.0
    while (ids == MASK).any():
        logits, _ = model(ids, model.initial_carry(1))
        likely = torch.log_softmax(logits[:, 0], -1)
        likely[:, :3] = -torch.inf
        gaps = (ids[:, 0] == MASK).nonzero()[:, 0]
        gap = gaps[likely[gaps].amax(-1).argmax()]
        ids[gap] = likely[gap].argmax()
        total -= float(likely[gap].max().detach())
    assert found.text == TOKENIZER.decode(ids[:, 0].numpy())
    assert found.bits == pytest.approx(total / np.log(2))


def test_a_wider_beam_never_finds_a_worse_filling_of_two_gaps():
    best = [fill(sharp(CLOZE), "a_b_", beam=beam)[0].bits for beam in (1, 4, 16)]
    assert best == sorted(best, reverse=True)


@pytest.mark.parametrize("config", [CLOZE, ModelConfig(hidden=12)])
def test_draws_repeat_with_their_seed_and_differ_with_another(config):
    model = sharp(config)
    draws = [
        [f.text for f in fill(model, "a____", temperature=2.0, num_samples=5, seed=seed)]
        for seed in (1, 1, 2)
    ]
    assert draws[0] == draws[1] != draws[2]
    assert len(set(draws[0])) > 1


@pytest.mark.parametrize("config", [CLOZE, ModelConfig(hidden=12)])
def test_extreme_temperatures_and_seeds_draw_the_best_or_any(config):
    model = sharp(config)
    (best,) = fill(model, "a_b")
    cold = fill(model, "a_b", temperature=1e-300, num_samples=3, seed=10**30)
    hot = fill(model, "a_b", temperature=1e300, num_samples=40)
    assert {found.text for found in cold} == {best.text}
    assert {found.filled for found in hot} == {("a",), ("b",), ("c",), ("d",)}


@pytest.mark.parametrize("config", [CLOZE, ModelConfig(hidden=12)])
def test_everything_but_the_gaps_stays_and_no_special_token_fills_one(config):
    model = sharp(config)
    with torch.no_grad():
        model.output.bias[:3] += 20
    for found in fill(model, "a_龙_", num_samples=4):
        assert (found.text[0], found.text[2], len(found.text)) == ("a", "龙", 4)
        assert set(found.filled) <= set("abcd")


@pytest.mark.parametrize(
    ("text", "settings", "said"),
    [
        ("abc", {}, "no gap"),
        ("", {}, "no gap"),
        ("a_", {"beam": 0}, "--beam 0"),
        ("a_", {"num_samples": 0}, "--num-samples 0"),
        ("a_", {"temperature": 0.0}, "--temperature"),
        ("a_", {"temperature": float("inf")}, "--temperature inf"),
        ("a_", {"seed": -1}, "--seed -1"),
        ("a_", {"gap": "__"}, "--gap"),
    ],
)
def test_impossible_wishes_are_told(text, settings, said):
    with pytest.raises(OptionError, match=said):
        fill(sharp(CLOZE), text, **settings)


def test_a_model_that_reads_its_own_answer_is_refused(backwards_run):
    with pytest.raises(UnsupportedError, match="--objective cloze"):
        rondeau.load(backwards_run).infill("猫＿了")


def test_a_trained_cloze_restores_what_the_text_always_has(cloze_run):
    (found,) = rondeau.load(cloze_run).infill("猫白大＿了\n大白猫走了")
    assert found.text == "猫白大来了\n大白猫走了"
    with pytest.raises(UnsupportedError, match="use infill"):
        rondeau.load(cloze_run).generate("猫")
