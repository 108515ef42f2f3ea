"""Cambricon, Moore Threads, MetaX and Iluvatar as their tools printed them; what a reader finds."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from scripted import NOON, Scripted, answers, said
from test_no_silent_pass import BREAKS

from clusterctl.catalog import all_checks, all_probes
from clusterctl.model import (
    Accelerator,
    DeviceProcess,
    Kind,
    Link,
    Node,
    Playbook,
    Run,
    Severity,
    Status,
    Trouble,
    Version,
)
from clusterctl.probes import cnmon, ixsmi, mthreads_gmi, mx_smi
from clusterctl.probes.smi_cards import halves, quantity, size
from clusterctl.report.accounts import account
from clusterctl.report.tables import findings_table
from clusterctl.run import World, sweep
from clusterctl.spelling import Unreadable

MIB = 1 << 20
CAPTURES = Path(__file__).parent.parent.parent / "shared/captures"
OWN = Path(__file__).parent / "captured"
REMOTE = Path(__file__).parent.parent / "clusterctl/remote"
PARSERS = {"cnmon": cnmon, "mthreads-gmi": mthreads_gmi, "mx-smi": mx_smi, "ixsmi": ixsmi}
TOOLS = {"cnmon": "cnmon", "mthreads_gmi": "mthreads-gmi", "mx_smi": "mx-smi", "ixsmi": "ixsmi"}


def cut(*parts: str) -> list[tuple[Kind, str]]:
    return [(Kind.CUT, part) for part in parts]


OTHER_SEVEN = cut(*(f"gpu{index}" for index in range(1, 8)))

# file: accelerators, {number: {field: value}}, other facts by kind, troubles
READ_BY_HAND = {
    "cnmon/info__5.10.22_MLU370-X4_unit_test.txt": (
        2,
        {
            0: {
                "model": "MLU370-X4",
                "uuid": "77013006-2457-0000-0000-000000000000",
                "pci": "0000:01:00.0",
                "health": "ok",
                "temp_c": 78,
                "temp_memory_c": 63,
                "power_w": 44,
                "power_limit_w": 150,
                "utilisation_percent": 66,
                "memory_total_bytes": 23308 * MIB,
                "memory_used_bytes": 17320 * MIB,
                "ecc_uncorrected_volatile": None,
            },
            1: {"health": "ok", "temp_c": 51, "temp_memory_c": None, "pci": "", "uuid": ""},
        },
        {Version: 1, DeviceProcess: 1},
        [],
    ),
    # Whose values these are, the line above them would have said.
    "cnmon/info__head_MLU370-X8_5.10.26.txt": (0, {}, {Version: 1}, cut("")),
    "cnmon/paddle_table_5.10.13_MLU370X8.txt": (
        2,
        {
            0: {"model": "MLU370-X8", "pci": "0000:39:00.0", "temp_c": 32, "power_w": 106},
            1: {"ecc_uncorrected_volatile": None, "ecc_on": None, "health": None, "temp_c": 39},
        },
        {Version: 1},
        [],
    ),
    "cnmon/table_5.10.22_MLU370X8.txt": (
        2,
        {
            0: {"pci": "0000:13:00.0", "temp_c": 28, "ecc_uncorrected_volatile": 0, "ecc_on": True},
            1: {"power_limit_w": 250, "memory_total_bytes": 20638 * MIB, "memory_used_bytes": 0},
        },
        {Version: 1},
        [],
    ),
    "mthreads-gmi/fault_not_found.txt": (0, {}, {}, [(Kind.MISSING, "")]),
    # What somebody's awk left of it is not what the tool prints.
    "mthreads-gmi/flagperf_mthreads_awk_reduced.txt": (0, {}, {}, [(Kind.UNREADABLE, "")]),
    "mthreads-gmi/table_1.14.0_S80.txt": (
        1,
        {
            0: {
                "model": "MTT S80",
                "pci": "0000:04:00.0",
                "pcie_width": 4,
                "pcie_width_max": 16,
                "temp_c": 49,
                "utilisation_percent": 0,
                "memory_used_bytes": 2 * MIB,
                "memory_total_bytes": 16384 * MIB,
                "ecc_on": None,
            }
        },
        {Version: 1},
        cut("", ""),
    ),
    "mthreads-gmi/table_2.0.0_S80_busy_cut.txt": (
        1,
        {0: {"pcie_width": 16, "pcie_width_max": 16, "memory_used_bytes": 662 * MIB, "temp_c": 41}},
        {Version: 1},
        cut("", ""),
    ),
    "mthreads-gmi/table_2.4.1_S5000x8.txt": (
        8,
        {
            0: {"pci": "0000:18:00.0", "ecc_on": True, "memory_total_bytes": 81920 * MIB},
            5: {"model": "MTT S5000", "temp_c": 50, "pcie_width": 16, "power_w": None},
        },
        {Version: 1},
        [],
    ),
    "mx-smi/L_2.2.9_C500_two_lines.txt": (
        2,
        {
            0: {"health": "ok", "model": "MXC500", "pci": "0000:08:00.0"},
            7: {"uuid": "GPU-0e715b45-bcef-1500-e2db-752724095700", "pci": "0000:3c:00.0"},
        },
        {},
        [],
    ),
    "mx-smi/count-ecc_2.2.9_C500_gpu0.txt": (
        1,
        {0: {"ecc_corrected_volatile": 0, "ecc_uncorrected_volatile": None, "retired_pages": 0}},
        {},
        OTHER_SEVEN,
    ),
    "mx-smi/flagperf_mxsmi_2.0.12_html.md": (
        1,
        {
            0: {
                "model": "MXC500",
                "pci": "0000:1b:00.0",
                "temp_c": 35,
                "power_w": 56,
                "memory_used_bytes": 914 * MIB,
                "health": None,
            }
        },
        {Version: 3},
        cut(""),
    ),
    "mx-smi/htsmi_table_2.2.4_MarsX201.txt": (
        1,
        {0: {"model": "Mars X201", "health": "ok", "power_limit_w": 350, "temp_c": 43}},
        {Version: 3, DeviceProcess: 1},
        OTHER_SEVEN,
    ),
    "mx-smi/htsmi_table_2.3.1_MarsX201.txt": (
        1,
        {0: {"model": "Mars X201", "power_w": 38, "temp_c": 44, "persistence": False}},
        {Version: 3},
        [],
    ),
    "mx-smi/msswift_table_2.2.9_C500x8.txt": (
        8,
        {
            0: {"model": "MetaX C500", "pci": "0000:0e:00.0", "power_w": 57, "temp_c": 35},
            7: {"health": "ok", "memory_total_bytes": 65536 * MIB, "memory_used_bytes": 826 * MIB},
        },
        {Version: 3},
        [],
    ),
    # Three MX in each of eight rows
    "mx-smi/msswift_topo_n_2.2.9_C500x8.txt": (0, {}, {Link: 24}, []),
    "mx-smi/mx-smi_L_fault_line.txt": (
        1,
        {
            1: {
                "health": "not available: MetaX Sysfs File Unaccessible",
                "model": "MXC550",
                "pci": "",
            }
        },
        {},
        [],
    ),
    "mx-smi/mx-smi__c550_8cards_2.2.4.txt": (
        8,
        {
            1: {"pci": "0000:34:00.0", "temp_c": 29, "power_w": 53, "power_limit_w": 450},
            6: {"model": "MetaX C550", "temp_c": 32, "power_w": 56, "health": "ok"},
        },
        {Version: 3},
        [],
    ),
    "mx-smi/paddlenlp_table_2.1.6_C550x8.txt": (
        8,
        {4: {"pci": "0000:aa:00.0", "temp_c": 30, "power_w": 46, "health": None}},
        {Version: 3},
        [],
    ),
    "mx-smi/show-temperature_2.2.9_C500x2.txt": (
        2,
        {0: {"temp_c": 39.0, "pci": "0000:08:00.0"}, 1: {"temp_c": 39.25}},
        {},
        [],
    ),
    "ixsmi/flagperf_iluvatar_awk_reduced.txt": (0, {}, {}, [(Kind.UNREADABLE, "")]),
    "ixsmi/ixsmi__bi-v150_4.3.8.txt": (
        2,
        {
            0: {"model": "Iluvatar BI-V150", "power_w": None, "power_limit_w": None, "temp_c": 40},
            1: {"power_w": 104, "power_limit_w": 350, "pci": "0000:13:00.0", "clock_sm_mhz": 1500},
        },
        {Version: 1},
        [],
    ),
    "ixsmi/ixtoolkit_table_0.txt": (
        1,
        {0: {"model": "Iluvatar BI-V150S", "memory_used_bytes": 114 * MIB, "clock_sm_mhz": 500}},
        {Version: 1},
        [],
    ),
    "ixsmi/ixtoolkit_table_1.txt": (1, {0: {"pci": "0000:8a:00.0"}}, {Version: 1}, []),
    "ixsmi/ixtoolkit_table_2.txt": (
        1,
        {0: {"model": "Iluvatar BI-V100", "power_w": 56, "power_limit_w": 250, "temp_c": 35}},
        {Version: 1},
        [],
    ),
    "ixsmi/table_4.4.0_MR-V100-DUO.txt": (
        2,
        {
            0: {"model": "Iluvatar MR-V100 DUO", "power_w": None, "pci": "0000:35:00.0"},
            1: {"power_w": 40, "temp_c": 36, "memory_total_bytes": 32768 * MIB},
        },
        {Version: 1},
        [],
    ),
}


@pytest.mark.parametrize("name", READ_BY_HAND)
def test_a_capture_holds_what_a_reader_writes_down(name):
    path = CAPTURES / name
    if not path.exists():
        pytest.skip(f"{name} is not among this checkout's captures")
    count, spots, others, troubles = READ_BY_HAND[name]

    found = list(PARSERS[path.parent.name].parse(path.read_text(encoding="utf-8")))

    cards = {item.index: item for item in found if isinstance(item, Accelerator)}
    assert len(cards) == count
    for index, values in spots.items():
        assert {field: getattr(cards[index], field) for field in values} == values
    kinds = Counter(type(item) for item in found)
    assert {kind: kinds[kind] for kind in kinds if kind not in {Accelerator, Trouble}} == others
    assert [(item.kind, item.part) for item in found if isinstance(item, Trouble)] == troubles


@pytest.mark.parametrize("folder", PARSERS)
def test_no_capture_is_left_unread(folder):
    if not (CAPTURES / folder).exists():
        pytest.skip(f"{folder} is not among this checkout's captures")
    names = {f"{folder}/{path.name}" for path in (CAPTURES / folder).iterdir()}
    assert names == {name for name in READ_BY_HAND if name.startswith(f"{folder}/")}


def said_of(values: Accelerator) -> set[str]:
    """Every value that would pass for healthy, as the tools spell it."""
    told = (values.temp_c, values.power_w, values.utilisation_percent)
    return {f"{value:g}" for value in told if value is not None}


@pytest.mark.parametrize("name", READ_BY_HAND)
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_a_flipped_capture_yields_no_number_that_it_does_not_hold(name, data):
    path = CAPTURES / name
    if not path.exists():
        pytest.skip(f"{name} is not among this checkout's captures")
    text = path.read_text(encoding="utf-8")
    place = data.draw(st.integers(0, len(text) - 1))
    bit = data.draw(st.integers(0, 6))
    end = data.draw(st.sampled_from([len(text), place + 1]))
    flipped = (text[:place] + chr(ord(text[place]) ^ (1 << bit)) + text[place + 1 :])[:end]

    found = list(PARSERS[path.parent.name].parse(flipped))

    for card in [item for item in found if isinstance(item, Accelerator)]:
        assert all(value in flipped for value in said_of(card))
        assert card.health != "ok" or "Good" in flipped or "Available" in flipped
    assert found


# --------------------------------------------------------------------------- cells


@pytest.mark.parametrize(
    ("text", "unit", "value"),
    [
        ("49C", "C", 49),
        ("66 %", "%", 66),
        ("96.66W", "W", 96.66),
        ("N/A", "W", None),
        ("N/A C", "C", None),
        ("--", "W", None),
        ("/", "W", None),
        ("", "W", None),
        (None, "W", None),
    ],
)
def test_a_number_with_its_unit_or_none(text, unit, value):
    assert quantity(text, unit) == value


@pytest.mark.parametrize("text", ["500 mW", "500", "W", "nanW", "ERR!", "Unknown Error", "1_0W"])
def test_another_unit_or_none_is_no_power(text):
    with pytest.raises(Unreadable):
        quantity(text, "W")


@pytest.mark.parametrize(
    ("text", "value"),
    [("23374 MiB", 23374 * MIB), ("2MiB", 2 * MIB), ("67108864 KBytes", 1 << 36), ("NA", None)],
)
def test_sizes_in_their_units(text, value):
    assert size(text) == value


@pytest.mark.parametrize("text", ["23374", "-1 MiB", "1.5 XiB", "ERR!", "65536 GB"])
def test_what_is_no_size(text):
    with pytest.raises(Unreadable):
        size(text)


def test_both_sides_of_a_limit():
    assert halves("106 W/ 250 W") == ("106 W", "250 W")
    assert halves("N/A / N/A") == ("N/A", "N/A")
    assert halves("N/A") == ("", "")


# --------------------------------------------------------------------------- through to the table

CARDS = {  # vendor id, addresses of two cards
    "cnmon": ("cabc", ("0000:39:00.0", "0000:3d:00.0")),
    "mthreads_gmi": ("1ed5", ("0000:18:00.0", "0000:3a:00.0")),
    "mx_smi": ("9999", ("0000:0e:00.0", "0000:0f:00.0")),
    "ixsmi": ("1e3e", ("0000:10:00.0", "0000:13:00.0")),
}


def bus(vendor: str, addresses: tuple[str, ...], code: str) -> str:
    """What the pci question brings back; no link speeds, so the tool's word stands."""
    folder = "/sys/bus/pci/devices"
    lines = [
        f"{folder}/{address}/{file}\t{text}"
        for address in addresses
        for file, text in (("vendor", f"0x{vendor}"), ("device", "0x0001"), ("class", code))
    ]
    return "\n".join([*lines, "/proc/sys/kernel/ostype\tLinux", ""])


