"""Baselines beside a brute force over the same documents, and what a large corpus leaves out."""

import json
import lzma
import math
from collections import Counter

import numpy as np
import pytest

from rondeau.config import TextConfig
from rondeau.errors import CorpusError, RunError
from rondeau.evaluation import baselines as module
from rondeau.evaluation.baselines import Baselines, baselines, best_ngram
from rondeau.text.corpus import split_corpus
from rondeau.text.documents import documents_of
from rondeau.text.tokenizer import ASSIGNED_CODE_POINTS, CharTokenizer

MODELS = ["uniform", "1-gram", "2-gram", "3-gram", "4-gram", "5-gram", "6-gram", "xz"]
RHYMES = [f"{a}{b}{a}来了\n{b}{a}{b}走了" for a in "猫狗鸟鱼" for b in "白黑红绿"]


HELD_OUT, TRAINED = RHYMES[::5], [r for i, r in enumerate(RHYMES) if i % 5]
"""Every character of what is held out stands often in the rest."""


def measured(trained, held_out, *, whole=True):
    """Evaluations of one held-out text by their model."""
    tokenizer = CharTokenizer.train(trained)
    splits = {"test": documents_of(held_out, tokenizer)}
    result = baselines(documents_of(trained, tokenizer), splits, tokenizer, whole=whole)
    return {evaluation.model: evaluation for evaluation in result.splits["test"]}


def brute_force_bits(trained, held_out, *, order, vocabulary, end):
    """The bits of all characters (and ends) by counting substrings, nothing else."""

    def p(context, character):
        shorter = p(context[1:], character) if context else 1 / vocabulary
        followers = Counter(
            text[i]
            for text in trained
            for i in range(1, len(text))
            if text[max(0, i - len(context)) : i] == context
        )
        if not followers:
            return shorter
        share = followers[character] + len(followers) * shorter
        return share / (followers.total() + len(followers))

    trained = [f"<{text}{end}" for text in trained]
    held_out = [f"<{text}{end}" for text in held_out]
    return -sum(
        math.log2(p(text[max(0, i - order + 1) : i], text[i]))
        for text in held_out
        for i in range(1, len(text))
    )


@pytest.mark.parametrize("whole", [True, False])
def test_ngrams_cost_what_counting_substrings_gives(whole):
    found = measured(TRAINED, HELD_OUT, whole=whole)
    assert list(found) == MODELS
    for order in (1, 2, 3, 6):
        evaluation = found[f"{order}-gram"]
        bits = brute_force_bits(
            TRAINED,
            HELD_OUT,
            order=order,
            vocabulary=len(set("".join(RHYMES))) + 3,
            end="<" if whole else "",
        )
        assert evaluation.bits == evaluation.known_bits == pytest.approx(bits)
        assert evaluation.targets == sum(len(text) + whole for text in HELD_OUT)


def test_guessing_costs_the_logarithm_of_the_vocabulary():
    uniform = measured(["abcab", "abc"], ["ab", "c"])["uniform"]
    assert uniform.perplexity == pytest.approx(6)  # <unk> <bos> <mask> a b c
    assert (uniform.targets, uniform.characters, uniform.utf8_bytes) == (5, 3, 3)


def test_an_unknown_character_costs_its_unk_and_the_telling_which():
    # Seen: a a and the end, in V = 4 of <unk> <bos> <mask> a: P(<unk>) = (0 + 2/4) / (3 + 2).
    found = measured(["aa"], ["龙a"])
    which = math.log2(ASSIGNED_CODE_POINTS - 1)
    known = -math.log2((2 + 2 / 4) / 5) - math.log2((1 + 2 / 4) / 5)
    unigram = found["1-gram"]
    assert unigram.unknown == 1
    assert unigram.known_bits == pytest.approx(known)
    assert unigram.bits == pytest.approx(known + math.log2(10) + which)
    assert found["uniform"].bits == pytest.approx(3 * 2 + which)


def test_characters_seen_once_are_read_as_unknown_half_of_the_time():
    rare = "".join(chr(0x4E00 + i) for i in range(1000))
    unigram = measured([rare + "aa"], ["龙"], whole=False)["1-gram"]
    which = math.log2(ASSIGNED_CODE_POINTS - 1001)
    assert 2 ** -(unigram.bits - which) == pytest.approx(1 / 3, rel=0.1)
    assert unigram == measured([rare + "aa"], ["龙"], whole=False)["1-gram"]


