"""`rondeau serve`: the one verb that opens the other door."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from rondeau.cli.output import note, note_compilation, print_json
from rondeau.cli.use import Computing, load
from rondeau.config import ComputeConfig
from rondeau.errors import OptionError

NEEDED = ("fastapi", "uvicorn", "prometheus_client")


def serve(
    run: Path,
    *more: Path,
    host: str = "127.0.0.1",
    port: int = 8080,
    api_key: str | None = None,
    insecure: bool = False,
    allow_origin: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    json: bool = False,
    quiet: bool = False,
    compute: Computing = ComputeConfig(),  # noqa: B008
) -> None:
    """Serve trained runs on this machine: a page, and an API that OpenAI's clients understand.

    Parameters
    ----------
    run
        The run folder; the default model.
    more
        Further runs.
    host
        The address to listen on; other machines reach only one that isn't a loopback address.
    port
        The port; 0 finds one.
    api_key
        What clients must send as `Authorization: Bearer KEY` (also RONDEAU_API_KEY).
    insecure
        Listen on an address that other machines reach without a key.
    allow_origin
        Another origin whose pages may ask (CORS), such as https://example.org; can be repeated.
    json
        Print the address as one JSON document.
    quiet
        Say nothing but the address.
    """
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise OptionError(f"serve: needs {', '.join(missing)}; pip install 'rondeau[serve]'")
    from rondeau.server.serving import is_loopback
    from rondeau.server.serving import serve as listen

    if not (0 <= port < 2**16):
        raise OptionError(f"--port {port}: must be from 0 to 65535")
    if api_key == "":
        raise OptionError("--api-key: is empty; give a secret, or leave it out")
    if not (is_loopback(host) or api_key or insecure):
        raise OptionError(
            f"--host {host}: other machines reach it; give --api-key KEY, or --insecure"
        )
    for origin in allow_origin:
        if not re.fullmatch(r"https?://[^/\s]+", origin):
            raise OptionError(f"--allow-origin {origin}: write it as https://example.org")
    models = [load(path, compute) for path in (run, *more)]

    def listening(address: str) -> None:
        print_json({"address": address}) if json else print(address)
        sys.stdout.flush()
        note_compilation(quiet)
        if not quiet:
            note("Ctrl-C stops it")

    sys.exit(
        listen(
            models,
            host=host,
            port=port,
            api_key=api_key,
            origins=allow_origin,
            listening=listening,
        )
    )
