"""A warm process that forks one child a command line: nothing is imported or compiled again.

Reads jobs from standard input, one JSON object a line, and answers each with its exit code (−9 for
SIGKILL) and its seconds. `fork: false` runs it in the warm process itself, whose kernels all later
ones find loaded. Forking is safe only while the process has a single thread, which it checks: all
commands are to use `--threads 1`.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import operations

from rondeau.cli import main as command_line


def command(arguments: list[str]) -> int:
    """The exit code of a command line."""
    try:
        command_line(arguments)
    except SystemExit as left:
        return int(left.code or 0)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


def redirect(job: dict[str, Any]) -> None:
    """Point standard input at a file, output and errors at another."""
    source = os.open(job.get("stdin") or os.devnull, os.O_RDONLY)
    target = os.open(job["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    for number, descriptor in enumerate((source, target, target)):
        os.dup2(descriptor, number)
    os.close(source)
    os.close(target)


def fork(job: dict[str, Any]) -> int:
    """Run a job in a child, which is killed or told to end after so many seconds."""
    assert len(list(Path("/proc/self/task").iterdir())) == 1, "a second thread doesn't fork"
    child = os.fork()
    if child == 0:
        code = 1
        try:
            redirect(job)
            if job.get("faults"):
                operations.inject(**job["faults"])
            code = command(job["arguments"])
        finally:
            os._exit(code)
    if job.get("seconds") is not None:
        time.sleep(job["seconds"])
        os.kill(child, getattr(signal, job.get("signal", "SIGKILL")))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main() -> None:
    """Serve jobs until standard input ends."""
    jobs, answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    for line in jobs:
        job = json.loads(line)
        start = time.perf_counter()
        if job["fork"]:
            code = fork(job)
        else:
            redirect(job)
            code = command(job["arguments"])
        answers.write(json.dumps({"code": code, "seconds": time.perf_counter() - start}) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