def own(probe: str, case: str) -> str:
    return (OWN / probe / f"{case}.txt").read_bytes().decode("utf-8", "replace")


def swept(probe: str, *answered, cards: bool = True) -> Run:
    vendor, addresses = CARDS[probe] if cards else ("15b3", ("0000:18:00.0",))
    code = "0x120000" if cards else "0x020700"
    checks = all_checks()
    names = ("accelerator_count", "accelerator_health", "ecc", "pcie_width", "accelerator_links")
    book = Playbook(
        "p",
        probes=(all_probes()["pci"], all_probes()[probe]),
        checks=tuple(checks[name] for name in names),
    )
    heard = answers(said("pci", bus(vendor, addresses, code)), *answered)
    world = World(
        reach=lambda _r, _s: Scripted({"n1": heard}), clock=lambda: NOON, seed=1, run_id="r"
    )
    return sweep(book, (Node("n1"),), world)


def told(run: Run) -> list[tuple[str, str, Status]]:
    """(check, part, status) of all that is not well."""
    return [
        (found.check, found.verdict.part, found.verdict.status)
        for found in run.findings
        if found.verdict.status not in {Status.PASS, Status.SKIP}
    ]


def table(run: Run) -> str:
    console = Console(width=240, record=True, file=io.StringIO())
    console.print(findings_table(run.findings))
    return console.export_text()


