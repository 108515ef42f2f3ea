"""Enflame, Kunlunxin and Tecorigin cards as real machines showed them: read from each by hand."""

from __future__ import annotations

import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clusterctl.model import Accelerator, DeviceProcess, Kind, Trouble, Version
from clusterctl.probes import brsmi, csv_answers, efsmi, labelled, ppu_smi, teco_smi, xpu_smi
from clusterctl.probes.transcript import asking, told
from clusterctl.spelling import Unreadable

MIB = 1 << 20
CAPTURES = Path(__file__).parent.parent.parent / "shared/captures"
PROBES = {
    "efsmi": efsmi.PROBES[0],
    "xpu-smi": xpu_smi.PROBES[0],
    "teco-smi": teco_smi.PROBES[0],
}

# file -> (devices, troubles, {part: {field: what the text says}})
READ_BY_HAND = {
    "efsmi/paddle_table_S60_1.2.0.301.txt": (
        2,
        0,
        {
            "gcu0": {
                "model": "S60",
                "pci": "0000:01:00.0",  # the table's domain has two digits
                "serial": "A073640510015",
                "temp_c": 39,
                "power_w": 105,
                "power_limit_w": 300,
                "memory_total_bytes": 49120 * MIB,
                "ecc_on": False,
                "health": None,  # the table does not tell it
            },
            "gcu1": {"pci": "0000:09:00.0", "power_w": 128, "ecc_on": True, "temp_c": 46},
        },
    ),
    "efsmi/q_S60_1.2.4.12.txt": (
        1,
        0,
        {
            "gcu7": {
                "uuid": "TR1V57100501",
                "pci": "0000:b1:00.0",
                "health": "ok",
                "temp_c": 41,
                "power_w": 102,
                "memory_total_bytes": 42976 * MIB,
                "memory_used_bytes": 1129 * MIB,
                "ecc_on": True,
                "ecc_uncorrected_volatile": 0,
                "pcie_gen": 5,
                "pcie_width": 16,
                "recovery_action": "none",
            }
        },
    ),
    "efsmi/q_S60_1.4.3.4.txt": (
        1,
        0,
        {
            "gcu0": {
                "pci": "0000:00:0c.0",
                "serial": "C0AA640520685",
                "temp_c": 45,  # ℃, which whoever published it replaced by words
                "power_w": 104,
                "memory_total_bytes": 42976 * MIB,  # Total Size now, and used is Used Size
                "memory_used_bytes": 0,
                "ecc_uncorrected_volatile": 0,  # Total DBE now
                "health": "ok",
            }
        },
    ),
    # Reduced by somebody's awk: temperatures that are nobody's.
    "xpu-smi/flagperf_kunlunxin_awk_reduced.txt": (0, 1, {}),
    "xpu-smi/paddle_xpu_smi_R300_4.0.txt": (
        2,
        0,
        {
            "xpu0": {"model": "R300", "pci": "0000:53:00.0", "temp_c": None, "ecc_on": None},
            "xpu1": {"pci": "0000:56:00.0", "memory_total_bytes": 32768 * MIB},
        },
    ),
    "xpu-smi/q_P800_PCIe_5.0.21.26.txt": (
        1,
        1,  # it counts two and shows the one that was asked for
        {
            "xpu0": {
                "model": "P800 PCIe",
                "serial": "02K0MA0258D0007R",
                "pci": "0000:01:00.0",
                "temp_c": 46,
                "power_w": 76,
                "power_limit_w": 350,
                "pcie_gen": 3,
                "pcie_gen_max": 4,
                "pcie_width": 16,
                "ecc_on": True,
                "ecc_uncorrected_volatile": 0,
                "ecc_corrected_aggregate": 0,
                "clock_sm_mhz": 1450,
            }
        },
    ),
    "xpu-smi/xpu-smi__p800_5.19.0.0_cut2.txt": (
        2,
        0,
        {"xpu1": {"pci": "0000:05:00.0", "temp_c": 37, "power_w": 84, "power_limit_w": 400}},
    ),
    "xpu-smi/xpu_smi__p800_8cards_5.0.21.21.txt": (
        8,
        0,
        {
            "xpu0": {"ecc_uncorrected_volatile": 0, "utilisation_percent": 0},
            "xpu6": {"pci": "0000:a3:00.0", "temp_c": 39, "power_w": 90, "model": "P800 OAM"},
            "xpu7": {"pci": "0000:a5:00.0", "memory_total_bytes": 98304 * MIB},
        },
    ),
    "teco-smi/table_1.12.0_4spa_cut.txt": (
        4,
        0,
        {
            "sdaa0": {"pci": "0000:4f:00.0", "power_w": 190, "health": "ok", "temp_c": 35},
            "sdaa2": {"pci": "0000:4f:00.0", "memory_total_bytes": 16384 * MIB},
            "sdaa3": {"pci": "0000:52:00.0", "power_w": 94, "temp_c": 37},
        },
    ),
    "teco-smi/table_1.15.0_1card_fork_test.txt": (1, 0, {"sdaa0": {"temp_c": 33}}),
    "teco-smi/table_1.15.0_T100_2spa.txt": (
        2,
        0,
        {
            "sdaa0": {"pci": "0000:0c:00.0", "temp_c": 40, "power_w": 90},
            "sdaa1": {"pci": "0000:10:00.0", "memory_total_bytes": 65536 * MIB},
        },
    ),
    "teco-smi/table_TCML_1.10.0_2cards_fork_test.txt": (
        2,
        0,
        {
            "sdaa0": {"utilisation_percent": 0, "health": "ok"},
            "sdaa1": {"utilisation_percent": 25, "memory_used_bytes": 165 * MIB, "power_w": 110},
        },
    ),
}
VERSIONS = {
    "efsmi/paddle_table_S60_1.2.0.301.txt": ("driver/enflame", "1.2.0.301"),
    "efsmi/q_S60_1.4.3.4.txt": ("driver/enflame", "1.4.3.4"),
    "xpu-smi/paddle_xpu_smi_R300_4.0.txt": ("driver/kunlunxin", "4.0"),
    "xpu-smi/q_P800_PCIe_5.0.21.26.txt": ("xpu-rt", "10.2"),
    "teco-smi/table_TCML_1.10.0_2cards_fork_test.txt": ("driver/tecorigin", "1.1.2b1"),
}


