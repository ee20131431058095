"""Sessions: a state that is continued, forked and gone back with."""

import math

import pytest
from test_completions import events

import rondeau
from conftest import listening


def begin(api, text="", **fields):
    answer = api.post("/v1/sessions", json={"text": text, **fields})
    assert answer.status_code == 200, answer.text
    return answer.json()


def go_on(api, session, **fields):
    answer = api.post(f"/v1/sessions/{session['id']}/continue", json=fields)
    assert answer.status_code == 200, answer.text
    return answer.json()


def look(api, session):
    return api.get(f"/v1/sessions/{session['id']}").json()


ENDLESS = {"logit_bias": {"1": -100}}


def test_a_session_goes_on_as_generate_does(served, api):
    model, _ = served
    session = begin(api, "猫白")
    found = go_on(api, session, length=30, seed=4, temperature=0.8)
    (sample,) = model.generate("猫白", length=30, seed=4)
    assert found["text"] == sample.text
    assert look(api, session)["text"] == "猫白" + sample.text
    assert found["finish_reason"] == sample.finish_reason


def test_a_text_in_pieces_is_the_text_at_once(api):
    whole, pieces = begin(api, "猫白大来了"), begin(api)
    for piece in ("猫", "白大", "来了"):
        go_on(api, pieces, text=piece)
    assert look(api, pieces)["text"] == "猫白大来了"
    texts = [go_on(api, s, length=40, seed=1)["text"] for s in (whole, pieces)]
    assert texts[0] == texts[1]


def test_the_bits_of_a_session_are_those_of_score(served, api):
    model, _ = served
    session = begin(api)
    told = go_on(api, session, text="猫白龙来了", alternatives=4)["characters"]
    scored = model.score("猫白龙来了").characters
    for mine, theirs in zip(told, scored[:5], strict=True):
        assert mine["character"] == theirs.character
        assert mine["bits"] == pytest.approx(theirs.bits, abs=1e-4)
        mine = [(a["character"], a["probability"]) for a in mine["alternatives"]]
        assert mine[0] == (
            theirs.alternatives[0][0],
            pytest.approx(theirs.alternatives[0][1], 1e-4),
        )


def test_what_is_written_is_told_as_what_is_read(api):
    session, again = begin(api, "猫"), begin(api, "猫")
    written = go_on(api, session, length=25, seed=3, alternatives=2, state=True, **ENDLESS)
    read = go_on(api, again, text=written["text"], alternatives=2, state=True)
    assert len(written["characters"]) == 25
    for mine, theirs in zip(written["characters"], read["characters"], strict=True):
        assert mine["bits"] == pytest.approx(theirs["bits"], abs=1e-4)
        assert mine["alternatives"][0]["character"] == theirs["alternatives"][0]["character"]
        assert mine["state"]["gates"].keys() == {"r", "z", "n"}
        assert mine["state"]["hidden"] == theirs["state"]["hidden"]
        assert all(0 <= level <= 255 for level in mine["state"]["hidden"])


def test_a_stream_tells_the_same_in_parts(api):
    fields = {"text": "白", "length": 50, "seed": 3, "alternatives": 1, **ENDLESS}
    whole = go_on(api, begin(api, "猫"), **fields)
    session = begin(api, "猫")
    parts = events(api, f"/v1/sessions/{session['id']}/continue", **fields)
    assert "".join(part["text"] for part in parts) == whole["text"]
    assert [c for part in parts for c in part["characters"]] == whole["characters"]
    lengths = [part["length"] for part in parts]
    assert lengths == sorted(lengths)
    assert lengths[-1] == look(api, session)["length"] == 52
    assert parts[0]["text"] == "白"
    assert parts[-1]["finish_reason"] == "length"


@pytest.mark.parametrize("position", [0, 1, 255, 256, 300, 599, 600])
def test_going_back_is_as_if_nothing_had_followed(api, position):
    text = go_on(api, begin(api), length=600, seed=9, **ENDLESS)["text"]
    session, fresh = begin(api, text), begin(api, text[:position])
    undone = api.post(f"/v1/sessions/{session['id']}/undo", json={"position": position}).json()
    assert undone["text"] == text[:position]
    texts = [go_on(api, s, length=30, seed=2, **ENDLESS)["text"] for s in (session, fresh)]
    assert texts[0] == texts[1]


def test_a_fork_and_its_origin_go_their_own_ways(api):
    session = begin(api, "猫白大来了")
    fork = api.post(f"/v1/sessions/{session['id']}/fork", json={"position": 2}).json()
    assert fork["id"] != session["id"]
    assert fork["text"] == "猫白"
    go_on(api, fork, text="狗")
    assert look(api, session)["text"] == "猫白大来了"
    assert look(api, fork)["text"] == "猫白狗"
    twin = api.post(f"/v1/sessions/{session['id']}/fork", json={}).json()
    texts = [go_on(api, s, length=20, seed=1)["text"] for s in (session, twin)]
    assert texts[0] == texts[1]


