"""The kernels of the built-in engine: their PTX is what the source gives, and old enough.

The source, run on a CPU by the rules of a warp, gives what plain loops give.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from clusterctl import remote

KERNELS = Path(remote.__file__).parent / "cuda"
HERE = Path(__file__).parent / "cuda"
TEXT = (KERNELS / "burn.ptx").read_text()
NVCC = re.search(r"^// Cuda compilation tools, release .*, V(\S+)$", TEXT, re.MULTILINE)[1]
# PTX ISA 7.0, "Instruction Set"; cp.async and mma with .bf16 came with it, the others earlier.
OLD_ENOUGH = re.compile(
    "add|and|atom|bar|bfi|bra|cp|cvt|cvta|div|ld|ldmatrix|mad|max|min|fma|mma|mov|mul|or|ret|selp|setp"
    "|shl|shr|st|sub|xor"
)
ENTRIES = {
    *("burn_fill", "burn_gemm", "burn_exact", "burn_digest", "burn_write", "burn_read"),
    *("burn_fill_int8", "burn_gemm_int8", "burn_exact_int8"),
    *("burn_fill_fp32", "burn_gemm_fp32", "burn_exact_fp32"),
}


def nvcc_here() -> str:
    tool = shutil.which("nvcc")
    return subprocess.check_output([tool, "--version"], text=True) if tool else ""


@pytest.mark.skipif(f"V{NVCC}" not in nvcc_here(), reason=f"needs nvcc {NVCC}: another says it so")
def test_the_ptx_is_what_the_source_gives():
    assert subprocess.check_output([HERE / "build"], text=True) == TEXT


@pytest.mark.skipif(not shutil.which("ptxas"), reason="needs ptxas")
@pytest.mark.parametrize("target", ["sm_80", "sm_86", "sm_89", "sm_90", "sm_100"])
def test_every_gpu_from_ampere_to_blackwell_can_load_it(target, tmp_path):
    made = subprocess.run(
        ["ptxas", "-v", f"-arch={target}", str(KERNELS / "burn.ptx"), "-o", str(tmp_path / "out")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    assert set(re.findall(r"Compiling entry function '(\w+)'", made.stderr)) == ENTRIES
    assert set(re.findall(r"(\d+) bytes spill", made.stderr)) == {"0"}


def test_driver_470_knows_its_version_and_all_its_instructions():
    """PTX 7.4 is CUDA 11.4, driver 470; ptxas does not refuse all that is younger than .version."""
    version = re.search(r"^\.version (\d+)\.(\d+)$", TEXT, re.MULTILINE)
    assert tuple(map(int, version.groups())) <= (7, 4)
    assert re.findall(r"^\.target (.*)$", TEXT, re.MULTILINE) == ["sm_80"]
    assert set(re.findall(r"\.entry (\w+)\(", TEXT)) == ENTRIES
    code = re.sub(r"//.*|^\s*\.(?!reg).*", "", TEXT, flags=re.MULTILINE)
    used = set(re.findall(r"^\s*(?:@!?%p\d+\s+)?([a-z][a-z0-9]*)[.;\s]", code, re.MULTILINE))
    assert used, "none is none too old"
    assert [word for word in used if not OLD_ENOUGH.fullmatch(word)] == []
    assert not re.search(r"\batom\.\S*\.(f16|bf16|f32|f64)", code), "the order would be seen"


@pytest.mark.skipif(not shutil.which("g++"), reason="needs g++")
def test_the_kernels_compute_what_plain_loops_do(tmp_path):
    """Among it: no bank conflict, and no use of what cp.async has not brought yet."""
    program = tmp_path / "emulated"
    flags = ["-std=c++17", "-O2", "-Wall", "-Wno-unknown-pragmas", "-Werror"]
    subprocess.run(["g++", *flags, "-o", program, HERE / "emulated.cpp"], check=True)
    told = subprocess.run([program], capture_output=True, text=True, check=False, timeout=250)
    assert told.stdout == "all held\n"


@pytest.mark.parametrize(
    ("index", "seed", "value"),
    [(0, 1, -87), (1, 1, 121), (12345, 99, -34), (1 << 27, 0xFFFFFFFF, -66)],
)
def test_the_host_makes_the_same_numbers(index, seed, value, monkeypatch):
    """The same four as in emulated.cpp."""
    monkeypatch.syspath_prepend(KERNELS.parent)
    from cuda_load import element

    assert element(index, seed) == value
