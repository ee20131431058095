"""The state of a training to bytes and back: torch.save's zip of tensors, read with care.

With `weights_only=True` a file runs no code, but it is still a program: some hundred bytes of it
ask for a terabyte (`bytearray(10**12)`), or for the hash of a tuple that holds another one twice,
and so on sixty times. So it may do only what our own files do, and what was looked through is what
is loaded. Whether the state is that of a training is for the training to say.
"""

from __future__ import annotations

import io
import pickletools
import re
import zipfile
from typing import Any

import torch

from rondeau.errors import RunError
from rondeau.formats import check_version, shown
from rondeau.machine import out_of_memory
from rondeau.run.folder import FORMAT_VERSION

MEMBER = r"[^/]+/(data\.pkl|byteorder|version|data/\d+)"
"""What is read of a zip; the rest is for other readers."""
PROGRAM = "data.pkl"
NAMES = {"torch._utils _rebuild_tensor_v2", "torch FloatStorage", "collections OrderedDict"}
"""What a program may call."""
OPERATIONS = re.compile(
    "PROTO|STOP|MARK|NONE|NEWTRUE|NEWFALSE|BININT[12]?|LONG1|BINFLOAT|BINUNICODE|EMPTY_DICT|"
    "EMPTY_LIST|EMPTY_TUPLE|TUPLE[123]?|APPENDS?|SETITEMS?|(LONG_)?BIN(PUT|GET)|GLOBAL|BINPERSID|"
    "REDUCE"
)
TUPLES_AGAIN = 16
"""How often a tuple may be named again: each time can double the work of hashing."""


def state_to_bytes(state: dict[str, Any]) -> bytes:
    """Tensors, numbers and texts in dicts and lists, as torch.save writes them."""
    buffer = io.BytesIO()
    torch.save({"format_version": FORMAT_VERSION, **state}, buffer)
    return buffer.getvalue()


def state_from_bytes(data: bytes, source: str) -> dict[str, Any]:
    """What was saved, its tensors on the CPU; RunError, naming the source, for anything else."""
    try:
        members = _members(data)
        _check_program(members[PROGRAM])
        state = torch.load(_zip(members), map_location="cpu", weights_only=True)
    except Exception as error:  # torch and zipfile name no exception of their own for a bad file
        if out_of_memory(error):
            raise
        reason = shown(str(error).partition("\n")[0])
        raise RunError(f"{source}: is not the state of a training ({reason})") from None
    if not isinstance(state, dict):
        raise RunError(f"{source}: is not the state of a training")
    check_version(state, FORMAT_VERSION, source, error=RunError)
    return state


def _members(data: bytes) -> dict[str, bytes]:
    """The files of a zip that are read, by name without the archive's, none larger than it is."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        found = [member for member in archive.infolist() if re.fullmatch(MEMBER, member.filename)]
        if any(member.compress_type != zipfile.ZIP_STORED for member in found):
            raise ValueError("its zip is compressed")
        if sum(member.file_size for member in found) > len(data):
            raise ValueError("its zip holds more than its size")
        return {member.filename.partition("/")[2]: archive.read(member) for member in found}


def _zip(members: dict[str, bytes]) -> io.BytesIO:
    """The same files in a zip of our own: readers may differ on what a crafted one holds."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(f"archive/{name}", content)
    buffer.seek(0)
    return buffer


def _check_program(program: bytes) -> None:
    """ValueError for an operation, or a name to call, that our own files don't have."""
    tuples: set[Any] = set()
    at_tuple = False
    again = 0
    for operation, argument, _ in pickletools.genops(program):
        name = operation.name
        if not OPERATIONS.fullmatch(name) or (name == "GLOBAL" and argument not in NAMES):
            raise ValueError(f"{name} {argument} is not expected")
        if name.endswith("PUT"):
            (tuples.add if at_tuple else tuples.discard)(argument)
            continue
        at_tuple = name.startswith("TUPLE") or (name.endswith("GET") and argument in tuples)
        again += at_tuple and name.endswith("GET")
    if again > TUPLES_AGAIN:
        raise ValueError("it names tuples too often")
