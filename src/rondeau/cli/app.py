"""The command line as a whole: verbs, where settings come from, and how errors leave.

A setting comes from its flag, else the environment (RONDEAU_HIDDEN=512), else the --config file
(TOML, flat keys), else its default. Nothing here imports torch: `--help` is quick.
"""

from __future__ import annotations

import io
import os
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, NoReturn

from cyclopts import App, CycloptsError, Parameter
from cyclopts.argument import ArgumentCollection
from cyclopts.config import Dict, Env

import rondeau
from rondeau.cli.compare import compare
from rondeau.cli.evaluate import evaluate
from rondeau.cli.gather import gather
from rondeau.cli.infill import infill
from rondeau.cli.inspect import inspect
from rondeau.cli.output import complain
from rondeau.cli.prepare import prepare
from rondeau.cli.report import report
from rondeau.cli.reproduce import reproduce
from rondeau.cli.score import score
from rondeau.cli.serve import serve
from rondeau.cli.signals import exit_code, termination_raised
from rondeau.cli.study import study
from rondeau.cli.train import train
from rondeau.cli.tune import tune
from rondeau.cli.use import generate, info
from rondeau.config import BUDGETS, TrainConfig, flag
from rondeau.errors import OptionError, RondeauError
from rondeau.formats import shown
from rondeau.machine import out_of_memory

NO_MEMORY = (
    "no memory left; close other programs, or ask for less at once: a shorter text, fewer samples, "
    "a smaller model"
)
SEARCH = "search"
"""The table of a recipe that says what `tune` varies; named otherwise than the verb, which cyclopts
would take it for."""
app = App(
    name="rondeau",
    help="Recurrent language models: train, generate, and measure honestly.",
    version=rondeau.__version__,
)
for level in (app, app.meta):
    level.suppress_keyboard_interrupt = False  # an interruption's code is for `main` to say
VERBS = (
    train,
    prepare,
    generate,
    evaluate,
    score,
    infill,
    compare,
    info,
    inspect,
    report,
    reproduce,
    study,
    gather,
    tune,
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
    resumes = any(token.partition("=")[0] == "--resume" for token in tokens)
    environment = Env("RONDEAU_", command=False)
    app.config = (_but_settings(environment) if resumes else environment,)
    if config is not None:
        if resumes:
            raise OptionError(
                f"--config {config}: a run goes on with its own settings; leave it out"
            )
        try:
            values = tomllib.loads(config.read_text(encoding="utf-8"))
            str(values)  # numbers of thousands of digits can't be shown
        except (OSError, ValueError, RecursionError) as error:
            raise OptionError(f"--config {config}: cannot be read as TOML: {error}") from None
        values |= _searched(values.pop(SEARCH, None), tokens, config)
        if tables := [key for key, value in values.items() if isinstance(value, dict)]:
            raise OptionError(
                f"--config {config}: {shown(tables[0])} is a table; give settings one a line"
            )
        if {token.partition("=")[0] for token in tokens} & set(map(flag, BUDGETS)):
            # One budget replaces another: it isn't a second one.
            values = {key: value for key, value in values.items() if key not in BUDGETS}
        app.config += (Dict(values, use_commands_as_keys=False, source=str(config)),)
    # A lone hyphen, standard input, would be taken for an option; as a path it is the same source.
    tokens = tuple("./-" if token == "-" else token for token in tokens)
    app(tokens, exit_on_error=False, print_error=False)


def _searched(table: object, tokens: tuple[str, ...], config: Path) -> dict[str, list[str]]:
    """A recipe's [search] table as `tune` takes it; a training has no use for it."""
    if table is None or tokens[:1] == ("train",):
        return {}
    if not isinstance(table, dict) or tokens[:1] != ("tune",):
        raise OptionError(f"--config {config}: {SEARCH} is a table for rondeau tune; leave it out")
    ranges = []
    for name, given in table.items():
        choices = given if isinstance(given, list) else [given]
        words = [str(c).lower() if isinstance(c, bool) else str(c) for c in choices]
        ranges.append(f"{name}={','.join(words)}")
    return {SEARCH: ranges}


def _but_settings(environment: Env) -> Callable[..., None]:
    """The environment without what a run or a search has settled at its start."""
    settled = {flag(name) for name in (*TrainConfig.field_names(), SEARCH)}

    def take(app: App, commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
        heard = [argument for argument in arguments if argument.name not in settled]
        environment(app, commands, ArgumentCollection(heard))  # type: ignore[no-untyped-call]

    return take


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line and exit: 0, 2 for a user's mistake, 1 for another failure."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        with termination_raised():
            app.meta(arguments, exit_on_error=False, print_error=False)
            sys.stdout.flush()
    except (RondeauError, CycloptsError, OSError) as error:
        if isinstance(error, BrokenPipeError):  # the reader of a pipe has had enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(0)
        complain(error)
        sys.exit(2 if isinstance(error, CycloptsError) else getattr(error, "exit_code", 1))
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        complain(RondeauError(NO_MEMORY))
        sys.exit(1)
    except KeyboardInterrupt as interrupt:
        sys.exit(exit_code(interrupt))
    sys.exit(0)
