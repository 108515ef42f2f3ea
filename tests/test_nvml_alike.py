"""Libraries that are NVML in all but name, asked as nodes would ask them: C stubs, real Pythons."""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
from pathlib import Path

import pynvml
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nvml_nodes import COMPILER, STUBS
from scripted import NOON
from test_smi_cards import PYTHONS

from clusterctl import remote
from clusterctl.catalog import all_probes
from clusterctl.model import Accelerator, Kind, Link, Observation, Trouble
from clusterctl.sources import believe

SCRIPT = Path(remote.__file__).parent / "ask_nvml_alike.py"
FILES = {"ixml": "libixml.so", "hgml": "libhgml.so", "brml": "libbiren-ml.so.1"}
PROBES = {name: all_probes()[name] for name in FILES}
CAPTURED = Path(__file__).parent / "captured"
needs_gcc = pytest.mark.skipif(not COMPILER, reason="no C compiler for the stub library")


@pytest.fixture(scope="module")
def libraries(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("alike")
    for family, file in enumerate(FILES.values(), 1):
        flags = ["-shared", "-fPIC", "-Wall", "-Wextra", "-Werror", f"-DFAMILY={family}"]
        source = STUBS / "nvml_alike.c"
        subprocess.run([COMPILER, *flags, "-o", folder / file, source], check=True)
    return folder


def ask(name: str, folder: Path | None, python: str = sys.executable, **more: str):
    return subprocess.run(
        [python, str(SCRIPT), *PROBES[name].question.command],
        capture_output=True,
        text=True,
        env={"PATH": os.environ["PATH"], "LD_LIBRARY_PATH": str(folder or ""), **more},
        check=False,
        timeout=30,
    )


def cards(name: str, text: str) -> list[Accelerator]:
    return [one for one in PROBES[name].parse(text) if isinstance(one, Accelerator)]


def troubles(name: str, text: str) -> list[Trouble]:
    return [one for one in PROBES[name].parse(text) if isinstance(one, Trouble)]


@needs_gcc
@pytest.mark.parametrize("python", PYTHONS, ids=lambda path: Path(path).name)
@pytest.mark.parametrize("name", FILES)
def test_a_card_that_is_ill_is_ill_in_the_words_of_all(name, python, libraries):
    ran = ask(name, libraries, python, ALIKE_ILL="1")

    assert ran.returncode == 0, ran.stderr
    assert not troubles(name, ran.stdout)
    well, ill = cards(name, ran.stdout)
    assert (well.health, ill.health) == {
        "ixml": ("ok", "ecc, memory"), "hgml": (None, None), "brml": ("ok", "error")
    }[name]  # fmt: skip
    assert (well.ecc_uncorrected_volatile, ill.ecc_uncorrected_volatile) == (0, 7)
    assert (well.temp_c, well.power_w, well.pcie_width) == (40, 81.5, 16)
    assert (well.pci, ill.pci) == ("0000:1a:00.0", "0000:1b:00.0")
    assert (well.memory_total_bytes, well.memory_used_bytes) == (34359738368, 1048576)
    assert ill.remap_pending is {"ixml": True, "hgml": True, "brml": None}[name]
    assert well.throttle == {"ixml": ("idle",), "hgml": ("idle",), "brml": None}[name]


@needs_gcc
@pytest.mark.parametrize("name", ["hgml", "brml"])
def test_links_are_told_with_their_counters(name, libraries):
    found = list(PROBES[name].parse(ask(name, libraries, ALIKE_ILL="1").stdout))
    links = [one for one in found if isinstance(one, Link)]

    assert len(links) == 4
    assert links[1].counters["crc_flit_errors"] == 12
    assert links[-1].state == {"hgml": "up", "brml": "inactive"}[name]


@needs_gcc
@pytest.mark.parametrize("name", FILES)
def test_a_lost_card_costs_itself_alone(name, libraries):
    ran = ask(name, libraries, ALIKE_LOST="1")

    assert [one.index for one in cards(name, ran.stdout)] == [0]
    (lost,) = troubles(name, ran.stdout)
    assert (lost.kind, lost.part) == (Kind.EXIT, "ppu1" if name == "hgml" else "gpu1")


@needs_gcc
@pytest.mark.parametrize("name", FILES)
def test_no_driver_is_said_and_no_library_is_absence(name, libraries):
    ran = ask(name, libraries, ALIKE_NO_DRIVER="1")
    assert ran.returncode == 1
    assert "DriverNotLoaded" in ran.stderr
    ran = ask(name, None)
    assert ran.returncode == 127
    assert "not found" in ran.stderr


def test_structures_that_are_nvml_s_are_of_its_layout():
    text = SCRIPT.read_text()
    scope: dict[str, type[ctypes.Structure]] = {}
    exec(text[: text.index("class Refused")], scope)  # noqa: S102 - our own file
    for ours, theirs in (
        ("Memory", pynvml.c_nvmlMemory_t),
        ("Utilization", pynvml.c_nvmlUtilization_t),
        ("Pci", pynvml.nvmlPciInfo_t),
        ("Process", pynvml.c_nvmlProcessInfo_v3_t),
    ):
        assert ctypes.sizeof(scope[ours]) == ctypes.sizeof(theirs)
        mine = {getattr(scope[ours], field[0]).offset for field in scope[ours]._fields_}
        assert mine <= {getattr(theirs, field[0]).offset for field in theirs._fields_}


def test_the_library_is_believed_and_the_tool_where_it_fails():
    tool = Observation("n", "ixsmi", NOON, (Accelerator("gpu0", temp_c=1),))
    well = Observation("n", "ixml", NOON, (Accelerator("gpu0", temp_c=2),))
    ill = Observation("n", "ixml", NOON, troubles=(Trouble(Kind.EXIT, "no"),))
    probes = all_probes()
    assert [one.temp_c for one in believe([tool, well], probes).every] == [2]
    assert [one.temp_c for one in believe([tool, ill], probes).every] == [1]


@pytest.mark.parametrize("value", [True, -1, 2**64, [], 1.5])
def test_health_that_is_no_health_is_a_trouble(value):
    line = {"gpu": 0, "v": {"health": value, "name": "x"}, "none": [], "e": {}}
    text = f'{{"nvml":{{"devices":1,"driver":"1"}}}}\n{json.dumps(line, separators=(",", ":"))}\n'
    assert [one.health for one in cards("ixml", text)] == [None]
    assert any("health" in one.detail for one in troubles("ixml", text))


@settings(max_examples=60, deadline=None)
@given(
    place=st.floats(0, 1, exclude_max=True),
    bit=st.integers(0, 6),
    name=st.sampled_from(["ixml", "brml"]),
)
def test_no_flip_makes_an_ill_card_well(place, bit, name):
    raw = bytearray((CAPTURED / name / "ill.txt").read_bytes())
    raw[int(place * len(raw))] ^= 1 << bit
    text = raw.decode("utf-8", "replace")
    ill = [card.health for card in cards(name, text) if card.index == 1]
    assert "ok" not in ill
