"""A server under load: many streams beside one, first characters, clients that go or don't read.

    python benchmarks/serving.py [RUN] [--seconds 30] [--streams 64] [--cancelled 1000] [--json F]

The server is a process of its own on this machine, and so is this client of it: they share its
cores. Without RUN a GRU of H=256 is trained on the embedded songs for some steps: what it writes
doesn't matter. Fails where a request fails, or where cancelled ones leave something behind.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import rondeau

LENGTH = 400
"""Characters of a request."""
ENDLESS = {"logit_bias": {"1": -100}, "temperature": 0.8, "top_p": 0.9}
HEAD = (
    "POST {} HTTP/1.1\r\nHost: localhost\r\n"
    "Content-Type: application/json\r\nContent-Length: {}\r\n\r\n"
)


class Server:
    """`rondeau serve` on a port of its own."""

    def __init__(self, run: Path, threads: int | None) -> None:
        command = [sys.executable, "-m", "rondeau", "serve", str(run), "--port", "0", "--quiet"]
        if threads:
            command += ["--threads", str(threads)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.address = self.process.stdout.readline().strip()
        self.port = int(self.address.rstrip("/").rpartition(":")[2])

    def metrics(self) -> dict[str, float]:
        """Its numbers by name, without labels."""
        text = urllib.request.urlopen(f"{self.address}metrics").read().decode()
        lines = (
            line.split(" ") for line in text.splitlines() if line[0] != "#" and "{" not in line
        )
        return {name.removeprefix("rondeau_"): float(value) for name, value in lines}

    def processor_seconds(self) -> float:
        """What it has used of the processor."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def end(self) -> None:
        self.process.terminate()
        if self.process.wait(60) != 143:
            raise SystemExit("the server didn't end properly")


class Client:
    """One connection."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.writer: asyncio.StreamWriter | None = None

    async def ask(self, path: str, **fields: Any) -> None:
        """Send a request."""
        if self.writer is None:
            self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        body = json.dumps(fields).encode()
        self.writer.write(HEAD.format(path, len(body)).encode() + body)
        await self.writer.drain()

    async def events(self) -> Any:
        """The events of a stream."""
        status = (await self.reader.readline()).split(b" ")[1]
        while (line := await self.reader.readline()).strip():
            pass
        if status != b"200":
            raise SystemExit(f"a request failed: {status.decode()} {await self.reader.read(500)!r}")
        done = False
        while line := await self.reader.readline():
            if line.startswith(b"data: {"):
                yield json.loads(line[6:])
            done = done or line.startswith(b"data: [DONE]")
            if done and line == b"0\r\n":
                await self.reader.readline()
                return
        raise SystemExit("a stream broke off")

    async def complete(self, length: int, seed: int) -> tuple[int, float]:
        """Characters received, and seconds to the first."""
        begun = time.perf_counter()
        await self.ask(
            "/v1/completions", prompt="月亮", max_tokens=length, seed=seed, stream=True, **ENDLESS
        )
        received, first = 0, 0.0
        async for event in self.events():
            if "error" in event:
                raise SystemExit(f"a stream failed: {event}")
            received += len(event["choices"][0]["text"])
            first = first or time.perf_counter() - begun
        if received != length:
            raise SystemExit(f"{received} characters of {length}")
        return received, first

    def leave(self) -> None:
        """Close the connection, whatever is still to come."""
        if self.writer is not None:
            self.writer.transport.abort()
            self.writer = None


async def load(port: int, streams: int, seconds: float) -> tuple[float, list[float]]:
    """Characters a second by so many clients at once, and their seconds to a first character."""
    until = time.perf_counter() + seconds
    begun, firsts = time.perf_counter(), []

    async def one(number: int) -> int:
        client, received, asked = Client(port), 0, 0
        while time.perf_counter() < until:
            count, first = await client.complete(LENGTH, seed=number * 1000 + asked)
            received, asked = received + count, asked + 1
            firsts.append(first)
        client.leave()
        return received

    received = await asyncio.gather(*(one(number) for number in range(streams)))
    return sum(received) / (time.perf_counter() - begun), firsts


async def cancel(port: int, count: int) -> None:
    """Requests that are left after their first event, every other one in a session."""
    room = asyncio.Semaphore(16)

    async def one(number: int) -> None:
        async with room:
            client, path = Client(port), "/v1/completions"
            fields: dict[str, Any] = {"prompt": "月亮", "max_tokens": 4000}
            if number % 2:
                session = await session_of(port)
                path, fields = f"/v1/sessions/{session}/continue", {"length": 4000}
            await client.ask(path, stream=True, seed=number, **fields, **ENDLESS)
            async for _ in client.events():
                break
            client.leave()
            if number % 2:
                await forget(port, session)

    await asyncio.gather(*(one(number) for number in range(count)))


def call(port: int, path: str, method: str, body: Any = None) -> Any:
    """A plain request."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}",
        data=None if body is None else json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
        method=method,
    )
    return json.load(urllib.request.urlopen(request))


