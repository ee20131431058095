"""Scores: alternatives by brute force, lines beside one another."""

import pytest
import torch

import rondeau
from rondeau.config import ModelConfig
from rondeau.errors import CorpusError, UnsupportedError
from rondeau.evaluation.scoring import ALTERNATIVES, score_lines, score_text
from rondeau.network.model import Model
from rondeau.text.tokenizer import BOS, CharTokenizer

TOKENIZER = CharTokenizer("abcdef\n")


@pytest.fixture
def model():
    torch.manual_seed(0)
    return Model(ModelConfig(hidden=9), len(TOKENIZER)).double()


@pytest.mark.parametrize("whole", [True, False])
def test_alternatives_are_the_most_probable_characters_at_each_place(model, whole):
    text = "abc龙a"
    score = score_text(model, TOKENIZER, text, whole=whole)
    ids = [BOS, *TOKENIZER.encode(text)]
    logits, _ = model(torch.tensor(ids)[:, None], model.initial_carry(1))
    found = torch.softmax(logits[:, 0], -1).detach()
    assert [c.character for c in score.characters] == [*text, *([""] if whole else [])]
    for row, scored in zip(found, score.characters, strict=False):
        names = {"": float(row[BOS])} if whole else {}
        names |= {c: float(row[TOKENIZER.encode(c)[0]]) for c in TOKENIZER.characters}
        best = sorted(names.items(), key=lambda item: -item[1])[:ALTERNATIVES]
        assert [c for c, _ in scored.alternatives] == [c for c, _ in best]
        assert [p for _, p in scored.alternatives] == pytest.approx([p for _, p in best])


def test_a_line_costs_what_it_costs_alone_and_blank_ones_keep_their_numbers(model):
    lines = ["abc", "", "  ", "龙龙", "abcabc"]
    scored = score_lines(model, TOKENIZER, lines, whole=True)
    assert [line.number for line in scored] == [1, 4, 5]
    for line in scored:
        alone = score_text(model, TOKENIZER, line.text, whole=True).bits
        assert line.bits == pytest.approx(alone)
        assert line.bits_per_character == pytest.approx(alone / len(line.text))


def test_the_line_unlike_the_others_is_odd(model):
    lines = ["abcdef", "bcdefa", "cdefab", "defabc", "efabcd", "龙龙龙龙龙龙"]
    scored = score_lines(model, TOKENIZER, lines, whole=True)
    assert [line.odd for line in scored] == [False] * 5 + [True]


def test_nothing_to_score_and_nothing_that_can_are_told(run, backwards_run):
    with pytest.raises(CorpusError, match="all blank"):
        rondeau.load(run).score_lines(["", " "])
    with pytest.raises(UnsupportedError, match="reads its own answer"):
        rondeau.load(backwards_run).score_lines(["猫"])
