"""What a safetensors file says of itself, before anything in it is believed."""

from __future__ import annotations

import re
from typing import Any

from rondeau.errors import RunError
from rondeau.formats import check_version, misfit, read_object
from rondeau.run.folder import FORMAT_VERSION

HEADER = 2**22
"""Most bytes of a header: some 40,000 tensors."""
METADATA = {"format_version": str(FORMAT_VERSION)}
"""What a header of ours says beside the tensors: the library keeps no order among several."""

TENSOR = {"dtype": str, "shape": [int], "data_offsets": [int]}


def read_header(data: bytes, source: str) -> dict[str, Any]:
    """`dtype` and `shape` of every tensor, by name; RunError for another file, or a later format.

    Whether the numbers are all there is for the library to see.
    """
    length = int.from_bytes(data[:8], "little")
    if not 0 < length <= min(HEADER, len(data) - 8):
        raise RunError(f"{source}: is not a file of tensors")
    header = read_object(data[8 : 8 + length], source, error=RunError)
    about = header.pop("__metadata__", {})
    if misfit(about, {str: str}) or misfit(header, {str: TENSOR}):
        raise RunError(f"{source}: is damaged: its header isn't one of tensors")
    version = about.get("format_version", "1")
    number = int(version) if re.fullmatch("[0-9]{1,9}", version) else version
    check_version({"format_version": number}, FORMAT_VERSION, source, error=RunError)
    return header
