"""nvidia-smi's plain table.  No probe of its own."""

from __future__ import annotations

import re
from collections.abc import Iterator

from clusterctl.model import DeviceProcess, Fact, Kind, Partition, Trouble, Version
from clusterctl.probes.nvidia_smi_card import element, readings
from clusterctl.probes.nvidia_smi_cells import MIB
from clusterctl.spelling import Unreadable, count, measure, reported, visible

#  NVIDIA-SMI 590.48.01              Driver Version: 590.48.01      CUDA Version: 13.1
DRIVER = re.compile(r"NVIDIA-SMI .*(?:Driver|KMD) Version: *(\d[\d.]{0,30}) ")
#    0  NVIDIA H200                    On  |   00000000:83:00.0 Off |                   On
FIRST = re.compile(
    r"\| +(\d{1,3}) +(\S.{0,80}?) +(On|Off|N/A) *\| *([0-9A-Fa-f]{8}:[0-9A-Fa-f:.]{7}) +"
    r"(On|Off|N/A) *\| *(\S+) *\|"
)
#  N/A   28C    P0             78W /  700W |      55MiB / 143771MiB |     N/A      Default
SECOND = re.compile(
    r"\| *(\S{1,6}) +(\S{1,6}) +(P\d{1,2}|N/A|ERR!|Unknown Error) +(\S+) */ *(\S+) *\| *"
    r"(\S+) */ *(\S+) *\| *(\S+) .*\|"
)
THIRD = re.compile(r"\| +\| +\| *(Enabled\*?|Disabled\*?|N/A) *\|")
#   0    2   0   0  |              22MiB / 71424MiB    | 16      0 |  3   0    3    0    3
MIG_ROW = re.compile(
    r"\| *(\d{1,3}) +(\d{1,3}|N/A) +(\d{1,3}|N/A) +(\d{1,3}) *\| *(\S+) */ *(\S+) *\| *"
    r"(\S+) +(\S+) *\|.*\|"
)
#    0    2    0            21180      C   /root/tools/memhog                     2296MiB
PROCESS = re.compile(
    r"\| +(\d{1,3}) +(?:(?:\d{1,3}|N/A) +(?:\d{1,3}|N/A) +)?(\d{1,10}) +(\S{1,5}) +(\S.*?) +"
    r"(\d+MiB|N/A) *\|"
)
SHAPE = re.compile(r"(?m)^\| NVIDIA-SMI ")
WIDEST = 400  # the tool's rows have 91 characters; what is longer is somebody's noise


def table(text: str) -> Iterator[Fact | Trouble]:
    """A name that ends in ... was shortened by the tool; it is kept as it stands."""
    if driver := DRIVER.search(text):
        yield Version("driver/nvidia", driver[1])
    lines = [line[:WIDEST] for line in text.split("\n")]
    seen, ended = 0, False
    for at, line in enumerate(lines):
        following = [*lines[at + 1 : at + 3], "", ""]
        if first := FIRST.fullmatch(line):
            seen += 1
            yield from card(first, SECOND.fullmatch(following[0]), THIRD.fullmatch(following[1]))
        elif mig := MIG_ROW.fullmatch(line):
            yield partition(mig)
        elif ended and (running := PROCESS.fullmatch(line)):
            used = None if running[5] == "N/A" else glued(running[5], "MiB")
            size = None if used is None else int(used) * MIB
            part = f"gpu{int(running[1])}"
            yield DeviceProcess(part, int(running[2]), visible(running[4], 200), size)
        ended = ended or line.startswith("| Processes:")
    if not seen:
        yield Trouble(Kind.UNREADABLE, "the table shows no GPU")
    if not ended:
        yield Trouble(Kind.CUT, "the table ends before its processes")


def card(
    first: re.Match[str], second: re.Match[str] | None, third: re.Match[str] | None
) -> Iterator[Fact | Trouble]:
    index = int(first[1])
    part = f"gpu{index}"
    told = {
        "product_name": first[2],
        "persistence_mode": {"On": "Enabled", "Off": "Disabled"}.get(first[3], first[3]),
        "pci/pci_bus_id": first[4],
    }
    if second is None:
        yield Trouble(Kind.UNREADABLE, "its second row is not one of the table", part)
    else:
        told |= measured(second)
    if third:
        told["mig_mode/current_mig"] = third[1].rstrip("*")  # a star: pending until a reset
    told |= ecc(first[6], told.get("mig_mode/current_mig", ""))
    yield from readings(part, index, element(told))


def measured(row: re.Match[str]) -> dict[str, str]:
    fan, temp, state, power, limit, used, whole, busy = row.groups()
    return {
        "fan_speed": fan,
        "performance_state": state,
        "temperature/gpu_temp": spaced(temp, "C"),
        "gpu_power_readings/power_draw": spaced(power, "W"),
        "gpu_power_readings/current_power_limit": spaced(limit, "W"),
        "fb_memory_usage/used": spaced(used, "MiB"),
        "fb_memory_usage/total": spaced(whole, "MiB"),
        "utilization/gpu_util": spaced(busy, "%"),
    }


def ecc(said: str, mig: str) -> dict[str, str]:
    """A count, Off, N/A; and On for a GPU in MIG mode, whose instances have the counts."""
    if said == "Off":
        return {"ecc_mode/current_ecc": "Disabled"}
    if said == "On" and mig == "Enabled":
        return {"ecc_mode/current_ecc": "Enabled"}
    if not reported(said):
        return {}
    return {
        "ecc_mode/current_ecc": "Enabled",
        "ecc_errors/volatile/dram_uncorrectable": said,
    }


def partition(row: re.Match[str]) -> Partition | Trouble:
    part = f"gpu{int(row[1])}"
    try:
        used, whole = glued(row[5], "MiB"), glued(row[6], "MiB")
        wrong = count(row[8]) if reported(row[8]) else None
    except Unreadable as error:
        return Trouble(Kind.UNREADABLE, f"MIG device: {visible(str(error), 120)}", part)
    return Partition(
        f"{part}/mig{int(row[4])}",
        part,
        memory_used_bytes=None if used is None else int(used) * MIB,
        memory_total_bytes=None if whole is None else int(whole) * MIB,
        ecc_uncorrected_volatile=wrong,
    )


def spaced(text: str, unit: str) -> str:
    """36C as the XML has it: 36 C."""
    digits = text.removesuffix(unit)
    return f"{digits} {unit}" if digits != text else text


def glued(text: str, unit: str) -> float | None:
    """Raises Unreadable."""
    return measure(spaced(text, unit), unit)
