"""What is left open is chosen by the size of the text, said, and recorded; a wish is kept."""

import pytest

import rondeau
from rondeau.config import TrainConfig
from rondeau.errors import OptionError
from rondeau.training.defaults import SIZES, fill_defaults


def test_more_text_gets_more_layers_and_less_dropout():
    filled = [fill_defaults(TrainConfig(), n)[0] for n in (1_000, 1_000_000, 10**9)]
    shares, depths = [config.dropout for config in filled], [config.layers for config in filled]
    assert shares == sorted(shares, reverse=True)
    assert depths == sorted(depths)
    assert SIZES[-1][0] == float("inf")


def test_what_the_user_wants_is_kept_and_not_said():
    wanted = TrainConfig(layers=3, dropout=0.0, bidirectional=False)
    assert fill_defaults(wanted, 1_000) == (wanted, None)
    filled, said = fill_defaults(TrainConfig(dropout=0.0), 1_000)
    assert (filled.dropout, filled.layers) == (0.0, 1)
    assert "--layers 1" in said
    assert "--dropout" not in said


def test_a_cloze_reads_in_both_directions_unless_told_otherwise_which_is_refused():
    assert fill_defaults(TrainConfig(objective="cloze"), 1_000)[0].bidirectional
    assert not fill_defaults(TrainConfig(), 1_000)[0].bidirectional
    with pytest.raises(OptionError, match="--objective cloze: reads in both directions"):
        TrainConfig(objective="cloze", bidirectional=False)


def test_a_run_records_what_was_chosen(rhymes, tmp_path):
    config = TrainConfig(hidden=4, steps=2, batch=4, seq_len=8, threads=1)
    training = rondeau.train(rhymes, config, out=tmp_path / "run")
    assert "--layers 1 --dropout 0.5" in " ".join(training.notes)
    assert (training.config.layers, training.config.dropout) == (1, 0.5)
    assert "layers = 1" in (tmp_path / "run" / "train_config.toml").read_text()
