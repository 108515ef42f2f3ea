"""The CSV of nvidia-smi's --query options.  No probe of its own."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, Sequence

from clusterctl.model import Accelerator, DeviceProcess, Fact, Kind, Trouble, Version
from clusterctl.probes.nvidia_smi_card import element, readings
from clusterctl.probes.nvidia_smi_cells import MIB
from clusterctl.spelling import Unreadable, count, measure, pci_address, reported, visible

UNIT = re.compile(r"(\S+) \[([^\]]{1,8})\]")
RETIRED, PROCESSES = "retired_pages.cause", "process_name"
# Column -> path in the XML.  A query for one column alone is no table that we would know.
COLUMNS = {
    "name": "product_name",
    "serial": "serial",
    "uuid": "uuid",
    "pci.bus_id": "pci/pci_bus_id",
    "vbios_version": "vbios_version",
    "inforom.img": "inforom_version/img_version",
    "persistence_mode": "persistence_mode",
    "addressing_mode": "addressing_mode",
    "gpu_recovery_action": "gpu_recovery_action",
    "mig.mode.current": "mig_mode/current_mig",
    "ecc.mode.current": "ecc_mode/current_ecc",
    "memory.total": "fb_memory_usage/total",
    "memory.used": "fb_memory_usage/used",
    "utilization.gpu": "utilization/gpu_util",
    "temperature.gpu": "temperature/gpu_temp",
    "temperature.gpu.tlimit": "temperature/gpu_temp_tlimit",
    "temperature.memory": "temperature/memory_temp",
    "power.draw": "gpu_power_readings/power_draw",
    "power.draw.average": "gpu_power_readings/average_power_draw",
    "power.draw.instant": "gpu_power_readings/instant_power_draw",
    "enforced.power.limit": "gpu_power_readings/current_power_limit",
    "power.default_limit": "gpu_power_readings/default_power_limit",
    "clocks.current.sm": "clocks/sm_clock",
    "clocks.current.memory": "clocks/mem_clock",
    "clocks.max.sm": "max_clocks/sm_clock",
    "clocks.max.memory": "max_clocks/mem_clock",
    "pcie.link.gen.current": "pci/pci_gpu_link_info/pcie_gen/current_link_gen",
    "pcie.link.gen.max": "pci/pci_gpu_link_info/pcie_gen/max_link_gen",
    "pcie.link.width.current": "pci/pci_gpu_link_info/link_widths/current_link_width",
    "pcie.link.width.max": "pci/pci_gpu_link_info/link_widths/max_link_width",
    "retired_pages.single_bit_ecc.count": (
        "retired_pages/multiple_single_bit_retirement/retired_count"
    ),
    "retired_pages.double_bit.count": "retired_pages/double_bit_retirement/retired_count",
    "retired_pages.pending": "retired_pages/pending_retirement",
    "remapped_rows.correctable": "remapped_rows/remapped_row_corr",
    "remapped_rows.uncorrectable": "remapped_rows/remapped_row_unc",
    "remapped_rows.pending": "remapped_rows/remapped_row_pending",
    "remapped_rows.failure": "remapped_rows/remapped_row_failure",
    **{
        f"ecc.errors.{ours}.{since}.total": f"ecc_errors/{since}/all_{theirs}"
        for ours, theirs in (("corrected", "correctable"), ("uncorrected", "uncorrectable"))
        for since in ("volatile", "aggregate")
    },
    **{
        f"clocks_{old}_reasons.{name}": f"clocks_event_reasons/clocks_event_reason_{name}"
        for old in ("event", "throttle")
        for name in (
            *("gpu_idle", "applications_clocks_setting", "sw_power_cap", "hw_slowdown"),
            *("hw_thermal_slowdown", "hw_power_brake_slowdown", "sync_boost"),
            "sw_thermal_slowdown",
        )
    },
    **{
        f"clocks_event_reasons_counters.{theirs}": (
            f"clocks_event_reasons_counters/clocks_event_reasons_counters_{ours}"
        )
        for theirs, ours in (
            ("sw_power_cap", "sw_power_cap"),
            ("hw_power_brake_slowdown", "hw_power_brake"),
            ("sw_thermal_slowdown", "sw_therm_slowdown"),
            ("hw_thermal_slowdown", "hw_therm_slowdown"),
        )
    },
    "fabric.state": "fabric/state",
    "fabric.status": "fabric/status",
    "fabric.cliqueid": "fabric/cliqueId",
    "fabric.clusteruuid": "fabric/clusterUuid",
    **{
        f"fabric.health.{name}": f"fabric/health/{name}"
        for name in (
            *("summary", "bandwidth", "route_recovery_in_progress", "route_unhealthy"),
            *("access_timeout_recovery", "incorrect_configuration"),
        )
    },
}
OTHERS = frozenset(
    {
        *("timestamp", "driver_version", "index", "count", "pid", PROCESSES, "used_gpu_memory"),
        *("gpu_uuid", "gpu_name", "gpu_bus_id", "gpu_serial", "retired_pages.address", RETIRED),
    }
)
BARE_UNITS = {"temperature/gpu_temp": "C", "temperature/memory_temp": "C"}
BARE_UNITS["temperature/gpu_temp_tlimit"] = "C"


def columns_of(line: str) -> list[tuple[str, str]]:
    """(name in lower case, unit) of a header; empty where it is none."""
    names = [name.strip() for name in line.split(",")]
    split = [UNIT.fullmatch(name) for name in names]
    found = [
        (one[1].lower(), one[2]) if one else (name.lower(), "")
        for one, name in zip(split, names, strict=True)
    ]
    known = [name for name, _ in found if name in COLUMNS or name in OTHERS]
    return found if len(known) >= 2 else []


def header(text: str) -> list[tuple[str, str]]:
    return columns_of(text.lstrip("\n").partition("\n")[0])


def query(text: str) -> Iterator[Fact | Trouble]:
    """Columns that were not asked for are None; a row that is short costs that row."""
    head, *lines = text.lstrip("\n").split("\n")
    if lines and lines.pop():
        yield Trouble(Kind.CUT, "the text ends within a line")
    columns = columns_of(head)
    names = [name for name, _ in columns]
    drivers: set[str] = set()
    retired: list[dict[str, str]] = []
    at: int | None = 0  # None once a row is missing: who comes after it has no number
    for line in lines:
        if not line.strip():
            continue
        cells = split(line)
        if len(cells) != len(columns):
            kind = Kind.CUT if line.strip() == "[...]" else Kind.UNREADABLE
            yield Trouble(kind, f"not a row of {len(columns)}: {visible(line.strip(), 100)!r}")
            at = None
            continue
        row = dict(zip(names, cells, strict=True))
        if PROCESSES in names:
            yield process(row, dict(columns))
        elif RETIRED in names:
            retired.append(row)
        else:
            if row.get("driver_version"):
                drivers.add(visible(row["driver_version"], 40))
            yield from queried(at, row, columns)
            at = None if at is None else at + 1
    yield from pages(retired)
    for driver in sorted(drivers):
        yield Version("driver/nvidia", driver)


def split(line: str) -> list[str]:
    """Its cells; none where quotes or control characters make it no row."""
    try:
        return next(csv.reader([line.replace("\0", "")], skipinitialspace=True), [])
    except csv.Error:
        return []


def queried(
    at: int | None, row: Mapping[str, str], columns: Sequence[tuple[str, str]]
) -> Iterator[Fact | Trouble]:
    try:
        index = count(row["index"]) if "index" in row else at
    except Unreadable as error:
        yield Trouble(Kind.UNREADABLE, f"index: {error}")
        return
    told = {}
    for name, heads in columns:
        if path := COLUMNS.get(name):
            text, unit = row[name].strip(), heads or BARE_UNITS.get(path, "")
            bare = unit and re.fullmatch(r"-?\d+(?:\.\d+)?", text)  # nounits leaves it in the head
            told[path] = f"{text} {unit}" if bare else text
    unasked = () if "pci/pci_bus_id" in told else ("pci",)
    part = place(row) if index is None else f"gpu{index}"
    yield from readings(part, index, element(told), unasked=unasked)


def process(row: Mapping[str, str], units: Mapping[str, str]) -> Fact | Trouble:
    """Its part is the card's PCI address where the query has it: these rows have no index."""
    part = place(row)
    try:
        text = row.get("used_gpu_memory", row.get("used_memory", "N/A")).strip()
        unit = units.get("used_gpu_memory") or units.get("used_memory") or ""
        used = measure(text if " " in text or not reported(text) else f"{text} {unit}", "MiB")
        pid = count(row.get("pid", ""))
    except Unreadable as error:
        return Trouble(Kind.UNREADABLE, f"process: {visible(str(error), 120)}", part)
    name = visible(row["process_name"].strip(), 200)
    return DeviceProcess(part, pid, name, None if used is None else int(used) * MIB)


def pages(told: Sequence[Mapping[str, str]]) -> Iterator[Accelerator]:
    """A row a retired page; [N/A] rows on cards that remap rows instead."""
    cards = {place(row): row for row in told}
    for part, row in cards.items():
        rows = [one.get("retired_pages.address", "") for one in told if place(one) == part]
        yield Accelerator(
            part,
            "nvidia",
            uuid=visible(row.get("gpu_uuid", ""), 60),
            model=visible(row.get("gpu_name", ""), 120),
            pci=part,
            retired_pages=sum(map(reported, rows)) or None,
        )


def place(row: Mapping[str, str]) -> str:
    try:
        return pci_address(row.get("gpu_bus_id", row.get("pci.bus_id", "")))
    except Unreadable:
        return visible(row.get("gpu_uuid", ""), 60)