@pytest.mark.parametrize("probe", CARDS)
def test_a_healthy_node_passes(probe):
    run = swept(probe, said(probe, own(probe, "healthy_one_busy")))

    assert told(run) == []
    assert any(found.verdict.status is Status.PASS for found in run.findings)


LOST_DATA = "data in device memory was lost since the driver was loaded"
FEWER_LANES = "the link came up with fewer lanes than the device has"
UNHEALTHY = "the device reports itself unhealthy"


LOST = ("ecc", LOST_DATA, Severity.RESET_DEVICE)
NARROW = ("pcie_width", FEWER_LANES, Severity.ISOLATE)
SICK = ("accelerator_health", UNHEALTHY, Severity.ISOLATE)


@pytest.mark.parametrize(
    ("probe", "case", "part", "fault"),
    [
        ("cnmon", "one_bad_one_narrow", "mlu0", LOST),
        ("cnmon", "one_bad_one_narrow", "mlu0", NARROW),
        ("cnmon", "one_bad_one_narrow", "mlu1", SICK),
        ("mthreads_gmi", "one_narrow_one_not_shown", "gpu0", NARROW),
        ("mthreads_gmi", "labels", "gpu0", LOST),
        ("mx_smi", "one_lost_one_with_errors", "gpu0", LOST),
        ("mx_smi", "one_lost_one_with_errors", "gpu1", SICK),
        ("ixsmi", "one_with_errors_one_narrow", "gpu0", LOST),
        ("ixsmi", "one_with_errors_one_narrow", "gpu0", SICK),
        ("ixsmi", "one_with_errors_one_narrow", "gpu1", NARROW),
    ],
)
def test_a_planted_fault_is_named_as_on_any_vendor(probe, case, part, fault):
    check, why, severity = fault
    run = swept(probe, said(probe, own(probe, case)))

    [found] = [
        found.verdict
        for found in run.findings
        if (found.check, found.verdict.part, found.verdict.status) == (check, part, Status.FAIL)
    ]
    assert (found.why, found.severity) == (why, severity)
    assert all(word in table(run) for word in why.split())


