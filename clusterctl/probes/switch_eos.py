"""What an Arista switch prints of its ports, modules, neighbours and flow control, as JSON.

Light by lane, and its command: aristanetworks/anta, anta/tests/interfaces.py.  Stuck queues: Meta's
TAAC, PfcWdHealthCheck, which says that a port without any event is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from clusterctl.model import Fact, Kind, Neighbour, Optic, Trouble
from clusterctl.probes.switch_texts import (
    Rows,
    amount,
    each,
    loaded,
    milliwatts,
    physical,
    port_of,
    word,
)
from clusterctl.spelling import visible

INTERFACES = "show interfaces | json"
NEIGHBOURS = "show lldp neighbors | json"
MODULES = "show interfaces transceiver | json"
LANES = "show interfaces transceiver dom thresholds | json"
STUCK = "show priority-flow-control counters watchdog | json"

COUNTS = (
    (("inputErrorsDetail", "fcsErrors"), "rx_crc_errors_phy"),
    (("inputErrorsDetail", "symbolErrors"), "rx_symbol_err_phy"),
    (("inDiscards",), "rx_discards_phy"),
    (("outDiscards",), "port_xmit_discards"),
    (("inputErrorsDetail", "rxPause"), "rx_pause"),
    (("outputErrorsDetail", "txPause"), "tx_pause"),
)


def interfaces(text: str, _rows: Rows) -> Iterator[Fact | Trouble]:
    found, trouble = loaded(text, INTERFACES)
    if trouble:
        yield trouble
    for name, one in each(found, "interfaces"):
        if not physical(name):
            continue
        counters = {}
        for path, ours in COUNTS:
            value = amount(one, "interfaceCounters", *path)
            if value is not None and value >= 0:
                counters[ours] = int(value)
        bits = amount(one, "bandwidth")
        state = str(one.get("interfaceStatus", ""))
        up = state == "connected"
        yield port_of(name, state, bits / 1e9 if bits and up else None, counters)


def neighbours(text: str, _rows: Rows) -> Iterator[Fact | Trouble]:
    found, trouble = loaded(text, NEIGHBOURS)
    if trouble:
        yield trouble
    told = found.get("lldpNeighbors")
    for one in told if isinstance(told, list) else ():
        if isinstance(one, Mapping) and one.get("port"):
            yield Neighbour(
                word(one, "port"), word(one, "neighborDevice"), word(one, "neighborPort")
            )


def modules(text: str, _rows: Rows) -> Iterator[Fact | Trouble]:
    """One value a port, of its first lane."""
    found, trouble = loaded(text, MODULES)
    if trouble:
        yield trouble
    for name, one in each(found, "interfaces"):
        rx, tx = amount(one, "rxPower"), amount(one, "txPower")
        if rx is not None or tx is not None:
            yield Optic(
                visible(name, 60),
                serial=word(one, "vendorSn"),
                temp_c=amount(one, "temperature"),
                rx_mw=(milliwatts(rx),) if rx is not None else None,
                tx_mw=(milliwatts(tx),) if tx is not None else None,
            )


def lanes(text: str, _rows: Rows) -> Iterator[Fact | Trouble]:
    found, trouble = loaded(text, LANES)
    if trouble:
        yield trouble
    for name, one in each(found, "interfaces"):
        said = dict(each(one, "parameters"))
        told: dict[str, tuple[float, ...]] = {}
        for what in ("rxPower", "txPower", "txBias", "temperature", "voltage"):
            channels = said.get(what, {}).get("channels")
            if not channels:
                continue
            values = by_channel(channels)
            if values is None:
                why = f"{what}: not a number a lane: {visible(str(channels), 80)}"
                yield Trouble(Kind.UNREADABLE, why, visible(name, 60))
            else:
                told[what] = values
        rx, tx = told.get("rxPower"), told.get("txPower")
        if told:
            yield Optic(
                visible(name, 60),
                serial=word(one, "vendorSn"),
                model=word(one, "mediaType"),
                temp_c=told.get("temperature", (None,))[0],
                volt_v=told.get("voltage", (None,))[0],
                rx_mw=tuple(map(milliwatts, rx)) if rx else None,
                tx_mw=tuple(map(milliwatts, tx)) if tx else None,
                bias_ma=told.get("txBias"),
            )


def by_channel(channels: object) -> tuple[float, ...] | None:
    """By the lanes' numbers, which must follow one another; a module as a whole is lane `-`."""
    if not isinstance(channels, Mapping):
        return None
    values = {str(lane): amount(channels, lane) for lane in channels}
    known = [value for value in values.values() if value is not None]
    if set(values) == {"-"} and known:
        return tuple(known)
    if (
        not known
        or len(known) != len(values)
        or not all(lane.isascii() and lane.isdecimal() and len(lane) <= 2 for lane in values)
    ):
        return None
    order = sorted(values, key=int)
    numbers = [int(lane) for lane in order]
    if numbers != list(range(numbers[0], numbers[0] + len(numbers))):
        return None
    return tuple(value for lane in order if (value := values[lane]) is not None)


def stuck(text: str, _rows: Rows) -> Iterator[Fact | Trouble]:
    found, trouble = loaded(text, STUCK)
    if trouble:
        yield trouble
    for name, one in each(found, "interfaces"):
        counts = [amount(queue, "stuckCount") for _, queue in each(one, "txQueues")]
        known = [int(count) for count in counts if count is not None and count >= 0]
        if physical(name) and known:
            yield port_of(name, "", None, {"pfc_deadlocks": sum(known)})
