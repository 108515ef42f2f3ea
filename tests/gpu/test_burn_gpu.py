"""What only a real GPU can show of the built-in CUDA engine.  Figures are printed: run with -s."""

from __future__ import annotations

import ctypes
import json
import subprocess
import sys
from pathlib import Path

import pytest
from burning import Burning, asked, stage, statuses

from clusterctl import remote
from clusterctl.model import Burn, Observation

REMOTE = Path(remote.__file__).parent
RATIO = 0.45  # of cuBLAS: mma.sync without Hopper's wgmma reaches 0.6 of it, and 0.9 on Ampere
POWER = 0.6  # of the limit, as a mean
SECONDS = 20.0


def driver_is_here() -> bool:
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True


def torch_sees_a_gpu() -> bool:
    if not driver_is_here():
        return False
    seen = "import torch, sys; sys.exit(not torch.cuda.is_available())"
    return not subprocess.run([sys.executable, "-c", seen], capture_output=True).returncode  # noqa: PLW1510 - the code is the answer


pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not driver_is_here(), reason="no libcuda.so.1: no NVIDIA driver here"),
]


def burned(trial: str = "gpu_burn", **params: object) -> Observation:
    engine = {"engine": "cuda"} if trial == "gpu_burn" else {}
    what = asked(stage(trial, seconds=SECONDS, **{**engine, **params}), timeout_s=200)
    seen = Burning(what, sys.executable).join()
    for burn in seen.facts:
        print(f"\n{burn}")
    assert not seen.troubles
    return seen


def of(seen: Observation, unit: str) -> dict[str, Burn]:
    return {burn.part: burn for burn in seen.facts if burn.rate_unit == unit}


@pytest.fixture(scope="module")
def first() -> Observation:
    return burned()


def test_a_real_gpu_passes(first):
    assert statuses(first) <= {"pass", "skip"}
    assert all(burn.errors == 0 for burn in first.facts)


def test_its_memory_is_covered(first):
    for burn in of(first, "hbm_gbyte_s").values():
        assert burn.covered >= 0.9
        assert burn.rate > 100


def test_it_draws_power(first):
    for burn in of(first, "tflop_s").values():
        print(f"\n{burn.part}: {burn.power_w / burn.power_limit_w:.0%} of {burn.power_limit_w} W")
        assert burn.power_w >= POWER * burn.power_limit_w


def test_the_digest_is_the_same_every_time_and_on_every_gpu(first):
    again = burned()
    digests = {burn.digest for seen in (first, again) for burn in of(seen, "tflop_s").values()}
    assert len(digests) == 1


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_other_units_than_those_of_bf16_compute_right(precision):
    seen = burned(precision=precision)
    assert statuses(seen) <= {"pass", "skip"}
    assert {burn.precision for burn in seen.facts if burn.digest} == {precision}


@pytest.mark.skipif(not torch_sees_a_gpu(), reason="no PyTorch that sees a GPU, so no cuBLAS")
def test_its_speed_against_cublas_on_the_same_card(first):
    theirs = of(burned(engine="torch", precision="bf16", size=8192), "tflop_s")
    for part, mine in of(first, "tflop_s").items():
        ratio = mine.rate / theirs[part].rate
        print(
            f"\n{part}: {mine.rate:.0f} of {theirs[part].rate:.0f} TFLOP/s, {ratio:.2f} of cuBLAS"
        )
        assert ratio >= RATIO


def test_copies_arrive_whole():
    seen = burned("gpu_bandwidth", engine="cuda")
    assert all(copy.wrong == 0 and copy.gbyte_s > 1 for copy in seen.facts)


PLANT = """
import json, struct, sys
sys.path.insert(0, sys.argv[1])
from ctypes import c_size_t, c_uint64
from cuda_driver import Driver, Gpu
from cuda_load import gemm, memory

def change(gpu, place, offset, bits):
    (word,) = gpu.get(place, 1, "I", offset)
    data = struct.pack("<I", bits if bits > 1 else word ^ 1)
    gpu.driver.call("cuMemcpyHtoD_v2", c_uint64(place.value + offset), data, c_size_t(4))

with open(sys.argv[1] + "/cuda/burn.ptx") as file:
    gpu = Gpu(Driver(), 0, file.read())
kind, bits = sys.argv[2], int(sys.argv[3])
if kind == "gemm":
    plant = lambda product: change(gpu, product.c, 4 * (130 * 1024 + 300), bits)
    row = gemm(gpu, 1.0, 7, 1024, lambda: None, plant)
else:
    row = memory(gpu, 1.0, 7, 0.9, lambda: None, lambda areas: change(gpu, areas[0].at, 800, bits))
print(json.dumps([row["errors"], row["detail"]]))
"""


@pytest.mark.parametrize("bits", [1, 0x7FC00000], ids=["flipped", "nan"])
@pytest.mark.parametrize(
    ("kind", "says"),
    [("gemm", "rows 128-255, columns 256-511"), ("memory", "the first at 0x320")],
)
def test_a_planted_fault_is_found_where_it_is(kind, says, bits):
    told = subprocess.run(
        [sys.executable, "-c", PLANT, REMOTE, kind, str(bits)],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    errors, detail = json.loads(told.stdout)
    assert errors > 0
    assert says in detail
