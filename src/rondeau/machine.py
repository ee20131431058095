"""What the system says of this process: its processors, its memory, and whom it has killed for it.

Reads /proc and /sys/fs/cgroup (both versions of control groups); where they are missing or say
nothing, nothing is known of them. It knows no training.
"""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/")
FAILURES = ("not enough memory", "can't allocate memory", "out of memory", "bad_alloc")
"""What torch's errors say where memory couldn't be had: they have no class of their own."""


def processors() -> int:
    """How many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@dataclass(frozen=True)
class Limit:
    """How many bytes this process may hold in memory, by whose limit.

    size: at most; free: as things are, with what others hold (None: not known).
    """

    name: str
    size: int
    free: int | None = None


def memory_limits(root: Path = ROOT) -> list[Limit]:
    """Every limit that is known: the machine's, the control groups', the process's own."""
    process = _kilobytes(root / "proc/self/status")
    resident = process.get("VmRSS", 0)
    machine = _kilobytes(root / "proc/meminfo")
    swap = machine.get("SwapTotal", 0)
    limits = []
    if total := machine.get("MemTotal") or _physical():
        free = None
        if "MemAvailable" in machine:
            free = resident + machine["MemAvailable"] + machine.get("SwapFree", 0)
        limits.append(Limit(f"this machine's memory{' and swap' * (swap > 0)}", total + swap, free))
    limits += _group_limits(root, resident, swap)
    for name, kind, field in (
        ("this process's address space (ulimit -v)", resource.RLIMIT_AS, "VmSize"),
        ("this process's data (ulimit -d)", resource.RLIMIT_DATA, "VmData"),
    ):
        most = resource.getrlimit(kind)[0]
        if most != resource.RLIM_INFINITY and field in process:
            # What is mapped counts, whether it is ever touched or not.
            limits.append(Limit(name, max(0, most - process[field] + resident)))
    return limits


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory couldn't be had, whoever raised it."""
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    if isinstance(error, RuntimeError):
        return any(sign in str(error) for sign in FAILURES)
    return isinstance(error, MemoryError)


@dataclass(frozen=True)
class Kills:
    """What to compare with later: this start of the machine, and whom it has killed since.

    boot: the start's own name; machine, group: processes killed for want of memory, of all and in
    this process's control group. None where the system doesn't say.
    """

    boot: str | None = None
    machine: int | None = None
    group: int | None = None


def kills(root: Path = ROOT) -> Kills:
    """What the system says of it now."""
    inner = next(_groups(root), None)  # counts what is killed for any limit around it too
    files = [inner / "memory.events", inner / "memory.oom_control"] if inner else []
    counts = [_fields(path).get("oom_kill") for path in files]
    return Kills(
        boot=_text(root / "proc/sys/kernel/random/boot_id") or None,
        machine=_fields(root / "proc/vmstat").get("oom_kill"),
        group=next((count for count in counts if count is not None), None),
    )


def happened_since(before: Kills, root: Path = ROOT) -> str | None:
    """What has happened to processes of that time, as far as is known."""
    after = kills(root)
    if before.boot is None or after.boot is None:
        return None
    if after.boot != before.boot:
        return "the machine was restarted since"
    for name, where in (("group", " of its control group"), ("machine", "")):
        then, now = getattr(before, name), getattr(after, name)
        if then is not None and now is not None and now > then:
            return f"the system has killed processes{where} for want of memory since"
    return None


def _group_limits(root: Path, resident: int, swap: int) -> Iterator[Limit]:
    """Those of the process's control groups, and of all around them."""
    for folder in _groups(root):
        most = _number(folder / "memory.max") or _number(folder / "memory.limit_in_bytes")
        if most is None or most >= 2**60:  # version 1 says so that there is none
            continue
        swapped = _number(folder / "memory.swap.max")
        if (both := _number(folder / "memory.memsw.limit_in_bytes")) is not None:
            swapped = both - most
        used = _number(folder / "memory.current") or _number(folder / "memory.usage_in_bytes")
        free = None
        if used is not None:
            kept = _fields(folder / "memory.stat")
            used -= kept.get("total_inactive_file", kept.get("inactive_file", 0))
            free = resident + max(0, most - used)
        name = f"the control group's memory ({folder})"
        yield Limit(name, most + min(swap, swap if swapped is None else swapped), free)


def _groups(root: Path) -> Iterator[Path]:
    """The folders of the process's control groups that limit memory, the innermost first."""
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = (*line.split(":", 2), "", "")[:3]
        top = root / "sys/fs/cgroup"
        if "memory" in controllers.split(","):
            top /= "memory"
        elif controllers:
            continue
        inner = top / path.lstrip("/")
        # A container may see its own group as the top, under a path that is the system's.
        for folder in (inner, *inner.parents):
            if folder.is_dir() and folder.is_relative_to(top):
                yield folder


def _physical() -> int | None:
    """Bytes of the machine's memory where there is no /proc."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _number(path: Path) -> int | None:
    """A whole number; None where there is none, or it is "max"."""
    text = _text(path)
    return int(text) if text.isdecimal() else None


def _fields(path: Path) -> dict[str, int]:
    """Lines of `name number`, or `name: number kB`, without the rest."""
    fields = {}
    for line in _text(path).splitlines():
        name, number, *_ = (*line.split(), "", "")
        if number.isdecimal():
            fields[name.rstrip(":")] = int(number)
    return fields


def _kilobytes(path: Path) -> dict[str, int]:
    """The same, in bytes, of a file whose numbers are kilobytes."""
    return {name: 1024 * number for name, number in _fields(path).items()}
