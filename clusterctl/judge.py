"""From observations to findings.  Silence becomes UNKNOWN here, once, for every check."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from clusterctl.limits import Sku, resolve
from clusterctl.model import (
    LEFT_ALONE,
    WHOLE_NODE,
    Accelerator,
    Boot,
    Check,
    Evidence,
    Fact,
    Finding,
    Gap,
    Kind,
    Node,
    Observation,
    Playbook,
    Probe,
    Severity,
    Status,
    Trouble,
    Verdict,
)
from clusterctl.observe import attempt
from clusterctl.outage import explained, nearer
from clusterctl.shared import explain_shared
from clusterctl.sources import Seen, Tellers, believe, lost, tellers
from clusterctl.verdicts import model_of

# Built in: no playbook can leave these out, so no silence can go unsaid.
REACHABLE, OBSERVED = "reachable", "observed"
LOST_REMEDY = {
    Kind.UNREACHABLE: "ask its BMC for power and console; check the management switch port",
    Kind.DENIED: "see the reason; nothing was asked of this node",
    Kind.TIMEOUT: "log in by console: load, memory and a hung sshd are the usual reasons",
    Kind.MISSING: "run it again: the run ended before this node was asked to the end",
    Kind.CUT: "log in by hand: a reboot (compare uptime), or a shell or python3 that ends early",
}
TROUBLE_REMEDY = {
    Kind.UNREACHABLE: "see that its address in the inventory is right and the network is up",
    Kind.MISSING: "install the tool, or leave the probe out of the playbook",
    Kind.TIMEOUT: "run the tool by hand on the node; a driver that hangs wants a reboot",
    Kind.DENIED: "give the inventory's user the right, or set become: true",
    Kind.EXIT: "run the tool by hand on the node",
    Kind.CUT: "run the tool by hand on the node and look at what it prints",
    Kind.UNREADABLE: "keep the output (`clusterctl show RUN --raw`) and report it to us",
    Kind.BUG: "our bug: the traceback is in the log; please report it",
}


@dataclass(frozen=True, slots=True)
class Past:
    """An earlier reading of the same nodes and how long before this one it was taken.

    `own`: node -> how long, where each node was read in its own time.
    """

    observations: Sequence[Observation]
    seconds: float | None
    own: Mapping[str, float] = field(default_factory=dict)

    def before_s(self, node: str) -> float | None:
        return self.own.get(node, self.seconds)


NO_PAST = Past((), None)
# What earlier runs say of what was seen: parts that are worse than they were themselves.
OwnPast = Callable[[Sequence[Node], Sequence[Observation]], Iterable[Finding]]


def nothing_known(_nodes: Sequence[Node], _seen: Sequence[Observation]) -> tuple[Finding, ...]:
    return ()


def judge(
    playbook: Playbook,
    nodes: Sequence[Node],
    observations: Sequence[Observation],
    *,
    probes: Mapping[str, Probe],
    skus: Sequence[Sku] = (),
    past: Past = NO_PAST,
    own_past: OwnPast = nothing_known,
) -> list[Finding]:
    """Every check on every node: at least one finding each, whatever was seen.

    `probes`: everything that may have made an observation, by name.  `own_past`: the third
    yardstick, which takes its PASS from a part and never gives one.
    """
    now, before = by_node(observations), by_node(past.observations)
    seen = {node.name: believe(now.get(node.name, ()), probes) for node in nodes}
    usual = usually_there(observations)
    findings = [f for node in nodes for f in sight(node, now.get(node.name, ()), usual)]
    everywhere = reported(fact for one in seen.values() for fact in one.every)
    parts = tellers(seen.values(), probes)
    knowledge = [
        Knowledge(
            node, seen[node.name], believe(before.get(node.name, ()), probes),
            past.before_s(node.name), parts,
        )
        for node in nodes
    ]  # fmt: skip
    for check in playbook.checks:
        asked = {one.node.name: narrow(one, check, playbook, skus, everywhere) for one in knowledge}
        findings += ask(check, asked, seen)
    return explain_shared(beside_past(findings, own_past(nodes, observations)), nodes)


def beside_past(findings: Iterable[Finding], worse: Iterable[Finding]) -> list[Finding]:
    """Well by floor and peers, and worse than it was: the second is what is said of the part."""
    decayed = list(worse)
    said = {(one.check, one.verdict.node, one.verdict.part) for one in decayed}
    kept = [
        one
        for one in findings
        if one.verdict.status is not Status.PASS
        or (one.check, one.verdict.node, one.verdict.part) not in said
    ]
    return [*kept, *decayed]


@dataclass(frozen=True)  # no slots: what was found once is kept
class Knowledge:
    """All that is known of a node, now and `seconds` before."""

    node: Node
    now: Seen
    before: Seen
    seconds: float | None
    tellers: Tellers

    @cached_property
    def gaps(self) -> Mapping[type[Fact], tuple[Gap, ...]]:
        ill = [one for one in self.now.believed if one.troubles or one.skip == LEFT_ALONE]
        kinds = {kind for one in ill for kind in self.now.yields[one.probe]}
        found = {
            kind: tuple(
                Gap(probe, trouble, self.tellers(probe, kind))
                for probe, trouble in self.now.gaps(kind)
            )
            for kind in kinds
        }
        return {kind: gaps for kind, gaps in found.items() if gaps}

    @cached_property
    def same_boot(self) -> bool:
        return same_boot(self.now.facts((Boot,)), self.before.facts((Boot,)))

    @cached_property
    def model(self) -> str:
        cards = self.now.facts((Accelerator,))
        return next((card.model for card in cards if isinstance(card, Accelerator)), "")


def by_node(observations: Iterable[Observation]) -> dict[str, list[Observation]]:
    nodes: defaultdict[str, list[Observation]] = defaultdict(list)
    for observation in observations:
        nodes[observation.node].append(observation)
    return dict(nodes)


def same_boot(now: Iterable[Fact], before: Iterable[Fact]) -> bool:
    """Not known to be another boot."""
    ids = {fact.boot_id for fact in now if isinstance(fact, Boot)}
    were = {fact.boot_id for fact in before if isinstance(fact, Boot)}
    return not ids or not were or bool(ids & were)


def reported(facts: Iterable[Fact]) -> frozenset[tuple[str, str, str]]:
    """(fact type, model or driver, field) that at least one part reports."""
    silent: dict[tuple[type[Fact], str], list[str]] = {}  # fields nobody has reported yet
    for fact in facts:
        key = (type(fact), model_of(fact))
        names = silent.setdefault(key, list(fact.__slots__))
        if any(getattr(fact, name) is not None for name in names):
            silent[key] = [name for name in names if getattr(fact, name) is None]
    return frozenset(
        (kind.__name__, model, name)
        for (kind, model), names in silent.items()
        for name in set(kind.__slots__) - set(names)
    )


def usually_there(observations: Iterable[Observation]) -> frozenset[str]:
    """Probes that saw something on most of the nodes they were asked of."""
    asked: Counter[str] = Counter()
    saw: Counter[str] = Counter()
    for seen in observations:
        asked[seen.probe] += 1
        saw[seen.probe] += bool(seen.facts)
    return frozenset(probe for probe, count in asked.items() if saw[probe] * 2 > count)


def sight(
    node: Node, observations: Sequence[Observation], usual: frozenset[str]
) -> Iterator[Finding]:
    """Did the node answer, and could every probe see?"""
    trouble = lost(observations)
    if not observations:
        trouble = Trouble(Kind.BUG, "nothing was asked of this node", WHOLE_NODE)
    yield Finding(REACHABLE, reachable(node, observations, trouble))
    for seen in observations:
        for found in seen.troubles:
            if found.part != WHOLE_NODE:
                yield Finding(OBSERVED, troubled(seen, found))
        if seen.skip and seen.skip != LEFT_ALONE and seen.probe in usual:
            absent = Trouble(Kind.MISSING, f"{seen.skip}, and on most peers it is")
            yield Finding(OBSERVED, troubled(seen, absent))
        elif not seen.troubles:
            status, why = (Status.SKIP, seen.skip) if seen.skip else (Status.PASS, "")
            yield Finding(OBSERVED, Verdict(node.name, seen.probe, status, why=why))


def reachable(node: Node, seen: Sequence[Observation], trouble: Trouble | None) -> Verdict:
    asked = len(seen)
    silent = sum(any(one.part == WHOLE_NODE for one in each.troubles) for each in seen)
    if trouble is None:
        return Verdict(node.name, "node", Status.PASS, actual=f"{asked} answers")
    outage = explained(seen)
    remedy = nearer(trouble) or LOST_REMEDY.get(trouble.kind, TROUBLE_REMEDY[Kind.BUG])
    return Verdict(
        node.name,
        "node",
        Status.UNKNOWN,
        expected=f"{asked} answers",
        actual=f"{asked - silent} answers",
        why=f"{outage.why}; {trouble}" if outage else str(trouble),
        remedy=outage.remedy if outage else remedy,
        severity=Severity.OBSERVE,
        source="every node selected must answer",
    )


def troubled(seen: Observation, trouble: Trouble) -> Verdict:
    return Verdict(
        seen.node,
        f"{seen.probe}:{trouble.part}" if trouble.part else seen.probe,
        Status.UNKNOWN,
        expected="an answer",
        actual=str(trouble.kind),
        why=trouble.detail,
        remedy=TROUBLE_REMEDY.get(trouble.kind, ""),
        severity=Severity.OBSERVE,
        source="every probe that applies must answer",
    )


def narrow(
    known: Knowledge,
    check: Check,
    playbook: Playbook,
    skus: Sequence[Sku],
    everywhere: frozenset[tuple[str, str, str]],
) -> Evidence:
    """What this check may know of the node, and its limits there."""
    kinds = (*check.wants, *check.uses)
    return Evidence(
        known.node,
        known.now.facts(kinds),
        limits=resolve(check, playbook, skus, known.node, known.model),
        earlier=known.before.facts(kinds),
        seconds=known.seconds,
        same_boot=known.same_boot,
        reported=everywhere,
        gaps={kind: known.gaps[kind] for kind in kinds if kind in known.gaps},
    )


def ask(check: Check, asked: Mapping[str, Evidence], seen: Mapping[str, Seen]) -> Iterator[Finding]:
    """Verdicts where there is evidence, UNKNOWN or SKIP with its reason where there is none."""
    able, silenced = [], set()
    for name, evidence in asked.items():
        silence = silent(check, evidence, seen[name])
        if silence:
            yield from (Finding(check.name, verdict, OBSERVED) for verdict in silence)
            silenced.add(name)
        if check.sums or not silence:
            able.append(evidence)
    groups = [[one] for one in able] if check.scope == "node" else [able] if able else []
    for group in groups:
        found = attempt(check.judge(group))
        broken = [item for item in found if isinstance(item, Trouble)]
        verdicts = [item for item in found if isinstance(item, Verdict)]
        judged = {verdict.node for verdict in verdicts}
        yield from (told(check, verdict, asked.get(verdict.node)) for verdict in verdicts)
        for evidence in group:
            if broken:
                yield Finding(check.name, bug(check, evidence.node.name, broken[0]))
            elif evidence.node.name not in judged | silenced:
                yield Finding(check.name, unanswered(check, evidence))


def told(check: Check, verdict: Verdict, evidence: Evidence | None) -> Finding:
    """What is UNKNOWN for a source's gap is said by `observed` already, where that may be read."""
    gaps = evidence.gaps.values() if evidence and verdict.status is Status.UNKNOWN else ()
    gap = next((one for few in gaps for one in few if one.why in verdict.why), None)
    if gap is None:
        return Finding(check.name, verdict)
    if gap.trouble.detail == LEFT_ALONE:  # on purpose: nobody has to look into that
        return Finding(check.name, replace(verdict, status=Status.SKIP, remedy=""))
    return Finding(check.name, verdict, OBSERVED)


