"""`generation_config.json`: how a run's model is to write, where its user says nothing else."""

from __future__ import annotations

from rondeau.config import DecodingConfig
from rondeau.errors import OptionError, RunError
from rondeau.formats import shown
from rondeau.run.folder import FORMAT_VERSION, RunFolder, to_json

DECODING = "generation_config.json"


def decoding_to_bytes(config: DecodingConfig) -> bytes:
    """What the file holds."""
    return to_json({"format_version": FORMAT_VERSION, **config.as_dict()})


def read_decoding(folder: RunFolder) -> DecodingConfig:
    """The settings in a run's file; RunError if it isn't there, or if they are impossible."""
    values, source = folder.read_json(DECODING), str(folder.path / DECODING)
    values.pop("format_version", None)
    try:
        return DecodingConfig.from_mapping(values, source)
    except OptionError as error:
        raise RunError(f"{source}: has impossible settings ({shown(str(error))})") from None
