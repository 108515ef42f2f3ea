"""Trials on this very machine, as nodes run them: clean, with faults planted, killed, starved."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from burning import (
    SEED,
    Burning,
    asked,
    fact_of,
    flip_a_bit,
    flip_words,
    scratch_of,
    scribble,
    stage,
    statuses,
)
from kin import alive, ended, generation, gone, wait_for

from clusterctl.model import Kind, Stage
from clusterctl.trials.cpu_burn import digest

OLD = sorted(Path.home().glob(".pyenv/versions/3.6.*/bin/python3.6"))  # the oldest we promise
NEW = sys.executable
PYTHONS = pytest.mark.parametrize(
    "python",
    [
        NEW,
        pytest.param(str(OLD[0]) if OLD else "", marks=pytest.mark.skipif(not OLD, reason="3.6")),
    ],
    ids=["new", "3.6"],
)
ROOT = pytest.mark.skipif(os.getuid() != 0, reason="only root may change another process's memory")
FIO = pytest.mark.skipif(not shutil.which("fio"), reason="needs fio")
STRESS_NG = pytest.mark.skipif(not shutil.which("stress-ng"), reason="needs stress-ng")
CORES = len(os.sched_getaffinity(0))
CLEAN = {"pass", "skip"}
GUARDIAN, RUNNER, SCRIPT, WORKERS, JOBS = range(5)  # generations of the family


@pytest.fixture
def family(monkeypatch) -> Iterator[str]:
    """Marks every process that a test starts; none may outlive it."""
    mark = uuid.uuid4().hex
    monkeypatch.setenv("FAMILY", mark)
    yield mark
    assert gone(mark, 5), alive(mark)


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Iterator[Path]:
    """Where scratch files go.  Neither there nor in the working directory may anything stay."""
    places = [tmp_path / "scratch", tmp_path / "home"]
    for place in places:
        place.mkdir()
    monkeypatch.chdir(places[1])
    yield places[0]
    assert [list(place.iterdir()) for place in places] == [[], []]


def cpu(engine: str = "built-in", seconds: float = 1.0) -> Stage:
    return stage("cpu_burn", engine=engine, seconds=seconds)


def memory(share: float = 0.01, seconds: float = 0.5) -> Stage:
    return stage("memory_burn", share=share, seconds=seconds)


def disk(folder: Path, engine: str = "built-in", seconds: float = 0.5, size_mib: int = 8) -> Stage:
    return stage("disk_burn", folder=str(folder), engine=engine, seconds=seconds, size_mib=size_mib)


# ----------------------------------------------------------------------------- clean


@PYTHONS
@pytest.mark.parametrize("engine", ["built-in", pytest.param("stress-ng", marks=STRESS_NG)])
def test_sound_cores_pass(python, engine, family):
    seen = Burning(asked(cpu(engine)), python).join()
    fact = fact_of(seen)
    assert fact.engine.startswith(engine)
    assert (fact.part, fact.errors, fact.asked) == ("cpu", 0, 1.0)
    assert fact.covered == pytest.approx(CORES / os.cpu_count())
    assert fact.amount > 0
    assert fact.rate == pytest.approx(fact.amount / fact.seconds, rel=0.2)
    assert fact.seconds > 0.5
    if os.cpu_count() == CORES:
        assert statuses(seen) <= CLEAN


@PYTHONS
def test_sound_memory_passes(python, family):
    seen = Burning(asked(memory()), python).join()
    fact = fact_of(seen)
    assert (fact.part, fact.engine, fact.errors) == ("memory", "built-in", 0)
    assert fact.covered == pytest.approx(0.01, rel=0.02)
    assert fact.asked == 0.01
    assert fact.rate == pytest.approx(fact.amount / fact.seconds / 1e9, rel=0.01)
    assert statuses(seen) <= CLEAN


@PYTHONS
@pytest.mark.parametrize("engine", ["built-in", pytest.param("fio", marks=FIO)])
def test_a_sound_disk_passes_and_keeps_nothing(python, engine, family, folder):
    seen = Burning(asked(disk(folder, engine)), python).join()
    fact = fact_of(seen)
    assert fact.engine.startswith(engine)
    assert (fact.part, fact.errors) == (f"disk:{folder}", 0)
    assert fact.covered == fact.asked > 0
    assert fact.amount % (8 << 20) == 0
    assert fact.rate > 0
    assert statuses(seen) <= CLEAN


# As on NFS, and on overlays of old kernels.
NO_TMPFILE = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
static int refuse(const char *name, const char *path, int flags, int mode) {
    if ((flags & O_TMPFILE) == O_TMPFILE) { errno = EOPNOTSUPP; return -1; }
    int (*next)(const char *, int, ...) = dlsym(RTLD_NEXT, name);
    return next(path, flags, mode);
}
#define OPEN(name) int name(const char *path, int flags, ...) { \\
    va_list more; va_start(more, flags); int mode = va_arg(more, int); va_end(more); \\
    return refuse(#name, path, flags, mode); }
OPEN(open)
OPEN(open64)
"""