def capture(name: str) -> str:
    if not (CAPTURES / name).exists():
        pytest.skip(f"{name} is not among this checkout's captures")
    return (CAPTURES / name).read_bytes().decode("utf-8", "replace")


def read(name: str) -> list[object]:
    return list(PROBES[name.partition("/")[0]].parse(capture(name)))


@pytest.mark.parametrize("name", READ_BY_HAND)
def test_a_real_text_says_what_a_reader_finds_in_it(name):
    devices, troubles, spots = READ_BY_HAND[name]
    found = read(name)
    cards = {card.part: card for card in found if isinstance(card, Accelerator)}
    told = [item for item in found if isinstance(item, Trouble)]
    assert (len(cards), len(told)) == (devices, troubles), told
    for part, values in spots.items():
        assert {field: getattr(cards[part], field) for field in values} == values


@pytest.mark.parametrize("name", VERSIONS)
def test_a_real_text_tells_its_versions(name):
    assert Version(*VERSIONS[name]) in read(name)


def test_every_capture_of_these_tools_was_read_by_hand():
    there = {f"{folder}/{path.name}" for folder in PROBES for path in (CAPTURES / folder).glob("*")}
    if not there:
        pytest.skip("this checkout has no captures")
    assert there == set(READ_BY_HAND)


def test_a_process_is_its_devices():
    (process,) = (
        item
        for item in read("teco-smi/table_TCML_1.10.0_2cards_fork_test.txt")
        if isinstance(item, DeviceProcess)
    )
    assert process == DeviceProcess("sdaa1", 76262, "python train.py", 165 * MIB)


