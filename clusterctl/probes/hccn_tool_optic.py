"""An Ascend NPU's optical module as `hccn_tool -optical -g` shows it.  No probe of its own.

Formats and labels: Huawei's open driver source.  Its lanes count from 0, ours from 1.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from clusterctl.model import Fact, Kind, Optic, Trouble
from clusterctl.probes.ascend_sections import pairs
from clusterctl.spelling import Unreadable, measure, reported, visible

MASK = re.compile(r"0[xX]([0-9a-fA-F]{1,8})")
FLAGS = ("tx los", "rx los", "tx lol", "rx lol")  # loss of signal, loss of lock
# What is measured, its unit, and how its limits are called.
LIMITED = (
    ("tx power", "mW", "txpower"),
    ("rx power", "mW", "rxpower"),
    ("temperature", "C", "temp"),
    ("vcc", "mV", "vcc"),
)
Said = Mapping[str, str]


def optic(text: str, npu: str, part: str) -> Iterator[Fact | Trouble]:
    """Nothing where no module is plugged in.  A garbled value costs the module."""
    if "control link unreachable" in text.lower():
        yield Trouble(Kind.EXIT, "its module's control link is unreachable", npu)
        return
    said = dict(reversed([*pairs(text)]))  # the first of two
    try:
        found = module(said, part)
    except Unreadable as error:
        yield Trouble(Kind.UNREADABLE, visible(f"optical: {error}", 160), npu)
        return
    if found:
        yield found


def module(said: Said, part: str) -> Optic | None:
    tx, rx = lanes(said, "tx power", "mW"), lanes(said, "rx power", "mW")
    if tx.keys() != rx.keys():
        raise Unreadable("not as many lanes sent as received")
    present = said.get("present", "present")
    if present not in {"present", "not present"}:
        raise Unreadable(f"present: {present}")
    if present == "not present" and not any(value is not None for value in rx.values()):
        return None
    odd = ["not present, and it measures light"] if present == "not present" else []
    volts = value(said, "vcc", "mV")
    return Optic(
        part,
        vendor=word(said, "vendor name"),
        model=word(said, "vendor part number"),
        serial=word(said, "vendor serial number"),
        temp_c=value(said, "temperature", "C"),
        volt_v=None if volts is None else round(volts / 1000, 6),
        tx_mw=told(tx),
        rx_mw=told(rx),
        bias_ma=told(lanes(said, "tx bias", "mA")),
        alarms=(*odd, *lost(said), *outside(said)),
    )


def word(said: Said, label: str) -> str:
    text = said.get(label, "")
    return visible(text, 40) if reported(text) else ""


def value(said: Said, label: str, unit: str) -> float | None:
    return measure(said.get(label, "NA"), unit)


def lanes(said: Said, name: str, unit: str) -> dict[int, float | None]:
    """By lane; one that the module does not have is NA, one whose label is gone is Unreadable."""
    found = {
        int(label.removeprefix(name) or 0): measure(text, unit)
        for label, text in said.items()
        if re.fullmatch(rf"{name}\d?", label)
    }
    if sorted(found) != [*range(len(found))]:
        raise Unreadable(f"{name}: a lane is missing among {sorted(found)}")
    return found


def told(values: Mapping[int, float | None]) -> tuple[float, ...] | None:
    found = [values[lane] for lane in sorted(values)]
    return tuple(value for value in found if value is not None) or None


def lost(said: Said) -> Iterator[str]:
    for name in FLAGS:
        text = said.get(f"{name} flag", "NA")
        match = MASK.fullmatch(text)
        if reported(text) and not match:
            raise Unreadable(f"{name} flag: {text}")
        if match and int(match[1], 16):
            yield f"{name} {text}"


def outside(said: Said) -> Iterator[str]:
    """What the module's own limits, which stand beside the values, call too much or too little."""
    for name, unit, limit in LIMITED:
        low, high = (value(said, f"{limit} {end} thres", unit) for end in ("low", "high"))
        for lane, now in sorted(lanes(said, name, unit).items()):
            of = f" of lane {lane + 1}" if "power" in name else ""
            if now is not None and low is not None and now < low:
                yield f"{name}{of} low: {now:g} {unit}, at least {low:g}"
            if now is not None and high is not None and now > high:
                yield f"{name}{of} high: {now:g} {unit}, at most {high:g}"
