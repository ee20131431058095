"""What our files have in common: JSON that is checked before it is believed, and versions.

What can't be believed is an error of the caller's kind, in one line that names the file. It knows
no run and no corpus.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from rondeau.errors import UserError
from rondeau.version import __version__

LARGEST = 2**63
"""A whole number in a file is smaller than this."""
SHOWN = 100
"""Most characters of a file's own words in an error."""
ABSENT: Any = object()
"""The shape of what isn't there (`misfit`)."""


def read_object(data: bytes, source: str, *, error: type[UserError]) -> dict[str, Any]:
    """A JSON object; the error for other bytes, and for an object that names a key twice."""
    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=_without_doubles)
    except (ValueError, RecursionError) as reason:
        raise error(f"{source}: is damaged: is not JSON ({reason})") from None
    if not isinstance(value, dict):
        raise error(f"{source}: is not a JSON object")
    return value


def check_version(
    values: Mapping[str, Any],
    known: int,
    source: str,
    *,
    error: type[UserError],
    maker: object = None,
) -> None:
    """The error for a `format_version` above the known one; what names none is of the first.

    maker: the version of Rondeau that wrote it, where a file says so.
    """
    version = values.get("format_version", 1)
    if misfit(version, int) is not None or version < 1:
        raise error(f"{source}: format_version {shown(version)} is none of Rondeau's")
    if version > known:
        made = f" (made by Rondeau {shown(maker)})" if isinstance(maker, str) else ""
        raise error(
            f"{source}: has format {version}{made}; this is Rondeau {__version__}, which reads "
            f"formats up to {known}: update it"
        )


def misfit(value: object, shape: Any, name: str = "it") -> str | None:
    """The name of the first part of a JSON value that isn't as its shape says, None for none.

    shape: a type (`int`: a whole number below 2**63; `float`: any number but NaN), a text or None
    for itself, a tuple of alternatives, a list with the shape of all items, or a dict with those of
    required keys (of all keys there are, under `str`; of optional ones with ABSENT beside others).
    """
    if isinstance(shape, tuple):
        return name if all(misfit(value, one) is not None for one in shape) else None
    if isinstance(shape, dict):
        if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
            return name
        parts = (
            (value.get(key, ABSENT), part, f"{name}.{key}")
            for wanted, part in shape.items()
            for key in (value if wanted is str else (wanted,))
        )
    elif isinstance(shape, list):
        if not isinstance(value, Sequence) or isinstance(value, str):
            return name
        parts = ((item, shape[0], f"{name}[{index}]") for index, item in enumerate(value))
    else:
        return None if _is_one(value, shape) else name
    wrong = (misfit(*part) for part in parts)
    return next((found for found in wrong if found is not None), None)


def shown(value: object) -> str:
    """A file's own words in an error: one line, of bounded length."""
    try:
        text = str(value) if isinstance(value, str) and value.isprintable() else repr(value)
    except (ValueError, RecursionError):  # of thousands of digits, or levels
        text = f"a {type(value).__name__} too large to show"
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"


def _is_one(value: object, kind: Any) -> bool:
    if kind is None or kind is ABSENT:
        return value is kind
    if isinstance(kind, str):
        return value == kind
    if kind is int:
        return type(value) is int and abs(value) < LARGEST
    if kind is float:
        return (type(value) is float and not math.isnan(value)) or _is_one(value, int)
    return isinstance(value, kind)


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        double = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{shown(double)} stands there twice")
    return values


def finite(value: Any) -> Any:
    """The same value with null for numbers that JSON hasn't: infinite ones and NaN."""
    if isinstance(value, dict):
        return {key: finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
