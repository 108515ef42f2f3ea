"""A run as one self-contained page: no network, no scripts, nothing of a node's that could act.

The page is also well-formed XML, which a test holds it to.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from importlib.metadata import version

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from clusterctl.inventory.ranges import fold
from clusterctl.judge import REACHABLE
from clusterctl.limits import Sku
from clusterctl.memory.acks import Ack, Page, not_covered
from clusterctl.memory.life import Told, changes
from clusterctl.memory.movers import Mover
from clusterctl.model import Finding, Run, Status
from clusterctl.report import method
from clusterctl.report.accounts import Accounts, account, excusing
from clusterctl.report.charts import distribution
from clusterctl.report.folding import Row, reasons, rows, to_act_on
from clusterctl.report.histories import NO_MOMENTS, NO_SERIES, Moments, Series, histories
from clusterctl.report.identities import Identity, identities
from clusterctl.report.morning import Change, Known, changed_rows, known
from clusterctl.report.rackmap import racks
from clusterctl.report.rates import Rates, marks, named, rates
from clusterctl.report.records import as_json
from clusterctl.report.scales import glyph, spelt
from clusterctl.report.sparks import spark
from clusterctl.report.standings import (
    GRAVEST_FIRST,
    Standing,
    burnt_h,
    looked_at,
    tallied,
    words,
)
from clusterctl.report.tables import implied, plural
from clusterctl.spelling import visible

POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
    "base-uri 'none'; form-action 'none'"
)
LEAST_H = 0.1  # shorter campaigns are told of in seconds
MOST_ROWS = 300  # of a table; what is left out is counted and said
NAMES, CELL = 20_000, 600  # characters
UNITS = {
    "gbit_s": "Gbit/s",
    "gbyte_s": "GB/s",
    "tflop_s": "TFLOP/s",
    "gop_s": "Gop/s",
    "op_s": "op/s",
}


def page(
    run: Run,
    *,
    skus: Sequence[Sku],
    standings: Sequence[Standing] = (),
    series: Series = NO_SERIES,
    moments: Moments = NO_MOMENTS,
    morning: Morning | None = None,
) -> str:
    """`standings`: after a burn, one a node; a sweep's are its statuses.

    `series`, `moments`: of a campaign; a node without any has no plot.  `morning`: of a sweep that
    remembers other nights.
    """
    accounts = account(run, skus)
    if morning and morning.acked:
        left = not_covered(run.findings, morning.page)
        accounts = excusing(accounts, run, left, len(morning.acked))
    standings = standings or looked_at(run, accounts)
    by_name = {one.node: one for one in standings}
    parts = identities(run)
    against = grouped([one for one in standings if not one.good], run, parts)
    anchors = {node: number for number, one in enumerate(against) for node in one.nodes}
    plots, unplotted = histories(series, standings, moments)
    acted = rows(to_act_on(run.findings))
    return (
        environment()
        .get_template("report.html.j2")
        .render(
            run=run,
            accounts=accounts,
            policy=POLICY,
            version=version("clusterctl"),
            tallies=tallied(standings),
            words=words(standings),
            racks=racks(run.nodes, by_name),
            against=against,
            anchors=anchors,
            failed=[row for row in acted if row.verdict.status is not Status.UNKNOWN],
            unseen=[row for row in acted if row.verdict.status is Status.UNKNOWN],
            implied=[text.plain for text in implied(run.findings)],
            skipped=reasons(run.findings),
            missing=missing(run.findings),
            stages=stages(run),
            rates=[charted(one) for one in rates(run, skus)],
            plots=plots,
            unplotted=unplotted,
            burnt=burnt_h(run),
            hours=partial(hours, burnt_h(run), run.playbook.soak.hours if run.playbook.soak else 0),
            moments=moments,
            asked=method.asked(run, skus),
            software=method.software(run),
            accepted=[one for one in standings if one.good],
            parts=parts,
            labels={node.name: node.labels for node in run.nodes},
            record=record(run, accounts, standings),
            morning=morning,
            changed_nodes=morning.nodes if morning and morning.before else frozenset(),
            label=re.sub(r"[^A-Za-z0-9_.-]", "?", run.id)[:80],
            most=MOST_ROWS,
        )
    )


@dataclass(frozen=True, slots=True)
class Morning:
    """What the nights before make of a sweep.  `nodes`: who changed."""

    page: Page
    changed: Sequence[Change]
    known: Sequence[Known]
    movers: Sequence[tuple[Mover, Markup]]
    nodes: frozenset[str]

    @property
    def before(self) -> str:
        """The run of the night before."""
        return self.page.before

    @property
    def acked(self) -> Sequence[tuple[Told, Ack]]:
        return self.page.acked


def morning_of(night: Page, movers: Iterable[Mover]) -> Morning:
    return Morning(
        night,
        changed_rows(night.told),
        known(night.told),
        [(one, sparkled(one)) for one in movers],
        frozenset(name for one in changes(night.told) for name in one.life.verdict.node.split(",")),
    )


def sparkled(one: Mover) -> Markup:
    told = f"{one.quantity.says} of {one.node} {one.part}: {spelt(one.before)} to {spelt(one.now)}"
    return Markup(spark(one.numbers.tolist(), f"{told} {one.quantity.unit}"))  # noqa: S704 - escaped there


def hours(burnt: Mapping[str, float], wanted_h: float, names: Iterable[str]) -> str:
    """How long these nodes were loaded; empty where nobody knows."""
    own = [burnt[name] for name in names if name in burnt]
    if not own:
        return ""
    times, word = (3600.0, "s") if max(wanted_h, *own) < LEAST_H else (1.0, "h")
    low, high, wanted = (spelt(one * times) for one in (min(own), max(own), wanted_h))
    return f"burnt {low}{f' to {high}' if high != low else ''} of {wanted} {word}"


def environment() -> Environment:
    made = Environment(
        loader=PackageLoader("clusterctl.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=shown,
    )
    made.filters |= {
        "cell": cell,
        "fold": fold,
        "plural": plural,
        "unit": unit,
        "breakable": breakable,
    }
    made.globals |= {"glyph": drawn, "number": spelt}
    return made


def shown(value: object) -> object:
    """Every text on its way into the page; what is Markup already is ours."""
    return value if isinstance(value, Markup | int | float) else visible(str(value), NAMES)


def cell(text: object, limit: int = CELL) -> str:
    """Long texts of nodes, cut as in the terminal's table and no sooner."""
    return visible(str(text), limit)


