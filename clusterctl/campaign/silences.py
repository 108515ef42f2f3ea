"""Why nodes are silent under load: their BMCs are asked, now and then, for as long as they are."""

from __future__ import annotations

from collections.abc import Callable

from clusterctl.catalog import named_probes
from clusterctl.model import Answer, Kind, Node, Trouble
from clusterctl.observe import Clock, hear
from clusterctl.outage import explained

AGAIN_S = 600.0  # until the BMC of a node that is still silent is asked once more
AskBmc = Callable[[Node], Answer | None]


def no_bmc(_node: Node) -> None:
    return None


class Silences:
    """`bmc`: what a node's BMC says, as the probe redfish reads it; None: none we may ask.

    `seconds`: a clock that nobody sets.
    """

    def __init__(self, bmc: AskBmc, clock: Clock, seconds: Callable[[], float]) -> None:
        self.bmc, self.clock, self.seconds = bmc, clock, seconds
        self.known: dict[str, tuple[float, str]] = {}  # when its BMC was asked, what it said

    def why(self, node: Node) -> str:
        """Empty: nobody knows.  May take as long as a BMC does."""
        asked_s, why = self.known.get(node.name, (None, ""))
        if asked_s is not None and self.seconds() - asked_s < AGAIN_S:
            return why
        answer = self.bmc(node)
        if answer is not None:
            silence = Trouble(Kind.CUT, "the BMC said nothing")
            probe = named_probes()[answer.name]
            found = explained([hear(node, probe, answer, silence, self.clock())])
            why = found.why if found else ""
        self.known[node.name] = (self.seconds(), why)
        return why

    def over(self, name: str) -> None:
        self.known.pop(name, None)
