"""The study of reach: runs of every cell, measured before and after, and told as they are."""

import json
import math

import numpy as np
import pytest
import torch

import rondeau
from conftest import RHYMES, SMALL
from rondeau.config import StudyConfig
from rondeau.errors import CorpusError, OptionError
from rondeau.evaluation.perplexity import Evaluation
from rondeau.inspection.jacobian import Spectrum
from rondeau.inspection.reach import Reach, ReachCurve, gradient_reach
from rondeau.network.model import Model
from rondeau.report.illustrated import to_html
from rondeau.studies import reach_page
from rondeau.studies.reach import CELLS, Measured, ReachStudy, StudiedCell, study

TINY = StudyConfig(**SMALL | {"hidden": 6, "steps": 4}, documents="blank-line")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("study")


@pytest.fixture(scope="module")
def found(folder, rhymes):
    return study([rhymes], TINY, out=folder / "out")


def test_every_cell_leaves_a_run_and_its_held_out_cost(found, folder):
    assert [cell.name for cell in found.cells] == list(CELLS)
    for cell in found.cells:
        model = rondeau.load(folder / "out" / cell.name)
        (cost,) = model.evaluate(splits=["validation"])
        assert cell.cost.bits == pytest.approx(cost.bits)
        assert cell.parameters == model.model.parameter_count
    shapes = [rondeau.load(folder / "out" / name).model.config for name in CELLS]
    assert [(s.cell, s.reset) for s in shapes] == [
        ("rnn", "after"), ("gru", "after"), ("gru", "before"), ("lstm", "after"),
    ]  # fmt: skip


def test_the_reach_is_that_of_the_run_and_of_the_model_before_its_first_step(found, folder):
    for cell in found.cells:
        model = rondeau.load(folder / "out" / cell.name)
        ids = np.array(model.corpus().validation.ring)
        ids[ids >= model.model.vocabulary] = 0
        torch.manual_seed(TINY.seed)
        fresh = Model(model.model.config, model.model.vocabulary)
        for measured, network in ((cell.trained, model.model), (cell.untrained, fresh)):
            reach = gradient_reach(network, ids, horizon=found.horizon)
            for a, b in zip(measured.reach.curves, reach.curves, strict=True):
                np.testing.assert_allclose(a.mean, b.mean, rtol=1e-6)


def test_the_page_shows_every_cell_and_the_numbers_are_json(found):
    html = to_html(reach_page.page(found))
    for cell in found.cells:
        assert cell.title in html
    numbers = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert [cell["cell"] for cell in numbers["cells"]] == list(CELLS)
    assert len(numbers["cells"][3]["trained"]["reach"]["curves"]) == 2


def made_up(horizon=20, **decays):
    """A study whose gradients shrink by a factor a step."""
    cells = []
    for name, decay in decays.items():
        mean = float(decay) ** np.arange(horizon + 1)
        curve = ReachCurve(1, "forward", "h", mean, mean, mean, mean)
        spectrum = Spectrum(1, "forward", np.full(3, decay), np.full(3, decay))
        measured = Measured(Reach((curve,), np.arange(5), horizon), (spectrum,))
        cost = Evaluation("validation", 100, 100, 100, 300 + 100 * decay, 0, 300)
        cells.append(StudiedCell(name.replace("_", "-"), "run", 9, 4, cost, measured, measured))
    return ReachStudy(tuple(cells), horizon, "made up")


def test_the_first_sentence_says_what_was_found_whatever_it_is():
    said = made_up(rnn_tanh=0.1, gru=0.5, lstm=0.9).sentences
    assert said[0] == (
        "On this text a plain RNN reaches less far than any cell with gates: counted in "
        "characters, the gradient of a plain RNN falls below 1% of its size after 3, the GRU's "
        "after 7 and the LSTM's not within 20."
    )
    assert said[1].startswith("On the validation split the RNN (tanh) needs the fewest bits")
    first = made_up(rnn_tanh=0.5, gru=0.9, lstm=0.3).sentences[0]
    assert first.startswith("On this text only the GRU reaches further than a plain RNN")
    first = made_up(rnn_tanh=0.9, gru=0.5, lstm=0.9).sentences[0]
    assert first.startswith("On this text a plain RNN reaches as far as the cells with gates")
    first = made_up(rnn_tanh=0.9, gru=0.5, lstm=0.4).sentences[0]
    assert first.startswith("On this text a plain RNN reaches further than any cell with gates")


def test_a_gradient_that_explodes_is_told():
    said = made_up(rnn_tanh=1.5, gru=0.5, lstm=0.5).sentences
    assert "The gradient of the RNN (tanh) explodes on its way back." in said
    assert math.isclose(made_up(rnn_tanh=1.5, gru=1.5).cells[0].trained.radius, 1.5)


@pytest.mark.parametrize(
    ("settings", "part"),
    [({"cell": "lstm"}, "--cell"), ({"forget_bias": 1.0}, "--forget-bias"),
     ({"bidirectional": True}, "--bidirectional")],
)  # fmt: skip
def test_what_a_study_decides_itself_is_refused(settings, part, tmp_path, rhymes):
    with pytest.raises(OptionError, match=part):
        study([rhymes], StudyConfig(**settings), out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_held_out_text_of_a_few_characters_is_refused(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("".join(RHYMES) * 2)
    config = StudyConfig(**SMALL | {"hidden": 4}, steps=2, split="tail", held_out=2)
    with pytest.raises(CorpusError, match="too short to look back"):
        study([path], config, out=tmp_path / "out")