def own(probe: str, case: str) -> str:
    return (Path(__file__).parent / "captured" / probe / f"{case}.txt").read_text()


@pytest.mark.parametrize(
    ("probe", "case"),
    [
        (efsmi.PROBES[0], "healthy_two"),
        (xpu_smi.PROBES[0], "healthy_two"),
        (teco_smi.PROBES[0], "healthy_two"),
        (ppu_smi.PROBES[0], "healthy_two"),
        (brsmi.PROBES[0], "healthy_two"),
    ],
)
def test_no_cut_of_our_own_question_looks_whole(probe, case):
    text = own(probe.name, case)
    for place in range(0, len(text) - 1, 7):
        assert any(isinstance(item, Trouble) for item in probe.parse(text[:place])), place


def values(probe, text: str) -> set[tuple[str, str, object]]:
    return {
        (card.part, field, getattr(card, field))
        for card in probe.parse(text)
        if isinstance(card, Accelerator)
        for field in ("temp_c", "power_w", "ecc_uncorrected_volatile", "health", "pcie_width")
        if getattr(card, field) is not None
    }


@pytest.mark.parametrize(
    ("probe", "case", "line"),
    [
        (efsmi.PROBES[0], "healthy_two", "DEV ID 1\n"),
        (xpu_smi.PROBES[0], "healthy_two", "XPU 00000000:43:00.0\n"),
    ],
)
def test_two_cards_run_together_say_nothing_of_either(probe, case, line):
    """The line that opens the second card is gone: what follows must not be the first one's."""
    text = own(probe.name, case).partition("== \n")[0].replace("== -q\n", "")
    found = list(probe.parse(text.replace(line, "")))
    assert any(isinstance(item, Trouble) for item in found)
    assert not values(probe, text.replace(line, "")) - values(probe, text)
    assert not any(part.endswith("1") for part, *_ in values(probe, text.replace(line, "")))


@pytest.mark.parametrize(
    ("text", "degrees"),
    [
        ("41 C", 41),
        ("45 ℃", 45),
        ("45℃", 45),
        ("35C", 35),
        ("45 °C", 45),
        ("45 ?C", 45),
        ("45 \ufffd\ufffd\ufffd", 45),
        ("-5 C", -5),
        ("N/A", None),
    ],
)
def test_every_spelling_of_a_temperature(text, degrees):
    assert labelled.degrees(text) == degrees


@pytest.mark.parametrize("text", ["45", "45 F", "C", "45 K", "nan C", "4 5 C"])
def test_another_unit_is_no_temperature(text):
    with pytest.raises(Unreadable):
        labelled.degrees(text)


@pytest.mark.parametrize("text", ["41 W", "41 F", "ERR!", "41.x"])
def test_a_queried_temperature_has_no_unit_or_c(text):
    with pytest.raises(Unreadable):
        csv_answers.degrees({"temperature.gpu": text})


def test_a_spa_whose_use_is_not_reported_has_dropped_off():
    text = own("teco_smi", "dropped_hot_and_unhealthy")
    found = list(teco_smi.PROBES[0].parse(text))
    assert [item.part for item in found if isinstance(item, Trouble)] == ["sdaa2"]
    assert "sdaa2" not in {item.part for item in found if isinstance(item, Accelerator)}


def test_a_process_out_of_intels_folder_does_not_make_the_tool_intels():
    text = own("xpu_smi", "healthy_two").replace("python3 ", "/opt/intel/python3 ")
    found = list(xpu_smi.PROBES[0].parse(text))
    assert sum(isinstance(item, Accelerator) for item in found) == 2


def ask(question, folder: Path) -> subprocess.CompletedProcess[str]:
    environ = {"PATH": f"{folder}:/usr/bin:/bin", "LC_ALL": "C"}
    return subprocess.run(
        question.command, capture_output=True, text=True, env=environ, check=False, timeout=30
    )


