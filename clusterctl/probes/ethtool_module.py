"""The module in a network port, of the lines of `ethtool -m`.

SFP (SFF-8472), QSFP (SFF-8636) and QSFP-DD or OSFP (CMIS) modules name the same things differently.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from clusterctl.model import Kind, Optic, Trouble
from clusterctl.spelling import Unreadable, number, reported, visible

# The scale's last step, 0.1 µW or -40 dBm, stands for no light: ethtool prints 0.0000 mW / -inf dBm
# or 0.0001 mW / -40.00 dBm, by module, and a ratio of powers must not divide by zero.
NO_LIGHT_MW = 0.0001

# "Rcvr signal avg optical power(Channel 1)  : 0.7682 mW / -1.15 dBm"; SFPs have one lane, unnamed
LANE = r"\s*(?:\((?:Chan|Channel) (?P<lane>[0-9]{1,2})\))?"
LANES = {
    "bias": re.compile(rf"Laser (?:tx )?bias current{LANE}"),
    "tx": re.compile(rf"(?:Laser output power|Laser tx power|Transmit avg optical power){LANE}"),
    "rx": re.compile(
        rf"(?:Receiver signal average optical power|Receiver signal OMA"
        rf"|Rcvr signal avg optical power|Laser rx power){LANE}"
    ),
}
VALUES = {
    "bias": re.compile(r"([0-9.]+) mA"),
    "tx": re.compile(r"([0-9.]+) mW(?: / (?:-?[0-9.]+|-inf) dBm)?"),
    "rx": re.compile(r"([0-9.]+) mW(?: / (?:-?[0-9.]+|-inf) dBm)?"),
    "temp": re.compile(r"(-?[0-9.]+) degrees C(?: / .*)?"),
    "volt": re.compile(r"([0-9.]+) V"),
}
# as in: Laser rx power low alarm : On, and in: Rx loss of signal : [ Yes, Yes, Yes, Yes ]
LIMIT = re.compile(
    r"(?P<what>Laser bias current|Laser output power|Laser tx power|Laser rx power"
    r"|Module temperature|Module voltage) (?P<side>high|low) (?P<grade>alarm|warning) threshold"
)
LIMITED = {
    "Laser bias current": "bias",
    "Laser output power": "tx",
    "Laser tx power": "tx",
    "Laser rx power": "rx",
    "Module temperature": "temp",
    "Module voltage": "volt",
}
NAMES = {
    "bias": "bias current",
    "tx": "tx power",
    "rx": "rx power",
    "temp": "temperature",
    "volt": "voltage",
}
ALARM = re.compile(r".* (?:alarm|warning)(?: *\(Chan(?:nel)? [0-9]+\))?")
LOSS = re.compile(r"[RT]x (?:loss of (?:signal|lock)|.*fault)")


def optic(part: str, lines: Iterable[tuple[str, str]]) -> Iterator[Optic | Trouble]:
    """Cables without light have no powers, which is None.  A garbled value costs the module."""
    told = list(lines)
    once = dict(told)
    if "Identifier" not in once:
        yield Trouble(Kind.UNREADABLE, "ethtool -m names no module", part)
        return
    try:
        light = {what: tuple(lanes(what, told)) or None for what in LANES}
        yield Optic(
            part,
            vendor=visible(once.get("Vendor name", ""), 40),
            model=visible(once.get("Vendor PN", ""), 40),
            serial=visible(once.get("Vendor SN", ""), 40),
            temp_c=value("temp", once.get("Module temperature", "-")),
            volt_v=value("volt", once.get("Module voltage", "-")),
            tx_mw=floor(light["tx"]),
            rx_mw=floor(light["rx"]),
            bias_ma=light["bias"],
            alarms=tuple(alarms(told)),
        )
    except Unreadable as error:
        yield Trouble(Kind.UNREADABLE, str(error), part)


def beyond(lines: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Limits of 0 on both sides, which some modules hold, are none."""
    limits = {
        (what, found["side"], found["grade"]): value(what, text)
        for key, text in lines
        if (found := LIMIT.fullmatch(key)) and (what := LIMITED[found["what"]])
    }
    for (what, side, grade), limit in limits.items():
        other = limits.get((what, "low" if side == "high" else "high", grade))
        measured = list(lanes(what, lines)) if what in LANES else [once_of(what, lines)]
        if limit is None or other is None or limit == other:
            continue
        for lane, one in enumerate(measured, 1):
            if one is not None and (one > limit if side == "high" else one < limit):
                where = f" of lane {lane}" if len(measured) > 1 else ""
                yield f"{NAMES[what]}{where} {side} {grade}: {one:g} and not {limit:g}"


def once_of(what: str, lines: Sequence[tuple[str, str]]) -> float | None:
    return value(what, dict(lines).get(f"Module {NAMES[what]}", "-"))


def lanes(what: str, lines: Iterable[tuple[str, str]]) -> Iterator[float]:
    """One value a lane, in the order of the lines, which is that of the lanes."""
    for key, text in lines:
        if LANES[what].fullmatch(key) and (found := value(what, text)) is not None:
            yield found


def value(what: str, text: str) -> float | None:
    if not reported(text):
        return None
    match = VALUES[what].fullmatch(text)
    if not match:
        raise Unreadable(f"not a module's {what}: {visible(text, 60)!r}")
    return number(match[1])


def floor(powers: tuple[float, ...] | None) -> tuple[float, ...] | None:
    return powers and tuple(max(power, NO_LIGHT_MW) for power in powers)


def alarms(lines: Sequence[tuple[str, str]]) -> Iterator[str]:
    """The flags that are on, warnings too, as the tool spells them.

    Of a module that raises none by itself, what lies beyond the limits that it holds.
    """
    if not any(ALARM.fullmatch(key) for key, _ in lines):
        yield from beyond(lines)
    for key, text in lines:
        raised = (ALARM.fullmatch(key) and text == "On") or (LOSS.fullmatch(key) and "Yes" in text)
        if raised or (key == "Module State" and "Fault" in text):
            yield " ".join(visible(key, 60).split())
