"""The command line as a whole: verbs, where settings come from, and how errors leave.

A setting comes from its flag, else the environment (RONDEAU_HIDDEN=512), else the --config file
(TOML, flat keys), else its default. Nothing here imports torch: `--help` is quick.
"""

from __future__ import annotations

import io
import os
import sys
import tomllib
from pathlib import Path
from typing import Annotated, NoReturn

from cyclopts import App, CycloptsError, Parameter
from cyclopts.config import Dict, Env

import rondeau
from rondeau.cli.compare import compare
from rondeau.cli.evaluate import evaluate
from rondeau.cli.infill import infill
from rondeau.cli.prepare import prepare
from rondeau.cli.report import report
from rondeau.cli.reproduce import reproduce
from rondeau.cli.score import score
from rondeau.cli.serve import serve
from rondeau.cli.train import train
from rondeau.cli.use import generate, info
from rondeau.config import BUDGETS, flag
from rondeau.errors import OptionError, RondeauError

app = App(
    name="rondeau",
    help="Recurrent language models: train, generate, and measure honestly.",
    version=rondeau.__version__,
)
VERBS = (
    *(train, prepare, generate, evaluate, score, infill, compare, info, report, reproduce),
    serve,
)
for verb in VERBS:
    app.command(verb)


@app.meta.default
def launch(
    *tokens: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
    config: Path | None = None,
) -> None:
    """Run a verb.

    Parameters
    ----------
    config
        TOML file with settings, one `flag = value` a line.
    """
    app.config = (Env("RONDEAU_", command=False),)
    if config is not None:
        try:
            values = tomllib.loads(config.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise OptionError(f"--config {config}: cannot be read as TOML: {error}") from None
        if {token.partition("=")[0] for token in tokens} & set(map(flag, BUDGETS)):
            # One budget replaces another: it isn't a second one.
            values = {key: value for key, value in values.items() if key not in BUDGETS}
        app.config += (Dict(values, use_commands_as_keys=False, source=str(config)),)
    # A lone hyphen, standard input, would be taken for an option; as a path it is the same source.
    tokens = tuple("./-" if token == "-" else token for token in tokens)
    app(tokens, exit_on_error=False, print_error=False)


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line and exit: 0, 2 for a user's mistake, 1 for another failure."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        app.meta(arguments, exit_on_error=False, print_error=False)
        sys.stdout.flush()
    except (RondeauError, CycloptsError, OSError) as error:
        if isinstance(error, BrokenPipeError):  # the reader of a pipe has had enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(0)
        print(f"rondeau: error: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2 if isinstance(error, CycloptsError) else getattr(error, "exit_code", 1))
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(0)