def breakable(text: object, limit: int = NAMES) -> Markup:
    """A long name that may be broken where a person would."""
    return Markup("<wbr/>").join(re.split(r"(?<=[,/_>])(?=.)", visible(str(text), limit)))


def drawn(kind: str, words: str = "") -> Markup:
    return Markup(glyph(kind, words))  # noqa: S704 - glyph() escapes what it is given


def unit(name: str) -> str:
    return UNITS.get(name, name)


# --------------------------------------------------------------------------- who did not pass


@dataclass(frozen=True, slots=True)
class Against:
    """Nodes with one verdict for the same reasons.

    `follows`: how many more findings the evidence explains.  `hardware`: (node, accused part):
    what a return form asks for.
    """

    nodes: tuple[str, ...]
    racks: str
    standing: Standing
    evidence: tuple[Row, ...]
    follows: int
    hardware: tuple[tuple[str, Identity], ...]


def grouped(
    bad: Iterable[Standing], run: Run, parts: Mapping[str, tuple[Identity, ...]]
) -> list[Against]:
    """Gravest first."""
    where = {node.name: node.labels.get("rack", "") for node in run.nodes}
    alike: dict[tuple[object, ...], list[tuple[Standing, list[Row]]]] = {}
    for one in bad:
        evidence = rows(telling(one.evidence))
        key = (one.word, one.rule, *((r.check, r.parts, *said(r, one.node)) for r in evidence))
        alike.setdefault(key, []).append((one, evidence))
    found = []
    for members in alike.values():
        (first, evidence), names = members[0], [one.node for one, _ in members]
        accused = {part for one in first.evidence for part in one.verdict.part.split()}
        found.append(
            Against(
                tuple(names),
                fold({where[name] for name in names} - {""}),
                first,
                tuple(evidence),
                len(first.evidence) - len(telling(first.evidence)),
                tuple((name, one) for name in names for one in parts[name] if one.part in accused),
            )
        )
    return sorted(found, key=lambda one: (GRAVEST_FIRST.index(one.standing.kind), one.nodes[0]))


