"""The module in a port, of mlxlink's section "Module Info"."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from clusterctl.model import Kind, Optic, Trouble
from clusterctl.probes.ethtool_module import NO_LIGHT_MW
from clusterctl.spelling import Unreadable, number, reported, visible

Values = Sequence[str]
# "3.583,3.253 [-9.914..6.999]": a value a lane, and the alarm limits stored in the module
MEASURED = re.compile(r"([^\[\]]*?)\s*(?:\[(-?[0-9.]+)\.\.(-?[0-9.]+)\])?")
TEMPERATURE, VOLTAGE = "Temperature [C]", "Voltage [mV]"
BIAS = "Bias Current [mA]"
RX, TX = "Rx Power Current [dBm]", "Tx Power Current [dBm]"
# "Rx Output Valid" 0 was seen on a healthy module, so it is none of these.
FLAGS = re.compile(
    r"(?:[RT]x LOS|Tx Fault|[RT]x CDR LOL|Tx Adaptive EQ Fault) \[per lane\]"
    r"|(?:Module|DataPath) FW Fault"
)
LEAST_DBM, MOST_DBM = -60.0, 40.0


def optic(part: str, module: Mapping[str, Values]) -> Iterator[Optic | Trouble]:
    """Copper measures nothing, which is None.  A garbled value costs the module."""
    told = {name: ",".join(given).strip() for name, given in module.items()}
    try:
        temperature, volt = single(told, TEMPERATURE), single(told, VOLTAGE)
        yield Optic(
            part,
            vendor=worded(told, "Vendor Name"),
            model=worded(told, "Vendor Part Number"),
            serial=worded(told, "Vendor Serial Number"),
            temp_c=temperature,
            volt_v=None if volt is None else round(volt / 1000, 4),
            tx_mw=light(told, TX),
            rx_mw=light(told, RX),
            bias_ma=lanes(told, BIAS),
            alarms=(*beyond(told), *raised(told)),
        )
    except Unreadable as error:
        yield Trouble(Kind.UNREADABLE, str(error), part)


def worded(told: Mapping[str, str], name: str) -> str:
    text = told.get(name, "")
    return visible(text, 40) if reported(text) else ""


def split(text: str) -> tuple[list[float], tuple[float, float] | None]:
    """Values by lane, and the limits; no light is spelled -inf by some versions."""
    found = MEASURED.fullmatch(text)
    if not found:
        raise Unreadable(f"not measured values: {visible(text, 80)!r}")
    words = [word.strip() for word in found[1].split(",")]
    values = [LEAST_DBM if word == "-inf" else number(word) for word in words if reported(word)]
    low, high = number(found[2] or "-"), number(found[3] or "-")
    limits = None if low is None or high is None or low >= high else (low, high)
    return [value for value in values if value is not None], limits


def lanes(told: Mapping[str, str], name: str) -> tuple[float, ...] | None:
    return tuple(split(told.get(name) or "-")[0]) or None


def single(told: Mapping[str, str], name: str) -> float | None:
    return next(iter(lanes(told, name) or ()), None)


def light(told: Mapping[str, str], name: str) -> tuple[float, ...] | None:
    """Power by lane, of dBm in mW."""
    powers = lanes(told, name)
    if powers and not all(LEAST_DBM <= dbm <= MOST_DBM for dbm in powers):
        raise Unreadable(f"{name}: no module sends that: {max(powers, key=abs):g} dBm")
    return powers and tuple(max(round(10 ** (dbm / 10), 4), NO_LIGHT_MW) for dbm in powers)


def beyond(told: Mapping[str, str]) -> Iterator[str]:
    """What lies outside the limits that the module's maker stored in it."""
    for name in (TEMPERATURE, VOLTAGE, BIAS, RX, TX):
        values, limits = split(told.get(name) or "-")
        if not limits:
            continue
        for lane, value in enumerate(values, 1):
            if not limits[0] <= value <= limits[1]:
                where = f" of lane {lane}" if len(values) > 1 else ""
                side = "below" if value < limits[0] else "above"
                yield f"{name}{where}: {value:g} is {side} {limits[value > limits[1]]:g}"


def raised(told: Mapping[str, str]) -> Iterator[str]:
    for name, text in told.items():
        if not FLAGS.fullmatch(name):
            continue
        flags = [flag.strip() for flag in text.split(",")]
        up = [str(lane) for lane, flag in enumerate(flags, 1) if flag != "0" and reported(flag)]
        if up:
            where = f" on lane {', '.join(up)}" if len(flags) > 1 else ""
            yield f"{visible(name, 40).removesuffix(' [per lane]')}{where}"
