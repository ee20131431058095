"""`rondeau serve` as a process: its address, its end, and what it refuses."""

import json
import os
import re
import signal
import socket
import subprocess
import sys

import httpx
import pytest


@pytest.fixture
def start(run):
    """Start the command; every process is ended."""
    begun = []

    def start(*arguments):
        command = [sys.executable, "-m", "rondeau", "serve", str(run), "--port", "0", *arguments]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        process = subprocess.Popen(command, text=True, env=os.environ, **pipes)
        begun.append(process)
        return process, process.stdout.readline().strip()

    yield start
    for process in begun:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)], ids=["TERM", "INT"]
)
def test_a_signal_lets_a_stream_end_properly(start, number, code):
    process, address = start("--quiet")
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", address)
    fields = {"prompt": "猫", "max_tokens": 4096, "stream": True, "logit_bias": {"1": -100}}
    with httpx.Client(base_url=address, timeout=60) as api:
        assert api.get("/").status_code == 200
        with api.stream("POST", "/v1/completions", json=fields) as answer:
            lines = answer.iter_lines()
            first = next(lines)
            process.send_signal(number)
            rest = [line for line in lines if line]
    assert rest[-1] == "data: [DONE]"
    parts = [json.loads(line[6:]) for line in [first, *rest[:-1]]]
    written = sum(len(p["choices"][0]["text"]) for p in parts if "choices" in p)
    assert written == 4096 or "error" in parts[-1]
    assert process.wait(60) == code
    assert process.stderr.read() == ""


def test_the_address_is_a_json_document_too(start):
    process, first = start("--quiet", "--json")
    document = first + process.stdout.readline() + process.stdout.readline()
    assert json.loads(document)["address"].startswith("http://127.0.0.1:")


def test_a_port_in_use_is_one_line(rondeau, run):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, stdout, stderr = rondeau("serve", run, "--port", port)
    assert (code, stdout) == (2, "")
    assert stderr.startswith(f"rondeau: error: --port {port}: ")
    assert stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--host", "0.0.0.0"], "--api-key"),
        (["--host", "::"], "--api-key"),
        (["--host", "203.0.113.7", "--insecure"], "--host 203.0.113.7"),
        (["--port", "70000"], "--port 70000"),
        (["--port", "-1"], "--port -1"),
        (["--api-key", ""], "--api-key"),
        (["--allow-origin", "example.org"], "--allow-origin example.org"),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused_in_one_line(rondeau, run, arguments, part):
    code, stdout, stderr = rondeau("serve", run, *arguments)
    assert (code, stdout) == (2, "")
    assert part in stderr
    assert stderr.count("\n") == 1


def test_runs_of_one_name_are_refused(rondeau, run):
    code, _, stderr = rondeau("serve", run, run, "--port", "0")
    assert code == 2
    assert "two runs are named run" in stderr


def test_a_missing_extra_is_named(rondeau, run, monkeypatch):
    monkeypatch.setattr("rondeau.cli.serve.NEEDED", ("fastapi", "no_such_module"))
    code, _, stderr = rondeau("serve", run)
    assert code == 2
    assert "rondeau[serve]" in stderr
    assert "no_such_module" in stderr


def test_the_key_comes_from_the_environment_too(start, monkeypatch):
    monkeypatch.setenv("RONDEAU_API_KEY", "sesame")
    _, address = start("--quiet")
    with httpx.Client(base_url=address) as api:
        assert api.get("/v1/models").status_code == 401
        assert api.get("/v1/models", headers={"Authorization": "Bearer sesame"}).is_success
