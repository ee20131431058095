"""How a run's model writes where nothing is said: as its own file has it."""

import json
import shutil

import pytest

import rondeau
from rondeau.config import AskedDecoding, DecodingConfig
from rondeau.errors import RunError
from rondeau.report.data import gather
from rondeau.report.page import page
from rondeau.run.decoding import DECODING, decoding_to_bytes, read_decoding
from rondeau.run.folder import RunFolder, to_json


@pytest.fixture
def own(run, tmp_path):
    return shutil.copytree(run, tmp_path / "own")


def say(run, **settings):
    RunFolder(run).change({DECODING: decoding_to_bytes(DecodingConfig(**settings))})
    return rondeau.load(run)


def test_a_new_run_says_the_defaults(run):
    assert read_decoding(RunFolder(run)) == DecodingConfig()


def test_a_model_writes_as_its_run_says_unless_told_otherwise(own):
    model = say(own, greedy=True)
    greedy = model.generate("猫", length=9, decoding=DecodingConfig(greedy=True))
    assert (
        model.generate("猫", length=9, seed=1) == model.generate("猫", length=9, seed=2) == greedy
    )
    bold = DecodingConfig(temperature=5.0)
    texts = {model.generate("猫", length=9, seed=seed, decoding=bold)[0].text for seed in range(5)}
    assert len(texts) > 1


def test_the_report_says_how_its_samples_were_drawn(own):
    assert "always the most probable character" in page(gather(say(own, greedy=True)))
    told = page(gather(say(own, temperature=0.5, top_k=7, top_p=0.9)))
    assert "at temperature 0.5, of the 7 most probable, of the first 90\u202f%;" in told


def test_what_a_user_says_takes_the_place_of_each_setting():
    run = DecodingConfig(temperature=0.5, top_k=7)
    assert AskedDecoding().over(run) == run
    asked = AskedDecoding(temperature=2.0, greedy=False, top_p=0.5)
    assert asked.over(run) == DecodingConfig(temperature=2.0, top_k=7, top_p=0.5)


def test_the_command_takes_flags_then_the_environment_then_the_run(own, rondeau, monkeypatch):
    say(own, greedy=True)
    same = [rondeau("generate", own, "--seed", str(seed))[1] for seed in (1, 2)]
    assert same[0] == same[1]
    monkeypatch.setenv("RONDEAU_GREEDY", "false")
    drawn = [rondeau("generate", own, "--seed", str(seed))[1] for seed in (1, 2)]
    assert drawn[0] != drawn[1]
    assert rondeau("generate", own, "--seed", "1", "--greedy")[1] == same[0]


@pytest.mark.parametrize(
    "change",
    [{"temperature": 0}, {"temperature": None}, {"top_k": 10**30}, {"top_p": "1"}, {"beam": 3}],
    ids=str,
)
def test_impossible_settings_are_refused_by_the_name_of_the_file(own, change):
    values = json.loads((own / DECODING).read_bytes()) | change
    RunFolder(own).change({DECODING: to_json(values)})
    model = rondeau.load(own)
    with pytest.raises(RunError, match=r"generation_config\.json: has impossible settings"):
        model.generate("猫")
