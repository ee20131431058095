"""Memory tasks: what is asked, what counts as learned, and that gates remember longer."""

import json

import pytest
import torch

from rondeau.config import ModelConfig
from rondeau.errors import OptionError
from rondeau.report.illustrated import to_html
from rondeau.studies import memory_page
from rondeau.studies.memory import (
    BLANK,
    CELLS,
    MARK,
    MemoryConfig,
    MemoryStudy,
    Trial,
    draw,
    trials,
    try_lag,
)
from rondeau.studies.variants import VARIANTS

LITTLE = MemoryConfig(hidden=4, steps=1, batch=2)


def drawn(task, lag, batch=200):
    return draw(task, lag, batch, torch.Generator().manual_seed(0))


@pytest.mark.parametrize("lag", [5, 20])
def test_copied_symbols_are_asked_for_a_lag_after_each_was_shown(lag):
    inputs, targets = drawn("copy", lag)
    assert inputs.shape == (lag + 4, 200)
    for i in range(4):  # the answers belong to the last four steps
        step_of_answer = len(inputs) - 4 + i
        assert torch.equal(targets[i], inputs[step_of_answer - lag])
    assert (inputs[:4] < 8).all()
    assert (inputs[lag] == MARK).all()
    assert all((inputs[t] == BLANK).all() for t in range(4, lag + 4) if t != lag)


def test_one_symbol_is_recalled_after_others_that_are_never_asked_for():
    inputs, targets = drawn("recall", 10)
    assert inputs.shape == (11, 200)
    assert torch.equal(targets[0], inputs[0])
    assert (inputs[10] == MARK).all()
    assert set(inputs[0].tolist()) == set(range(8))
    assert set(inputs[1:10].unique().tolist()) == set(range(10, 18))


def test_the_sum_is_of_one_number_of_each_half_and_answering_one_has_a_sixth():
    inputs, targets = drawn("add", 11, 20_000)
    values, marks = inputs.unbind(-1)
    assert (marks[:5].sum(0) == 1).all()
    assert (marks[5:].sum(0) == 1).all()
    torch.testing.assert_close(targets[0], (values * marks).sum(0))
    assert float(((targets - 1) ** 2).mean()) == pytest.approx(1 / 6, rel=0.03)


def test_a_short_lag_is_learned_and_the_same_again():
    config = MemoryConfig(hidden=16, steps=400)
    first, again = (try_lag("recall", "gru", 5, config) for _ in range(2))
    assert first.learned
    assert first.score >= 0.99
    assert first.steps < 400
    assert (again.steps, again.score) == (first.steps, first.score)


def test_a_gated_cell_adds_over_a_lag_at_which_a_plain_one_fails():
    config = MemoryConfig(steps=400, lr=3e-3)
    assert try_lag("add", "gru", 20, config).learned
    plain = try_lag("add", "rnn-tanh", 20, config)
    assert not plain.learned
    assert plain.score > 0.1


def test_a_cell_is_given_up_after_two_failures_in_a_row():
    assert [(t.cell, t.lag) for t in trials("copy", LITTLE)] == [
        (cell, lag) for cell in CELLS for lag in (5, 10)
    ]
    shorter = MemoryConfig(hidden=4, steps=1, batch=2, longest=9)
    assert [t.lag for t in trials("copy", shorter)] == [5] * len(CELLS)


def study(**longest):
    found = [
        Trial(cell, lag, lag <= longest[cell], 9, 1.0 if lag <= longest[cell] else 0.1, 0.1)
        for cell in longest
        for lag in (5, 10, 20)
    ]
    return MemoryStudy("copy", MemoryConfig(), tuple(found))


def named(plain, gru, lstm):
    return study(**{"rnn-tanh": plain, "gru": gru, "lstm": lstm})


def test_the_first_sentence_says_what_was_found_whatever_it_is():
    (said,) = named(5, 20, 10).sentences
    assert said.startswith("Every cell with gates remembers longer than any plain RNN: ")
    assert "the RNN (tanh) 5, the GRU 20 and the LSTM 10" in said
    assert (
        named(10, 20, 10).sentences[0].startswith("Of the cells with gates only the GRU remembers")
    )
    assert named(20, 10, 0).sentences[0].startswith("Here no cell with gates remembers longer")
    assert "the LSTM no lag" in named(20, 10, 0).sentences[0]


def test_a_lag_that_is_learned_after_a_failure_does_not_count():
    learned = {5: True, 10: False, 20: True}
    found = tuple(Trial("gru", lag, well, 9, 0.5, 0.1) for lag, well in learned.items())
    assert MemoryStudy("copy", MemoryConfig(), found).longest("gru") == 5


def test_a_cell_that_learned_the_longest_lag_tried_may_go_further():
    found = MemoryStudy("copy", MemoryConfig(longest=20), named(5, 20, 10).trials)
    assert "the GRU 20 or more and the LSTM 10" in found.sentences[0]
    assert [row[1] for row in memory_page.table(found)[1]] == ["5", "≥ 20", "10"]


def test_the_page_and_the_numbers_tell_the_same():
    found = named(5, 20, 0)
    html = to_html(memory_page.page(found))
    assert "remembers longer" in html or "remember longer" in html
    headings, rows = memory_page.table(found)
    assert headings[1:3] == ["longest lag learned", "lag 5"]
    assert rows[2] == ["LSTM", "–", "10.0%", "10.0%", "10.0%"]
    numbers = json.loads(json.dumps(found.as_dict()))
    assert numbers["longest_lag"] == {"rnn-tanh": 5, "gru": 20, "lstm": 0}
    assert len(numbers["trials"]) == 9


def test_every_variant_is_a_model_of_its_own():
    shapes = {ModelConfig(**variant.settings) for variant in VARIANTS.values()}
    assert len(shapes) == len(VARIANTS)
    assert len({variant.colour for variant in VARIANTS.values()}) == len(VARIANTS)


@pytest.mark.parametrize(
    ("settings", "part"),
    [({"steps": 0}, "--steps 0"), ({"lr": 0.0}, "--lr 0.0"), ({"longest": 4}, "--longest 4")],
)
def test_impossible_budgets_are_refused(settings, part):
    with pytest.raises(OptionError, match=part):
        MemoryConfig(**settings)
