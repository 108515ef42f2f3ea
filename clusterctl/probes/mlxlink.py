"""NVIDIA (Mellanox) ports by mlxlink: signal quality, error correction and module.

Not in a sweep by default: a call holds the device's firmware for 0.8 s.  Layouts: NVIDIA Firmware
Tools documentation, "mlxlink Utility"; text of MFT 4.22 to 4.34, JSON of 4.34.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest

from clusterctl.model import (
    Applies,
    BitErrors,
    Fact,
    Kind,
    Optic,
    Port,
    Probe,
    Question,
    Trouble,
    Version,
)
from clusterctl.probes.by_device import Said, sections
from clusterctl.probes.device_files import ANY
from clusterctl.probes.ib_rates import NOMINAL
from clusterctl.probes.mlxlink_module import optic
from clusterctl.spelling import Unreadable, count, number, reported, visible

CALL_S, MOST_PORTS = 10.0, 20
UNNAMED = "port"  # a bare text does not say whose it is
STATES = {
    "active": "active",
    "disable": "down",
    "disabled": "down",
    "down": "down",
    "polling": "down",
    "port pll down": "down",
    "initialize": "init",
    "armed": "armed",
}
KEY = re.compile(r"(\S[^:]*?)\s*:\s(.*)|(\S[^:]*?)\s*:")
SPEED = re.compile(r"(?:(?:IB|NVLink)-)?([A-Z]{3}(?:10)?)|([0-9]{1,4})G")
ABLE = re.compile(r"([0-9]{1,4})G(?:_[0-9]X)?")
BIN = re.compile(r"Bin ([0-9]{1,2})")
NO_ADVICE = "no issue was observed"
Values = Sequence[str]
Told = Mapping[str, Mapping[str, Values]]  # section -> key -> its value, or one a lane


def parse(stdout: str) -> Iterator[Fact | Trouble]:
    """Of our own question no Port comes: sysfs tells that one, and no port is judged twice."""
    found, troubles = sections(stdout)
    yield from troubles
    for said in found:
        part = said.part or UNNAMED
        try:
            told = of_json(said.text) if "{" in said.text else of_text(said)
        except Unreadable as error:
            yield Trouble(
                Kind.EXIT if "status" in str(error) else Kind.UNREADABLE, str(error), part
            )
            continue
        yield from of_port(part, told, bare=not said.part)


def of_json(text: str) -> Told:
    """Raises Unreadable: no JSON, or the tool says that it failed."""
    try:
        given = json.loads(text[text.index("{") : text.rindex("}") + 1])
        status, output = given["status"], given["result"]["output"]
        if str(status["code"]) != "0":
            why = visible(str(status.get("message", "it says no reason")), 160)
            raise Unreadable(f"status {visible(str(status['code']), 20)}: {why}")
        return {
            str(section): {str(key): values(value) for key, value in keys.items()}
            for section, keys in output.items()
        }
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        if isinstance(error, Unreadable):
            raise
        raise Unreadable(f"not the JSON of mlxlink: {visible(repr(error), 120)}") from None


def values(given: object) -> Values:
    if isinstance(given, dict):
        given = given.get("values", ())
    return [str(one) for one in given] if isinstance(given, list) else [str(given)]


def of_text(said: Said) -> Told:
    """Raises Unreadable where the tool says only that it failed."""
    told: dict[str, dict[str, Values]] = {}
    section: dict[str, Values] = {}
    for line, below in zip_longest(said.lines, said.lines[1:], fillvalue=""):
        if re.fullmatch("-{3,}", below.strip()) and line.strip():
            section = told.setdefault(line.strip(), {})
        elif found := KEY.fullmatch(line.strip()):
            section[found[1] or found[3]] = [found[2] or ""]
        elif line.strip().startswith("-E-"):
            raise Unreadable(f"status: {visible(line.strip(), 160)}")
    return told


def of_port(part: str, told: Told, *, bare: bool) -> Iterator[Fact | Trouble]:
    working, tool = told.get("Operational Info", {}), told.get("Tool Information", {})
    firmware = visible(one(tool, "Firmware Version"), 40)
    module = told.get("Module Info", {})
    try:
        if bare and working:
            yield port(part, working, told.get("Supported Info", {}), firmware)
        if signal := quality(part, told):
            yield signal
    except Unreadable as error:
        yield Trouble(Kind.UNREADABLE, str(error), part)
    if not (working or module):
        yield Trouble(Kind.UNREADABLE, "nothing of a port in what mlxlink said", part)
    if fec := one(working, "FEC"):
        yield Version(f"fec/{part}", encoding(fec))
    if firmware and bare:
        yield Version(f"firmware/{part}", firmware)
    if reported(one(module, "Identifier") or "-"):
        yield from optic(part, module)


def one(keys: Mapping[str, Values], name: str) -> str:
    found = keys.get(name, ())
    return found[0].strip() if found else ""


def port(part: str, working: Mapping[str, Values], able: Mapping[str, Values], fw: str) -> Port:
    state, phys = one(working, "State").lower(), one(working, "Physical state").lower()
    lanes = re.fullmatch("([0-9]{1,2})x", one(working, "Width"))
    width = int(lanes[1]) if lanes else None
    kind, rate = speed(one(working, "Speed"), width)
    enabled = " ".join(able.get("Enabled Link Speed (Ext.)", ()))
    fastest = max((int(digits) for digits in ABLE.findall(enabled)), default=0)
    return Port(
        part,
        device=part,
        state=STATES.get(state, "unknown"),
        link_layer=kind,
        phys_state=visible(phys, 40) if phys and reported(phys) else None,
        rate_gbit_s=rate,
        rate_max_gbit_s=float(fastest) or None,
        width=width,
        firmware=fw or None,
    )


def speed(text: str, width: int | None) -> tuple[str, float | None]:
    """(link layer, Gbit/s) of 400G, IB-NDR or NVLink-XDR; Raises Unreadable."""
    if not text or not reported(text):
        return "", None
    found = SPEED.fullmatch(text)
    if not found or not (found[2] or found[1] in NOMINAL):
        raise Unreadable(f"not a speed: {visible(text, 40)!r}")
    if found[2]:
        return "ethernet", float(found[2])
    kind = "nvlink" if text.startswith("NVLink") else "infiniband"
    return kind, NOMINAL[found[1]] * width if width else None


def quality(part: str, told: Told) -> BitErrors | None:
    """None: neither correction nor counters were told.  Raises Unreadable."""
    fec = one(told.get("Operational Info", {}), "FEC")
    counters = told.get("Physical Counters and BER Info", {})
    advice = one(told.get("Troubleshooting Info", {}), "Recommendation")
    if not (fec or counters or advice):
        return None
    errors, minutes = one(counters, "Effective Physical Errors"), one(counters, MINUTES)
    since = number(minutes or "-")
    return BitErrors(
        part,
        fec=encoding(fec) if fec and reported(fec) else "",
        raw_ber=ratio(one(counters, "Raw Physical BER")),
        effective_ber=ratio(one(counters, "Effective Physical BER")),
        lane_ber=by_lane(counters.get("Raw Physical BER Per Lane", ())),
        effective_errors=count(errors) if errors and reported(errors) else None,
        seconds=None if since is None else round(since * 60, 1),
        most_corrected=most_corrected(told.get("Histogram of FEC Errors", {})),
        advice="" if advice.lower() == NO_ADVICE or not reported(advice) else visible(advice, 200),
    )


def encoding(text: str) -> str:
    """One spelling of MFT's two: Standard RS-FEC - RS(544,514), Standard_RS-FEC - (544,514)."""
    return visible(" ".join(text.replace("_", " ").replace("RS(", "(").split()), 60)