def telling(evidence: Sequence[Finding]) -> list[Finding]:
    """Without what other findings explain, unless there is nothing else."""
    return [one for one in evidence if not one.shared] or list(evidence)


def said(row: Row, node: str) -> tuple[str, str, str]:
    """The words of a finding, the same for nodes of which only the name differs in them."""
    verdict = row.verdict
    return verdict.expected, verdict.actual, verdict.why.replace(node, "*")


def missing(findings: Iterable[Finding]) -> list[Row]:
    """Nodes that never answered, and why."""
    return rows(
        one
        for one in findings
        if one.check == REACHABLE and one.verdict.status is not Status.PASS
        if "," not in one.verdict.node
    )


# --------------------------------------------------------------------------- what was measured


@dataclass(frozen=True, slots=True)
class Staged:
    """`ran`: nodes that gave facts; `of`: nodes of the run."""

    name: str
    about: str
    params: str
    ran: int
    of: int


def stages(run: Run) -> list[Staged]:
    ran: dict[str, set[str]] = {}
    for seen in run.observations:
        if seen.facts:
            ran.setdefault(seen.probe, set()).add(seen.node)
    return [
        Staged(
            stage.trial.name,
            stage.trial.about,
            ", ".join(f"{name} {value}" for name, value in stage.params.items()),
            len(ran.get(stage.trial.name, ())),
            len(run.nodes),
        )
        for stage in run.playbook.stages
    ]


@dataclass(frozen=True, slots=True)
class Charted:
    """`odd`: (kind, who, lowest, highest) of values that stand out, slowest first."""

    rates: Rates
    chart: Markup
    odd: tuple[tuple[str, str, float, float], ...]


def charted(one: Rates) -> Charted:
    title = f"{one.stage}: {one.what}, {unit(one.unit)}, {one.engine}: {len(one.samples)} values"
    chart = distribution(
        [sample.value for sample in one.samples],
        marks(one.odd),
        title=title,
        unit=unit(one.unit),
        limits=[
            (f"{word} {limit.value}", float(limit.value))
            for word, limit in one.limits
            if isinstance(limit.value, int | float) and in_sight(float(limit.value), one)
        ],
    )
    odd = []
    for kind in ("fail", "unknown", "warn", "far"):
        samples = [sample for sample in one.odd if sample.kind == kind]
        if samples:
            odd.append((kind, named(samples), samples[0].value, samples[-1].value))
    return Charted(one, Markup(chart), tuple(odd))  # noqa: S704 - charts escape their labels


def in_sight(limit: float, one: Rates) -> bool:
    """A ceiling far above would press all values into a corner; the table names it anyway."""
    values = [sample.value for sample in one.samples]
    return bool(values) and min(values) / 2 <= limit <= max(values) * 1.3


def record(run: Run, accounts: Accounts, standings: Sequence[Standing]) -> str:
    """What `clusterctl show RUN --format json | sha256sum` prints: paper and record belong."""
    given = standings if run.verb == "burnin" else ()
    return sha256(as_json(run, accounts, given).encode()).hexdigest()