def test_a_stop_is_no_part_of_the_session(api):
    session = begin(api, "猫")
    text = go_on(api, session, length=60, seed=5, **ENDLESS)["text"]
    again = begin(api, "猫")
    found = go_on(api, again, length=60, seed=5, stop=text[7:10], **ENDLESS)
    assert found["finish_reason"] == "stop"
    assert look(api, again)["text"] == "猫" + found["text"] == "猫" + text[: text.find(text[7:10])]
    assert go_on(api, again, text="了", alternatives=0)["characters"][0]["bits"] == pytest.approx(
        go_on(api, begin(api, "猫" + found["text"]), text="了", alternatives=0)["characters"][0][
            "bits"
        ],
        abs=1e-5,
    )


def test_going_back_to_a_stop_needs_no_place_of_its_own(run):
    import httpx

    with (
        listening(rondeau.load(run), streams=1) as (address, _),
        httpx.Client(base_url=address, timeout=20) as api,
    ):
        text = go_on(api, begin(api, "猫"), length=60, seed=5, **ENDLESS)["text"]
        session = begin(api, "猫")
        found = go_on(api, session, length=60, seed=5, stop=text[7:10], **ENDLESS)
        assert found["finish_reason"] == "stop"


def test_the_end_of_a_document_is_told_and_the_session_stays_before_it(api):
    session = begin(api, "猫")
    found = go_on(api, session, length=5, logit_bias={"1": 100}, alternatives=1)
    assert (found["text"], found["finish_reason"]) == ("", "end")
    assert [c["character"] for c in found["characters"]] == [""]
    assert look(api, session)["text"] == "猫"
    assert go_on(api, session, length=3, **ENDLESS)["text"]


def test_undo_takes_steps_or_a_position_and_not_more_than_there_is(api):
    session = begin(api, "猫白大")
    path = f"/v1/sessions/{session['id']}/undo"
    assert api.post(path, json={}).json()["text"] == "猫白"
    assert api.post(path, json={"characters": 2}).json()["text"] == ""
    for body, status in (
        ({"characters": 1}, 409), ({"position": 1}, 409), ({"position": -1}, 400),
        ({"characters": 1, "position": 0}, 400),
    ):  # fmt: skip
        assert api.post(path, json=body).status_code == status, body


def test_a_session_that_is_not_there_is_not_found(api):
    session = begin(api)
    assert api.delete(f"/v1/sessions/{session['id']}").json()["deleted"] is True
    for answer in (
        api.get(f"/v1/sessions/{session['id']}"),
        api.delete(f"/v1/sessions/{session['id']}"),
        api.post(f"/v1/sessions/{session['id']}/continue", json={"length": 1}),
    ):
        assert answer.status_code == 404
    assert api.get("/v1/sessions").status_code == 405


def test_a_session_has_one_user_at_a_time(served):
    model, _ = served
    from rondeau.server.errors import ApiError
    from rondeau.server.limits import Limits
    from rondeau.server.models import Served
    from rondeau.server.store import Session, SessionStore

    store = SessionStore(Limits())
    session = store.add(Session(Served("run", model, None)))
    with store.using(session.id), pytest.raises(ApiError) as error, store.using(session.id):
        pass
    assert error.value.status == 409


def test_sessions_go_when_they_are_many_large_or_old(served, run, monkeypatch):
    import httpx

    model = rondeau.load(run)
    with (
        listening(model, sessions=3, session_seconds=100) as (address, application),
        httpx.Client(base_url=address) as api,
    ):
        sessions = [begin(api, "猫") for _ in range(3)]
        look(api, sessions[0])
        sessions.append(begin(api, "猫"))
        alive = [api.get(f"/v1/sessions/{s['id']}").status_code for s in sessions]
        assert alive == [200, 404, 200, 200]
        store = application.context.sessions
        monkeypatch.setattr("rondeau.server.store.time.time", lambda: sessions[0]["created"] + 1e4)
        assert len(store) == 0
    with (
        listening(model, session_bytes=3000) as (address, application),
        httpx.Client(base_url=address) as api,
    ):
        for _ in range(20):
            begin(api, "猫" * 500)
        assert 1 <= len(application.context.sessions) < 20
        assert application.context.sessions.bytes <= 3000
    with listening(model, session_length=10) as (address, _), httpx.Client(base_url=address) as api:
        session = begin(api, "猫" * 8)
        answer = api.post(f"/v1/sessions/{session['id']}/continue", json={"length": 5})
        assert answer.status_code == 409


def test_a_session_costs_kilobytes_however_long_it_is(api):
    short, long = begin(api, "猫"), begin(api, "猫白大来了\n" * 1000)
    state = 16 * 4
    assert short["bytes"] == state + 4
    assert long["bytes"] <= state * (2 + math.ceil(6000 / 256)) + 4 * 6000