@pytest.mark.parametrize("probe", CARDS)
def test_a_garbled_answer_is_unknown_and_says_of_which_card(probe):
    run = swept(probe, said(probe, own(probe, "garbled")))

    unknown = [part for check, part, status in told(run) if status is Status.UNKNOWN]
    assert any(part.startswith(f"{probe}:") for part in unknown)


@pytest.mark.parametrize("probe", CARDS)
def test_a_tool_that_is_missing_beside_its_card_is_unknown_and_elsewhere_skipped(probe):
    missing = said(probe, exit_code=127, stderr=f"{TOOLS[probe]}: not found")

    here = swept(probe, missing)
    elsewhere = swept(probe, missing, cards=False)

    assert ("observed", probe, Status.UNKNOWN) in told(here)
    skips = [f.verdict.why for f in elsewhere.findings if f.verdict.part == probe]
    assert len(skips) == 1
    assert skips[0].endswith("accelerator on the PCI bus")


@pytest.mark.parametrize("how", BREAKS)
@pytest.mark.parametrize("probe", CARDS)
def test_no_broken_answer_beside_a_card_ends_in_a_pass(probe, how):
    answer = said(probe, own(probe, "healthy_one_busy"))
    became = BREAKS[how](answer)
    if isinstance(became, Trouble):
        became = None  # the conversation broke before it

    run = swept(probe, *([became] if became else []))

    assert account(run).nodes["n1"] in {Status.UNKNOWN, Status.FAIL}