async def session_of(port: int) -> str:
    """A new session."""
    return (await asyncio.to_thread(call, port, "/v1/sessions", "POST", {"text": "月亮"}))["id"]


async def forget(port: int, session: str) -> None:
    """Delete a session, as soon as nobody uses it."""
    for _ in range(200):
        try:
            await asyncio.to_thread(call, port, f"/v1/sessions/{session}", "DELETE")
            return
        except urllib.error.HTTPError as error:
            if error.code != 409:
                raise
            await asyncio.sleep(0.01)
    raise SystemExit("a session stays in use after its client has gone")


async def settled(server: Server) -> dict[str, float]:
    """The server's numbers once it has nothing to do."""
    while True:
        metrics = await asyncio.to_thread(server.metrics)
        if metrics["streams_running"] == metrics["streams_queued"] == 0:
            return metrics
        await asyncio.sleep(0.05)


async def beside_slow_ones(server: Server, seconds: float) -> tuple[float, float]:
    """Characters a second of four clients, alone and beside eight that read nothing."""
    port = server.port
    alone, _ = await load(port, 4, seconds)
    slow = [Client(port) for _ in range(8)]
    for number, client in enumerate(slow):
        await client.ask(
            "/v1/completions", prompt="月", max_tokens=4000, stream=True, seed=number, logprobs=5,
            **ENDLESS,
        )  # fmt: skip
        client.reader._transport.pause_reading()  # type: ignore[attr-defined]
    # What they asked for is written first, as far as they take it: what is measured is the waiting.
    spent, busy = server.processor_seconds(), True
    while busy:
        await asyncio.sleep(1)
        spent, before = server.processor_seconds(), spent
        busy = spent - before > 0.05
    beside, _ = await load(port, 4, seconds)
    for client in slow:
        client.leave()
    return alone, beside


def percentile(values: Sequence[float], share: float) -> float:
    """The value that this share of the values doesn't exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


async def measure(server: Server, options: argparse.Namespace) -> dict[str, float]:
    """All of it, printed as it is found."""
    port, seconds = server.port, options.seconds
    await load(port, 4, min(1, seconds))
    found: dict[str, float] = {}
    found["characters_one"], idle = await load(port, 1, seconds / 3)
    found["first_idle_median"] = statistics.median(idle)
    found["first_idle_p95"] = percentile(idle, 0.95)
    found["characters_16"], firsts = await load(port, 16, seconds / 3)
    found["first_16_median"], found["first_16_p95"] = (
        statistics.median(firsts),
        percentile(firsts, 0.95),
    )
    found["characters_many"], firsts = await load(port, options.streams, seconds)
    found["first_many_p95"] = percentile(firsts, 0.95)
    found["alone"], found["beside_slow"] = await beside_slow_ones(server, seconds / 6)
    await cancel(port, max(1, options.cancelled // 5))  # what is kept for good is there now
    before = await settled(server)
    await cancel(port, options.cancelled)
    after = await settled(server)
    found["cancelled_memory_mib"] = (after["memory_bytes"] - before["memory_bytes"]) / 2**20
    found["cancelled_sessions"] = after["sessions"] - before["sessions"]
    return found


def report(found: dict[str, float], options: argparse.Namespace) -> None:
    """The figures in words."""
    many = found["characters_many"]
    print(f"one stream      {found['characters_one']:,.0f} characters/s")
    print(f"16 streams      {found['characters_16']:,.0f} characters/s")
    print(
        f"{options.streams} streams      {many:,.0f} characters/s, "
        f"{many / found['characters_one']:.1f} times one"
    )
    for name, label in (("idle", "idle server"), ("16", "16 streams")):
        median, p95 = (1e3 * found[f"first_{name}_{kind}"] for kind in ("median", "p95"))
        print(f"first character, {label}: median {median:.1f} ms, 95 % within {p95:.1f} ms")
    print(
        f"first character, {options.streams} streams: 95 % within "
        f"{1e3 * found['first_many_p95']:.1f} ms; 16 streams over idle, medians: "
        f"{found['first_16_median'] / found['first_idle_median']:.1f}"
    )
    print(
        f"four clients beside eight that read nothing: {found['beside_slow']:,.0f} characters/s, "
        f"alone {found['alone']:,.0f}"
    )
    print(
        f"{options.cancelled} cancelled: {found['cancelled_memory_mib']:+.1f} MiB, "
        f"{found['cancelled_sessions']:+.0f} sessions"
    )
    if found["cancelled_sessions"] or found["cancelled_memory_mib"] > 32:
        raise SystemExit("cancelled requests left something behind")


def main() -> None:
    """Parse, serve, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, nargs="?")
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--streams", type=int, default=64)
    parser.add_argument("--cancelled", type=int, default=1000)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run = options.run
        if run is None:
            run = Path(folder) / "songs"
            rondeau.train((), rondeau.TrainConfig(steps=60), out=run).finish()
        server = Server(run, options.threads)
        try:
            found = asyncio.run(measure(server, options))
        finally:
            server.end()
    report(found, options)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
