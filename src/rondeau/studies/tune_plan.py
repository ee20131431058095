"""What a search was asked for, kept in its folder so that it can go on."""

from __future__ import annotations

import json
from dataclasses import dataclass

from rondeau.config import TrainConfig, require
from rondeau.errors import OptionError, RunError
from rondeau.files import read_plain, write_atomic
from rondeau.formats import check_version, misfit, read_object, shown
from rondeau.run.folder import RunFolder
from rondeau.studies.search_space import Space, check_space, parse_space

FORMAT_VERSION = 1
PLAN = "private/search.json"
MOST = 2**20
"""Most bytes of a plan."""


@dataclass(frozen=True)
class Plan:
    """What a search was asked for; trials: how many in all."""

    sources: tuple[str, ...]
    fingerprint: str
    config: TrainConfig
    space: Space
    trials: int

    def write(self, folder: RunFolder) -> None:
        """Keep it in the search's folder."""
        plan = {
            "format_version": FORMAT_VERSION,
            "sources": self.sources,
            "fingerprint": self.fingerprint,
            "settings": {k: v for k, v in self.config.as_dict().items() if v is not None},
            "search": [f"{name}={range_}" for name, range_ in self.space.items()],
            "trials": self.trials,
        }
        # In ASCII: a path may hold bytes that are no UTF-8.
        write_atomic(folder.place(PLAN), (json.dumps(plan, indent=2) + "\n").encode())

    @classmethod
    def read(cls, folder: RunFolder) -> Plan:
        """The plan of a search; RunError where there is none, or it is damaged."""
        path = folder.place(PLAN)
        if not path.is_file():
            raise RunError(f"{folder.path}: is not the folder of a search (it has no {PLAN})")
        values = read_object(read_plain(path, most=MOST, error=RunError), str(path), error=RunError)
        check_version(values, FORMAT_VERSION, str(path), error=RunError)
        shape = {
            "sources": [str],
            "fingerprint": str,
            "settings": {},
            "search": [str],
            "trials": int,
        }
        if wrong := misfit(values, shape, "search"):
            raise RunError(f"{path}: is not the plan of a search ({wrong})")
        try:
            config = TrainConfig.from_mapping(values["settings"], str(path))
            space = parse_space(values["search"])
            check_space(space, config)
            require(config.steps is not None, "steps", None, "is missing")
        except OptionError as error:
            raise RunError(f"{path}: has impossible settings ({shown(str(error))})") from None
        return cls(tuple(values["sources"]), values["fingerprint"], config, space, values["trials"])
