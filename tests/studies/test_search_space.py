"""What may be searched, as people write it, and what is refused."""

import pytest

from rondeau.config import TrainConfig
from rondeau.errors import OptionError
from rondeau.studies.search_space import (
    FIXED,
    Choices,
    Span,
    check_space,
    default_space,
    largest,
    parse_space,
)


def test_spans_and_choices_are_of_the_types_of_their_settings():
    space = parse_space(
        ["lr=0.001..0.02", "--seq-len=32,64", "layers=1..3", "dropout=0..0.5", "cell=gru,lstm",
         "tie_weights=true,false", "hidden=64..512", "weight-decay=1e-4..1"]
    )  # fmt: skip
    assert space == {
        "lr": Span(0.001, 0.02, whole=False, log=True),
        "seq_len": Choices((32, 64)),
        "layers": Span(1, 3, whole=True, log=False),
        "dropout": Span(0.0, 0.5, whole=False, log=False),
        "cell": Choices(("gru", "lstm")),
        "tie_weights": Choices((True, False)),
        "hidden": Span(64, 512, whole=True, log=True),
        "weight_decay": Span(0.0001, 1.0, whole=False, log=True),
    }


def test_these_settings_may_be_searched_and_a_new_one_is_one_or_the_other():
    assert set(TrainConfig.field_names()) - FIXED.keys() == {
        "cell", "activation", "reset", "forget_bias", "hidden", "layers", "embedding",
        "tie_weights", "dropout", "dropout_input", "batch", "seq_len", "sampling", "optimizer",
        "lr", "schedule", "warmup", "weight_decay", "clip",
    }  # fmt: skip


def test_a_space_written_out_is_read_as_the_same():
    space = default_space(TrainConfig(lr=0.006)) | parse_space(["cell=gru,rnn"])
    assert parse_space([f"{name}={range_}" for name, range_ in space.items()]) == space


@pytest.mark.parametrize(
    ("searched", "part"),
    [
        (["hiden=1,2"], "hiden: did you mean hidden?"),
        (["lr"], "leaves nothing to search"),
        (["lr=0.004"], "leaves nothing to search; give a span, lr=LOW..HIGH"),
        (["lr=0.02..0.001"], "the span is empty"),
        (["lr=0.02..0.02"], "the span is empty"),
        (["lr=0..0.1"], "begins above 0"),
        (["lr=a..b"], "a is not a number"),
        (["lr=nan..1"], "nan is not a number"),
        (["layers=1..2.5"], "2.5 is not a whole number"),
        (["cell=gru..lstm"], "cell is no number; give choices, cell=A,B"),
        (["cell=gru,gpt"], "gpt is none of rnn, gru, lstm"),
        (["tie_weights=yes,no"], "neither true nor false"),
        (["hidden=8,8"], "names a value twice"),
        (["hidden=8,9", "hidden=1..2"], "hidden is named twice"),
        (["seed=0..9"], "decides what is held out"),
        (["split=document,tail"], "--split"),
        (["steps=10..20"], "is the same for all trials"),
        (["minutes=1..2"], "is the same for all trials"),
        (["objective=next,cloze"], "what the held-out loss measures"),
        (["threads=1,2"], "changes nothing that is learned"),
    ],
)
def test_mistakes_name_what_was_given_and_the_remedy(searched, part):
    with pytest.raises(OptionError) as caught:
        parse_space(searched)
    assert str(caught.value).startswith(f"--search {searched[-1]}")
    assert part in str(caught.value)


def test_ends_that_make_no_training_are_refused_by_their_range():
    for searched, part in (
        (["dropout=0..1"], "--search dropout=0..1: --dropout 1.0: must be at least 0 and below 1"),
        (["hidden=0,8"], "--search hidden=0,8: --hidden 0"),
        (["tie_weights=true,false"], "--tie-weights: needs --embedding"),
    ):
        with pytest.raises(OptionError, match=part):
            check_space(parse_space(searched), TrainConfig())
    check_space(parse_space(["tie_weights=true,false", "embedding=8,16"]), TrainConfig())


def test_a_place_in_a_span_is_by_its_logarithm_where_doubling_counts():
    (lr,) = parse_space(["lr=0.001..0.1"]).values()
    (dropout,) = parse_space(["dropout=0..0.5"]).values()
    assert lr.share(0.01) == pytest.approx(0.5)
    assert dropout.share(0.1) == pytest.approx(0.2)


def test_the_largest_trial_has_the_largest_sizes():
    config = largest(parse_space(["hidden=8,64,16", "lr=0.1..1", "batch=1..9"]), TrainConfig())
    assert (config.hidden, config.batch, config.lr) == (64, 9, None)