def test_a_tool_is_asked_all_and_its_failure_is_told(tmp_path):
    tool = tmp_path / "xpu-smi"
    tool.write_text('#!/bin/sh\nprintf "asked: $*"\n[ "$1" != -m ] || exit 3\n')
    tool.chmod(0o755)
    done = ask(asking("x", ("xpu_smi", "xpu-smi"), ("-q", "", "-m")), tmp_path)
    said, troubles = told(done.stdout)
    assert done.returncode == 3
    assert said == {"-q": "asked: -q\n", "": "asked: \n", "-m": "asked: -m\n"}
    assert not troubles


@pytest.mark.parametrize(
    ("version", "asked"), [("XPU-RT", {"", "-q", "-m"}), ("Runtime", {"", "-m"})]
)
def test_a_call_that_older_tools_refuse_is_made_of_newer_ones(tmp_path, version, asked):
    tool = tmp_path / "xpu_smi"
    tool.write_text(f'#!/bin/sh\necho "{version} $*"\n')
    tool.chmod(0o755)
    done = ask(xpu_smi.PROBES[0].question, tmp_path)
    said, troubles = told(done.stdout)
    assert (done.returncode, set(said), troubles) == (0, asked, [])


def test_the_first_of_two_names_is_asked_and_no_tool_is_127(tmp_path):
    for name in ("xpu_smi", "xpu-smi"):
        (tmp_path / name).write_text(f"#!/bin/sh\necho {name}\n")
        (tmp_path / name).chmod(0o755)
    question = asking("x", ("xpu_smi", "xpu-smi"), ("",))
    assert told(ask(question, tmp_path).stdout)[0] == {"": "xpu_smi\n"}
    assert ask(question, tmp_path / "nowhere").returncode == 127


def test_a_call_that_hangs_costs_itself(tmp_path):
    tool = tmp_path / "efsmi"
    tool.write_text('#!/bin/sh\n[ -n "$1" ] || exec sleep 60\necho "asked: $*"\n')
    tool.chmod(0o755)
    question = asking("x", ("efsmi",), ("-q", "", "-L"))
    hurried = tuple(
        word.replace("timeout -k 2 15", "timeout -k 1 0.2") for word in question.command
    )
    done = ask(replace(question, command=hurried), tmp_path)
    said, troubles = told(done.stdout)
    assert (done.returncode, set(said)) == (0, {"-q", "-L"})
    assert [trouble.kind for trouble in troubles] == [Kind.TIMEOUT]
    assert "without arguments" in troubles[0].detail


def stands_in(value: object, text: str) -> bool:
    """Whether a reader finds this value in the text, as the tools spell it."""
    if isinstance(value, str):
        return value not in {"ok", "none"} or bool(re.search("ok|true|false", text.lower()))
    digits = f"{value:g}"
    rest = "0*" if "." in digits else r"(?:\.0+)?"
    return bool(re.search(rf"(?<![0-9])0*{re.escape(digits)}{rest}(?![0-9])", text))


FLIPS = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 6)), max_size=4)


@pytest.mark.parametrize("name", READ_BY_HAND)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(cut=st.floats(0.3, 1), flips=FLIPS)
def test_no_cut_and_no_flipped_bit_of_a_real_text_makes_up_a_healthy_value(name, cut, flips):
    data = bytearray(capture(name).encode())
    data = data[: max(1, int(cut * len(data)))]
    for place, bit in flips:
        data[int(place * len(data))] ^= 1 << bit
    text = data.decode("utf-8", "replace")
    for card in PROBES[name.partition("/")[0]].parse(text):
        if isinstance(card, Accelerator):
            for told in ("health", "temp_c", "power_w", "ecc_uncorrected_volatile", "pcie_width"):
                value = getattr(card, told)
                assert value is None or stands_in(value, text), (told, value)
