"""What a night knows of findings that it does not repeat: healthy, exchanged or unseen.  Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from enum import StrEnum

from clusterctl.judge import OBSERVED, REACHABLE
from clusterctl.memory.identity import SWAPPED
from clusterctl.memory.life import Life, Marks, Memory, kin_of
from clusterctl.model import Finding, Status
from clusterctl.shared import kin

JUDGED = frozenset({Status.PASS, Status.WARN, Status.FAIL})
EVENTS = frozenset({SWAPPED})  # nobody looks whether they are still so


class Well(StrEnum):
    """What a night knows of a finding that it does not repeat."""

    HEALTHY = "healthy"
    EXCHANGED = "the part was exchanged"
    OVER = "over"
    STAYS = "most of them are still bad, each by itself"
    UNSEEN = "unseen"


class Sight:
    """Of whom each check judged what tonight, as far as open findings need to know."""

    def __init__(self, findings: Sequence[Finding], before: Memory, marks: Marks) -> None:
        self.places: dict[tuple[str, str], str] = {
            (node, mark): part for (node, part), mark in marks.items()
        }
        asking = {
            (node, life.check) for life in before.values() for node in life.verdict.node.split(",")
        }
        asking |= {(node, REACHABLE) for node, check in asking if check in EVENTS}
        checks = {check for _, check in asking}
        self.judged: defaultdict[tuple[str, str], dict[str, set[Status]]] = defaultdict(dict)
        self.part_by_part: set[tuple[str, str]] = set()  # (check, kin) that pass one by one
        for one in findings:
            if one.check not in checks:
                continue
            verdict = one.verdict
            if verdict.status is Status.PASS:
                self.part_by_part.add((one.check, kin(verdict)))
            pair = (verdict.node, one.check)
            if pair in asking and one.shared != OBSERVED:
                self.judged[pair].setdefault(verdict.part, set()).add(verdict.status)

    def of(self, life: Life) -> Well:
        node = life.verdict.node
        if life.check in EVENTS:
            return Well.OVER if self.looked(node, REACHABLE) else Well.UNSEEN
        if "," in node:
            members = node.split(",")
            if 2 * sum(self.well(member, life.check) for member in members) >= len(members):
                return Well.HEALTHY
            looked = sum(self.looked(member, life.check) for member in members)
            return Well.STAYS if 2 * looked >= len(members) else Well.UNSEEN
        if not self.looked(node, life.check):
            return Well.UNSEEN
        part = life.verdict.part
        if life.mark:
            part = self.places.get((node, life.mark), "")
            if not part:  # another sits there: see one_night.remembered
                return Well.EXCHANGED
        return self.at(life, node, part)

    def said(self, node: str, check: str) -> set[Status]:
        return set().union(*self.judged.get((node, check), {}).values())

    def looked(self, node: str, check: str) -> bool:
        return not JUDGED.isdisjoint(self.said(node, check))

    def well(self, node: str, check: str) -> bool:
        """Something passed, and nothing is bad."""
        return self.said(node, check) & JUDGED == {Status.PASS}

    def at(self, life: Life, node: str, part: str) -> Well:
        """A part that is not named was judged with the node, unless its like pass one by one."""
        said = self.judged[node, life.check]
        parts = part.split()
        named = [said[one] for one in parts if one in said]
        if named:
            well = all(statuses & JUDGED for statuses in named) and len(named) == len(parts)
            return Well.HEALTHY if well else Well.UNSEEN
        alone = any((life.check, kin_of(one)) in self.part_by_part for one in parts)
        return Well.UNSEEN if alone else Well.HEALTHY
