"""Reading the leaves of amd-smi's trees; each is Unreadable at worst.  No probe of its own."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from clusterctl.spelling import Unreadable, count, measure, pci_address, reported, visible

MIB = 1 << 20
# amdsmi.h: a field that the chip does not have is the largest number of its type.
NO_NUMBER = re.compile(r"(?:65535|4294967295|18446744073709551615)(?: .*)?")
ERROR = re.compile(r"err!|unknown error|\berror\b|timeout|lost", re.IGNORECASE)
GENERATION = {2.5: 1, 5: 2, 8: 3, 16: 4, 32: 5, 64: 6}  # GT/s of a lane
# The five violations that hold a chip back.  PROCHOT is a signal from outside the chip and VR means
# the board's regulators: both act in hardware.  PPT is the power cap; firmware minds the others.
VIOLATIONS = (
    ("prochot", "phot_tviol", "hw_thermal"),
    ("vr_thermal", "vr_tviol", "hw_thermal"),
    ("socket_thermal", "tviol", "sw_thermal"),
    ("hbm_thermal", "hbm_tviol", "sw_thermal"),
    ("ppt", "pviol", "sw_power_cap"),
)
Tree = Mapping[str, Any]


def leaf(tree: Tree, *paths: str) -> str | None:
    """The first of these leaves that has something to say; "pcie/width" is a path."""
    for path in paths:
        found: Any = tree
        for key in path.split("/"):
            if isinstance(found, list) or (isinstance(found, str) and reported(found)):
                raise Unreadable(f"{path}: a value stands where its section should")
            found = found.get(key) if isinstance(found, Mapping) else None
        if isinstance(found, str) and (text := found.strip()) and reported(text):
            if ERROR.search(text):
                raise Unreadable(f"{path}: {visible(text, 60)}")
            if not NO_NUMBER.fullmatch(text):
                return text
        elif isinstance(found, list | Mapping) and found:
            raise Unreadable(f"{path} is no value")
    return None


def amount(unit: str, *paths: str) -> Callable[[Tree], float | None]:
    def read(tree: Tree) -> float | None:
        text = leaf(tree, *paths)
        return None if text is None else measure(text.replace("°", ""), unit)

    return read


def counter(*paths: str) -> Callable[[Tree], int | None]:
    def read(tree: Tree) -> int | None:
        text = leaf(tree, *paths)
        return None if text is None else count(text)

    return read


def size(*paths: str) -> Callable[[Tree], int | None]:
    """amd-smi divides bytes by 2^20 and calls them MB."""

    def read(tree: Tree) -> int | None:
        value = amount("MB", *paths)(tree)
        return None if value is None else int(value * MIB)

    return read


def word(*paths: str) -> Callable[[Tree], str]:
    """Empty where there is none; "<redacted>" and "0" are no names either."""

    def read(tree: Tree) -> str:
        text = visible(leaf(tree, *paths) or "", 120)
        return "" if text.startswith("<") or text == "0" else text

    return read


def model(tree: Tree) -> str:
    """A partition but the first of its card says N/A to most: it is no peer of the first.

    Its name tells them apart: "AMD Instinct MI300X (partition)".
    """
    name = word("asic/market_name", "board/product_name")(tree)
    partition = counter("partition_id", "partition/partition_id")(tree)
    return f"{name} (partition)" if name and partition else name


def address(tree: Tree) -> str:
    text = leaf(tree, "bdf", "bus/bdf")
    return pci_address(text) if text else ""


def generation(*paths: str) -> Callable[[Tree], int | None]:
    def read(tree: Tree) -> int | None:
        value = amount("GT/s", *paths)(tree)
        if value is None or value == 0:
            return None
        if value not in GENERATION:
            raise Unreadable(f"not the speed of a PCIe lane: {value:g} GT/s")
        return GENERATION[value]

    return read


def core_temperature(tree: Tree) -> float | None:
    """Of the hottest place, where the chip measures it: that one throttles."""
    hot = amount("C", "temperature/hotspot", "hotspot_temperature", "monitor/gpu_temp")(tree)
    if hot is None:
        hot = amount("C", "monitor/gpu_t", "temperature/edge")(tree)
    return hot


def slowdown_temperature(tree: Tree) -> float | None:
    """The limit of the place that `core_temperature` tells of, or would."""
    hotspot = amount("C", "temperature/hotspot")(tree)
    edge = amount("C", "temperature/edge")(tree)
    names = ("limit/slowdown_hotspot_temperature", "limit/slowdown_edge_temperature")
    return amount("C", *(names[1:] if hotspot is None and edge is not None else names))(tree)


def ecc(name: str) -> Callable[[Tree], int | None]:
    """The tool's own total, else the sum over its blocks (`amd-smi metric --ecc-block`)."""
    bits = {"correctable": "single", "uncorrectable": "double"}.get(name, "")
    total = counter(f"ecc/total_{name}_count", f"{bits}_bit_ecc", f"monitor/{bits}_ecc")

    def read(tree: Tree) -> int | None:
        found, blocks = total(tree), tree.get("ecc_blocks")
        if found is not None or not isinstance(blocks, Mapping):
            return found
        read_one = counter(f"{name}_count")
        counts = [read_one(block) for block in blocks.values() if isinstance(block, Mapping)]
        return sum(value for value in counts if value is not None) if any_told(counts) else None

    return read


def any_told(values: list[int | None]) -> bool:
    return any(value is not None for value in values)