@pytest.mark.skipif(not shutil.which("gcc"), reason="needs gcc")
@pytest.mark.parametrize("old", [False, True], ids=["no name", "name removed"])
def test_the_scratch_file_is_nowhere_to_be_found_while_it_is_used(old, family, folder, tmp_path):
    python = NEW
    if old:
        library = tmp_path / "refuse.so"
        build = ["gcc", "-shared", "-fPIC", "-x", "c", "-", "-o", library, "-ldl"]
        subprocess.run(build, input=NO_TMPFILE.encode(), check=True)
        python = wrapper(tmp_path, f'LD_PRELOAD={library} exec {NEW} "$@"')
    burning = Burning(asked(disk(folder, seconds=1.0)), python)
    assert wait_for(lambda: under_way("disk", family, folder))
    (script,) = generation(family, SCRIPT)
    named = "/.clusterctl-" in str(scratch_of(script, folder).readlink())
    assert named == old
    assert list(folder.iterdir()) == []
    assert fact_of(burning.join()).errors == 0


def test_auto_takes_the_tool_where_there_is_one(family, folder, tmp_path):
    engines = [
        fact_of(Burning(asked(what), NEW).join()).engine
        for what in (cpu("auto"), disk(folder, "auto"))
    ]
    assert engines[0].startswith("stress-ng" if shutil.which("stress-ng") else "built-in")
    assert engines[1].startswith("fio" if shutil.which("fio") else "built-in")


# ----------------------------------------------------------------------------- faults


def test_cores_that_compute_something_else_fail(family):
    wrong = digest(SEED + 1)
    seen = Burning(asked(cpu(seconds=0.5), swap={digest(SEED): wrong}), NEW).join()
    fact = fact_of(seen)
    assert fact.errors == fact.amount > 0
    assert "fail" in statuses(seen)


@ROOT
def test_one_core_that_computes_wrong_is_named(family):
    burning = Burning(asked(cpu(seconds=1.5)), NEW)
    assert wait_for(lambda: len(generation(family, WORKERS)) == CORES)
    time.sleep(0.3)
    victim = generation(family, WORKERS)[-1]
    assert flip_words(victim, digest(SEED).encode())
    seen = burning.join()
    fact = fact_of(seen)
    last = max(os.sched_getaffinity(0))
    assert 0 < fact.errors < fact.amount or CORES == 1
    assert fact.detail.endswith(f"wrong on cpu{last}")
    assert "fail" in statuses(seen)


def test_every_core_has_a_worker_of_its_own(family):
    burning = Burning(asked(cpu(seconds=1.0)), NEW)
    assert wait_for(lambda: len(generation(family, WORKERS)) == CORES)
    assert wait_for(lambda: placed(family) == [{cpu} for cpu in sorted(os.sched_getaffinity(0))], 3)
    assert fact_of(burning.join()).errors == 0


def placed(family: str) -> list[set[int]]:
    return sorted((os.sched_getaffinity(pid) for pid in generation(family, WORKERS)), key=min)


@ROOT
def test_a_bit_that_flips_in_memory_fails(family):
    burning = Burning(asked(memory(seconds=1.0)), NEW)
    assert wait_for(lambda: len(generation(family, WORKERS)) == CORES)
    victim, rng = generation(family, WORKERS)[0], random.Random(1)
    time.sleep(0.3)
    while burning.running and Path(f"/proc/{victim}/maps").exists():
        try:
            flip_a_bit(victim, rng)
        except (OSError, ValueError):
            break  # it has ended between two looks
        time.sleep(0.002)
    seen = burning.join()
    fact = fact_of(seen)
    assert fact.errors > 0
    assert "worker 0: " in fact.detail
    assert "from offset 0x" in fact.detail
    assert "fail" in statuses(seen)


