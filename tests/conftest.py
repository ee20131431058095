"""Shared pieces: small texts, and a small trained run."""

import asyncio
import contextlib
import os
import signal
import tempfile
import threading
from pathlib import Path

import fsspec
import hypothesis
import pytest
import torch

import rondeau
from rondeau.cli import main

# Started in the background it would ignore Ctrl-C, and so would what it starts.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Commands take one thread: two tests at a time, and two processors to run them.
os.environ["RONDEAU_THREADS"] = "1"

# The same examples each time, however slow the machine.
hypothesis.settings.register_profile("same", deadline=None, derandomize=True)
hypothesis.settings.load_profile("same")

SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"
SMALL = {"hidden": 16, "batch": 4, "seq_len": 16, "threads": 1}
RHYMES = [f"{a}{b}{c}来了\n{c}{b}{a}走了" for a in "猫狗鸟鱼" for b in "白黑" for c in "大小好"]


def pytest_addoption(parser):
    parser.addoption("--long", action="store_true", help="fault tests in their long form")


def pytest_terminal_summary(terminalreporter, config):
    """Print the figures that tests have recorded, after the long form."""
    if not config.getoption("--long"):
        return
    for reports in terminalreporter.stats.values():
        for report in reports:
            for name, value in getattr(report, "user_properties", ()):
                if name == "figures" and report.when == "call":
                    terminalreporter.write_line(value)


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def rhymes(tmp_path_factory) -> Path:
    """24 short documents between blank lines."""
    path = tmp_path_factory.mktemp("text") / "rhymes.txt"
    path.write_text("\n\n".join(RHYMES), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def run(tmp_path_factory, rhymes) -> Path:
    """A small trained run on whole documents; tests only read it."""
    out = tmp_path_factory.mktemp("runs") / "run"
    config = rondeau.TrainConfig(**SMALL, documents="blank-line", steps=60)
    rondeau.train(rhymes, config, out=out).finish()
    return out


@pytest.fixture(scope="session")
def backwards_run(tmp_path_factory, rhymes) -> Path:
    """A small bidirectional run."""
    out = tmp_path_factory.mktemp("runs") / "both"
    config = rondeau.TrainConfig(**SMALL, documents="blank-line", steps=20, bidirectional=True)
    rondeau.train(rhymes, config, out=out).finish()
    return out


@pytest.fixture(scope="session")
def cloze_run(tmp_path_factory, rhymes) -> Path:
    """A small run that restores hidden characters."""
    out = tmp_path_factory.mktemp("runs") / "cloze"
    config = rondeau.TrainConfig(
        **SMALL, documents="blank-line", steps=300, objective="cloze", dropout=0.0, lr=0.01
    )
    rondeau.train(rhymes, config, out=out).finish()
    return out


@pytest.fixture(scope="session")
def place():
    """A folder in memory where there is one: thousands of fsyncs then wait for no disk."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as name:
        yield Path(name).resolve()


@pytest.fixture(scope="session")
def warm(place):
    """Runs command lines in children of one warm process, with faults in them."""
    from runs import Warm

    process = Warm(place)
    yield process
    process.close()


@pytest.fixture(scope="session")
def whole(warm, place, rhymes):
    """The uninterrupted training that is cut off elsewhere; the warm process has its kernels."""
    from runs import fresh, usual

    run = fresh(place / "whole")
    assert warm([*usual(rhymes), "--out", run], fork=False).code == 0
    return run


@pytest.fixture(scope="session")
def operations(warm, whole, place, rhymes):
    """How many file operations that training takes, after one in a process of its own."""
    from runs import differences, fresh, usual

    run = fresh(place / "counted")
    result = warm([*usual(rhymes), "--out", run], root=run)
    assert differences(whole, run) == []
    return result.operations


@pytest.fixture
def long(request):
    """Whether every case is wanted, not a sample."""
    return request.config.getoption("--long")


@pytest.fixture(name="rondeau")
def command_line(capsys, monkeypatch):
    """Run a command line in this process: exit code, standard output, standard error."""
    # Whether kernels had to be compiled, which a note says, is the machine's matter.
    monkeypatch.setattr("rondeau.compilation.compile_seconds", lambda: 0.0)

    def run(*arguments):
        with pytest.raises(SystemExit) as exit_:
            main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return exit_.value.code, captured.out, captured.err

    return run


@contextlib.contextmanager
def listening(*models, access=None, port=0, **limits):
    """A server of loaded models, on a port of its own: its address, and the application."""
    from rondeau.server.app import Application
    from rondeau.server.limits import Limits
    from rondeau.server.serving import Server, bind

    application = Application(models, access=access, limits=Limits(**limits))
    server = Server(application, Limits(**limits))
    with bind("127.0.0.1", port) as bound:
        thread = threading.Thread(target=lambda: asyncio.run(server.serve([bound])))
        thread.start()
        while not server.started:
            assert thread.is_alive()
            thread.join(0.01)
        try:
            yield f"http://127.0.0.1:{bound.getsockname()[1]}", application
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture(scope="session")
def served(run):
    """The small run, and the address of a server of it."""
    model = rondeau.load(run)
    with listening(model) as (address, _):
        yield model, address


@pytest.fixture
def api(served):
    """A client of that server."""
    import httpx

    with httpx.Client(base_url=served[1], timeout=60) as client:
        yield client


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    """A cache of one's own for what comes by URL."""
    monkeypatch.setenv("RONDEAU_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def memory(cache):
    """An empty file system that is addressed as memory://."""
    files = fsspec.filesystem("memory")
    files.store.clear()
    yield files
    files.store.clear()
