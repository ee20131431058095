"""Who may ask: hosts, origins, keys, and bodies that are bounded in kind, size and time."""

import socket

import httpx
import pytest

import rondeau
from conftest import listening
from rondeau.server.guard import Access

ASK = {"prompt": "猫", "max_tokens": 1}


@pytest.fixture(scope="module")
def model(run):
    return rondeau.load(run)


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:99", 200),
        ("127.0.0.1", 200),
        ("[::1]:8080", 200),
        ("evil.example", 403),
        ("localhost.evil.example", 403),
        ("127.0.0.1.evil.example:80", 403),
        ("[::1", 403),
        ("", 403),
    ],
)
def test_another_name_of_this_machine_is_refused(api, host, status):
    answer = api.get("/v1/models", headers={"Host": host})
    assert answer.status_code == status
    if status != 200:
        assert answer.json()["error"]["code"] == "host"


def test_another_origin_is_refused_unless_it_was_allowed(served, api, model):
    own = {"Origin": served[1]}
    assert api.get("/v1/models", headers=own).status_code == 200
    for origin in ("https://evil.example", "null", "http://127.0.0.1:1"):
        answer = api.post("/v1/completions", json=ASK, headers={"Origin": origin})
        assert answer.status_code == 403
        assert "access-control-allow-origin" not in answer.headers
    friend = "https://friend.example"
    with (
        listening(model, access=Access(origins=[friend])) as (address, _),
        httpx.Client(base_url=address) as other,
    ):
        answer = other.post("/v1/completions", json=ASK, headers={"Origin": friend})
        assert answer.headers["access-control-allow-origin"] == friend
        preflight = {"Origin": friend, "Access-Control-Request-Method": "POST"}
        assert other.options("/v1/completions", headers=preflight).status_code == 200
        assert other.get("/v1/models", headers={"Origin": "https://evil.example"}).is_error


def test_a_key_is_needed_where_there_is_one(model):
    with (
        listening(model, access=Access(api_key="sesame-密")) as (address, _),
        httpx.Client(base_url=address) as api,
    ):
        for header in ({}, {"Authorization": "Bearer sesam"}, {"Authorization": "Basic sesame"},
                       {"Authorization": "Bearer"}, {"Authorization": b"Bearer \xff"}):  # fmt: skip
            for path in ("/v1/models", "/metrics", "/tokenizer_info", "/v1/sessions/x"):
                answer = api.get(path, headers=header)
                assert answer.status_code == 401, (path, header)
                assert answer.headers["www-authenticate"] == "Bearer"
            assert api.post("/v1/completions", json=ASK, headers=header).status_code == 401
        good = {"Authorization": "Bearer sesame-密".encode()}
        assert api.post("/v1/completions", json=ASK, headers=good).status_code == 200
        assert api.get("/v1/models", headers=good).status_code == 200
        for path in ("/", "/health", "/openapi.json"):
            assert api.get(path).status_code == 200, path


def test_a_body_must_be_json(api):
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        answer = api.post("/v1/completions", content=b"{}", headers={"Content-Type": kind})
        assert answer.status_code == 415, kind
    json = {"Content-Type": "application/json"}
    for body in (
        b"{", b"[" * 100_000, b"\xff\xfe", b'{"prompt": NaN}', b"1", b"", b'"\\ud800"',
        b'{"prompt": "\\ud800"}', b'{"temperature": Infinity, "prompt": "a"}',
    ):  # fmt: skip
        answer = api.post("/v1/completions", content=body, headers=json)
        assert answer.status_code == 400, body
        assert answer.json()["error"]["message"]


def test_a_body_is_bounded(model):
    with (
        listening(model, body=1000, body_seconds=0.3) as (address, _),
        httpx.Client(base_url=address) as api,
    ):
        for size in (2000, 15_000, 100_000):
            answer = api.post("/v1/completions", json={"prompt": "a" * size})
            assert answer.status_code == 413, size
        host, port = address.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as slow:
            slow.sendall(
                b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\n"
                b"Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
            )
            assert b" 408 " in slow.recv(1000).split(b"\r\n")[0]
        assert api.get("/health").status_code == 200


def test_every_answer_has_the_headers_that_browsers_heed(api):
    for path in ("/", "/v1/models", "/nowhere", "/v1/sessions/x", "/metrics"):
        headers = api.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["content-security-policy"].startswith("default-src 'self'")
        assert "server" not in headers


def test_a_path_leads_nowhere_but_to_the_page(api):
    for path in (
        "/../app.py",
        "/%2e%2e/app.py",
        "/..%2f..%2fpyproject.toml",
        "/index.html/x",
        "//",
    ):
        answer = api.get(path)
        assert answer.status_code in (200, 404), path
        assert "import" not in answer.text, path
    wrong = api.put("/v1/models")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "GET")
    assert api.post("/nowhere", json={}).json()["error"]["type"]


def test_an_error_tells_no_path_and_no_traceback(model, run, monkeypatch):
    def fail(*_, **__):
        raise ValueError(f"secret in {run}")

    with listening(model) as (address, _), httpx.Client(base_url=address) as api:
        monkeypatch.setattr(type(model), "score", fail)
        answer = api.post("/v1/score", json={"text": "猫"})
    assert answer.status_code == 500
    assert answer.json()["error"]["type"] == "server_error"
    assert "secret" not in answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"