@pytest.mark.parametrize("engine", ["built-in", pytest.param("fio", marks=FIO)])
def test_a_block_that_reads_back_changed_fails(engine, family, folder):
    burning = Burning(asked(disk(folder, engine, seconds=1.5, size_mib=32)), NEW)
    assert wait_for(lambda: generation(family, SCRIPT))
    (script,) = generation(family, SCRIPT)
    assert wait_for(lambda: scratch_of(script, folder))
    path, rng = scratch_of(script, folder), random.Random(1)
    while burning.running:
        scribble(path, rng)
    seen = burning.join()
    fact = fact_of(seen)
    assert fact.engine.startswith(engine)
    assert fact.errors > 0
    assert "first wrong at " in fact.detail or "verify failed at file" in fact.detail
    assert "fail" in statuses(seen)


@pytest.mark.parametrize(
    ("what", "hit"),
    [
        (cpu(seconds=1.5), WORKERS),
        (memory(seconds=1.5), WORKERS),
        pytest.param(cpu("stress-ng", seconds=1.5), JOBS, marks=STRESS_NG),
        pytest.param(disk(Path.home(), "fio", seconds=1.5), WORKERS, marks=FIO),
    ],
    ids=["cpu", "memory", "stress-ng", "fio"],
)
def test_a_worker_killed_on_the_way_is_never_clean(what, hit, family):
    burning = Burning(asked(what), NEW)
    assert wait_for(lambda: generation(family, hit))
    time.sleep(0.2)
    assert wait_for(lambda: killed(generation(family, hit)))
    seen = burning.join()
    assert {trouble.kind for trouble in seen.troubles} == {Kind.EXIT}  # TIMEOUT at its deadline
    for fact in seen.facts:
        assert fact.errors is None or fact.covered < fact.asked
    assert "unknown" in statuses(seen)


def killed(pids: list[int]) -> bool:
    try:
        os.kill(pids[0], signal.SIGKILL)
    except (IndexError, ProcessLookupError):
        return False
    return True


def test_a_core_not_ours_is_not_covered(family, tmp_path):
    first = min(os.sched_getaffinity(0))
    python = wrapper(tmp_path, f'exec taskset -c {first} {NEW} "$@"')
    seen = Burning(asked(cpu()), python).join()
    fact = fact_of(seen)
    assert fact.covered == pytest.approx(1 / os.cpu_count())
    assert fact.detail == f"1 of {os.cpu_count()} cores"
    assert statuses(seen) <= CLEAN if os.cpu_count() == 1 else "unknown" in statuses(seen)


def wrapper(tmp_path: Path, line: str) -> str:
    """An interpreter that goes through something else first."""
    path = tmp_path / "python3"
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)
    return str(path)


# ----------------------------------------------------------------------------- tools that misbehave


@pytest.fixture
def tool(tmp_path, monkeypatch):
    """`tool("fio", "exit 3")` stands before the real one on the PATH."""
    stubs = tmp_path / "bin"
    stubs.mkdir()
    monkeypatch.setenv("PATH", f"{stubs}:{os.environ['PATH']}")

    def make(name: str, script: str) -> None:
        (stubs / name).write_text(f"#!/bin/sh\n{script}\n")
        (stubs / name).chmod(0o755)

    return make


METRICS = "stress-ng: metrc: [7] cpu {} 1.00 1.99 0.00 {} 500.00"
WRONG = "stress-ng: fail:  [8] cpu: matrix error detected, 3 vs 4"
HOGS = "stress-ng: info:  [7] dispatching hogs: 2 cpu"
STRESS = "case $1 in --version) echo 'stress-ng, version 0.99.01 (gcc 1)';; *) {};; esac"


