"""The samples of a soak put over the reading before it, and judged by the same checks.

A finding is news where the reading before it did not give the same already.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, NamedTuple

from clusterctl.counters import CEILINGS
from clusterctl.judge import Past, judge
from clusterctl.limits import Sku
from clusterctl.model import (
    Accelerator,
    Dimm,
    Drive,
    Fact,
    Finding,
    KernelEvent,
    LogWindow,
    Node,
    Observation,
    PcieDevice,
    Playbook,
    Port,
    Probe,
    Question,
    Severity,
    Status,
    Verdict,
)
from clusterctl.probes.kernel_log import Now, Record, event
from clusterctl.probes.nvml_values import throttle
from clusterctl.spelling import visible
from clusterctl.watched import Watched

SAMPLED = "soak samples"
KINDS = (Accelerator, Port, PcieDevice, Dimm, Drive, KernelEvent, LogWindow)
SOURCE = Probe(Question(SAMPLED), lambda _text: (), KINDS, "what samples under load add up to")
LOST, DOWN, FAN = "accelerator_lost", "port_lost", "fan"
BAD = (Status.WARN, Status.FAIL)
STATES = {"1": "down", "2": "init", "3": "armed", "4": "active"}
AER = {"correctable": "aer_corrected", "nonfatal": "aer_nonfatal", "fatal": "aer_fatal"}
IB = "/sys/class/infiniband/"
NET = "/sys/class/net/"
HWMON = re.compile(r"/sys/class/hwmon/(hwmon\d+)/((?:fan|power)\d+)_(?:alarm|fault)")
HWMON_SOURCE = "Linux Documentation/hwmon/sysfs-interface: 1 is an alarm, or a part that is broken"


class Known(NamedTuple):
    """A node, the reading before it was loaded, and what was watched since."""

    node: Node
    before: Sequence[Observation]
    watched: Watched


def findings(
    known: Sequence[Known],
    playbook: Playbook,
    skus: Sequence[Sku],
    at: datetime,
    *,
    seconds: float | None = None,
) -> Iterator[Finding]:
    """What samples show of each node, and the reading before them did not.

    `seconds`: since that reading.
    """
    known = [one for one in known if not one.watched.is_quiet]
    checks = tuple(one for one in playbook.checks if set(one.wants) <= set(KINDS))
    book = replace(playbook, checks=checks)
    nodes = [node for node, _, _ in known]
    probes = {SAMPLED: SOURCE}

    def judged(seen: list[Observation], past: Past) -> list[Finding]:
        return judge(book, nodes, seen, probes=probes, skus=skus, past=past)

    then = {node.name: still(before) for node, before, _ in known}
    first = [Observation(name, SAMPLED, at, facts) for name, facts in then.items()]
    now = [
        Observation(node.name, SAMPLED, at, tuple(risen(then[node.name], watched)))
        for node, _, watched in known
    ]
    old = {gist(one) for one in judged(first, Past((), None))}
    for one in judged(now, Past(first, seconds)):
        if one.verdict.status in BAD and gist(one) not in old:
            why = f"{one.verdict.why}; sampled under load"
            yield replace(one, verdict=replace(one.verdict, why=why))
    for node, before, watched in known:
        yield from lost(node, watched)
        yield from down(node, before, watched)
        yield from fans(node, watched)


def failing(
    known: Known,
    playbook: Playbook,
    skus: Sequence[Sku],
    at: datetime,
    *,
    seconds: float,
) -> str:
    """What of the samples fails already; empty: nothing.

    Rates are over an hour at least: what comes in a burst at first is no rate yet.
    """
    found = findings([known], playbook, skus, at, seconds=max(seconds, 3600.0))
    bad = [one for one in found if one.verdict.status is Status.FAIL]
    return f"{bad[0].check}: {bad[0].verdict.part}: {bad[0].verdict.actual}" if bad else ""


def news(known: Sequence[Finding], more: Iterable[Finding]) -> Iterator[Finding]:
    """Those of `more` that nobody says as loud already."""
    rank = {Status.FAIL: 2, Status.UNKNOWN: 1, Status.WARN: 1}
    said: dict[tuple[str, str, str], int] = {}
    for one in known:
        place = (one.check, one.verdict.node, one.verdict.part)
        said[place] = max(said.get(place, 0), rank.get(one.verdict.status, 0))
    for one in more:
        place = (one.check, one.verdict.node, one.verdict.part)
        if said.get(place, 0) < rank.get(one.verdict.status, 0):
            yield one


def gist(finding: Finding) -> tuple[str, str, str, Status]:
    verdict = finding.verdict
    return finding.check, verdict.node, verdict.part, verdict.status


def still(before: Sequence[Observation]) -> tuple[Fact, ...]:
    """Of the reading, what samples can change; of two sources of a part, the fuller.

    The log's old lines are no news.
    """
    kinds = (Accelerator, Port, PcieDevice, Dimm, Drive)
    found: dict[tuple[type[Fact], str], Fact] = {}
    for fact in (fact for one in before for fact in one.facts):
        if isinstance(fact, kinds):
            kept = found.setdefault((type(fact), fact.part), fact)
            if filled(fact) > filled(kept):
                found[type(fact), fact.part] = fact
    return tuple(found.values())


def filled(fact: Fact) -> int:
    return sum(getattr(fact, name) is not None for name in fact.__slots__)


# --------------------------------------------------------------------------- one node


def risen(before: Sequence[Fact], watched: Watched) -> Iterator[Fact]:
    for fact in before:
        match fact:
            case Accelerator():
                if fact.part not in watched.gone:
                    yield accelerator(fact, watched)
            case Port():
                yield port(fact, watched)
            case PcieDevice():
                grown: dict[str, Any] = {
                    field: total(watched, f"/sys/bus/pci/devices/{fact.part}/aer_dev_{kind}", was)
                    for kind, field in AER.items()
                    if (was := getattr(fact, field)) is not None
                }
                yield replace(fact, **grown)
            case Dimm():
                yield dimm(fact, watched)
            case Drive():
                state = watched.latest.get(f"/sys/class/nvme/{fact.part}/state")
                yield replace(fact, state=visible(state, 40)) if isinstance(state, str) else fact
    yield LogWindow("kmsg", None, max(1, len(watched.lines)))
    for _, text in watched.lines:
        found = event(Record(text), Now())
        if found is not None:
            yield found


def total(watched: Watched, name: str, was: int) -> int:
    return was + watched.rose.get(name, 0)


def accelerator(card: Accelerator, watched: Watched) -> Accelerator:
    counters = (
        "ecc_corrected_volatile", "ecc_uncorrected_volatile", "ecc_corrected_aggregate",
        "ecc_uncorrected_aggregate", "pcie_replays",
    )  # fmt: skip
    values: dict[str, Any] = {
        name: total(watched, f"{card.part}.{name}", was)
        for name in counters
        if (was := getattr(card, name)) is not None
    }
    for name in ("temp_c", "temp_memory_c"):
        highest = watched.highest.get(f"{card.part}.{name}")
        if highest is not None:
            values[name] = max(highest, getattr(card, name) or highest)
    if (mask := watched.masks.get(f"{card.part}.throttle_mask")) is not None:
        values["throttle"] = throttle(mask)
    if card.throttle_thermal_us is not None:
        slowed = (f"{card.part}.{kind}_thermal_ns" for kind in ("sw", "hw"))
        values["throttle_thermal_us"] = card.throttle_thermal_us + max(
            (total(watched, name, 0) // 1000 for name in slowed), default=0
        )
    cells = str(watched.latest.get(f"{card.part}.remapped", "")).split()
    if len(cells) == 4 and all(cell.isdecimal() for cell in cells):
        names = ("remapped_corrected", "remapped_uncorrected")
        values |= zip(names, map(int, cells), strict=False)
        values |= {"remap_pending": cells[2] != "0", "remap_failed": cells[3] != "0"}
    return replace(card, **values)


def port(one: Port, watched: Watched) -> Port:
    device, _, number = one.part.partition("/")
    if not number:
        folders = (f"{NET}{device}/", f"{NET}{device}/statistics/")
        return replace(one, counters=dict(counted(one, watched, folders)))
    folder = f"{IB}{device}/ports/{number}/"
    folders = (f"{folder}counters/", f"{folder}hw_counters/")
    state = STATES.get(str(watched.latest.get(f"{folder}state", ""))[:1], one.state)
    phys = str(watched.latest.get(f"{folder}phys_state", "")).partition(": ")[2].lower()
    return replace(
        one,
        counters=dict(counted(one, watched, folders)),
        state=state,
        phys_state=visible(phys, 40) or one.phys_state,
    )


def counted(one: Port, watched: Watched, folders: Sequence[str]) -> Iterator[tuple[str, int]]:
    for name, was in one.counters.items():
        paths = (f"{folder}{name}" for folder in folders)
        now = was + sum(total(watched, path, 0) for path in paths)
        yield name, min(now, CEILINGS[name]) if name in CEILINGS else now


def dimm(module: Dimm, watched: Watched) -> Dimm:
    folder = f"/sys/devices/system/edac/mc/{module.part}/"
    prefix = "dimm_" if "/" in module.part else ""
    grown: dict[str, Any] = {
        field: total(watched, f"{folder}{prefix}{name}_count", was)
        for field, name in (("corrected", "ce"), ("uncorrected", "ue"))
        if (was := getattr(module, field)) is not None
    }
    return replace(module, **grown)


def lost(node: Node, watched: Watched) -> Iterator[Finding]:
    for part, why in watched.gone.items():
        verdict = Verdict(
            node.name,
            part,
            Status.FAIL,
            expected="an answer from NVML, as before",
            actual=visible(why, 40),
            why="it was there when the load began and went away under load",
            remedy="read the kernel log for its XID; power the node off and on, reseat the card",
            severity=Severity.ISOLATE,
            source="NVML API reference, nvmlReturn_t: the GPU has fallen off the bus or needs a "
            "reset",
        )
        yield Finding(LOST, verdict)


def down(node: Node, before: Sequence[Observation], watched: Watched) -> Iterator[Finding]:
    for one in (fact for fact in still(before) if isinstance(fact, Port)):
        now = port(one, watched)
        if one.state == "active" != now.state:
            verdict = Verdict(
                node.name,
                one.part,
                Status.FAIL,
                expected="active, as before",
                actual=now.state,
                why="it was up when the load began and went down under load",
                remedy="reseat or swap the cable or module; then look at the switch port",
                severity=Severity.ISOLATE,
                source="the port's own word before",
            )
            yield Finding(DOWN, verdict)


def fans(node: Node, watched: Watched) -> Iterator[Finding]:
    for name, value in watched.latest.items():
        found = HWMON.fullmatch(name)
        if found and isinstance(value, int) and value:
            verdict = Verdict(
                node.name,
                f"{found[1]}/{found[2]}",
                Status.FAIL,
                expected="0",
                actual=str(value),
                why="its own sensor chip says that this fan or power supply fails",
                remedy="look at it; the BMC's event log names its place",
                severity=Severity.ISOLATE,
                source=HWMON_SOURCE,
            )
            yield Finding(FAN, verdict)
