"""Listening: a socket, signals, and an orderly end."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import logging
import signal
import socket
from collections.abc import Callable, Iterator, Sequence

import uvicorn

from rondeau.errors import OptionError
from rondeau.language_model import LanguageModel
from rondeau.server.app import Application
from rondeau.server.guard import LOOPBACK, Access
from rondeau.server.limits import Limits

log = logging.getLogger("rondeau.server")


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


def bind(host: str, port: int) -> socket.socket:
    """A socket bound to an address; OptionError where that isn't to be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named, asyncio sends small answers at once (TCP_NODELAY): 40 ms each else.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        reason = f"can't be listened on: {error.strerror}"
        taken = error.errno in (errno.EADDRINUSE, errno.EACCES)
        option = f"--port {port}" if taken else f"--host {host}"
        raise OptionError(f"{option}: {reason}; choose another (--port 0 finds one)") from None
    return bound


def serve(
    models: Sequence[LanguageModel],
    *,
    host: str = "127.0.0.1",
    port: int = 8080,
    api_key: str | None = None,
    origins: Sequence[str] = (),
    limits: Limits | None = None,
    listening: Callable[[str], None] = lambda address: None,
) -> int:
    """Serve models until SIGINT or SIGTERM comes; returns 128 and the signal's number.

    listening: called with the address once connections are taken. Texts under way are finished in
    the limits' grace, or end with an error event; a second signal ends them at once. Raises
    OptionError for an address that can't be had.
    """
    limits = limits or Limits()
    hosts = (*LOOPBACK, host) if is_loopback(host) else None
    application = Application(
        models, access=Access(api_key=api_key, hosts=hosts, origins=origins), limits=limits
    )
    with bind(host, port) as bound:
        for served in application.context.models.by_name.values():
            served.warm()
        return asyncio.run(_serve(application, bound, limits, listening))


async def _serve(
    application: Application,
    bound: socket.socket,
    limits: Limits,
    listening: Callable[[str], None],
) -> int:
    server = Server(application, limits)
    loop = asyncio.get_running_loop()
    stopping: list[asyncio.Task[None]] = []
    came: list[int] = []

    def stop(number: int) -> None:
        came.append(number)
        server.should_exit = True
        grace = limits.grace_seconds if len(came) == 1 else 0
        stopping.append(loop.create_task(application.context.models.stop(grace)))

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop, number)
    running = loop.create_task(server.serve([bound]))
    while not (server.started or running.done()):
        await asyncio.sleep(0.01)
    if server.started:
        name, port, *_ = bound.getsockname()
        listening(f"http://{f'[{name}]' if ':' in name else name}:{port}/")
    await running
    await asyncio.gather(*stopping)
    return 128 + came[0] if came else 0


class Server(uvicorn.Server):
    """uvicorn's server, its signals left to us: it would raise them again at the end."""

    def __init__(self, application: Application, limits: Limits) -> None:
        """Serve an application, saying nothing but what goes wrong."""
        config = uvicorn.Config(
            application.app,
            access_log=False,
            log_level="error",
            server_header=False,
            timeout_graceful_shutdown=int(limits.grace_seconds) + 5,
        )
        super().__init__(config)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave them alone."""
        yield