@pytest.mark.parametrize(
    ("script", "status", "errors"),
    [
        (f"echo '{HOGS}'; echo '{METRICS.format(1000, 1000.5)}'", "pass", 0),
        (f"echo '{HOGS}'; echo '{METRICS.format(0, 0.0)}'", "fail", 0),
        (
            f"echo '{HOGS}'; echo '{WRONG}'; echo '{METRICS.format(1000, 1000.5)}'; exit 2",
            "fail",
            1,
        ),
        (f"echo '{HOGS}'; echo '{METRICS.format(1000, 1000.5)}'; exit 5", "unknown", None),
        (f"echo '{METRICS.format(1000, 1000.5)}'", "unknown", None),
        (f"echo '{HOGS}'", "unknown", None),
        ("exit 0", "unknown", None),
        ("kill -9 $$", "unknown", None),
        ("head -c 300000 /dev/urandom", "unknown", None),
    ],
    ids=["right", "zero", "wrong", "exit", "no cores", "no metrics", "mute", "killed", "garbage"],
)
def test_stress_ng_is_believed_only_where_it_is_whole(script, status, errors, family, tool):
    tool("stress-ng", STRESS.format(script))
    seen = Burning(asked(cpu("auto")), NEW).join()
    assert [fact.errors for fact in seen.facts] == [errors]
    assert seen.facts[0].engine == "stress-ng 0.99.01"
    found = statuses(seen)
    assert found <= CLEAN if status == "pass" and os.cpu_count() == 2 else status in found


def test_the_built_in_engine_burns_where_there_is_no_tool(family, folder, tmp_path):
    """In a mount name space of its own the tools are no programs."""
    tools = [path for name in ("fio", "stress-ng") if (path := shutil.which(name))]
    hide = "".join(f"mount --bind /dev/null {path} && " for path in tools)
    python = wrapper(tmp_path, f'exec unshare -m sh -c \'{hide} exec {NEW} "$@"\' sh "$@"')
    if subprocess.run(["unshare", "-m", "true"], check=False).returncode:
        pytest.skip("no mount name space can be made here")
    for what, engine in ((cpu("auto"), "built-in"), (disk(folder, "auto"), "built-in")):
        assert fact_of(Burning(asked(what), python).join()).engine == engine
    for what in (cpu("stress-ng"), disk(folder, "fio")):
        seen = Burning(asked(what), python).join()
        assert [trouble.kind for trouble in seen.troubles] == [Kind.MISSING]
        assert not seen.facts


@pytest.mark.parametrize(
    "script",
    [
        "exit 1",
        "kill -9 $$",
        "echo '{\"jobs\": []}'",
        'echo \'{"jobs": [{"error": 5, "read": {}, "write": {}}]}\'; exit 1',
        "head -c 300000 /dev/urandom",
    ],
    ids=["exit", "killed", "no job", "EIO", "garbage"],
)
def test_a_fio_that_breaks_is_a_trouble_and_not_another_engines_pass(script, family, folder, tool):
    tool("fio", f"case $1 in --version) echo fio-9.9;; *) {script};; esac")
    seen = Burning(asked(disk(folder, "auto")), NEW).join()
    assert [trouble.kind for trouble in seen.troubles] == [Kind.EXIT]
    assert "fio" in seen.troubles[0].detail
    assert not seen.facts


# ----------------------------------------------------------------------------- too little of it


@pytest.fixture
def small_disk(tmp_path):
    """64 MiB of a file system, which no test may fill."""
    place = tmp_path / "small"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "none", place], check=True)
    yield place
    subprocess.run(["umount", "-l", place], check=True)


@ROOT
@pytest.mark.parametrize("engine", ["built-in", pytest.param("fio", marks=FIO)])
def test_a_small_disk_is_not_filled_and_not_called_tested(engine, family, small_disk):
    burning, used = Burning(asked(disk(small_disk, engine, size_mib=256)), NEW), 0
    while burning.running:
        used = max(
            used, 1 - shutil.disk_usage(small_disk).free / shutil.disk_usage(small_disk).total
        )
        time.sleep(0.01)
    seen = burning.join()
    assert 0 < used <= 0.11
    assert fact_of(seen).covered == pytest.approx(0.1, rel=0.1)
    assert "unknown" in statuses(seen)
    assert not list(small_disk.iterdir())


@ROOT
@pytest.mark.parametrize("engine", ["built-in", pytest.param("fio", marks=FIO)])
def test_a_full_disk_is_left_alone(engine, family, small_disk):
    (small_disk / "theirs").write_bytes(bytes(60 << 20))
    seen = Burning(asked(disk(small_disk, engine)), NEW).join()
    assert not seen.facts
    assert "too full to test" in seen.troubles[0].detail
    assert [path.name for path in small_disk.iterdir()] == ["theirs"]


@pytest.mark.parametrize("where", ["/nowhere", "/proc/self", "/dev/null"])
def test_a_folder_that_takes_no_file_is_a_trouble(where, family):
    seen = Burning(asked(disk(Path(where))), NEW).join()
    assert not seen.facts
    assert where in seen.troubles[0].detail


