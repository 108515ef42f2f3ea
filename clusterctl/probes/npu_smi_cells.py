"""Reading what npu-smi says of a chip; each value is Unreadable at worst.  No probe of its own.

Labels: Ascend HDK npu-smi command reference and Ascend/mind-cluster's log collection guide.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from clusterctl.spelling import Unreadable, count, number, pci_address, reported, whole

MB = 1 << 20  # its MB are MiB: a 64 GiB chip has 65536
# DCMI's health values: https://www.hiascend.com (dcmi_get_device_health)
HEALTH = ("ok", "warning", "alarm", "critical")
CODE = re.compile(r"(?:0[xX])?([0-9a-fA-F]{8,9})")

Texts = Sequence[str]


def health(texts: Texts) -> str | None:
    if not reported(texts[0]):
        return None
    word = texts[0].strip().lower()
    if word not in HEALTH:
        raise Unreadable(f"health is none of {', '.join(HEALTH)}: {texts[0]!r}")
    return word


def codes(texts: Texts) -> tuple[str, ...]:
    """The fault codes that are active; none where it says NA."""
    if not reported(texts[0]):
        return ()
    found = [CODE.fullmatch(word) for word in texts[0].replace(",", " ").split()]
    if not found or not all(found):
        raise Unreadable(f"not fault codes: {texts[0]!r}")
    return tuple(dict.fromkeys(match[1].upper() for match in found if match))


def amount(texts: Texts) -> float | None:
    return next((value for value in map(number, texts) if value is not None), None)


def size(texts: Texts) -> int | None:
    """Of HBM, or of DDR where there is none."""
    return next((value * MB for value in map(whole, texts) if value), None)


def added(texts: Texts) -> int | None:
    """The sum over both kinds of memory; Unreadable where one of them is."""
    values = [count(text) for text in texts if reported(text)]
    return sum(values) if values else None


def pending(texts: Texts) -> bool | None:
    """Whether pages will be isolated at the next start."""
    waiting = added(texts)
    return None if waiting is None else waiting > 0


def word(texts: Texts) -> str:
    return texts[0] if reported(texts[0]) else ""


def identity(texts: Texts) -> str:
    return "-".join(word(texts).split())


def address(texts: Texts) -> str:
    return pci_address(texts[0]) if reported(texts[0]) else ""


def memories(*counted: str) -> tuple[str, ...]:
    return tuple(f"{kind} {name}" for kind in ("hbm", "ddr") for name in counted)


def texts_of(labels: Sequence[str], block: Mapping[str, str]) -> list[str]:
    """What stands at these labels; none where none of them is there.

    Of a memory of which other errors are told, these must be: half a sum would look healthier.
    """
    told = {label.split()[0] for label in block if " bit " in label}
    wanted = [label for label in labels if " bit " not in label or label.split()[0] in told]
    found = [block[label] for label in wanted if label in block]
    missing = [label for label in wanted if label not in block and " bit " in label]
    needed = any(label.endswith("bit error count") for label in missing)
    if missing and (needed or (found and " next " not in labels[0])):
        raise Unreadable(f"no {missing[0]}")
    return found


# Accelerator's fields: the labels that tell them, and how.
FIELDS: dict[str, tuple[tuple[str, ...], Callable[[Texts], object]]] = {
    "health": (("health status",), health),
    "error_codes": (("error code",), codes),
    "uuid": (("vdie id",), identity),
    "serial": (("serial number",), word),
    "model": (("chip name",), word),
    "pci": (("pcie bus info",), address),
    "temp_c": (("npu temperature(c)", "temperature(c)"), amount),
    "temp_memory_c": (("hbm temperature(c)",), amount),
    "power_w": (("npu real-time power(w)", "power dissipation(w)", "power(w)"), amount),
    "clock_sm_mhz": (("aicore curfreq(mhz)",), amount),
    "clock_sm_max_mhz": (("aicore freq(mhz)",), amount),
    "clock_memory_mhz": (("hbm clock speed(mhz)",), amount),
    "utilisation_percent": (("aicore usage rate(%)",), amount),
    "memory_total_bytes": (("hbm capacity(mb)", "ddr capacity(mb)"), size),
    "ecc_corrected_volatile": (memories("single bit error count"), added),
    "ecc_uncorrected_volatile": (memories("double bit error count"), added),
    "ecc_corrected_aggregate": (memories("single bit aggregate total err cnt"), added),
    "ecc_uncorrected_aggregate": (memories("double bit aggregate total err cnt"), added),
    "retired_pages": (
        memories("single bit isolated pages count", "double bit isolated pages count"),
        added,
    ),
    "retired_pending": (
        ("hbm single bit next isolated pages count", "hbm double bit next isolated pages count"),
        pending,
    ),
}
# Labels that are ours though no field of an Accelerator comes of them.
OTHERS = {
    *("software version", "firmware version", "compatibility", "product name", "chip type"),
    *("board id", "hccs health status", "super pod id", "server index", "aicpu usage rate(%)"),
}
LABELS = OTHERS.union(*(labels for labels, _ in FIELDS.values()))

# The table's cells, by their headers
CELLS: dict[str, str] = {
    "Power(W)": "power_w",
    "Temp(C)": "temp_c",
    "AICore(%)": "utilisation_percent",
}


def memory(text: str) -> tuple[int, int] | None:
    """(total, used) in bytes of "3419/65536"; None where this chip has no such memory: 0/0."""
    used, slash, total = text.partition("/")
    if not slash:
        raise Unreadable(f"not used / total: {text!r}")
    first, second = count(used), count(total)
    if first > second:
        raise Unreadable(f"more in use than there is: {text!r}")
    return (second * MB, first * MB) if second else None
