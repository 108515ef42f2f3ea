"""Fields of an accelerator out of rocm-smi's or hy-smi's keys; each is Unreadable at worst."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from clusterctl.probes.smi_log import first, quantity
from clusterctl.spelling import Unreadable, count, number, pci_address, visible

Cells = Mapping[str, str]
MIB = 1 << 20
CELSIUS = ("°C", "C", "c", "℃")
GENERATION = {"2.5": 1, "5": 2, "8": 3, "16": 4, "32": 5, "64": 6}  # GT/s of a lane
# "16.0GT/s x16" stands alone, or behind its level: "0 (16.0GT/s x16)"
PCIE = re.compile(r"(?:\d{1,3} \()?(\d{1,3}(?:\.\d)?)GT/s x(\d{1,3})\)?(?: \*)?")
BYTES = {"(b)": 1, "(kib)": 1 << 10, "(mib)": MIB, "(gib)": 1 << 30}


def amount(units: tuple[str, ...], *keys: str) -> Callable[[Cells], float | None]:
    """A number with one of these units behind it, or with its unit in the key: "power (w)"."""

    def read(told: Cells) -> float | None:
        found = first(told, keys)
        if found is None:
            return None
        digits, unit = quantity(found[1])
        if unit not in units and not (not unit and found[0].endswith(")")):
            raise Unreadable(f"not a number of {units[0]}: {visible(found[1], 60)!r}")
        return number(digits)

    return read


def tally(*keys: str) -> Callable[[Cells], int | None]:
    def read(told: Cells) -> int | None:
        found = first(told, keys)
        return None if found is None else count(found[1])

    return read


def word(*keys: str) -> Callable[[Cells], str]:
    def read(told: Cells) -> str:
        found = first(told, keys)
        if found and re.search(r"err!|unknown error", found[1], re.IGNORECASE):
            raise Unreadable(f"{found[0]}: {visible(found[1], 60)}")
        return visible(found[1], 120) if found else ""

    return read


def size(what: str) -> Callable[[Cells], int | None]:
    def read(told: Cells) -> int | None:
        found = first(told, [f"vram total {what}memory {unit}" for unit in BYTES])
        return None if found is None else count(found[1]) * BYTES[found[0].rpartition(" ")[2]]

    return read


def address(told: Cells) -> str:
    found = first(told, ("pci bus", "bus"))
    return pci_address(found[1]) if found else ""


def pcie(told: Cells) -> tuple[int, int] | None:
    """(generation, lanes)."""
    found = first(told, ("pcie clock level",))
    if found is None:
        return None
    link = PCIE.fullmatch(found[1])
    speed = link[1].removesuffix(".0") if link else ""
    if not link or speed not in GENERATION:
        raise Unreadable(f"not a PCIe link: {visible(found[1], 60)!r}")
    return GENERATION[speed], int(link[2])


def generation(told: Cells) -> int | None:
    link = pcie(told)
    return link[0] if link else None


def lanes(told: Cells) -> int | None:
    link = pcie(told)
    return link[1] if link else None


def ras(name: str) -> Callable[[Cells], int | None]:
    """None where one block could not be read: the sum of the others is not the device's."""
    return lambda told: None if "ras unreadable" in told else tally(f"ras {name}")(told)


def broken_blocks(told: Cells) -> tuple[str, ...] | None:
    """The RAS blocks that count uncorrected errors, by AMD's names."""
    if "ras uncorrectable" not in told or "ras unreadable" in told:
        return None
    return tuple(told.get("ras blocks", "").split())


def waiting(told: Cells) -> bool | None:
    pages = tally("pages waiting")(told)
    return None if pages is None else pages > 0


def ecc_on(told: Cells) -> bool | None:
    """Only where it is on: MI300A says disabled, for the host's firmware minds its memory."""
    return True if told.get("umc ras") == "ENABLED" else None


CORE = tuple(f"temperature (sensor {place}) (c)" for place in ("junction", "edge", "core"))


def hottest(told: Cells) -> float | None:
    """Of the core's sensors: that place throttles.  AMD's hottest is the junction, Hygon's not."""
    found = [amount(CELSIUS, key)(told) for key in (*CORE, "temp")]
    return max((value for value in found if value is not None), default=None)


def model(told: Cells) -> str:
    """The name; some versions give the series the number and the device the name."""
    for key in ("card series", "device name", "card model", "name"):
        if (text := word(key)(told)) and not text.startswith("0x"):
            return text
    return ""


MHZ = ("Mhz", "MHz", "mhz")
FIELDS: Mapping[str, Callable[[Cells], object]] = {
    "uuid": word("unique id"),
    "serial": word("serial number"),
    "model": model,
    "pci": address,
    "temp_c": hottest,
    "temp_memory_c": amount(
        CELSIUS, "temperature (sensor memory) (c)", "temperature (sensor mem) (c)"
    ),
    "power_w": amount(
        ("W", "w"),
        "current socket graphics package power (w)",
        "average graphics package power (w)",
        "power",
        "avgpwr",
    ),
    "power_limit_w": amount(("W", "w"), "max graphics package power (w)", "pwrcap"),
    "clock_sm_mhz": amount(MHZ, "sclk clock speed", "sclk"),
    "clock_memory_mhz": amount(MHZ, "mclk clock speed", "mclk"),
    "utilisation_percent": amount(
        ("%",), "gpu use (%)", "dcu use (%)", "hcu use (%)", "gpu%", "dcu%", "hcu%"
    ),
    "memory_total_bytes": size(""),
    "memory_used_bytes": size("used "),
    "ecc_on": ecc_on,
    "ecc_corrected_volatile": ras("correctable"),
    "ecc_uncorrected_volatile": ras("uncorrectable"),
    "error_codes": broken_blocks,
    "retired_pages": tally("pages reserved"),
    "retired_pending": waiting,
    "pcie_gen": generation,
    "pcie_width": lanes,
    "pcie_replays": tally("pcie replay count"),
}