@pytest.mark.parametrize("probe", CARDS)
def test_two_calls_that_mean_different_cards_are_not_put_together(probe):
    text = own(probe, "healthy_one_busy")
    _, (address, _) = CARDS[probe]
    spelled = next(word for word in (f"0000{address}", address) if word in text)
    moved = text.replace(spelled, spelled.replace("0000:", "0001:"), 1)

    troubles = [item for item in all_probes()[probe].parse(moved) if isinstance(item, Trouble)]

    assert ["calls differ" in trouble.detail for trouble in troubles if trouble.part[-1:] == "0"]


# --------------------------------------------------------------------------- asked for real

PYTHONS = sorted(
    {sys.executable, *map(str, Path.home().glob(".pyenv/versions/3.6.*/bin/python3.6"))}
)


@pytest.mark.parametrize("python", PYTHONS, ids=lambda path: Path(path).name)
@pytest.mark.parametrize("probe", CARDS)
def test_the_question_runs_the_tool_that_is_there(probe, python, tmp_path):
    stub = tmp_path / "bin" / TOOLS[probe]
    stub.parent.mkdir()
    refusal = '[ $# = 0 ] || { echo "invalid option: $1"; exit 2; }'
    stub.write_text(f"#!/bin/sh\n{refusal}\ncat {tmp_path}/table\n")
    stub.chmod(0o755)
    healthy = re.split("^== .*\n", own(probe, "healthy_one_busy"), flags=re.MULTILINE)[2]
    (tmp_path / "table").write_text(healthy)
    ran = ask(python, probe, f"{stub.parent}:/usr/bin:/bin")

    found = list(all_probes()[probe].parse(ran.stdout))

    assert ran.returncode == 0
    assert [item.part[-1] for item in found if isinstance(item, Accelerator)] == ["0", "1"]
    assert not [item for item in found if isinstance(item, Trouble)]


