"""Bytes damaged at random, and files forged by somebody who knows their formats.

The same for the same generator. What is made of them is the business of `scene` and the tests.
"""

from __future__ import annotations

import contextlib
import io
import json
import random
import struct
import zipfile
from collections.abc import Iterator, Sequence
from typing import Any

THINGS = ("nothing", "folder", "link", "pipe", b"")
"""What may lie in a file's place instead of it (`Scene.replace`)."""
STRANGE: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 7, 10**9, 2**31, 2**63 - 1, 2**63, -(2**63), 10**30, 10**400,
    0.5, -0.0, 1e-320, 1e12, 1.7e308, float("nan"), float("inf"), float("-inf"),
    "", " ", "x", "0", "..", "/", "../../etc/passwd", "/dev/zero", "/dev/stdin", "-",
    "a\0b", "\ud800", "\x1b]0;x\x07", "<script>alert(1)</script>", "__class__", "9" * 5000,
    [], {}, [[]], [None], {"": {}}, {"__class__": 1}, [0] * 1000,
)  # fmt: skip
"""Values that a program may not have thought of."""
MISHAPS = [
    "bit",
    "byte",
    "run",
    "truncate",
    "extend",
    "delete",
    "repeat",
    "swap",
    "zero",
    "replace",
]
FORGERIES = [
    "drop",
    "strange",
    "strange",
    "strange",
    "deep",
    "twin",
    "repeat",
    "move",
    "rename",
    "scale",
]


def damaged(data: bytes, others: Sequence[bytes], rng: random.Random) -> bytes:
    """Bytes after one mishap: bits, bytes, slices, the length, or another file in its place."""
    size = len(data)

    def cut() -> tuple[int, int]:
        start = rng.randrange(size)
        return start, min(size, start + 1 + int(rng.paretovariate(0.6)))

    changed = bytearray(data)
    mishap = rng.choice(MISHAPS)
    if mishap == "replace" and others:
        return rng.choice(others)
    if mishap in ("extend", "replace") or not size:
        return data + rng.randbytes(1 + rng.randrange(64))
    start, stop = cut()
    if mishap == "bit":
        changed[start] ^= 1 << rng.randrange(8)
    elif mishap == "byte":
        changed[start] = rng.randrange(256)
    elif mishap == "run":
        changed[start:stop] = bytes(byte ^ 0xFF for byte in changed[start:stop])
    elif mishap == "truncate":
        del changed[start:]
    elif mishap == "delete":
        del changed[start:stop]
    elif mishap == "repeat":
        changed[start:start] = changed[start:stop]
    elif mishap == "swap":
        first, second = sorted([cut(), cut()])
        middle = data[first[1] : second[0]]
        changed[:] = data[: first[0]] + data[slice(*second)] + middle + data[slice(*first)]
        changed += data[max(first[1], second[1]) :]
    elif mishap == "zero":
        changed[start : start + 4096] = bytes(min(4096, size - start))
    return bytes(changed)


def crafted(name: str, data: bytes, others: Sequence[bytes], rng: random.Random) -> bytes:
    """A file as a hostile author would change it, who knows what its name's ending says."""
    if rng.random() < 0.2:
        return damaged(data, others, rng)
    kind = name.rpartition(".")[2]
    if kind in ("json", "jsonl"):
        for _ in range(rng.choice((1, 1, 1, 2, 4))):
            with contextlib.suppress(ValueError, RecursionError):  # no JSON any more
                data = forged(data, rng)
        return data
    if kind == "safetensors":
        length = 8 + struct.unpack("<Q", data[:8])[0]
        header, body = data[8:length], data[length:]
        if rng.random() < 0.6:
            header = forged(header, rng).strip()
        else:
            body = words(body, rng)
        return struct.pack("<Q", len(header)) + header + body
    if kind == "pt":
        return zipped(data, rng)
    return toml(data, rng) if kind == "toml" else words(data, rng)


