"""What the system says of memory, from files made up and from limits really set."""

import errno
import subprocess
import sys

import pytest

from rondeau.machine import Kills, happened_since, kills, memory_limits, out_of_memory

MEMINFO = "MemTotal: 1000 kB\nMemFree: 10 kB\nMemAvailable: 400 kB\n"
KB = 1024


@pytest.fixture(name="system")
def made_up_system(tmp_path):
    """Write files under a root, by name."""

    def write(files):
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        return tmp_path

    return write


def by_name(root):
    return {
        limit.name.partition(" (/")[0]: (limit.size, limit.free) for limit in memory_limits(root)
    }


def test_the_machine_has_its_memory_and_swap_of_which_others_hold_some(system):
    status = "Name:\tpython\nVmRSS:\t  50 kB\n"
    root = system({"proc/meminfo": MEMINFO, "proc/self/status": status})
    assert by_name(root) == {"this machine's memory": (1000 * KB, 450 * KB)}
    system({"proc/meminfo": MEMINFO + "SwapTotal: 300 kB\nSwapFree: 200 kB\n"})
    assert by_name(root) == {"this machine's memory and swap": (1300 * KB, 650 * KB)}


def test_every_control_group_around_the_process_limits_it(system):
    group = "sys/fs/cgroup/a/b"
    root = system(
        {
            "proc/meminfo": MEMINFO,
            "proc/self/cgroup": "0::/a/b\n",
            f"{group}/memory.max": "max\n",
            "sys/fs/cgroup/a/memory.max": "5000\n",
            "sys/fs/cgroup/a/memory.current": "4000\n",
            "sys/fs/cgroup/a/memory.stat": "anon 1\ninactive_file 1500\n",
        }
    )
    assert by_name(root)["the control group's memory"] == (5000, 2500)
    system({f"{group}/memory.max": "3000\n"})
    sizes = [limit.size for limit in memory_limits(root) if "group" in limit.name]
    assert sizes == [3000, 5000]


@pytest.mark.parametrize(("allowed", "size"), [("0", 5000), ("max", 5000 + 8 * KB), ("70", 5070)])
def test_a_group_may_swap_as_much_as_it_is_allowed_and_there_is(system, allowed, size):
    root = system(
        {
            "proc/meminfo": MEMINFO + "SwapTotal: 8 kB\n",
            "proc/self/cgroup": "0::/\n",
            "sys/fs/cgroup/memory.max": "5000\n",
            "sys/fs/cgroup/memory.swap.max": f"{allowed}\n",
        }
    )
    assert by_name(root)["the control group's memory"][0] == size


def test_version_1_is_read_too_and_a_container_sees_its_group_as_the_top(system):
    root = system(
        {
            "proc/self/cgroup": "5:cpu,cpuacct:/x\n4:memory:/docker/0123\n0::/\n",
            "proc/meminfo": MEMINFO,
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "7000\n",
            "sys/fs/cgroup/memory/memory.usage_in_bytes": "3000\n",
        }
    )
    assert by_name(root)["the control group's memory"] == (7000, 4000)
    system({"sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n"})
    assert "the control group's memory" not in by_name(root)


def test_without_proc_and_groups_the_machine_has_what_it_has_and_nothing_is_said(tmp_path):
    (limit,) = memory_limits(tmp_path)
    assert limit.size > 2**20
    assert limit.free is None
    assert kills(tmp_path) == Kills()
    assert happened_since(kills(tmp_path), tmp_path) is None


@pytest.mark.parametrize(("kind", "name"), [("AS", "address space"), ("DATA", "data")])
def test_the_process_s_own_limits_count_what_is_mapped_already(kind, name):
    limit = 2**30
    script = (
        "import resource; from rondeau.machine import memory_limits\n"
        f"resource.setrlimit(resource.RLIMIT_{kind}, ({limit}, {limit}))\n"
        f"print(*(l.size for l in memory_limits() if {name!r} in l.name))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    (size,) = map(int, done.stdout.split())
    assert limit / 2 < size < limit * 1.1, done.stderr


def test_what_happened_since_is_told_as_far_as_it_is_known(system):
    boot = "proc/sys/kernel/random/boot_id"
    files = {
        boot: "one\n",
        "proc/vmstat": "pgfault 5\noom_kill 3\n",
        "proc/self/cgroup": "0::/a\n",
        "sys/fs/cgroup/a/memory.events": "oom 1\noom_kill 1\n",
    }
    root = system(files)
    before = kills(root)
    assert before == Kills("one", 3, 1)
    assert happened_since(before, root) is None
    system({"proc/vmstat": "oom_kill 4\n"})
    assert (
        happened_since(before, root) == "the system has killed processes for want of memory since"
    )
    system({"sys/fs/cgroup/a/memory.events": "oom_kill 2\n"})
    assert "processes of its control group for want" in happened_since(before, root)
    assert happened_since(Kills("one"), root) is None
    assert happened_since(Kills("zero", 3, 1), root) == "the machine was restarted since"


@pytest.mark.parametrize(
    ("error", "is_one"),
    [
        (MemoryError(), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried 8 bytes"), True),
        (RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB"), True),
        (RuntimeError("shapes cannot be multiplied"), False),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), True),
        (OSError(errno.ENOSPC, "No space left on device"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_errors_that_mean_a_lack_of_memory_are_told_from_others(error, is_one):
    assert out_of_memory(error) is is_one
