"""What nodes' BMCs say of supplies and fans while the nodes burn, now and then."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict

from clusterctl.campaign.silences import AskBmc
from clusterctl.catalog import all_checks, named_probes
from clusterctl.model import Evidence, Finding, Kind, Node, Severity, Status, Trouble, Verdict
from clusterctl.observe import Clock, hear

EVERY_S = 600.0  # a BMC is slow, and people want it, too
JUDGED = ("psu", "fan")
CHECK = "board_under_load"
WORDS = ("node", "part", "expected", "actual", "why", "remedy", "source", "yardstick")
BAD = frozenset({Status.FAIL, Status.WARN})


class Boards:
    """`bmc`: what a node's BMC says; None: we may ask none.  `seconds`: a clock nobody sets."""

    def __init__(self, bmc: AskBmc, clock: Clock, seconds: Callable[[], float]) -> None:
        self.bmc, self.clock, self.seconds = bmc, clock, seconds
        self.due_s: dict[str, float] = {}

    def ill(self, node: Node) -> list[Mapping[str, str]]:
        """Verdicts that are not good, as a decision keeps them; first asked `EVERY_S` from now."""
        now = self.seconds()
        if now < self.due_s.setdefault(node.name, now + EVERY_S):
            return []
        self.due_s[node.name] = now + EVERY_S
        answer = self.bmc(node)
        if answer is None:
            return []
        mute = Trouble(Kind.CUT, "the BMC said nothing")
        seen = hear(node, named_probes()[answer.name], answer, mute, self.clock())
        found = []
        for check in (all_checks()[name] for name in JUDGED):
            evidence = Evidence(node, seen.facts, dict(check.limits))
            found += [asdict(one) for one in check.judge([evidence]) if one.status in BAD]
        return [{name: str(value) for name, value in one.items()} for one in found]


def findings(told: Mapping[str, Mapping[str, str]]) -> Iterator[Finding]:
    """`told`: verdicts by part, as `ill` gave them; a supply that came back failed under load."""
    for one in told.values():
        words = {name: one[name] for name in WORDS}
        yield Finding(
            CHECK,
            Verdict(status=Status(one["status"]), severity=Severity(one["severity"]), **words),
        )
