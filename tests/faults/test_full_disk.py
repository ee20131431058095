"""A full disk, a lost permission, a failing disk: one line, and on to the bit once it is mended."""

import contextlib
import shutil
import subprocess
from collections import Counter

import pytest
from runs import check_readable, differences, fresh, go_on, sample, usual

MOUNT, UNMOUNT = shutil.which("mount"), shutil.which("umount")


def told_in_one_line(result):
    """Whether a command failed with one sentence, the last thing that it said."""
    *before, last = result.said.splitlines()
    return (
        result.code == 1
        and last.startswith("rondeau: error: ")
        and "cannot be written" in last
        and "Traceback" not in result.said
        and not any(line.startswith("rondeau: error: ") for line in before)
    )


@pytest.mark.parametrize("fault", ["ENOSPC", "EACCES", "EIO"])
def test_a_disk_that_fails_at_any_operation_stops_in_one_line_and_once_mended_it_goes_on(
    warm, whole, operations, place, rhymes, long, record_property, fault
):
    codes: Counter[int] = Counter()
    points = range(1, operations + 1) if long else sample(operations, 4)
    for at in points:
        run = fresh(place / fault)
        failed = warm([*usual(rhymes), "--out", run], root=run, at=at, fault=fault)
        codes[failed.code] += 1
        if (fault, at) == ("EACCES", 1):  # a place of the user's that was never writable
            assert (failed.code, "cannot be made" in failed.said) == (2, True)
        else:
            # What is only kept for another time (baselines, an index) may fail unseen.
            assert told_in_one_line(failed) or failed.code == 0, (at, failed)
        check_readable(run)
        resumed = go_on(warm, run, usual(rhymes))
        assert resumed.code == 0, (at, failed, resumed)
        assert differences(whole, run) == [], (at, failed, resumed)
    record_property("figures", f"{fault}: at {len(points)} operations, exit codes {dict(codes)}")


def mount(folder, size):
    """Mount a file system of so many kilobytes, or skip."""
    options = ["-t", "tmpfs", "-o", f"size={size}k", "tmpfs", folder]
    if not MOUNT or subprocess.run([MOUNT, *options], capture_output=True, check=False).returncode:
        pytest.skip("mounting isn't permitted here")


@contextlib.contextmanager
def small_disk(folder, size):
    """A small file system; `remount` makes it larger."""
    folder.mkdir(parents=True)
    mount(folder, size)
    try:
        yield lambda size: subprocess.run(
            [MOUNT, "-o", f"remount,size={size}k", folder], check=True
        )
    finally:
        subprocess.run([UNMOUNT, folder], check=True)
        folder.rmdir()


def test_a_small_disk_that_runs_full_is_told_and_with_more_room_it_goes_on(
    warm, whole, place, rhymes, long, record_property
):
    sizes = range(16, 400, 8) if long else (40, 120)
    full = 0
    for size in sizes:
        with small_disk(place / "small", size) as remount:
            run = place / "small" / "run"
            result = warm([*usual(rhymes), "--out", run])
            full += result.code
            assert told_in_one_line(result) or result.code == 0, (size, result)
            assert result.code == 0 or "No space left" in result.said
            check_readable(run)
            remount(4096)
            assert go_on(warm, run, usual(rhymes)).code == 0
            assert differences(whole, run) == [], (size, result)
    record_property("figures", f"small disks: {len(sizes)}, of which {full} ran full")
    assert full


@pytest.mark.parametrize("fault", ["ENOSPC", "EACCES", "EIO"])
def test_a_run_that_cannot_be_written_to_is_still_used(warm, whole, place, fault):
    run = fresh(place / "used")
    shutil.copytree(whole, run)
    (run / "baselines.json").unlink()
    (run / "private/copies.safetensors").unlink()
    for command in (["evaluate", run], ["generate", run, "--novelty", "--seed", 1]):
        result = warm(command, root=run, at=1, fault=fault)
        assert (result.code, result.operations > 0) == (0, True), result
        assert "Traceback" not in result.said
    run = fresh(place / "used")
    shutil.copytree(whole, run)
    result = warm(["report", run], root=run, at=1, fault=fault)
    assert result.code == 1
    (line,) = result.said.splitlines()
    assert f"{run}: cannot be written to: " in line
    assert "--out" in line
