"""`nvidia-smi -q` as text, brought into the form of its XML.  No probe of its own."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from xml.etree import ElementTree as ET

from clusterctl.model import Fact, Kind, Trouble, Version
from clusterctl.probes.nvidia_smi_card import element, readings
from clusterctl.spelling import Unreadable, count, visible

GPUS_AT_MOST = 256
GPU = re.compile(r"GPU ([0-9A-Fa-f]{4,8}:[0-9A-Fa-f]{2}:[0-9A-Fa-f]{2}\.[0-7])\s*")
LINE = re.compile(r"( *)(\S.{0,80}?) *(?: : ?(.*))?")
BANNER = re.compile("={5,}NVSMI LOG={5,}")
SHORTENED = re.compile(r"\s*\[\.\.\.\]\s*")
# What a report holds, whichever part of it somebody kept
SHAPE = re.compile(
    r"(?mi)^={5,}NVSMI LOG={5,}|^GPU [0-9A-F]{8}:[0-9A-F]{2}:[0-9A-F]{2}\.\d\s*$"
    r"|^ {4}(?:Product Name|ECC Errors|Retired Pages|Remapped Rows|Clocks (?:Event|Throttle) "
    r"Reasons|FB Memory Usage|Temperature|GPU Power Readings)\s*(?::.*)?$"
)
NEVER = "processes"  # every GPU's record has this section near its end

# Labels in lower case, sections before a slash -> path in the XML
PATHS = {
    "product name": "product_name",
    "gpu uuid": "uuid",
    "serial number": "serial",
    "vbios version": "vbios_version",
    "inforom version/image version": "inforom_version/img_version",
    "persistence mode": "persistence_mode",
    "addressing mode": "addressing_mode",
    "fan speed": "fan_speed",
    "performance state": "performance_state",
    "mig mode/current": "mig_mode/current_mig",
    "gpu recovery action": "gpu_recovery_action",
    "gpu reset status/reset required": "gpu_reset_status/reset_required",
    "gpu reset status/drain and reset recommended": (
        "gpu_reset_status/drain_and_reset_recommended"
    ),
    "pci/bus id": "pci/pci_bus_id",
    "pci/replays since reset": "pci/replay_counter",
    **{
        f"pci/gpu link info/{label}": f"pci/pci_gpu_link_info/{path}"
        for label, path in {
            "pcie generation/current": "pcie_gen/current_link_gen",
            "pcie generation/max": "pcie_gen/max_link_gen",
            "link width/current": "link_widths/current_link_width",
            "link width/max": "link_widths/max_link_width",
        }.items()
    },
    "fb memory usage/total": "fb_memory_usage/total",
    "fb memory usage/used": "fb_memory_usage/used",
    "utilization/gpu": "utilization/gpu_util",
    "ecc mode/current": "ecc_mode/current_ecc",
    **{
        f"retired pages/{label}": f"retired_pages/{path}"
        for label, path in {
            "single bit ecc": "multiple_single_bit_retirement/retired_count",
            "double bit ecc": "double_bit_retirement/retired_count",
            "pending page blacklist": "pending_blacklist",
            "pending page retirement": "pending_retirement",
            "pending": "pending_retirement",
        }.items()
    },
    **{
        f"remapped rows/{label}": f"remapped_rows/remapped_row_{path}"
        for label, path in {
            "correctable error": "corr",
            "uncorrectable error": "unc",
            "pending": "pending",
            "remapping failure occurred": "failure",
        }.items()
    },
    **{
        f"temperature/{label}": f"temperature/{path}"
        for label, path in {
            "gpu current temp": "gpu_temp",
            "gpu t.limit temp": "gpu_temp_tlimit",
            "gpu slowdown temp": "gpu_temp_slow_threshold",
            "gpu slowdown t.limit temp": "gpu_temp_slow_tlimit_threshold",
            "memory current temp": "memory_temp",
            "memory max operating temp": "gpu_temp_max_mem_threshold",
        }.items()
    },
    **{
        f"{section} readings/{label}": f"{section.replace(' ', '_')}_readings/{path}"
        for section in ("gpu power", "power")
        for label, path in {
            "power draw": "power_draw",
            "average power draw": "average_power_draw",
            "instantaneous power draw": "instant_power_draw",
            "current power limit": "current_power_limit",
            "enforced power limit": "enforced_power_limit",
            "power limit": "power_limit",
            "default power limit": "default_power_limit",
        }.items()
    },
    # Driver 610 sets them under a heading of their own.
    **{
        f"gpu power readings/gpu ceiling power limit/{label}": f"gpu_power_readings/{path}"
        for label, path in {
            "current power limit": "current_power_limit",
            "default power limit": "default_power_limit",
        }.items()
    },
    "clocks/sm": "clocks/sm_clock",
    "clocks/memory": "clocks/mem_clock",
    "max clocks/sm": "max_clocks/sm_clock",
    "max clocks/memory": "max_clocks/mem_clock",
    **{
        f"{section}/{label}": f"clocks_event_reasons/clocks_event_reason_{path}"
        for section in ("clocks event reasons", "clocks throttle reasons")
        for label, path in {
            "idle": "gpu_idle",
            "applications clocks setting": "applications_clocks_setting",
            "sw power cap": "sw_power_cap",
            "hw slowdown": "hw_slowdown",
            "hw thermal slowdown": "hw_thermal_slowdown",
            "hw power brake slowdown": "hw_power_brake_slowdown",
            "sync boost": "sync_boost",
            "sw thermal slowdown": "sw_thermal_slowdown",
            "display clock setting": "display_clocks_setting",
        }.items()
    },
    **{
        f"clocks event reasons counters/{label}": (
            f"clocks_event_reasons_counters/clocks_event_reasons_counters_{path}"
        )
        for label, path in {
            "sw power capping": "sw_power_cap",
            "hw power braking": "hw_power_brake",
            "sw thermal slowdown": "sw_therm_slowdown",
            "hw thermal slowdown": "hw_therm_slowdown",
        }.items()
    },
    "fabric/state": "fabric/state",
    "fabric/status": "fabric/status",
    "fabric/cliqueid": "fabric/cliqueId",
    "fabric/clusteruuid": "fabric/clusterUuid",
}
MIG = {
    "index": "index",
    "ecc errors/volatile/sram uncorrectable": "ecc_error_count/volatile_count/sram_uncorrectable",
    "shared fb memory usage/total": "fb_memory_usage/total",
    "shared fb memory usage/used": "fb_memory_usage/used",
    "fb memory usage/total": "fb_memory_usage/total",
    "fb memory usage/used": "fb_memory_usage/used",
}
PROCESS = {"process id": "pid", "name": "process_name", "used gpu memory": "used_memory"}
# Sections whose labels are the XML's in other spelling
SPELT_ALIKE = re.compile(r"(?:ecc errors/(?:volatile|aggregate)|fabric/health)/.+")
Row = tuple[str, str]  # path of labels, value


def parse(text: str) -> Iterator[Fact | Trouble]:
    """Every GPU that has a heading; an excerpt without one is about a GPU that nobody names."""
    lines = text.split("\n")
    if lines.pop():  # a line that was not ended may have lost digits
        yield Trouble(Kind.CUT, "the text ends within a line")
    if any(SHORTENED.fullmatch(line) for line in lines):
        yield Trouble(Kind.CUT, "somebody shortened this text: [...]")
    head: list[str] = []
    blocks: list[tuple[str, list[str]]] = []
    for line in lines:
        if found := GPU.fullmatch(line):
            blocks.append((found[1], []))
        else:
            (blocks[-1][1] if blocks else head).append(line)
    for label, value in rows(head):
        if label == "driver version":
            # 610.57.04 [Deprecated; will be removed in …]
            yield Version("driver/nvidia", visible(value.partition(" ")[0], 40))
    if not blocks and any(map(placed, rows(head))):
        yield from gpu("gpu", None, "", head)
    elif not blocks:
        yield Trouble(Kind.CUT, "the report ends before its first GPU")
    for index, (address, block) in enumerate(blocks[:GPUS_AT_MOST]):
        kept = whole_sections(block) if any(BANNER.match(line) for line in head) else block
        yield from gpu(f"gpu{index}", index, address, kept)
    yield from missing(rows(head), len(blocks))


def whole_sections(block: list[str]) -> list[str]:
    """Without the section in which a report was cut: the reasons it still lists are not all.

    An excerpt, which has no banner, ends where somebody wanted it to.
    """
    tops = [at for at, line in enumerate(block) if re.match(r" {4}\S", line)]
    if not tops or any(block[at].split(":")[0].strip().lower() == NEVER for at in tops):
        return block
    return block[: tops[-1]]


def missing(head: Iterator[Row], told: int) -> Iterator[Trouble]:
    for label, value in head:
        if label == "attached gpus":
            try:
                wanted = min(count(value), GPUS_AT_MOST)
            except Unreadable as error:
                yield Trouble(Kind.UNREADABLE, f"attached gpus: {error}")
                return
            for index in range(told, wanted):
                why = "nvidia-smi counts this GPU and does not show it"
                yield Trouble(Kind.CUT, why, f"gpu{index}")


def gpu(
    part: str, index: int | None, address: str, block: Sequence[str]
) -> Iterator[Fact | Trouble]:
    told = [row for row in rows(block) if not row[0].startswith("[")]
    if any("GPU is lost" in value for _, value in told):
        yield Trouble(Kind.EXIT, "nvidia-smi: GPU is lost", part)
        return
    if not any(label.partition("/")[0] == NEVER for label, _ in told):
        yield Trouble(Kind.CUT, "its record ends early", part)
    found = tree(told)
    if address:
        found.set("id", address)
    yield from readings(part, index, found)


def tree(told: Sequence[Row]) -> ET.Element:
    found = element(dict(filter(None, map(placed, told))))
    rows_of(found, "mig_devices", "mig_device", under("mig device/", told))
    rows_of(found, "processes", "process_info", under("processes/", told))
    return found


def under(section: str, told: Sequence[Row]) -> list[Row]:
    return [
        (label.removeprefix(section), text) for label, text in told if label.startswith(section)
    ]


def placed(row: Row) -> Row | None:
    label, value = row
    if path := PATHS.get(label):
        return path, value
    if SPELT_ALIKE.fullmatch(label):
        return re.sub(r"[^a-z0-9/]+", "_", label), value
    return None


def rows_of(found: ET.Element, section: str, name: str, told: Sequence[Row]) -> None:
    """Several records under one heading: `index`, or `process id`, begins the next."""
    names, first = (MIG, "index") if name == "mig_device" else (PROCESS, "process id")
    records: list[dict[str, str]] = []
    for key, value in told:
        if key == first:
            records.append({})
        if records and key in names:
            records[-1][names[key]] = value
    holder = ET.SubElement(found, section)
    for record in records:
        item = element(record)
        item.tag = name
        holder.append(item)


def rows(lines: Sequence[str]) -> Iterator[Row]:
    """(labels in lower case joined by slashes, value) of every line; sections are by indent.

    What stands deeper than a line that has a value belongs to that line's section.
    """
    open_ones: list[tuple[int, str]] = []
    for line in lines:
        found = LINE.fullmatch(line.rstrip())
        if not found:
            continue
        indent, label, value = len(found[1]), found[2].lower(), found[3]
        while open_ones and open_ones[-1][0] >= indent:
            open_ones.pop()
        path = "/".join([*(name for _, name in open_ones), label])
        yield path, (value or "").strip()
        if value is None:
            open_ones.append((indent, label))
