"""A run as Prometheus reads it from a text file: node_exporter's textfile collector, or any server.

Every sample has the label `playbook`, so that files of several playbooks lie side by side.  What
has as many values as a large fleet has accelerators is left out there, and that is a metric too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from clusterctl.inventory.ranges import fold
from clusterctl.judge import by_node
from clusterctl.model import Accelerator, Finding, Run, Status
from clusterctl.report.accounts import Accounts
from clusterctl.report.folding import to_act_on
from clusterctl.sources import believe
from clusterctl.spelling import visible

if TYPE_CHECKING:
    from prometheus_client import Metric

NODE_STATUSES = (Status.PASS, Status.WARN, Status.FAIL, Status.UNKNOWN)
MOST_FINDINGS = 500  # series that alerts name nodes and parts by
MOST_ACCELERATORS = 2048  # each has a series for every name below
LABEL_CHARACTERS = 200
LONGEST_ESCAPE = 10  # characters that one becomes

Labels = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Beyond:
    """What a run's directory does not say.

    `last_success_s`: since 1970, when a run of this playbook last asked everybody to the end and
    was kept; 0: never.  `notify_failed`: the last message that there was did not reach everybody;
    None: nobody was to be told.  `held_back`: kept back by the rate limit since one went out.
    `acked`: findings that somebody knows of; `told`: the others, None: none is acked.
    """

    last_success_s: float = 0.0
    notify_failed: bool | None = None
    held_back: int = 0
    acked: int = 0
    told: Sequence[Finding] | None = None


@dataclass(frozen=True, slots=True)
class Gauge:
    """One metric.  `samples`: its labels, and the value."""

    name: str
    about: str
    samples: Sequence[tuple[Labels, float]]


def text(run: Run, accounts: Accounts, beyond: Beyond) -> str:
    """The whole file.  Raises ModuleNotFoundError where prometheus-client is not installed."""
    from prometheus_client import generate_latest  # noqa: PLC0415 - an extra
    from prometheus_client.core import GaugeMetricFamily  # noqa: PLC0415

    families = []
    for gauge in gauges(run, accounts, beyond):
        names = list(gauge.samples[0][0]) if gauge.samples else []
        family = GaugeMetricFamily(gauge.name, gauge.about, labels=["playbook", *names])
        for labels, value in gauge.samples:
            shown = [label(labels[name]) for name in names]
            family.add_metric([run.playbook.name, *shown], value)
        families.append(family)
    return generate_latest(Families(tuple(families))).decode()


def label(told: str) -> str:
    """What is cut ends in what tells it from others: of two equal samples a scrape loses one."""
    whole = visible(told, len(told) * LONGEST_ESCAPE)
    if len(whole) <= LABEL_CHARACTERS:
        return whole
    return f"{whole[:LABEL_CHARACTERS]}… {sha256(told.encode(errors='replace')).hexdigest()[:8]}"


@dataclass(frozen=True, slots=True)
class Families:
    """What prometheus_client asks of a registry."""

    families: tuple[Metric, ...]

    def collect(self) -> Iterable[Metric]:
        return self.families


def gauges(run: Run, accounts: Accounts, beyond: Beyond) -> Iterator[Gauge]:
    yield from moments(run, beyond)
    yield from counts(run, accounts)
    yield from named(run, accounts, beyond)
    yield from measured(run)


def moments(run: Run, beyond: Beyond) -> Iterator[Gauge]:
    told = {"run": run.id, "verb": run.verb}
    took_s = (run.finished - run.started).total_seconds()
    yield Gauge("clusterctl_run_info", "Which run these metrics are of.", [(told, 1)])
    yield alone("clusterctl_last_run_timestamp_seconds", "When it ended.", run.finished.timestamp())
    yield alone(
        "clusterctl_last_success_timestamp_seconds",
        "When a run last asked every node to the end and was kept whole; 0: never.",
        beyond.last_success_s,
    )
    yield alone("clusterctl_run_duration_seconds", "How long asking and judging took.", took_s)
    if beyond.notify_failed is not None:
        yield alone(
            "clusterctl_notify_failed",
            "1: the last message that there was to send has not reached everybody.",
            beyond.notify_failed,
        )
        yield alone(
            "clusterctl_notify_held_back",
            "Messages that the rate limit has kept back since the last that went out.",
            beyond.held_back,
        )


def alone(name: str, about: str, value: float) -> Gauge:
    return Gauge(name, about, [({}, float(value))])


def counts(run: Run, accounts: Accounts) -> Iterator[Gauge]:
    yield Gauge(
        "clusterctl_nodes",
        "Nodes by the worst that was found of them.",
        [({"status": str(one)}, accounts.count(one)) for one in NODE_STATUSES],
    )
    yield alone("clusterctl_nodes_answered", "Nodes that answered.", accounts.answered)
    found = Counter((one.check, str(one.verdict.status)) for one in run.findings)
    yield Gauge(
        "clusterctl_findings",
        "Findings by check and status, those that another explains among them.",
        [({"check": c, "status": s}, count) for (c, s), count in sorted(found.items())],
    )
    for what in ("seen", "expected"):
        yield Gauge(
            f"clusterctl_parts_{what}",
            f"Parts {what}, by kind.",
            [({"part": one.name}, getattr(one, what)) for one in accounts.parts],
        )


def named(run: Run, accounts: Accounts, beyond: Beyond) -> Iterator[Gauge]:
    """Node by node, and what a person must act on."""
    yield Gauge(
        "clusterctl_node_status",
        "1 for the status that a node has, 0 for the others.",
        [
            ({"node": node, "status": str(one)}, one is status)
            for node, status in accounts.nodes.items()
            for one in NODE_STATUSES
        ],
    )
    acute = list(to_act_on(run.findings if beyond.told is None else beyond.told))
    yield alone("clusterctl_findings_acked", "Findings that an ack silences.", beyond.acked)
    samples = dict.fromkeys(
        (
            ("node", fold(one.verdict.node.split(","))),
            ("check", one.check),
            ("part", one.verdict.part),
            ("status", str(one.verdict.status)),
            ("severity", str(one.verdict.severity)),
        )
        for one in acute
    )
    listed = [(dict(labels), 1.0) for labels in list(samples)[:MOST_FINDINGS]]
    yield Gauge("clusterctl_finding", "1: a person must act on this.", listed)
    yield alone(
        "clusterctl_findings_not_listed",
        "Findings to act on that clusterctl_finding has no room for.",
        len(samples) - len(listed),
    )


# Field of Accelerator, metric, what it is, and what one is multiplied with.
MEASURED = (
    ("temp_c", "temperature_celsius", "Temperature of its core.", 1.0),
    ("power_w", "power_watts", "What it draws.", 1.0),
    ("utilisation_percent", "utilisation_ratio", "Share of time in which it was at work.", 0.01),
    ("memory_used_bytes", "memory_used_bytes", "Memory in use.", 1.0),
    ("ecc_uncorrected_aggregate", "uncorrected_memory_errors", "Over the card's life.", 1.0),
    ("remapped_uncorrected", "remapped_rows", "Rows replaced for uncorrected errors.", 1.0),
)


def measured(run: Run) -> Iterator[Gauge]:
    """What each accelerator says of itself, where they are few enough for a series each."""
    cards = list(accelerators(run))
    shown = cards if len(cards) <= MOST_ACCELERATORS else []
    for field, name, about, factor in MEASURED:
        samples = [
            ({"node": node, "accelerator": card.part}, getattr(card, field) * factor)
            for node, card in shown
            if getattr(card, field) is not None
        ]
        if samples:
            yield Gauge(f"clusterctl_accelerator_{name}", f"Of an accelerator: {about}", samples)
    yield alone(
        "clusterctl_accelerators_not_listed",
        "Accelerators too many to have series of their own.",
        len(cards) - len(shown),
    )


def accelerators(run: Run) -> Iterator[tuple[str, Accelerator]]:
    probes = {probe.name: probe for probe in run.playbook.probes}
    seen = by_node(one for one in run.observations if one.probe in probes)
    for node, observations in seen.items():
        once = {
            fact.part: fact
            for fact in believe(observations, probes).facts((Accelerator,))
            if isinstance(fact, Accelerator)
        }
        yield from ((node, card) for card in once.values())
