"""All that can be said of a fabric: its cables, its links, and on what that rests."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from clusterctl.fabric.cabling import cabling
from clusterctl.fabric.found import leaf_labels
from clusterctl.fabric.links import Before, error_findings, link_findings
from clusterctl.fabric.plan import Plan, infer
from clusterctl.fabric.tree import BY_INDEX, BY_LABELS, Fabric
from clusterctl.model import Finding, Node, Observation, Severity, Status, Verdict

TOPOLOGY, LABELS = "topology", "leaf_labels"


def verdicts(
    fabric: Fabric,
    plan: Plan | None,
    nodes: Sequence[Node],
    *,
    counters: bool,
    before: Before | None = None,
) -> list[Finding]:
    """`plan` None: what most nodes do.  `counters`: error counters were asked for and came."""
    found = [known(fabric)]
    if fabric.source == BY_INDEX:
        return found
    if fabric.source != BY_LABELS or plan is not None:
        found += cabling(fabric, plan or infer(fabric))
    if fabric.source != BY_LABELS:
        found += link_findings(fabric)
        found += error_findings(fabric, asked=counters, before=before)
        found += labels(fabric, nodes)
    return found


def known(fabric: Fabric) -> Finding:
    if fabric.source != BY_INDEX:
        return Finding(TOPOLOGY, Verdict("fabric", "topology", Status.PASS, actual=fabric.origin))
    return Finding(
        TOPOLOGY,
        Verdict(
            "fabric",
            "topology",
            Status.UNKNOWN,
            expected="who hangs on which leaf",
            actual="not known",
            why=fabric.origin,
            remedy="install infiniband-diags or lldpd on the nodes, or give them leaf labels",
            severity=Severity.OBSERVE,
            source="what was not seen is not right",
        ),
    )


def labels(fabric: Fabric, nodes: Sequence[Node]) -> Iterator[Finding]:
    """The inventory's labels against what is there, where both speak of the same switches."""
    for node in nodes:
        said = leaf_labels(node)
        for rail, leaf in said.items():
            seen = fabric.leaf(node.name, rail)
            if leaf not in fabric.levels or not seen:
                continue
            part = f"rail {rail}"
            if seen == leaf:
                yield Finding(LABELS, Verdict(node.name, part, Status.PASS, actual=f"on {seen}"))
                continue
            yield Finding(
                LABELS,
                Verdict(
                    node.name,
                    part,
                    Status.WARN,
                    f"on {leaf}",
                    f"on {seen}",
                    "the inventory's label and the fabric disagree",
                    f"correct the label, or move the cable ({node.origin})",
                    Severity.OBSERVE,
                    node.origin or "the inventory",
                    "floor",
                ),
            )


def unread(nodes: Sequence[Node], seen: Sequence[Observation]) -> Iterator[Finding]:
    """What a file that was read lacks; of nodes, the judge says it."""
    names = {node.name for node in nodes}
    for one in seen:
        for trouble in one.troubles if one.node not in names else ():
            yield Finding(
                "observed",
                Verdict(
                    one.node,
                    one.probe,
                    Status.UNKNOWN,
                    expected="a whole answer",
                    actual=str(trouble.kind),
                    why=trouble.detail,
                    remedy=f"save the output of {one.probe} again, whole and alone",
                    severity=Severity.OBSERVE,
                    source="what was not seen is not healthy",
                ),
            )