def silent(check: Check, evidence: Evidence, seen: Seen) -> list[Verdict]:
    """Why this node cannot be judged; empty if it can."""
    node = evidence.node.name
    for kind in check.wants:
        troubles = seen.troubles(kind)
        if troubles:
            probe, trouble = troubles[0]
            return [
                Verdict(
                    node,
                    check.name,
                    Status.UNKNOWN,
                    expected="an observation",
                    actual=str(trouble.kind),
                    why=trouble.detail if trouble.part == WHOLE_NODE else f"{probe}: {trouble}",
                    severity=Severity.OBSERVE,
                    source="what was not seen is not healthy",
                )
            ]
    if not evidence.facts or not any(isinstance(fact, check.wants) for fact in evidence.facts):
        reasons = list(filter(None, (seen.skips(kind) for kind in check.wants)))
        if reasons and check.scope == "node":
            return [Verdict(node, check.name, Status.SKIP, why="; ".join(dict.fromkeys(reasons)))]
    return []


def unanswered(check: Check, evidence: Evidence) -> Verdict:
    """A check that says nothing where there is something to judge is our bug, never a pass."""
    node = evidence.node.name
    if any(isinstance(fact, check.wants) for fact in evidence.facts):
        return bug(check, node, Trouble(Kind.BUG, "the check gave no verdict"))
    return Verdict(node, check.name, Status.SKIP, why="nothing of this kind here")


def bug(check: Check, node: str, trouble: Trouble) -> Verdict:
    return Verdict(
        node,
        check.name,
        Status.UNKNOWN,
        expected="a verdict",
        actual=str(Kind.BUG),
        why=trouble.detail,
        remedy=TROUBLE_REMEDY[Kind.BUG],
        severity=Severity.OBSERVE,
        source="a check that broke has judged nothing",
    )
