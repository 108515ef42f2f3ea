"""The samples of a soak put over the reading before it, and judged by the same checks.

A finding is news where the reading before it did not give the same already.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, NamedTuple

from clusterctl.campaign.sampled_losses import fans, lost, unfed
from clusterctl.campaign.watched import Watched
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
    Optic,
    PcieDevice,
    Playbook,
    Port,
    Probe,
    Question,
    Severity,
    Status,
    Verdict,
)
from clusterctl.probes.ethtool_module import NO_LIGHT_MW
from clusterctl.probes.kernel_log import Now, Record, event
from clusterctl.probes.nvml_values import throttle
from clusterctl.spelling import visible

SAMPLED = "soak samples"
KINDS = (Accelerator, Port, PcieDevice, Dimm, Drive, Optic, KernelEvent, LogWindow)
SOURCE = Probe(Question(SAMPLED), lambda _text: (), KINDS, "what samples under load add up to")
DOWN = "port_lost"
BAD = (Status.WARN, Status.FAIL)
STATES = {"1": "down", "2": "init", "3": "armed", "4": "active"}
AER = {"correctable": "aer_corrected", "nonfatal": "aer_nonfatal", "fatal": "aer_fatal"}
IB = "/sys/class/infiniband/"
NET = "/sys/class/net/"


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
    spans: Mapping[str, float],
) -> Iterator[Finding]:
    """What samples show of each node, and the reading before them did not.

    `spans`: node -> seconds since that reading; what is not there is not known.
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
    for one in judged(now, Past(first, None, spans)):
        if one.verdict.status in BAD and gist(one) not in old:
            why = f"{one.verdict.why}; sampled under load"
            yield replace(one, verdict=replace(one.verdict, why=why))
    for node, before, watched in known:
        yield from lost(node, watched)
        yield from down(node, before, watched)
        yield from fans(node, watched)
        yield from unfed(node, watched)


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
    spans = {known.node.name: max(seconds, 3600.0)}
    found = findings([known], playbook, skus, at, spans=spans)
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
    kinds = (Accelerator, Port, PcieDevice, Dimm, Drive, Optic)
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
        if not (isinstance(fact, Accelerator) and fact.part in watched.gone):
            yield MOVED[type(fact)](fact, watched)
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


def device(one: PcieDevice, watched: Watched) -> PcieDevice:
    grown: dict[str, Any] = {
        field: total(watched, f"/sys/bus/pci/devices/{one.part}/aer_dev_{kind}", was)
        for kind, field in AER.items()
        if (was := getattr(one, field)) is not None
    }
    return replace(one, **grown)


def drive(one: Drive, watched: Watched) -> Drive:
    state = watched.latest.get(f"/sys/class/nvme/{one.part}/state")
    return replace(one, state=visible(state, 40)) if isinstance(state, str) else one


def dimm(module: Dimm, watched: Watched) -> Dimm:
    folder = f"/sys/devices/system/edac/mc/{module.part}/"
    prefix = "dimm_" if "/" in module.part else ""
    grown: dict[str, Any] = {
        field: total(watched, f"{folder}{prefix}{name}_count", was)
        for field, name in (("corrected", "ce"), ("uncorrected", "ue"))
        if (was := getattr(module, field)) is not None
    }
    return replace(module, **grown)


def optic(module: Optic, watched: Watched) -> Optic:
    """The least light that each lane received, and the highest temperature."""
    name = f"optic.{module.part}"
    lanes = enumerate(module.rx_mw or (), 1)
    least = tuple(
        max(min(power, watched.lowest.get(f"{name}.rx{lane}_nw", power * 1e6) / 1e6), NO_LIGHT_MW)
        for lane, power in lanes
    )
    highest = watched.highest.get(f"{name}.temp_c", module.temp_c)
    if module.temp_c is not None and highest is not None:
        highest = max(highest, module.temp_c)
    return replace(module, rx_mw=least if module.rx_mw else module.rx_mw, temp_c=highest)


MOVED: Mapping[type[Fact], Callable[[Any, Watched], Fact]] = {
    Accelerator: accelerator,
    Port: port,
    PcieDevice: device,
    Dimm: dimm,
    Drive: drive,
    Optic: optic,
}


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
