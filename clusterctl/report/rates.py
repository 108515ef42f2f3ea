"""What parts did under load, peers beside peers, the odd ones named."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from clusterctl.checks.burn_rate import what
from clusterctl.checks.gpu_bandwidth import kind as way_of
from clusterctl.inventory.ranges import fold
from clusterctl.judge import by_node
from clusterctl.limits import Sku, resolve
from clusterctl.model import (
    Accelerator,
    Bandwidth,
    Burn,
    Copy,
    Cpu,
    Evidence,
    Finding,
    Limit,
    Limits,
    Run,
    Status,
)
from clusterctl.peers import Crowd, crowd, excess, shortfall
from clusterctl.report.charts import Mark
from clusterctl.report.folding import fold_parts, spread
from clusterctl.sources import believe
from clusterctl.verdicts import make

BURN, PAIR, COPIES = "burn_rate", "pair_bandwidth", "gpu_bandwidth"
WORST_FIRST = (Status.FAIL, Status.UNKNOWN, Status.WARN)
FAR_SIGMAS, FAR_SHARE = 5.0, 0.05  # as burn_rate warns; a mark in a chart, never a verdict


@dataclass(frozen=True, slots=True)
class Sample:
    """`kind`: "" among its peers, the word of a finding, or far from its peers and not judged."""

    node: str
    part: str
    value: float
    kind: str = ""

    @property
    def name(self) -> str:
        return self.part if ">" in self.part else f"{self.node} {self.part}"


@dataclass(frozen=True, slots=True)
class Rates:
    """One stage of one kind of part, engine, unit and make of node: peers.

    `limits`: (name, limit) as the check had them.  `silent`: parts that gave no rate.
    `wrong`: results that were not right; None: nobody looked.
    """

    stage: str
    what: str
    engine: str
    unit: str
    peers: str
    samples: tuple[Sample, ...]
    silent: tuple[str, ...] = ()
    limits: tuple[tuple[str, Limit], ...] = ()
    wrong: int | None = None

    @property
    def crowd(self) -> Crowd | None:
        return crowd([one.value for one in self.samples])

    @property
    def odd(self) -> list[Sample]:
        """Slowest first."""
        return sorted((one for one in self.samples if one.kind), key=lambda one: one.value)


@dataclass(slots=True)
class Draft:
    samples: list[Sample] = field(default_factory=list)
    silent: list[str] = field(default_factory=list)
    limits: dict[tuple[str, str], Limit] = field(default_factory=dict)
    wrong: int | None = None


Key = tuple[str, str, str, str, str]


def rates(run: Run, skus: Sequence[Sku]) -> list[Rates]:
    """In the order of the playbook's stages."""
    seen = by_node(run.observations)
    checks = {check.name: check for check in run.playbook.checks}
    probes = {probe.name: probe for probe in run.playbook.probes}
    judged = statuses(run.findings)
    drafts: defaultdict[Key, Draft] = defaultdict(Draft)
    for node in run.nodes:
        ours = seen.get(node.name, [])
        known = believe([one for one in ours if one.probe in probes], probes)
        facts = known.facts((Accelerator, Cpu))
        peers = make(Evidence(node, facts))
        model = next((fact.model for fact in facts if isinstance(fact, Accelerator)), "")
        limits = {
            name: resolve(checks[name], run.playbook, skus, node, model)
            for name in (BURN, PAIR, COPIES)
            if name in checks
        }
        for observation in ours:
            for fact in observation.facts:
                if isinstance(fact, Burn | Bandwidth | Copy):
                    one = measured(fact)
                    draft = drafts[observation.probe, one.what, one.engine, one.unit, peers]
                    said = judged.get((one.check, node.name, one.part))
                    keep(draft, node.name, one, limits.get(one.check, {}), said)
    order = [stage.trial.name for stage in run.playbook.stages]
    found = [finished(key, draft) for key, draft in drafts.items()]
    return sorted(found, key=lambda one: order.index(one.stage) if one.stage in order else 99)


@dataclass(frozen=True, slots=True)
class Measured:
    """A burn and a path in the same words.  `floor`, `ceiling`: what `check` calls its limits."""

    check: str
    what: str
    engine: str
    unit: str
    part: str
    value: float | None
    wrong: int | None
    floor: str
    ceiling: str


