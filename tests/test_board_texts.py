"""What a reader finds in the captured texts of a board's, a drive's, a clock's and a store's tools.

The captures are not ours to ship; where they are absent these say so by name.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_captured import EDITS

from clusterctl.catalog import readers
from clusterctl.model import Fact, Trouble

CAPTURES = Path(__file__).parent.parent.parent / "shared" / "captures"
TOOLS = (
    *("ipmitool", "ipmi-sensors", "sensors", "dmidecode", "smartctl", "nvme", "chronyc"),
    *("fio", "gpfs"),
)

# file -> (facts of each kind, troubles, {"Kind part field": value})
FOUND: dict[str, tuple[dict[str, int], int, dict[str, object]]] = {
    "ipmitool/dcmi_power_reading.txt": ({"Power": 1}, 0, {"Power node power_w": 167.0}),
    "ipmitool/sdr_elist_telegraf_short.txt": (
        {"Sensor": 5, "Fan": 1, "Psu": 1},
        0,
        {
            "Fan Fan1 rpm": 5040.0,
            "Sensor Inlet Temp measured": 25.0,
            "Sensor Current 1 measured": 7.2,
            "Sensor SEL health": None,
            "Psu psu1 power_w": 110.0,
            "Psu psu1 health": "ok",
        },
    ),
    "ipmitool/sdr_telegraf_full.txt": (
        {"Sensor": 113, "Fan": 6, "Psu": 2},
        0,
        {
            "Sensor Ambient Temp measured": 20.0,
            "Sensor Avg Power measured": 210.0,
            "Fan Fan 2B Tach rpm": 1275.0,
            "Sensor Cooling Zone 1 health": None,
            "Psu psu1 health": None,
        },
    ),
    "ipmitool/sel_elist__intel_ecc_psu_temp.txt": (
        {"SelEvent": 21},
        0,
        {
            "SelEvent Mmry ECC Sensor event": "Uncorrectable ECC",
            "SelEvent Mmry ECC Sensor asserted": True,
            "SelEvent PS1 Status record": "2e6",
        },
    ),
    "ipmi-sensors/gcm_ipmi-sensors_line124.txt": (
        {"Fan": 4, "Sensor": 1, "Psu": 2},
        0,
        {"Psu psu1 input_w": 99.0, "Psu psu1 output_w": 99.0, "Psu psu2 health": "ok"},
    ),
    "ipmi-sensors/gcm_ipmi-sensors_line84.txt": (
        {"Sensor": 2, "Psu": 2},
        0,
        {
            "Psu psu0 health": "critical",
            "Psu psu0 power_w": 0.0,
            "Psu psu1 power_w": 780.0,
            "Sensor REDUNDANCY_PSU health": "warning",
        },
    ),
    "sensors/sensors_j__with_ERROR_line.txt": (
        {"Sensor": 9},
        1,
        {
            "Sensor coretemp-isa-0000/Package id 0 measured": 51.0,
            "Sensor nvme-pci-0400/Composite high_critical": 84.85,
            "Sensor nvme-pci-0400/Composite low_critical": None,
            "Sensor nvme-pci-0400/Sensor 1 high_warning": None,
        },
    ),
    "sensors/telegraf_sensors_-A_-u.txt": (
        {"Sensor": 10},
        0,
        {
            "Sensor coretemp-isa-0001/Core 0 measured": 66.0,
            "Sensor atk0110-acpi-0/Vcore Voltage measured": 1.136,
            "Sensor acpitz-virtual-0/temp1 high_critical": 31.3,
        },
    ),
    "dmidecode/dmidecode__hpe-mi100.txt": (
        {"Version": 3, "Cpu": 1, "Dimm": 16, "Memory": 1, "Psu": 6},
        0,
        {
            "Version bios value": "HPE A47 07/29/2021",
            "Cpu cpu cores": 128,
            "Memory modules total_bytes": 16 * 32 << 30,
            "Psu psu1 present": False,
            "Psu psu2 capacity_w": 3000.0,
        },
    ),
    "dmidecode/dmidecode__v100.txt": (
        {"Version": 3, "Cpu": 1, "Dimm": 8, "Memory": 1, "Psu": 4},
        0,
        {
            "Cpu cpu threads": 48,
            "Memory modules total_bytes": 8 * 32 << 30,
            "Psu psu4 serial": "P2K5ACI26UT0411",
            "Psu psu4 health": "ok",
        },
    ),
    "smartctl/telegraf_smartctl_line2186.txt": (
        {"Drive": 1},
        0,
        {"Drive drive size_bytes": 500107862016, "Drive drive temp_c": 24.0},
    ),
    "smartctl/telegraf_smartctl_line2240.txt": (
        {"Drive": 1},
        0,
        {"Drive drive model": "HGST HDN724040ALE640", "Drive drive media_errors": 0},
    ),
    "smartctl/telegraf_smartctl_line2292.txt": (
        {"Drive": 1},
        0,
        {"Drive drive smart_passed": True, "Drive drive temp_c": 33.0},
    ),
    "smartctl/telegraf_smartctl_line2616.txt": (
        {"Drive": 1},
        0,
        {"Drive drive critical_warning": 9, "Drive drive smart_passed": True},
    ),
    "smartctl/telegraf_smartctl_line2666.txt": (
        {"Drive": 1},
        0,
        {"Drive drive size_bytes": 1000204886016, "Drive drive used_percent": 0.0},
    ),
    "nvme/telegraf_nvme_id-ctrl.txt": ({"Drive": 1}, 0, {"Drive drive firmware": "8DV10131"}),
    "nvme/v2.11_nvme-list.json": (
        {"Drive": 3},
        0,
        {"Drive nvme1 firmware": "SU6SM001", "Drive nvme2 size_bytes": 4000787030016},
    ),
    "nvme/v2.11_nvme-smart-log.json": (
        {"Drive": 1},
        0,
        {"Drive drive temp_c": 51.0, "Drive drive used_percent": 30.0},
    ),
    "nvme/v2.3_nvme-smart-log-float.json": ({"Drive": 1}, 0, {"Drive drive temp_c": 37.0}),
    "nvme/v2.3_nvme-smart-log-string.json": ({"Drive": 1}, 0, {"Drive drive temp_c": 37.0}),
    "chronyc/sichek_tracking_partial.txt": (
        {"Clock": 1},
        1,
        {"Clock chrony synchronised": None, "Clock chrony stratum": 3},
    ),
    "chronyc/sources_serverstats_csv.txt": (
        {"Clock": 1},
        0,
        {"Clock chrony source": "PPS", "Clock chrony synchronised": True},
    ),
    "chronyc/telegraf_tracking.txt": (
        {"Clock": 1},
        0,
        {"Clock chrony offset_s": -0.00002039, "Clock chrony source": "ntp.example.com"},
    ),
    "chronyc/tracking_csv__cheynewallace_pps.txt": (
        {"Clock": 1},
        0,
        {"Clock chrony synchronised": True, "Clock chrony stratum": 1},
    ),
    "chronyc/tracking_csv__not_synchronised_thirdparty.txt": (
        {"Clock": 1},
        0,
        {"Clock chrony synchronised": False, "Clock chrony offset_s": None},
    ),
    "fio/superbench_disk_performance.txt": (
        {"Burn": 2},
        0,
        {"Burn disk:/dev/nvme0n1 rate": 0.348743777, "Burn disk:/dev/nvme0n1 errors": 0},
    ),
    "gpfs/sichek_mmfs_log.txt": (
        {"KernelEvent": 36, "LogWindow": 1},
        0,
        {"KernelEvent mlx5_0/1 code": "rdma"},
    ),
}

each = pytest.mark.parametrize("name", list(FOUND))


def text_of(name: str) -> str:
    path = CAPTURES / name
    if not path.exists():
        pytest.skip(f"no capture {name} beside this checkout")
    return path.read_bytes().decode("utf-8", "replace")


def found_in(name: str, text: str) -> tuple[list[Fact], list[Trouble]]:
    found = list(readers()[name.partition("/")[0].replace("-", "_")](text))
    troubles = [one for one in found if isinstance(one, Trouble)]
    return [one for one in found if not isinstance(one, Trouble)], troubles


@each
def test_the_text_holds_what_a_reader_finds(name):
    counts, troubled, values = FOUND[name]
    facts, troubles = found_in(name, text_of(name))
    assert Counter(type(fact).__name__ for fact in facts) == counts
    assert len(troubles) == troubled, troubles
    first: dict[str, Fact] = {}
    for fact in facts:
        first.setdefault(f"{type(fact).__name__} {fact.part}", fact)
    for key, value in values.items():
        part, _, field = key.rpartition(" ")
        assert getattr(first[part], field) == value, key


def test_no_capture_of_these_tools_is_left_out():
    if not CAPTURES.is_dir():
        pytest.skip("no captures beside this checkout")
    there = {f"{tool}/{path.name}" for tool in TOOLS for path in (CAPTURES / tool).iterdir()}
    assert there == set(FOUND)


@each
def test_a_cut_text_never_raises_and_never_turns_a_fault_into_health(name):
    text = text_of(name)
    whole = {getattr(one, "health", None) for one in found_in(name, text)[0]}
    for place in range(0, len(text), max(1, len(text) // 150)):
        facts, _ = found_in(name, text[:place])
        assert {getattr(one, "health", None) for one in facts} <= whole | {None, "ok"}
        found_in(name, text[place:])


@each
@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(edits=EDITS, bit=st.integers(0, 7), where=st.floats(0, 1, exclude_max=True))
def test_no_mutation_raises(name, edits, bit, where):
    text = text_of(name)[:6000]
    place = int(where * len(text))
    text = text[:place] + chr(ord(text[place]) ^ 1 << bit) + text[place + 1 :]
    for action, spot, new in edits:
        at = int(spot * len(text))
        dropped = 0 if action == "insert" else len(new)
        text = text[:at] + ("" if action == "delete" else new) + text[at + dropped :]
    found_in(name, text)


@pytest.mark.parametrize("tool", TOOLS)
def test_rubbish_holds_no_fact_and_says_so(tool):
    for text in ("", "\n", "\0\0", "Segmentation fault\n", "{}\n", "[]\n", "无法访问设备\n"):
        facts, troubles = found_in(tool, text)
        assert not facts
        assert troubles, (tool, text)