@pytest.mark.parametrize("probe", CARDS)
def test_a_node_without_python_is_asked_for_the_table(probe, tmp_path):
    stub = tmp_path / TOOLS[probe]
    stub.write_text("#!/bin/sh\n[ $LC_ALL = C ] && echo $#\n")
    stub.chmod(0o755)
    command = all_probes()[probe].question.without_python

    here, nowhere = (
        subprocess.run(command, capture_output=True, text=True, env={"PATH": path}, check=False)
        for path in (f"{tmp_path}:/usr/bin:/bin", "/usr/bin:/bin")
    )

    assert here.stdout == "0\n"
    assert nowhere.returncode == 127


def troubles_in(probe: str, text: str) -> list[Trouble]:
    return [item for item in all_probes()[probe].parse(text) if isinstance(item, Trouble)]


@pytest.mark.parametrize("probe", CARDS)
def test_a_table_without_cards_is_no_healthy_node(probe):
    table = re.split("^== .*\n", own(probe, "healthy_one_busy"), flags=re.MULTILINE)[2]
    lines = table.split("\n")
    end = next(at for at, line in enumerate(lines) if "rocess" in line) - 1
    start = next(at for at, line in enumerate(lines) if "us-" in line or "PCIe" in line) + 3
    bare = "\n".join(lines[:start] + lines[end:])

    assert troubles_in(probe, bare)
    assert troubles_in(probe, "\n".join(lines[: start - 4]) + "\n")  # its banner alone


def test_two_cards_between_two_borders_are_two_cards():
    text = own("mx_smi", "healthy_one_busy")
    border = "+------------------+-----------------+---------------------+----------------------+\n"

    together = list(mx_smi.parse(text.replace(border, "", 1)))

    assert together == list(mx_smi.parse(text))


@pytest.mark.parametrize("probe", CARDS)
def test_a_line_without_end_costs_itself(probe):
    text = own(probe, "healthy_one_busy")
    long = "\n0 4242 python3" + " " * 100_000 + "x\n"

    found = list(all_probes()[probe].parse(text.replace("\n", long, 3)))

    assert [item.part[-1] for item in found if isinstance(item, Accelerator)] == ["0", "1"]
    assert any("longer than" in item.detail for item in found if isinstance(item, Trouble))


