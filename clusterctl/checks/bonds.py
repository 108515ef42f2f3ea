"""Do all members of a bond carry traffic?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from clusterctl.model import Bond, Check, Evidence, Severity, Verdict
from clusterctl.verdicts import facts_of, failing, passing, settled, warning

SOURCE = "Linux: Documentation/networking/bonding.rst"
NOBODY = "00:00:00:00:00:00"
CABLE = "look at cable, module and switch port of that member"
EMPTY = "add its ports, or take the bond away"
LACP = "set LACP on the switch ports of this bond, in one group"


def judge(nodes: Sequence[Evidence]) -> Iterator[Verdict]:
    for evidence in nodes:
        for bond in facts_of(evidence, Bond):
            yield from settled(
                (
                    *dark(evidence, bond),
                    *apart(evidence, bond),
                    *uneven(evidence, bond),
                    passing(evidence, bond.part, f"{len(bond.members)} members up"),
                )
            )


def fault(evidence: Evidence, bond: Bond, **words: str) -> Verdict:
    return failing(evidence, bond.part, severity=Severity.ISOLATE, source=SOURCE, **words)


def dark(evidence: Evidence, bond: Bond) -> Iterator[Verdict]:
    lost = sorted(name for name, state in bond.members.items() if state != "active")
    if bond.state != "active":
        why = "no member of it has a link"
        yield fault(evidence, bond, expected="up", actual=bond.state, why=why, remedy=CABLE)
    elif not bond.members:
        why = "nothing belongs to this bond"
        yield fault(evidence, bond, expected="members", actual="none", why=why, remedy=EMPTY)
    elif lost:
        yield fault(
            evidence,
            bond,
            expected="every member up",
            actual=f"{', '.join(lost)} down",
            why="the bond runs on the members that are left",
            remedy=CABLE,
        )


def apart(evidence: Evidence, bond: Bond) -> Iterator[Verdict]:
    """Only one aggregator of an 802.3ad bond carries traffic."""
    if bond.partner == NOBODY:
        why = "the switch does not answer by LACP"
        yield fault(evidence, bond, expected="a partner", actual="none", why=why, remedy=LACP)
    groups = Counter(bond.aggregators.values())
    if len(groups) > 1:
        usual = groups.most_common(1)[0][0]
        odd = sorted(name for name, group in bond.aggregators.items() if group != usual)
        yield fault(
            evidence,
            bond,
            expected="one aggregator",
            actual=f"{', '.join(odd)} apart",
            why="members in another aggregator carry nothing",
            remedy=LACP,
        )


def uneven(evidence: Evidence, bond: Bond) -> Iterator[Verdict]:
    rates = {
        name: rate for name, rate in bond.rates_gbit_s.items() if bond.members.get(name) == "active"
    }
    if len(set(rates.values())) > 1:
        slow = min(rates, key=lambda name: (rates[name], name))
        yield warning(
            evidence,
            bond.part,
            expected=f"{max(rates.values()):g} Gbit/s on every member",
            actual=f"{slow}: {rates[slow]:g} Gbit/s",
            why="one member came up slower than the others",
            remedy="reseat or swap its cable and module; compare the speed set on the switch",
            source=SOURCE,
        )


CHECKS = (
    Check(
        name="bonds",
        asks="Do all members of a bond carry traffic?",
        wants=(Bond,),
        judge=judge,
    ),
)
