"""The built-in CUDA engine on stub libraries: its processes, its ways to fail."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from burning import SEED, Burning, asked, stage, statuses
from kin import alive, generation, gone, wait_for

from clusterctl import remote
from clusterctl.catalog import all_checks
from clusterctl.model import Burn, Copy, Evidence, Fact, Kind, Node, Observation, Power
from clusterctl.trials.torch_burn import START_S

sys.path.insert(0, str(Path(remote.__file__).parent))

import burn_cuda  # of remote/
import cuda_load

sys.path.pop(0)

STUBS = Path(__file__).parent / "lab/stubs"
COMPILER = shutil.which("gcc") or shutil.which("cc")
OLD = sorted(Path.home().glob(".pyenv/versions/3.6.*/bin/python3.6"))
PYTHONS = pytest.mark.parametrize(
    "python",
    [
        sys.executable,
        pytest.param(str(OLD[0]) if OLD else "", marks=pytest.mark.skipif(not OLD, reason="3.6")),
    ],
    ids=["new", "3.6"],
)
pytestmark = pytest.mark.skipif(not COMPILER, reason="needs a C compiler for the stub libraries")
SIZE = 512
TILE = "rows 128-255, columns 256-511"  # where the element IN_TILE of a matrix of SIZE lies
IN_TILE = 130 * SIZE + 300
MEMORY_MIB = 96


@pytest.fixture(scope="session")
def libraries(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("libraries")
    for source, library in (("cuda.c", "libcuda.so.1"), ("nvml.c", "libnvidia-ml.so.1")):
        flags = ["-shared", "-fPIC", "-O3", "-Wall", "-Wextra", "-Werror"]
        command = [COMPILER, *flags, "-o", str(folder / library), str(STUBS / source)]
        subprocess.run(command, check=True)
    return folder


@dataclass
class GpuNode:
    folder: Path

    def says(self, *lines: str, gpus: int = 3, nvml: tuple[str, ...] = ()) -> None:
        for name, more in (("cuda", lines), ("nvml", nvml)):
            text = "\n".join((f"count = {gpus}", *more, ""))
            (self.folder / f"{name}.conf").write_text(text)


@pytest.fixture
def node(tmp_path, monkeypatch, libraries) -> Iterator[GpuNode]:
    """Nothing may stay: no process, and no file where the engine works."""
    mark, home = uuid.uuid4().hex, tmp_path / "home"
    home.mkdir()
    monkeypatch.chdir(home)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("FAMILY", mark)
    monkeypatch.setenv("LD_LIBRARY_PATH", str(libraries))
    for name in ("cuda", "nvml"):
        monkeypatch.setenv(f"CLUSTERCTL_{name.upper()}_STATE", str(tmp_path / f"{name}.conf"))
    made = GpuNode(tmp_path)
    made.says()
    yield made
    assert gone(mark, 10), alive(mark)
    assert not list(home.iterdir())


def burning(runs: str = sys.executable, **params: object) -> Burning:
    how = {"engine": "cuda", "size": SIZE, "seconds": 1.0, **params}
    return Burning(asked(stage("gpu_burn", **how)), runs)


def burns(seen: Observation) -> dict[tuple[str, str], Burn]:
    return {(burn.part, burn.rate_unit): burn for burn in loads(seen)}


def loads(seen: Observation) -> tuple[Fact, ...]:
    """Without what the node drew meanwhile."""
    return tuple(fact for fact in seen.facts if not isinstance(fact, Power))


def digests(seen: Observation) -> dict[str, str]:
    return {burn.part: burn.digest for burn in loads(seen) if burn.precision}


# ----------------------------------------------------------------------------- sound


@PYTHONS
def test_sound_gpus_pass(node, python):
    node.says(nvml=("gpu.*.power_w = 650", "gpu.*.temp_c = 61", "gpu.2.throttle = hw_thermal"))
    seen = burning(python).join()
    assert not seen.troubles
    found = burns(seen)
    assert set(found) == {
        (f"gpu{i}", unit) for i in range(3) for unit in ("tflop_s", "hbm_gbyte_s")
    }
    for (part, unit), burn in found.items():
        assert (burn.engine, burn.errors, burn.temp_max_c) == ("built-in CUDA", 0, 61)
        assert (burn.power_w, burn.power_limit_w, burn.clock_sm_mhz) == (650, 700, 345)
        assert ("slowed by hw_thermal" in burn.detail) == (part == "gpu2")
        if unit == "hbm_gbyte_s":
            assert burn.covered > 0.9 == burn.asked
            assert f" of {MEMORY_MIB} MiB" in burn.detail
        else:
            assert burn.precision == "bf16"
            assert burn.rate == pytest.approx(burn.amount / burn.seconds / 1e12, rel=1e-3)
    (digest,) = set(digests(seen).values())
    assert digest.startswith(f"bf16-{SIZE}-{SEED}:")
    assert statuses(seen) <= {"pass", "skip"}


@pytest.mark.parametrize(
    ("precision", "unit", "rate_unit", "scale"),
    [("int8", "operations", "gop_s", 1e9), ("fp32", "flop", "tflop_s", 1e12)],
)
def test_every_precision_is_checked_as_surely_as_bf16(node, precision, unit, rate_unit, scale):
    node.says(f"gpu.1.flip = {IN_TILE}", gpus=2)
    seen = burning(precision=precision).join()
    assert not seen.troubles
    found = burns(seen)
    good, bad = (found[f"gpu{i}", rate_unit] for i in range(2))
    assert (good.errors, good.precision, good.unit) == (0, precision, unit)
    assert good.rate == pytest.approx(good.amount / good.seconds / scale, rel=1e-3)
    assert good.digest == bad.digest
    assert good.digest.startswith(f"{precision}-{SIZE}-{SEED}:")
    assert bad.errors > 0
    assert f"wrong in {TILE}" in bad.detail


def test_a_digest_comes_of_the_seed_and_the_size(node):
    node.says(gpus=1)
    first, again = (digests(burning().join())["gpu0"] for _ in range(2))
    smaller = digests(burning(size=256).join())["gpu0"]
    assert first == again
    assert first.split(":")[1] != smaller.split(":")[1]


@dataclass
class GpuOfItsOwnTime:
    """What each launch takes there, and how late it is."""

    launch_s: float
    now_s: float = 0.0
    queued: int = 0
    left: int = MEMORY_MIB << 20
    processors: int = 1

    def monotonic(self) -> float:
        return self.now_s

    def launch(self, *_: object) -> None:
        self.queued += 1

    def wait(self) -> None:
        self.now_s += self.queued * self.launch_s
        self.queued = 0

    def room(self) -> tuple[int, int]:
        return self.left, MEMORY_MIB << 20

    def take(self, size: int) -> int:
        self.left -= size
        return size

    def free(self, size: int) -> None:
        self.left += size

    def get(self, _place: int, count: int, *_: object) -> tuple[int, ...]:
        return (0,) * count

    def put(self, *_: object) -> None: ...

    def fill_bytes(self, *_: object) -> None: ...


@pytest.mark.parametrize("launch_s", [0.0005, 0.01, 0.05])
def test_it_ends_when_it_was_asked_to(launch_s, monkeypatch):
    gpu = GpuOfItsOwnTime(launch_s)
    took = []

    def on_it(_ptx, works, *_):
        for _, work in works:
            took.extend(row["seconds"] for row in work(gpu, lambda: None))
        return [], None

    monkeypatch.setattr(cuda_load, "time", gpu)
    monkeypatch.setattr(burn_cuda, "on_all", on_it)
    burn_cuda.burn(b"", 3.0, SEED, "bf16", 256, 0.9)
    assert 2.4 < sum(took) <= gpu.now_s <= 3.0


# ----------------------------------------------------------------------------- wrong


def test_a_bit_that_flips_now_and_then_is_named_with_its_tile(node):
    node.says(f"gpu.1.flip = {IN_TILE}")
    found = burns(burning().join())
    assert [found[f"gpu{i}", "tflop_s"].errors > 0 for i in range(3)] == [False, True, False]
    assert f"against the first result: {found['gpu1', 'tflop_s'].errors} wrong in {TILE}" in (
        found["gpu1", "tflop_s"].detail
    )


def test_a_gpu_that_is_always_wrong_is_caught_by_exact_arithmetic(node):
    node.says(f"gpu.1.wrong = {IN_TILE}")
    seen = burning().join()
    found = burns(seen)["gpu1", "tflop_s"]
    assert found.errors == 1
    assert f"by the integer units: 1 wrong in {TILE}" in found.detail
    assert statuses(seen) >= {"fail"}


def test_a_gpu_that_does_not_see_its_own_fault_is_caught_by_the_others(node):
    node.says(f"gpu.1.wrong = {IN_TILE}", "gpu.1.blind = 1", gpus=4)
    seen = burning().join()
    assert burns(seen)["gpu1", "tflop_s"].errors == 0
    told = digests(seen)
    assert told["gpu0"] == told["gpu2"] == told["gpu3"] != told["gpu1"]
    odd, usual = (told[part].split(":") for part in ("gpu1", "gpu0"))
    for mine, theirs, band in ((odd[2], usual[2], 1), (odd[3], usual[3], 1)):
        different = [i for i in range(0, len(mine), 4) if mine[i : i + 4] != theirs[i : i + 4]]
        assert different == [4 * band]
    evidence = Evidence(Node("here"), loads(seen), all_checks()["silent_corruption"].limits)
    bad = [one for one in all_checks()["silent_corruption"].judge([evidence]) if one.remedy]
    assert [(one.part, str(one.status)) for one in bad] == [("gpu1", "fail")]
    assert TILE in bad[0].why
    assert "fail" in statuses(seen)


def test_a_stuck_bit_of_memory_is_found_where_it_is(node):
    node.says("gpu.2.stuck = 7000000")
    found = burns(burning().join())["gpu2", "hbm_gbyte_s"]
    assert found.errors > 0
    assert f"the first at {7000000 * 8:#x}, bits 0x0000000000000008" in found.detail


# ----------------------------------------------------------------------------- broken


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("gpu.1.fails = 9 719", "CUDA_ERROR_LAUNCH_FAILED"),
        ("gpu.1.fails = 9 214", "CUDA_ERROR_ECC_UNCORRECTABLE"),
        ("gpu.1.start = 46", "CUDA_ERROR_DEVICE_UNAVAILABLE"),
        ("gpu.1.dies = 9", "signal 9"),
        ("gpu.1.taken_mib = 95", "1 of 96 MiB are free"),
        ("gpu.1.major = 7", "sm_70"),
    ],
)
def test_one_broken_gpu_costs_its_own_results(node, line, says):
    node.says(line)
    seen = burning().join()
    assert {part for part, _ in burns(seen)} >= {"gpu0", "gpu2"}
    assert {trouble.part for trouble in seen.troubles} == {"gpu1"}
    assert says in " ".join(trouble.detail for trouble in seen.troubles)
    assert ("gpu1", "tflop_s") not in burns(seen)
    assert "unknown" in statuses(seen)


def test_a_gpu_that_never_comes_back_costs_its_own_results(node):
    node.says("gpu.1.hangs = 9")
    what = asked(
        stage("gpu_burn", engine="cuda", size=SIZE, seconds=1.0),
        swap={str(START_S): "8"},
    )
    seen = Burning(what, sys.executable).join()
    assert {part for part, _ in burns(seen)} >= {"gpu0", "gpu2"}
    assert [(one.part, one.detail) for one in seen.troubles] == [("gpu1", "no result in time")]


def test_an_nvml_that_hangs_costs_only_what_it_measures(node):
    node.says(nvml=("gpu.1.hang = power_w", "gpu.1.hang_ignores_term = 1"))
    seen = burning().join()
    assert not seen.troubles
    assert len(loads(seen)) == 6
    assert {burn.power_w for burn in loads(seen) if burn.part == "gpu1"} == {None}


def test_lost_and_divided_gpus_are_told_and_the_others_burn(node):
    node.says(nvml=("gpu.0.lost = 1", "gpu.2.mig = 1"))
    seen = burning().join()
    assert {trouble.part: trouble.detail for trouble in seen.troubles} == {
        "gpu0": "no handle: GPU is lost",
        "gpu2": "MIG is on: turn it off to burn the whole GPU",
    }
    assert {part for part, _ in burns(seen)} == {"gpu1"}


def test_memory_that_another_process_has_was_not_tested(node):
    node.says("gpu.*.taken_mib = 40", gpus=1)
    seen = burning().join()
    assert burns(seen)["gpu0", "hbm_gbyte_s"].covered < 0.6
    assert "unknown" in statuses(seen)


def test_a_driver_that_does_not_start_is_no_result(node):
    node.says("init = 999", gpus=1)
    seen = burning().join()
    assert not loads(seen)
    assert "CUDA_ERROR_UNKNOWN" in seen.troubles[0].detail


def test_without_nvml_cuda_counts(node, libraries, tmp_path, monkeypatch):
    alone = tmp_path / "alone"
    alone.mkdir()
    (alone / "libcuda.so.1").symlink_to(libraries / "libcuda.so.1")
    monkeypatch.setenv("LD_LIBRARY_PATH", str(alone))
    seen = burning().join()
    assert {part for part, _ in burns(seen)} == {"gpu0", "gpu1", "gpu2"}
    assert {burn.power_w for burn in loads(seen)} == {None}


@pytest.mark.parametrize("engine", ["auto", "cuda", "rvs", "agfhc", "ascend-dmi", "dcgmi"])
def test_no_engine_is_no_pass(node, monkeypatch, engine):
    monkeypatch.delenv("LD_LIBRARY_PATH")
    if shutil.which("nvidia-smi"):
        monkeypatch.setenv("LD_LIBRARY_PATH", "/nonexistent")
    seen = burning(engine=engine, python="/bin/false").join()
    assert not loads(seen)
    assert seen.troubles[-1].kind is Kind.MISSING
    assert "no engine" in seen.troubles[-1].detail
    assert statuses(seen) == {"unknown"}


def test_auto_takes_the_built_in_engine_where_there_is_no_pytorch(node):
    seen = burning(engine="auto", python="/bin/false").join()
    assert not seen.troubles
    assert {burn.engine for burn in loads(seen)} == {"built-in CUDA"}
    assert len(loads(seen)) == 6


TORCH_ROW = (
    "gpu_burn part=gpu0 engine=PyTorch_2.4 seconds=1 amount=1 unit=flop rate=500 rate_unit=tflop_s "
    "errors=0 covered=N/A asked=N/A detail= precision=bf16 power_w=N/A power_limit_w=N/A "
    "clock_sm_mhz=N/A temp_max_c=N/A digest="
).replace(" ", "\\t")


def python_with_torch(folder: Path, *lines: str) -> str:
    """An interpreter that has torch, if one asks, and says these lines when it should run it."""
    path = folder / "python-torch"
    said = "".join(f"printf '{line}\\n'\n" for line in lines)
    path.write_text(f"#!/bin/sh\n[ $# = 2 ] && exit 0\n{said}")
    path.chmod(0o755)
    return str(path)


def test_auto_takes_pytorch_and_tests_the_memory_itself(node, tmp_path):
    torch = python_with_torch(tmp_path, TORCH_ROW, r"end\t1")
    seen = burning(engine="auto", python=torch).join()
    assert not seen.troubles
    assert sorted((burn.part, burn.engine) for burn in loads(seen)) == [
        ("gpu0", "PyTorch_2.4"),
        *((f"gpu{i}", "built-in CUDA") for i in range(3)),
    ]


def test_auto_goes_on_where_pytorch_sees_no_gpu(node, tmp_path):
    torch = python_with_torch(tmp_path, r"trouble\tmissing\tPyTorch sees no accelerator", r"end\t1")
    seen = burning(engine="auto", python=torch).join()
    assert not seen.troubles
    assert {burn.engine for burn in loads(seen)} == {"built-in CUDA"}
    alone = burning(engine="torch", python=torch).join()
    assert [trouble.detail for trouble in alone.troubles] == ["PyTorch sees no accelerator"]


@pytest.mark.parametrize("lines", [(), (TORCH_ROW,), (TORCH_ROW, r"end\t2")])
def test_a_pytorch_that_does_not_end_is_told(node, tmp_path, lines):
    seen = burning(engine="auto", python=python_with_torch(tmp_path, *lines)).join()
    assert "PyTorch ended before it had said all" in [one.detail for one in seen.troubles]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_killed_in_the_middle_it_leaves_nothing(node, number):
    run = burning(seconds=30)
    mark = os.environ["FAMILY"]
    assert wait_for(lambda: len(generation(mark, 3)) >= 4)
    (script,) = generation(mark, 2)
    os.kill(script, number)
    seen = run.join()
    assert seen.troubles
    assert gone(mark, 5)


# ----------------------------------------------------------------------------- copies


def copying(python: str = sys.executable) -> Observation:
    what = stage("gpu_bandwidth", engine="cuda", seconds=1.0, size_mib=4)
    return Burning(asked(what), python).join()


def copies(seen: Observation) -> dict[str, Copy]:
    return {copy.part: copy for copy in loads(seen)}


@PYTHONS
def test_copies_are_timed_and_compared(node, python):
    seen = copying(python)
    assert not seen.troubles
    found = copies(seen)
    gpus = [f"gpu{i}" for i in range(3)]
    assert set(found) == {
        *(f"host>{gpu}" for gpu in gpus),
        *(f"{gpu}>host" for gpu in gpus),
        *(f"{one}>{other}" for one in gpus for other in gpus),
    }
    for copy in found.values():
        assert (copy.engine, copy.wrong, copy.size_bytes) == ("built-in CUDA", 0, 4 << 20)
        assert min(copy.samples_gbyte_s) <= copy.gbyte_s * 1.01
        assert max(copy.samples_gbyte_s) >= copy.gbyte_s * 0.99
    assert (found["gpu0>gpu1"].way, found["host>gpu0"].way) == ("direct, rank 0", "pinned")
    assert len(loads(seen)) == len(found)


def test_a_copy_that_garbles_is_found_by_its_target(node):
    node.says("gpu.1.garbles = 1", "peers = 0")
    seen = copying()
    found = copies(seen)
    assert {part for part, copy in found.items() if copy.wrong} == {
        *("host>gpu1", "gpu1>host"),
        *("gpu0>gpu1", "gpu2>gpu1"),
    }
    assert found["gpu0>gpu2"].way == "staged"
    assert "the first at 0x60, bits 0x0000000400000000" in found["gpu0>gpu1"].detail
    assert "fail" in statuses(seen)


def test_a_gpu_that_does_not_start_is_no_partner(node):
    node.says("gpu.1.start = 46")
    seen = copying()
    assert [trouble.part for trouble in seen.troubles] == ["gpu1"]
    assert {part for part in copies(seen) if "gpu1" in part} == set()
    assert {"gpu0>gpu2", "gpu2>gpu0"} <= set(copies(seen))


def test_a_gpu_that_breaks_among_its_partners_is_told(node):
    node.says("gpu.1.fails_among = 1 719")
    seen = copying()
    assert {trouble.kind for trouble in seen.troubles} == {Kind.EXIT}
    assert all("gpu1" in trouble.part for trouble in seen.troubles)
    assert {"gpu0>gpu2", "gpu2>gpu0"} <= set(copies(seen))


@pytest.mark.parametrize(
    ("knob", "value"),
    [("engine", "built-in"), ("size", 1000), ("size", 1 << 15), ("share", 90), ("share", 0)],
)
def test_a_knob_that_cannot_be_so_is_refused(knob, value):
    what = stage("gpu_burn", **{knob: value})
    assert what.trial.refuse(what.params).startswith(f"{knob}: ")
    sound = stage("gpu_burn")
    assert not sound.trial.refuse(sound.params)
