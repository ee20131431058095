"""Scores, gaps, copies and models: the library's answers, told."""

import pytest

import rondeau


def test_a_score_is_the_librarys(served, api):
    model, _ = served
    found = api.post("/v1/score", json={"text": "猫白龙"}).json()
    score = model.score("猫白龙")
    assert found["bits"] == score.bits
    assert found["bits_per_character"] == score.bits / 3
    assert found["bits_per_byte"] == score.bits / 9
    assert found["unknown"] == ["龙"]
    assert [c["character"] for c in found["characters"]] == ["猫", "白", "龙", ""]
    mine = [(a["character"], a["probability"]) for a in found["characters"][0]["alternatives"]]
    assert tuple(mine) == score.characters[0].alternatives


def test_gaps_are_filled_as_the_library_does(served, api):
    model, _ = served
    found = api.post("/v1/infill", json={"text": "猫_来了", "gap": "_", "num_samples": 2}).json()
    wanted = model.infill("猫_来了", gap="_", num_samples=2)
    assert [f["text"] for f in found["fillings"]] == [w.text for w in wanted]
    assert [f["bits"] for f in found["fillings"]] == [w.bits for w in wanted]
    assert api.post("/v1/infill", json={"text": "猫"}).json()["fillings"] == []
    answer = api.post("/v1/infill", json={"text": "＿" * 51})
    assert answer.status_code == 400


def test_copies_are_marked_where_the_run_has_its_index(served, api):
    model, _ = served
    model.novelty("猫")
    text = model.corpus().train[0]
    found = api.post("/v1/novelty", json={"text": text}).json()
    wanted = model.novelty(text)
    assert found["copied_share"] == wanted.copied_share
    assert [s["document"] for s in found["spans"]] == [s.document for s in wanted.spans]


def test_a_model_tells_what_it_is_and_no_path(served, api, run):
    model, _ = served
    (listed,) = api.get("/v1/models").json()["data"]
    assert listed == api.get("/v1/models/run").json()
    info = model.info()
    assert listed["vocabulary"] == len(model.tokenizer)
    assert listed["held_out"] == info["held_out"]
    assert {"completions", "sessions", "score", "infill"} <= set(listed["capabilities"])
    assert str(run.parent) not in str(listed)


def test_the_report_is_served_with_a_policy_of_its_own(served, api, run):
    (listed,) = api.get("/v1/models").json()["data"]
    answer = api.get(listed["report"])
    assert answer.content == (run / "report.html").read_bytes()
    assert "script-src" not in answer.headers["content-security-policy"]
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert api.get("/v1/models/gpt/report").status_code == 404


def test_metrics_count_what_was_asked_and_written(api):
    api.post("/v1/completions", json={"prompt": "猫", "max_tokens": 3})
    api.post("/v1/completions", json={"prompt": "猫", "suffix": "了"})
    text = api.get("/metrics").text
    for name in (
        'rondeau_requests_total{route="/v1/completions",status="200"}',
        'rondeau_requests_total{route="/v1/completions",status="400"}',
        "rondeau_generated_characters_total",
        "rondeau_first_character_seconds_count",
        "rondeau_streams_running 0.0",
        "rondeau_streams_queued 0.0",
        "rondeau_sessions ",
        "rondeau_memory_bytes",
    ):
        assert name in text
    assert api.get("/health").json()["status"] == "ok"


def test_two_runs_are_told_apart_by_name(run, cloze_run):
    from rondeau.errors import OptionError
    from rondeau.server.app import Application

    models = [rondeau.load(path) for path in (run, cloze_run)]
    found = Application(models).context.models
    assert list(found.by_name) == ["run", "cloze"]
    assert found.get(None).name == "run"
    with pytest.raises(OptionError, match="two runs are named run"):
        Application([models[0], models[0]])