@pytest.mark.parametrize(
    ("probe", "case"), [("cnmon", "json_of_info"), ("mthreads_gmi", "healthy_one_busy")]
)
def test_json_may_be_one_line(probe, case):
    text = own(probe, case)
    text = text[text.index("{") : text.rindex("}") + 1]
    padded = text.replace("{", "{" + " " * 1000).replace("\n", " ") + "\n"

    assert list(all_probes()[probe].parse(padded)) == list(all_probes()[probe].parse(text + "\n"))


def test_a_matrix_without_its_title_is_one_too():
    matrix = "\n\tGPU0\tGPU1\nGPU0\tX\tMX\nGPU1\tMX\tX\nLegend:\nX    = Self\n"

    parts = [item.part for item in mx_smi.parse(f"Attached GPUs : 2{matrix}")]

    assert parts == ["gpu0/gpu1", "gpu1/gpu0"]


@pytest.mark.parametrize("probe", CARDS)
def test_the_question_says_that_there_is_no_such_tool(probe):
    ran = ask(sys.executable, probe, "/usr/bin:/bin")

    if shutil.which(TOOLS[probe]):
        pytest.skip(f"this machine has {TOOLS[probe]}")
    assert ran.returncode == 127
    assert "not found" in ran.stderr


LIBRARY = r"""
#include <stdio.h>
int nvmlInit_v2(void) { return 0; }
int nvmlDeviceGetCount_v2(unsigned *count) { *count = 3; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device) {
    *device = (void *)(0x100000000UL + index);
    return index == 2 ? 999 : 0;
}
int nvmlDeviceGetUUID(void *device, char *uuid, unsigned size) {
    return snprintf(uuid, size, "GPU-5a5a0000-0000-4000-8000-%012lx", (unsigned long)device) < 0;
}
int ixmlDeviceGetHealth(void *device, unsigned long long *health) {
    *health = (unsigned long)device == 0x100000001UL ? 0x60 : 0;
    return 0;
}
"""


@pytest.mark.skipif(not shutil.which("gcc"), reason="no C compiler for the stub library")
@pytest.mark.parametrize("python", PYTHONS, ids=lambda path: Path(path).name)
def test_the_library_is_asked_for_the_health_that_ixsmi_does_not_show(python, tmp_path):
    """Its handles are wider than an int, and this version counts no errors."""
    (tmp_path / "ixml.c").write_text(LIBRARY)
    made = ["gcc", "-shared", "-fPIC", "-o", f"{tmp_path}/libixml.so", f"{tmp_path}/ixml.c"]
    subprocess.run(made, check=True)
    stub = tmp_path / "ixsmi"
    stub.write_text("#!/bin/sh\necho 'invalid option'; exit 2\n")
    stub.chmod(0o755)

    ran = ask(python, "ixsmi", f"{tmp_path}:/usr/bin:/bin", LD_LIBRARY_PATH=str(tmp_path))
    found = list(ixsmi.parse(ran.stdout))

    cards = [(item.part, item.health) for item in found if isinstance(item, Accelerator)]
    assert cards == [("gpu0", "ok"), ("gpu1", "memory, pcie")]
    [lost] = [item for item in found if isinstance(item, Trouble)]
    assert (lost.kind, lost.part) == (Kind.EXIT, "gpu2")


def ask(python: str, probe: str, path: str, **more: str) -> subprocess.CompletedProcess[str]:
    question = all_probes()[probe].question
    return subprocess.run(
        [python, str(REMOTE / f"{question.script}.py"), *question.command],
        capture_output=True,
        text=True,
        env={"PATH": path, "PYTHONDONTWRITEBYTECODE": "1", **more},
        check=False,
        timeout=30,
    )
