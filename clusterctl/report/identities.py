"""Which pieces of hardware stood in a node: what a hand-over names and a return needs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from clusterctl.judge import by_node
from clusterctl.model import Accelerator, Drive, Fact, Optic, Port, Run
from clusterctl.sources import believe


@dataclass(frozen=True, slots=True)
class Identity:
    """`kind`: accelerator, drive, port, optic.  Empty where the part does not say."""

    part: str
    kind: str
    model: str = ""
    serial: str = ""
    uuid: str = ""

    @property
    def words(self) -> str:
        return " ".join(filter(None, (self.serial, self.uuid))) or "gives no serial number"


def identities(run: Run) -> dict[str, tuple[Identity, ...]]:
    """By node, every part that has one, in the order in which they were seen."""
    probes = {probe.name: probe for probe in run.playbook.probes}
    seen = by_node(one for one in run.observations if one.probe in probes)
    kinds = (Accelerator, Drive, Port, Optic)
    return {
        node.name: tuple(known(believe(seen.get(node.name, ()), probes).facts(kinds)))
        for node in run.nodes
    }


def known(facts: Sequence[Fact]) -> Iterator[Identity]:
    for fact in facts:
        match fact:
            case Accelerator():
                yield Identity(fact.part, "accelerator", fact.model, fact.serial, fact.uuid)
            case Drive():
                yield Identity(fact.part, "drive", fact.model, fact.serial)
            case Optic() if fact.serial:
                yield Identity(fact.part, "optic", fact.model, fact.serial)
            case Port() if fact.guid:
                yield Identity(fact.part, "port", fact.driver or "", "", fact.guid)
            case _:
                pass