def broken_blocks(tree: Tree) -> tuple[str, ...] | None:
    """The RAS blocks that count uncorrected errors, by AMD's names."""
    blocks = tree.get("ecc_blocks")
    if not isinstance(blocks, Mapping) or not blocks:
        return None
    read = counter("uncorrectable_count")
    counts = {name: read(block) for name, block in blocks.items() if isinstance(block, Mapping)}
    told = {name: count for name, count in counts.items() if count is not None}
    return (
        tuple(visible(name.upper(), 40) for name, count in told.items() if count) if told else None
    )


def ecc_on(tree: Tree) -> bool | None:
    """Only where it is on: MI300A says disabled, for the host's firmware minds its memory."""
    text = leaf(tree, "ras/ecc_block_state/umc")
    return True if text == "ENABLED" else None


def pages(name: str) -> Callable[[Tree], int | None]:
    """How many pages a list of `amd-smi bad-pages` has; one page stands there without a list."""

    def read(tree: Tree) -> int | None:
        match tree.get(name):
            case None:
                return None
            case str(text):
                if text.strip().lower().startswith("no bad pages"):
                    return 0
                if leaf(tree, name) is None:
                    return None
                raise Unreadable(f"{name}: {visible(text, 60)}")
            case Mapping() as page if page:
                return sum(
                    len(found) if isinstance(found, list) else 1
                    for key, found in page.items()
                    if key == "page_address"
                )
            case list() as found:
                return len(found)
        raise Unreadable(f"{name} is no list of pages")

    return read


def waiting(tree: Tree) -> bool | None:
    """Pages still to be taken out of use, or that could not be because somebody uses them."""
    pending, failed = pages("pending")(tree), pages("un_res")(tree)
    return None if pending is None or failed is None else pending + failed > 0


def out_of_spares(tree: Tree) -> bool | None:
    """At the threshold the driver writes no more pages down, and AMD takes the card back."""
    retired, most = pages("retired")(tree), counter("ras/bad_page_threshold")(tree)
    return None if retired is None or not most else retired >= most


def throttle(tree: Tree) -> tuple[str, ...] | None:
    """What holds the chip back now; of chips that only say that something does, "unspecified"."""
    told: list[tuple[str, bool]] = []
    for name, column, ours in VIOLATIONS:
        state = leaf(tree, f"throttle/{name}_violation_status")
        share = amount("%", f"monitor/{column}", column)(tree)
        if state is not None:
            told.append((ours, flag(state, "ACTIVE", "NOT ACTIVE")))
        elif share is not None:
            told.append((ours, share > 0))
    if told:
        return tuple(dict.fromkeys(ours for ours, active in told if active))
    state = leaf(tree, "power/throttle_status", "throttle_status")
    if state is None:
        return None
    return ("unspecified",) if flag(state, "THROTTLED", "UNTHROTTLED") else ()


def flag(text: str, yes: str, no: str) -> bool:
    if text not in {yes, no}:
        raise Unreadable(f"neither {yes} nor {no}: {visible(text, 40)!r}")
    return text == yes


POWER_NOW = ("power/socket_power", "power/current_socket_power", "power/average_socket_power")
POWER_CAP = ("limit/ppt0/socket_power_limit", "limit/socket_power", "limit/current_power")
FIELDS: Mapping[str, Callable[[Tree], object]] = {
    "uuid": word("uuid", "asic/asic_serial"),
    "serial": word("board/product_serial"),
    "model": model,
    "pci": address,
    "temp_c": core_temperature,
    "temp_memory_c": amount(
        "C", "temperature/mem", "memory_temperature", "monitor/mem_temp", "monitor/mem_t"
    ),
    "temp_slowdown_c": slowdown_temperature,
    "temp_memory_max_c": amount("C", "limit/slowdown_vram_temperature"),
    "power_w": amount("W", *POWER_NOW, "power_usage", "monitor/power"),
    "power_limit_w": amount("W", *POWER_CAP),
    "clock_sm_mhz": amount(
        "MHz", "clock/gfx_0/clk", "clock/gfx/clk", "gfx_clock", "monitor/gfx_clock"
    ),
    "clock_sm_max_mhz": amount("MHz", "clock/gfx_0/max_clk", "clock/gfx/max_clk"),
    "clock_memory_mhz": amount(
        "MHz", "clock/mem_0/clk", "clock/mem/clk", "mem_clock", "monitor/mem_clock"
    ),
    "clock_memory_max_mhz": amount("MHz", "clock/mem_0/max_clk", "clock/mem/max_clk"),
    "utilisation_percent": amount(
        "%", "usage/gfx_activity", "gfx", "monitor/gfx_util", "monitor/gfx%"
    ),
    "memory_total_bytes": size(
        "mem_usage/total_vram", "vram_total", "monitor/vram_total", "vram/size"
    ),
    "memory_used_bytes": size("mem_usage/used_vram", "vram_used", "monitor/vram_used"),
    "throttle": throttle,
    "ecc_on": ecc_on,
    "ecc_corrected_volatile": ecc("correctable"),
    "ecc_uncorrected_volatile": ecc("uncorrectable"),
    "ecc_deferred_volatile": ecc("deferred"),
    "error_codes": broken_blocks,
    "retired_pages": pages("retired"),
    "retired_pending": waiting,
    "remap_failed": out_of_spares,
    "pcie_gen": generation("pcie/speed", "pcie/current_speed"),
    "pcie_gen_max": generation("bus/max_pcie_speed"),
    "pcie_width": counter("pcie/width", "pcie/current_width"),
    "pcie_width_max": counter("bus/max_pcie_width"),
    "pcie_replays": counter("pcie/replay_count", "pcie_replay", "monitor/pcie_replay"),
}