@pytest.fixture
def group():
    """A memory control group, of the version this machine has."""
    for root in (Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")):
        place = root / f"clusterctl-{uuid.uuid4().hex}"
        try:
            place.mkdir()
        except OSError:
            continue
        limit = next((place / name for name in LIMITS if (place / name).exists()), None)
        if limit:
            yield limit
            assert wait_for(lambda procs=place / "cgroup.procs": not procs.read_text())
            place.rmdir()
            return
        place.rmdir()
    pytest.skip("no memory control group can be made here")


LIMITS = ("memory.limit_in_bytes", "memory.max")


@ROOT
@pytest.mark.parametrize(("mib", "tested"), [(100, False), (300, True)])
def test_memory_stops_short_of_what_the_node_needs(mib, tested, family, group, tmp_path):
    total = next(
        int(line.split()[1]) << 10
        for line in Path("/proc/meminfo").read_text().splitlines()
        if line.startswith("MemTotal")
    )
    spare = (256 << 20) + total // 64
    group.write_text(str((mib << 20) + (spare if tested else 0)))
    procs = group.parent / "cgroup.procs"
    python = wrapper(tmp_path, f'echo $$ > {procs}; exec {NEW} "$@"')
    seen = Burning(asked(memory(share=0.05)), python).join()
    if tested:
        fact = fact_of(seen)
        assert fact.errors == 0
        assert 50 << 20 < fact.covered * total < mib << 20
        assert "unknown" in statuses(seen)
    else:
        assert not seen.facts
        assert "too little to test" in seen.troubles[0].detail


def test_no_time_to_fill_all_is_no_full_test(family):
    seen = Burning(asked(memory(share=0.05), swap={"51.0": "0.1"}), NEW).join()
    fact = fact_of(seen)
    assert 0 < fact.covered < 0.05 * 0.95
    assert "unknown" in statuses(seen)


# ----------------------------------------------------------------------------- ends


EVERY = [
    pytest.param("cpu", id="cpu"),
    pytest.param("stress-ng", marks=STRESS_NG, id="stress-ng"),
    pytest.param("memory", id="memory"),
    pytest.param("disk", id="disk"),
    pytest.param("fio", marks=FIO, id="fio"),
]


def long(name: str, folder: Path) -> Stage:
    return {
        "cpu": cpu(seconds=30.0),
        "stress-ng": cpu("stress-ng", seconds=30.0),
        "memory": memory(seconds=30.0),
        "disk": disk(folder, seconds=30.0),
        "fio": disk(folder, "fio", seconds=30.0),
    }[name]


@pytest.mark.parametrize("name", EVERY)
def test_nothing_is_left_after_the_runner_was_killed(name, family, folder):
    burning = Burning(asked(long(name, folder)), NEW)
    assert wait_for(lambda: under_way(name, family, folder))
    before, (runner,) = alive(family), generation(family, RUNNER)
    os.kill(runner, signal.SIGKILL)
    assert gone(family, 5)
    assert ended(before, 5)
    seen = burning.join()
    assert not seen.facts
    assert statuses(seen) == {"unknown"}


def under_way(name: str, family: str, folder: Path) -> bool:
    if name == "disk":
        return any(scratch_of(script, folder) for script in generation(family, SCRIPT))
    return bool(generation(family, JOBS if name == "stress-ng" else WORKERS))


@pytest.mark.parametrize("name", EVERY)
def test_nothing_is_left_at_the_deadline(name, family, folder):
    seen = Burning(asked(long(name, folder), timeout_s=1.0), NEW).join()
    assert gone(family, 0)
    assert not seen.facts
    assert seen.troubles[0].kind is Kind.TIMEOUT
    assert statuses(seen) == {"unknown"}


@pytest.mark.parametrize("name", EVERY[:2])
def test_a_script_killed_on_the_way_takes_its_workers_along(name, family, folder):
    burning = Burning(asked(long(name, folder)), NEW)
    assert wait_for(lambda: under_way(name, family, folder))
    before, (script,) = alive(family), generation(family, SCRIPT)
    os.kill(script, signal.SIGKILL)
    seen = burning.join()
    assert gone(family, 0)
    assert ended(before, 5)
    assert not seen.facts
    assert seen.troubles[0].kind is Kind.EXIT