MINUTES = "Time Since Last Clear [Min]"


def ratio(text: str) -> float | None:
    """15E-255 is how the firmware spells that there was no error."""
    found = number(text or "-")
    if found is not None and not 0 <= found <= 1:
        raise Unreadable(f"not a bit error ratio: {visible(text, 40)!r}")
    return found


def by_lane(given: Values) -> tuple[float, ...] | None:
    told = [ratio(text) for text in ",".join(given).split(",")]
    return tuple(lane for lane in told if lane is not None) or None


def most_corrected(bins: Mapping[str, Values]) -> int | None:
    """The highest bin with a codeword in it; None where there is no histogram."""
    seen = [
        int(found[1])
        for name, told in bins.items()
        if (found := BIN.fullmatch(name)) and told and count(told[-1])
    ]
    return max(seen, default=None)


MELLANOX = Applies(("15b3",), ("nic",), "no NVIDIA (Mellanox) network device on the PCI bus")
BY_NAME = (
    Probe(
        Question(
            "mlxlink",
            ("link", f"{CALL_S * MOST_PORTS:g}", f"{CALL_S:g}"),
            script="ask_mlx",
            timeout_s=CALL_S * (MOST_PORTS + 1),
            group="mlx",
            spare=ANY,  # the firmware does nothing else meanwhile
        ),
        parse,
        yields=(BitErrors, Optic, Port, Version),
        about="bit error ratios, error correction and module of each NVIDIA (Mellanox) port",
        applies=MELLANOX,
    ),
)