def measured(fact: Burn | Bandwidth | Copy) -> Measured:
    match fact:
        case Burn():
            kind, unit = what(fact.part), fact.rate_unit
            limit = f"{kind}_{unit}"
            return Measured(
                BURN,
                kind,
                fact.engine,
                unit,
                fact.part,
                fact.rate,
                fact.errors,
                limit,
                f"{limit}_ceiling",
            )
        case Bandwidth():
            return Measured(
                PAIR,
                "path",
                fact.engine,
                "gbit_s",
                fact.part,
                fact.gbit_s,
                fact.wrong,
                "gbit_s",
                "ceiling_gbit_s",
            )
        case Copy():
            kind = way_of(fact.part)
            return Measured(
                COPIES,
                kind,
                ", ".join(filter(None, (fact.engine, fact.way))),
                "gbyte_s",
                fact.part,
                fact.gbyte_s,
                fact.wrong,
                f"{kind}_gbyte_s",
                "",
            )


def keep(draft: Draft, node: str, one: Measured, limits: Limits, said: Status | None) -> None:
    for word, name in (("floor", one.floor), ("ceiling", one.ceiling)):
        if (limit := limits.get(name)) is not None:
            draft.limits[word, str(limit.value)] = limit
    if one.wrong is not None:
        draft.wrong = (draft.wrong or 0) + one.wrong
    if one.value is None:
        draft.silent.append(f"{node} {one.part}")
    else:
        draft.samples.append(Sample(node, one.part, one.value, str(said or "")))


def statuses(findings: Iterable[Finding]) -> dict[tuple[str, str, str], Status]:
    """The worst that was said of (check, node, part), passes and skips left out."""
    found: dict[tuple[str, str, str], Status] = {}
    for one in findings:
        verdict = one.verdict
        if one.check not in {BURN, PAIR, COPIES} or verdict.status not in WORST_FIRST:
            continue
        for part in spread(verdict.part):
            key = (one.check, verdict.node, part)
            worst = min(found.get(key, verdict.status), verdict.status, key=WORST_FIRST.index)
            found[key] = worst
    return found


def finished(key: Key, draft: Draft) -> Rates:
    peers = crowd([one.value for one in draft.samples])
    samples = tuple(
        one if one.kind or peers is None or not far(one.value, peers) else mark_far(one)
        for one in draft.samples
    )
    limits = tuple((word, limit) for (word, _), limit in sorted(draft.limits.items()))
    return Rates(*key, samples, tuple(draft.silent), limits, draft.wrong)


def mark_far(one: Sample) -> Sample:
    return Sample(one.node, one.part, one.value, "far")


def far(value: float, peers: Crowd) -> bool:
    below = shortfall(value, peers, sigmas=FAR_SIGMAS)
    above = excess(value, peers, sigmas=FAR_SIGMAS) / peers.middle if peers.middle > 0 else 0.0
    return max(below, above) >= FAR_SHARE


def marks(odd: Sequence[Sample]) -> list[Mark]:
    """A shape for each odd value; the slowest of a node's like values carries the name of all."""
    together: defaultdict[tuple[str, str], list[Sample]] = defaultdict(list)
    for one in odd:
        together[one.name if ">" in one.part else one.node, one.kind].append(one)
    found = []
    for (_, kind), samples in together.items():
        parts = fold_parts(one.part for one in samples)
        name = samples[0].name if len(samples) == 1 else f"{samples[0].node} {parts}"
        found.append(Mark(name, samples[0].value, kind, samples[0].name))
        found += [Mark("", one.value, kind, one.name) for one in samples[1:]]
    return found


def named(samples: Iterable[Sample]) -> str:
    """n[03,07] gpu[0-7]: who they are, folded."""
    parts: defaultdict[str, list[str]] = defaultdict(list)
    paths = []
    for one in samples:
        if ">" in one.part:
            paths.append(one.part)
        else:
            parts[one.node].append(one.part)
    alike: defaultdict[str, list[str]] = defaultdict(list)
    for node, own in parts.items():
        alike[fold_parts(own)].append(node)
    return ", ".join([*(f"{fold(nodes)} {own}" for own, nodes in alike.items()), *paths])
