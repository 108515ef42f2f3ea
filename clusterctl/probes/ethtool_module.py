"""The module in a network port, of the lines of `ethtool -m`.

SFP (SFF-8472), QSFP (SFF-8636) and QSFP-DD or OSFP (CMIS) modules name the same things differently.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

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


def alarms(lines: Iterable[tuple[str, str]]) -> Iterator[str]:
    """The flags that are on, warnings too, as the tool spells them."""
    for key, text in lines:
        raised = (ALARM.fullmatch(key) and text == "On") or (LOSS.fullmatch(key) and "Yes" in text)
        if raised or (key == "Module State" and "Fault" in text):
            yield " ".join(visible(key, 60).split())
