"""Generation: seeded, streamed, stopped, and never an unknown character."""

import pytest
import torch

import rondeau
from rondeau.errors import OptionError, UnsupportedError


@pytest.fixture(scope="module")
def model(run):
    return rondeau.load(run)


def test_the_same_seed_gives_the_same_text_and_another_one_another(model):
    first, same, other = (model.generate("猫", length=30, seed=s)[0].text for s in (1, 1, 2))
    assert first == same != other


def test_a_sample_does_not_depend_on_its_neighbours(model):
    alone = model.generate("猫", length=30, seed=1)
    among = model.generate("猫", length=30, seed=1, num_samples=7)
    assert among[0] == alone[0]
    assert len({sample.text for sample in among}) > 1


def test_a_stream_gives_the_pieces_of_the_text(model):
    pieces = list(model.stream("猫", length=30, seed=1))
    assert (
        "".join(piece.text for piece in pieces) == model.generate("猫", length=30, seed=1)[0].text
    )
    assert [bool(piece.finish_reason) for piece in pieces] == [False] * (len(pieces) - 1) + [True]


def test_greedy_text_is_the_arg_max_at_every_step(model):
    greedy = rondeau.DecodingConfig(greedy=True)
    text = model.generate("猫", length=8, decoding=greedy)[0].text
    ids = torch.tensor([1, *model.tokenizer.encode("猫" + text).tolist()])[:, None]
    logits, _ = model.model(ids, model.model.initial_carry(1))
    best = logits[:, 0].clone()
    best[:, [0, 2]] = -torch.inf
    assert model.tokenizer.decode(best.argmax(-1)[1:-1].tolist()) == text[: len(ids) - 2]


def test_a_text_ends_by_length_by_a_stop_text_or_with_its_document(model):
    assert model.generate("猫", length=1, seed=0)[0].finish_reason == "length"
    reasons = {s.finish_reason for s in model.generate("", length=400, seed=0, num_samples=20)}
    assert "end" in reasons
    samples = model.generate("", length=400, seed=0, num_samples=20, stop="了")
    stopped = [s.text for s in samples if s.finish_reason == "stop"]
    assert stopped
    assert all(text.index("了") == len(text) - 1 for text in stopped)


def test_unknown_characters_are_read_but_never_written(model):
    assert model.unknown("龙猫") == ["龙"]
    for sample in model.generate("龙龙", length=60, seed=0, num_samples=10):
        assert set(sample.text) <= set(model.tokenizer.characters)


def test_a_bidirectional_model_refuses_to_generate(backwards_run):
    with pytest.raises(UnsupportedError, match="bidirectional"):
        rondeau.load(backwards_run).generate("猫")
    with pytest.raises(UnsupportedError, match="bidirectional"):
        rondeau.load(backwards_run).score("猫")


@pytest.mark.parametrize(
    ("settings", "option"),
    [({"length": 0}, "--length"), ({"num_samples": 0}, "--num-samples"), ({"stop": ""}, "--stop")],
)
def test_impossible_numbers_are_refused_by_name(model, settings, option):
    with pytest.raises(OptionError, match=option):
        model.generate("猫", **settings)
