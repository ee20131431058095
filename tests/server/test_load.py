"""Many clients: nobody waits for a slow one, who goes leaves nothing, who is too many is told."""

import contextlib
import json
import queue
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

import rondeau
from conftest import listening

ENDLESS = {"logit_bias": {"1": -100}}
PATH = "/v1/completions"


@pytest.fixture(scope="module")
def model(run):
    return rondeau.load(run)


@pytest.fixture
def held(model):
    """A server whose engine stands still until it is let go: clients can be counted meanwhile."""
    with listening(model, streams=2, queue=2, seconds=60) as (address, application):
        (engine,) = application.context.models.engines
        gate = threading.Event()
        engine._commands.put(lambda batch: gate.wait())
        with httpx.Client(base_url=address, timeout=60) as api:
            yield api, engine, gate
        gate.set()


def until(api, condition):
    """Ask the server something until a condition holds; it fails after many times."""
    for _ in range(5000):
        if condition():
            return
        api.get("/health")
    raise AssertionError("never came to be")


def ask(api, **fields):
    return api.post(PATH, json={"prompt": "猫", "max_tokens": 3, **fields})


def test_too_many_requests_are_told_when_to_come_again(held):
    api, engine, gate = held
    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(ask, api, seed=seed) for seed in range(4)]
        until(api, lambda: (engine.running, engine.queued) == (2, 2))
        answer = ask(api)
        assert answer.status_code == 429
        assert int(answer.headers["retry-after"]) >= 1
        assert answer.json()["error"]["type"] == "rate_limit_error"
        gate.set()
        assert [w.result().status_code for w in waiting] == [200] * 4
    assert ask(api).status_code == 200
    assert engine.idle


def test_who_goes_leaves_no_place_taken(held):
    api, engine, gate = held
    with ThreadPoolExecutor(4) as pool:

        def leave(stream):
            with pytest.raises(httpx.ReadTimeout):
                api.post(PATH, json={"prompt": "猫", "stream": stream}, timeout=0.2).read()

        list(pool.map(leave, [True, True, False, False]))
    until(api, lambda: engine.idle)
    gate.set()
    assert ask(api).status_code == 200


def test_a_request_that_takes_too_long_is_ended(model):
    with listening(model, seconds=0.1) as (address, application):
        (engine,) = application.context.models.engines
        gate = threading.Event()
        engine._commands.put(lambda batch: gate.wait())
        with httpx.Client(base_url=address, timeout=60) as api:
            answer = ask(api)
            assert answer.status_code == 504
            lines = ask(api, stream=True).text.split("\n\n")
            assert json.loads(lines[-3].removeprefix("data: "))["error"]["type"] == "timeout_error"
            assert lines[-2] == "data: [DONE]"
            until(api, lambda: engine.idle)
        gate.set()


def test_what_is_under_way_when_the_server_stops_ends_with_a_word(model):
    with listening(model) as (address, application):
        (engine,) = application.context.models.engines
        gate = threading.Event()
        engine._commands.put(lambda batch: gate.wait())
        with httpx.Client(base_url=address, timeout=60) as api, ThreadPoolExecutor(2) as pool:
            waiting = [pool.submit(ask, api, stream=stream) for stream in (True, False)]
            until(api, lambda: engine.running == 2)
            import asyncio

            asyncio.run_coroutine_threadsafe(engine.stop(0), engine._loop).result()
            streamed, whole = (w.result() for w in waiting)
            assert whole.status_code == 503
            assert streamed.text.endswith("data: [DONE]\n\n")
            assert "stopping" in streamed.text
            assert ask(api).status_code == 503
        gate.set()


def test_a_turn_that_fails_is_told_and_the_next_one_works(model, caplog):
    def fail(batch):
        raise RuntimeError("a secret")

    with (
        listening(model) as (address, application),
        httpx.Client(base_url=address, timeout=60) as api,
    ):
        (engine,) = application.context.models.engines
        gate = threading.Event()
        engine._commands.put(lambda batch: gate.wait())
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(ask, api)
            until(api, lambda: engine.running == 1)
            engine._commands.put(fail)
            gate.set()
            answer = waiting.result()
        assert answer.status_code == 500
        assert "secret" not in answer.text
        assert ask(api).status_code == 200
    assert "a turn has failed" in caplog.text


@contextlib.contextmanager
def reading_nothing(address, **fields):
    """A connection that has asked for a completion and reads no answer yet."""
    host, port = address.removeprefix("http://").split(":")
    body = json.dumps(fields).encode()
    head = (
        f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.connect((host, int(port)))
        slow.sendall(head.encode() + body)
        yield slow


def test_a_client_that_takes_nothing_for_too_long_is_left(model):
    with (
        listening(model, send_seconds=0.2) as (address, application),
        httpx.Client(base_url=address, timeout=60) as api,
        reading_nothing(address, n=16, max_tokens=4096, logprobs=5, stream=True, **ENDLESS),
    ):
        (engine,) = application.context.models.engines
        until(api, lambda: engine.running)
        until(api, lambda: engine.idle)


def test_a_client_that_reads_nothing_keeps_nobody_waiting(model):
    with (
        listening(model) as (address, _),
        httpx.Client(base_url=address, timeout=60) as api,
    ):
        fields = {"prompt": "猫", "max_tokens": 4096, "stream": True, "logprobs": 5} | ENDLESS
        with reading_nothing(address, **fields) as slow:
            answers = [ask(api, seed=seed, max_tokens=50, **ENDLESS) for seed in range(20)]
            assert all(len(a.json()["choices"][0]["text"]) == 50 for a in answers)
            # It reads at last, and nothing is missing.
            received = b"".join(iter(lambda: slow.recv(2**16), b""))
        text = received.partition(b"\r\n\r\n")[2].decode()
        events = [line for line in text.replace("\r\n", "\n").split("\n") if "data: {" in line]
        found = [json.loads(line.partition("data: ")[2])["choices"][0]["text"] for line in events]
        assert sum(map(len, found)) == 4096


def test_requests_that_are_broken_off_midway_leave_nothing(model):
    with (
        listening(model) as (address, application),
        httpx.Client(base_url=address, timeout=60) as api,
    ):
        (engine,) = application.context.models.engines

        def break_off(seed):
            fields = {"prompt": "猫", "max_tokens": 4096, "stream": True, "seed": seed} | ENDLESS
            with api.stream("POST", PATH, json=fields) as answer:
                next(answer.iter_lines())

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(break_off, range(100)))
        until(api, lambda: engine.idle)
        rows = queue.SimpleQueue()
        engine._commands.put(lambda batch: rows.put((batch.rows, batch.busy)))
        assert rows.get(timeout=60) == (0, False)
        assert engine._tickets == {}
        assert len(application.context.sessions) == 0


def test_the_benchmark_finds_nothing_wrong_in_a_short_run(run):
    script = Path(__file__).parents[2] / "benchmarks" / "serving.py"
    short = ["--seconds", "0.5", "--streams", "8", "--cancelled", "20"]
    command = [sys.executable, str(script), str(run), *short]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "20 cancelled" in result.stdout


def test_sixty_four_streams_are_written_at_once_without_an_error(model):
    fields = {"max_tokens": 200, **ENDLESS}
    with (
        listening(model) as (address, _),
        httpx.Client(base_url=address, timeout=60) as api,
        ThreadPoolExecutor(64) as pool,
    ):
        answers = list(pool.map(lambda seed: ask(api, seed=seed, **fields), range(128)))
        assert all(answer.status_code == 200 for answer in answers)
        again = ask(api, seed=77, **fields).json()["choices"]
        assert answers[77].json()["choices"] == again
