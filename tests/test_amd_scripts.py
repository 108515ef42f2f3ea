"""Asking AMD's and Hygon's tools on a node, beside stand-ins; and what bad texts may not say."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clusterctl.catalog import all_probes
from clusterctl.model import Accelerator, Kind, Trouble
from clusterctl.probes import rocminfo
from clusterctl.probes.loose_json import documents
from clusterctl.spelling import Unreadable

HOUSE = Path(__file__).parent.parent
REMOTE = HOUSE / "clusterctl/remote"
OWN = Path(__file__).parent / "captured"
CAPTURES = HOUSE.parent / "shared/captures"
PYTHONS = [sys.executable, "/root/.pyenv/versions/3.6.15/bin/python3.6"]
FOLDERS = {"amd_smi": "amd-smi", "rocm_smi": "rocm-smi", "hy_smi": "hy-smi"}


def tool(folder: Path, name: str, body: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def asked(probe: str, folder: Path, python: str, call_s: str = "5"):
    if not Path(python).exists():
        pytest.skip(f"{python} is not here")
    env = {**os.environ, "PATH": f"{folder}:/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"}
    script = REMOTE / f"{all_probes()[probe].question.script}.py"
    command = [python, str(script), call_s, "20"]
    return subprocess.run(command, capture_output=True, text=True, env=env, timeout=60, check=False)


def read(probe: str, text: str):
    found = list(all_probes()[probe].parse(text))
    cards = [item for item in found if isinstance(item, Accelerator)]
    return cards, [item for item in found if isinstance(item, Trouble)]


ONE = '[{"gpu": 0, "bdf": "0000:05:00.0", "temperature": {"hotspot": {"value": 41, "unit": "C"}}}]'


@pytest.mark.parametrize("python", PYTHONS)
def test_amd_smi_is_asked_for_all_it_knows(python, tmp_path):
    tool(tmp_path, "amd-smi", f"case $1 in xgmi) echo unsupported; exit 2;; *) echo '{ONE}';; esac")
    answer = asked("amd_smi", tmp_path, python)
    assert answer.returncode == 0, answer.stderr
    (card,), troubles = read("amd_smi", answer.stdout)
    assert (card.pci, card.temp_c) == ("0000:05:00.0", 41)
    assert [trouble.kind for trouble in troubles] == [Kind.EXIT]  # of xgmi, and of nothing else


def test_a_call_that_hangs_costs_itself(tmp_path):
    tool(tmp_path, "amd-smi", f"[ $1 = metric ] && exec sleep 30; echo '{ONE}'")
    (card,), troubles = read("amd_smi", asked("amd_smi", tmp_path, PYTHONS[0], "1").stdout)
    assert card.pci == "0000:05:00.0"
    assert [trouble.kind for trouble in troubles] == [Kind.TIMEOUT]


def test_an_older_rocm_is_left_to_its_own_probe(tmp_path):
    tool(tmp_path, "rocm-smi", "echo nothing")
    answer = asked("amd_smi", tmp_path, PYTHONS[0])
    assert answer.returncode == 0
    assert read("amd_smi", answer.stdout) == ([], [])


@pytest.mark.parametrize("python", PYTHONS)
def test_rocm_smi_is_asked_by_json_and_for_what_has_none(python, tmp_path):
    body = '{"card0": {"PCI Bus": "0000:05:00.0"}}'
    tool(tmp_path, "rocm-smi", f"case $* in *--json) echo '{body}';; *) echo;; esac")
    (card,), troubles = read("rocm_smi", asked("rocm_smi", tmp_path, python).stdout)
    assert card.pci == "0000:05:00.0"
    assert not troubles


def test_dtks_rocm_smi_is_asked_as_hygons_and_never_as_amds(tmp_path):
    real = tool(tmp_path / "opt/dtk-24.04/bin", "rocm-smi", f"cat {OWN}/hy_smi/table_alone.txt")
    (tmp_path / "rocm-smi").symlink_to(real)
    assert asked("rocm_smi", tmp_path, PYTHONS[0]).returncode == 127
    assert asked("amd_smi", tmp_path, PYTHONS[0]).returncode == 127
    answer = asked("hy_smi", tmp_path, PYTHONS[0])
    cards, _ = read("hy_smi", answer.stdout)
    assert [card.part for card in cards] == ["dcu0", "dcu1"]


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("probe", FOLDERS)
def test_a_tool_that_is_not_there_is_said_to_be_missing(probe, python, tmp_path):
    answer = asked(probe, tmp_path, python)
    assert answer.returncode == 127
    assert "not found" in answer.stderr
    assert not answer.stdout


def test_a_hygon_node_without_python_tells_its_table(tmp_path):
    tool(tmp_path, "hy-smi", f"cat {OWN}/hy_smi/table_alone.txt")
    env = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    command = all_probes()["hy_smi"].question.without_python
    answer = subprocess.run(
        command, capture_output=True, text=True, env=env, timeout=30, check=False
    )
    cards, troubles = read("hy_smi", answer.stdout)
    assert [card.power_limit_w for card in cards] == [280, 280]
    assert not troubles
    env = {"PATH": "/usr/bin:/bin"}
    gone = subprocess.run(command, capture_output=True, text=True, env=env, timeout=30, check=False)
    assert gone.returncode == 127


# --------------------------------------------------------------------------- bad texts

TOLD = (
    "temp_c",
    "temp_memory_c",
    "power_w",
    "power_limit_w",
    "utilisation_percent",
    "clock_sm_mhz",
)
TEXTS = [
    pytest.param(probe, path, id=f"{folder}/{path.name}")
    for probe, folder in FOLDERS.items()
    for path in sorted((CAPTURES / folder).glob("*"))
]


@pytest.mark.skipif(not TEXTS, reason="no captures beside this checkout")
@pytest.mark.parametrize(("probe", "path"), TEXTS)
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(where=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 6), cut=st.booleans())
def test_no_flip_and_no_cut_tells_a_number_that_is_not_in_the_text(probe, path, where, bit, cut):
    text = path.read_text(encoding="utf-8", errors="replace")
    place = int(where * len(text))
    flipped = chr(ord(text[place]) ^ 1 << bit) if ord(text[place]) < 128 else "?"
    text = text[:place] if cut else text[:place] + flipped + text[place + 1 :]
    cards, _ = read(probe, text)
    for card in cards:
        for name in TOLD:
            value = getattr(card, name)
            assert value is None or f"{value:g}" in text, (card.part, name, value)
        for name in ("uuid", "serial", "model"):
            assert getattr(card, name) in text


@pytest.mark.parametrize("probe", FOLDERS)
def test_a_cut_of_our_own_answer_never_tells_more_than_the_whole(probe):
    def values(text: str) -> set[tuple[str, str, str]]:
        return {
            (card.part, field.name, repr(getattr(card, field.name)))
            for card in read(probe, text)[0]
            for field in fields(card)
            if getattr(card, field.name) not in {None, ""}
        }

    name = {"amd_smi": "healthy_rocm6", "rocm_smi": "healthy", "hy_smi": "healthy"}[probe]
    text = (OWN / probe / f"{name}.txt").read_text()
    whole = values(text)
    parts = {part for part, _, _ in whole}
    for place in range(0, len(text) - 1, 17):
        told = values(text[:place])
        assert {part for part, _, _ in told} <= parts
        # Of Hygon's two answers the second may correct the first.
        assert {one for one in told - whole if one[1] != "temp_c"} == set()
        assert read(probe, text[:place])[1]


NEST = "[" * 400 + "]" * 400
HOSTILE = (
    f'{{"gpu": 0, "a": {NEST}}}',
    "[" * 600 + '{"gpu": 0}' + "]" * 600,
    f'[{{"gpu": {NEST}}}]',
    '[{"gpu": -1}, {"gpu": true}, {"gpu": 99999}, {"gpu": "x"}]',
    f'[{{"gpu": 0, "process_list": [{NEST}], "link_status": [{NEST}]}}]',
    '[{"gpu": 0, "links": [[], 3, {"gpu": {}}], "link_type": {"gpu_x": []}, "fw_list": [7]}]',
    '{"gpu_data": [{"gpu": 0, "retired": 5, "limit": [1], "temperature": "hot", "bdf": {}}]}',
    f'{{"card0": {{"PCI Bus": {NEST}, "Unique ID": []}}, "card1": 5, "system": []}}',
)


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("probe", FOLDERS)
def test_json_of_another_shape_neither_crashes_nor_tells_a_value(probe, text):
    cards, troubles = read(probe, text)
    assert troubles or cards
    for card in cards:
        assert card == Accelerator(card.part, card.vendor, card.index, uuid=card.uuid)


def test_a_section_that_is_no_section_is_not_taken_for_one_that_is_not_reported():
    (card,), troubles = read("amd_smi", '[{"gpu": 0, "temperature": "hot", "pcie": "N/A"}]')
    assert card.temp_c is None
    assert card.pcie_width is None
    assert {"temp_c", "temp_memory_c"} <= set(re.findall(r"temp_\w+", str(troubles)))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('WARNING: low power\n[1]\nDONE\n{"a": 2}', [[1], {"a": 2}]),
        ('[WARN] nothing\n{"a": "x,,y", ,, "b": [1,, 2,],}', [{"a": "x,,y", "b": [1, 2]}]),
        ('[\n{"a": 1},\n...\n]', [[{"a": 1}]]),
        ("no JSON here", []),
        ("", []),
    ],
)
def test_json_is_found_among_other_lines_and_mended(text, found):
    assert documents(text) == found


@pytest.mark.parametrize("text", ['{"a": NaN}', '{"a": ', '{"a" 1}', "[1", '{"a": 1 "b": 2}'])
def test_json_that_cannot_be_mended_says_so(text):
    with pytest.raises(Unreadable):
        documents(text)


@pytest.mark.parametrize(
    ("folder", "part", "model", "pci"),
    [
        ("rocm-smi/gpustack_amd-gpu-6.2.4", "gpu0", "AMD Radeon RX 7800 XT", "0000:03:00.0"),
        ("hy-smi/gpustack_hygon-gpu-24.04.3", "dcu0", "K1xx_AI", "0000:00:01.7"),
    ],
)
def test_rocminfo_says_what_a_reader_finds(folder, part, model, pci):
    path = CAPTURES / f"{folder}-rocminfo.txt"
    if not path.exists():
        pytest.skip(f"{path.name} is not among this checkout's captures")
    text = path.read_text(encoding="utf-8")
    (card,) = rocminfo.parse(text)
    assert (card.part, card.model, card.pci) == (part, model, pci)
    for place in range(0, len(text), 50):
        list(rocminfo.parse(text[:place]))
    assert [type(item) for item in rocminfo.parse("ROCk module is NOT loaded")] == [Trouble]