def test_a_long_ngram_knows_the_text_that_it_has_counted():
    rng = np.random.default_rng(0)
    text = "".join(rng.choice(list("abcdefgh"), 500))
    found = measured([text], [text], whole=False)
    assert found["6-gram"].perplexity < 2 < found["2-gram"].perplexity
    assert best_ngram(found.values()) == found["6-gram"]
    assert found["xz"].bits_per_character < 0.2


def test_xz_pays_for_the_held_out_text_alone():
    rng = np.random.default_rng(0)
    noise = "".join(rng.choice(list("abcdefgh"), 20_000))
    xz = measured(["a" * 50_000], [noise], whole=False)["xz"]
    best = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME}]
    alone = 8 * len(lzma.compress(noise.encode(), lzma.FORMAT_RAW, filters=best))
    assert xz.bits == pytest.approx(alone, rel=0.02)
    assert 3 <= xz.bits_per_character < 3.5


def test_a_compressor_has_no_perplexity():
    found = measured(TRAINED, HELD_OUT)
    assert set(found["xz"].as_dict()) == {
        "split", "model", "targets", "bits_per_character", "bits_per_byte", "unknown_share",
    }  # fmt: skip
    assert found["2-gram"].as_dict()["perplexity"] == found["2-gram"].perplexity


def test_every_split_of_a_corpus_is_measured_as_models_are():
    corpus = split_corpus(RHYMES, TextConfig())
    result = baselines(corpus.train, corpus.parts, corpus.tokenizer, whole=True)
    for name, evaluations in result.splits.items():
        assert [(e.split, e.model) for e in evaluations] == [(name, model) for model in MODELS]
        assert {e.characters for e in evaluations} == {corpus.parts[name].characters}
        assert {e.utf8_bytes for e in evaluations} == {corpus.parts[name].utf8_bytes}
    assert result.notes == ()


def test_baselines_come_back_from_json_as_they_were():
    corpus = split_corpus(RHYMES, TextConfig())
    result = baselines(corpus.train, corpus.parts, corpus.tokenizer, whole=True)
    assert Baselines.from_dict(json.loads(json.dumps(result.as_dict())), "file") == result


def test_of_a_large_corpus_the_end_is_taken_and_that_is_said(monkeypatch):
    monkeypatch.setattr(module, "LEARNED", 15)
    monkeypatch.setattr(module, "MEASURED", 4)
    monkeypatch.setattr(module, "COMPRESSED", 10)
    tokenizer = CharTokenizer("abcdef")
    train = documents_of(["ffffffffff", "abcabcabc", "ab"], tokenizer)
    result = baselines(
        train, {"test": documents_of(["dddd", "abcabc"], tokenizer)}, tokenizer, whole=True
    )
    cut = baselines(
        documents_of(["ffff", "abcabcabc", "ab"], tokenizer),
        {"test": documents_of(["cabc"], tokenizer)},
        tokenizer,
        whole=True,
    )
    assert result.splits == cut.splits
    assert result.notes == (
        "the baselines learned from the last 15 of 21 characters of the training split",
        "xz learned from the last 10 bytes of the training split",
        "the baselines are measured on the last 4 of 10 characters of the test split",
    )


def test_a_split_without_text_is_refused():
    corpus = split_corpus(RHYMES, TextConfig(split="none"))
    with pytest.raises(CorpusError, match="test: has no text to evaluate"):
        baselines(corpus.train, {"test": corpus.test}, corpus.tokenizer, whole=False)


@pytest.mark.parametrize(
    "change",
    [
        {"model": "8-gram"},
        {"leak": 1.0},
        {"bits": -1e308},
        {"known_bits": 1e300},
        {"targets": 1},
        {"characters": 0},
        {"unknown": 10**9},
    ],
    ids=str,
)
def test_figures_that_cannot_have_been_measured_are_refused(change):
    corpus = split_corpus(RHYMES, TextConfig())
    found = baselines(corpus.train, corpus.parts, corpus.tokenizer, whole=True)
    measured = json.loads(json.dumps(found.as_dict()))
    first, *rows = measured["splits"]["validation"]
    measured["splits"]["validation"] = [first | change, *rows]
    with pytest.raises(RunError, match=r"kept\.json: doesn't hold baselines"):
        Baselines.from_dict(measured, "kept.json")