def forged(data: bytes, rng: random.Random) -> bytes:
    """JSON with one part of it changed by a hostile author, or a line of several such."""
    lines = data.splitlines() if data.count(b"\n{") else [data]
    chosen = rng.randrange(len(lines))
    value = json.loads(lines[chosen])
    places = [*_places(value)]
    if not places:
        return data
    holder, key = rng.choice(places)
    change = rng.choice(FORGERIES)
    text = None
    if change == "drop":
        del holder[key]
    elif change == "deep":
        holder[key] = "DEEP"
        text = json.dumps(value).replace('"DEEP"', "[" * 20_000 + "]" * 20_000)
    elif change == "twin" and isinstance(holder, dict):
        marked = {"TWIN": holder[key]} | holder
        holder.clear()
        holder.update(marked)
        text = json.dumps(value).replace('"TWIN"', json.dumps(key), 1)
    elif change == "repeat" and isinstance(holder, list):
        holder[key:key] = [holder[key]] * rng.choice([1, 2, 1000])
    elif change == "move":
        other, its = rng.choice(places)
        # Not into itself: JSON has no circles.
        holder[key] = json.loads(json.dumps(other[its]))
    elif change == "rename" and isinstance(holder, dict):
        holder[str(rng.choice(STRANGE))] = holder.pop(key)
    elif change == "scale" and type(holder[key]) in (int, float):
        holder[key] = rng.choice([holder[key] + 1, holder[key] - 1, -holder[key], holder[key] * 2])
    else:
        holder[key] = rng.choice(STRANGE)
    lines[chosen] = (text or json.dumps(value)).encode("utf-8", "surrogatepass")
    return b"\n".join(lines) + b"\n"


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every part of a JSON value, as what holds it and its key or index there."""
    keys = value if isinstance(value, dict) else range(len(value))
    for key in keys:
        yield value, key
        if isinstance(value[key], dict | list):
            yield from _places(value[key])


def words(data: bytes, rng: random.Random) -> bytes:
    """Some numbers changed, 4 or 8 bytes each."""
    size = rng.choice([4, 8])
    changed = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 10])):
        at = rng.randrange(max(1, len(data) // size)) * size
        number = rng.choice([0, 1, 2, 3, 255, 2**16, 2**31 - 1, -1, -(2**31), rng.getrandbits(30)])
        changed[at : at + size] = (number % 2 ** (8 * size)).to_bytes(size, "little")
    return bytes(changed[: len(data)])


def zipped(data: bytes, rng: random.Random) -> bytes:
    """A zip of the same names, one of its files changed, or twice in it, or gone."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [(member.filename, archive.read(member)) for member in archive.infolist()]
    at = rng.randrange(len(members))
    if rng.random() < 0.6:
        at = next(i for i, member in enumerate(members) if member[0].endswith("data.pkl"))
    name, content = members[at]
    change = rng.choice(["damage"] * 7 + ["gone", "name", "compress"])
    if change == "damage":
        members[at] = name, damaged(content, [c for _, c in members], rng)
    elif change == "gone":
        del members[at]
    elif change == "name":
        members[at] = name + rng.choice(["x", "/../../x", "/"]), content
    buffer = io.BytesIO()
    method = zipfile.ZIP_DEFLATED if change == "compress" else zipfile.ZIP_STORED
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return buffer.getvalue()


def toml(data: bytes, rng: random.Random) -> bytes:
    """Flat TOML with another value in a line, or a line too many or too few."""
    lines = data.decode().splitlines()
    at = rng.randrange(1, len(lines))
    name = lines[at].partition(" = ")[0]
    value = rng.choice(STRANGE)
    if isinstance(value, dict | None):
        del lines[at]
    elif isinstance(value, float):
        lines[at] = f"{name} = {value}"
    else:
        lines[at] = f"{name} = {json.dumps(value)}"
    if rng.random() < 0.2:
        lines.append(rng.choice([lines[1], "[" * 10_000, "a" + ".a" * 50_000 + " = 1", "x = 1"]))
    return "\n".join(lines).encode("utf-8", "surrogatepass")
