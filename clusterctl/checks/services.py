"""Did a service fail, or is one not running that this kind of node needs?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from clusterctl.model import Check, Evidence, Limit, Service, Severity, Verdict
from clusterctl.verdicts import (
    facts_of,
    failing,
    passing,
    skipping,
    source_of,
    unknown,
    warning,
    words_in,
)

REMEDY = "read `systemctl status` and `journalctl -u` of it, then restart it"
RUNNING = frozenset({"active", "running", "reloading", "exited"})
SYSTEMD = "systemd's own state of the unit"


def judge(nodes: Sequence[Evidence]) -> Iterator[Verdict]:
    for evidence in nodes:
        needed = {plain(name) for name in words_in(evidence, "needed")}
        services = facts_of(evidence, Service)
        for service in services:
            yield state(evidence, service, needed=plain(service.part) in needed)
        for name in sorted(needed - {plain(service.part) for service in services}):
            yield unheard(evidence, name)


def plain(name: str) -> str:
    return name.removesuffix(".service")


def state(evidence: Evidence, service: Service, *, needed: bool) -> Verdict:
    part, now = service.part, service.state
    if now in RUNNING:
        return passing(evidence, part, now, expected="active" if needed else "")
    if needed:
        return failing(
            evidence,
            part,
            expected="active",
            actual=now,
            why="this kind of node needs it",
            remedy=REMEDY,
            severity=Severity.ISOLATE,
            source=source_of(evidence, "needed"),
        )
    if now == "inactive" and not service.enabled:
        return skipping(evidence, part, "not enabled here")
    why = {"failed": "it failed", "inactive": "enabled and not running"}.get(now, f"it is {now}")
    return warning(
        evidence,
        part,
        expected="active",
        actual=now,
        why=why,
        remedy=REMEDY,
        source=SYSTEMD,
    )


def unheard(evidence: Evidence, name: str) -> Verdict:
    return unknown(
        evidence,
        name,
        "this kind of node needs it, and nobody reported it",
        expected="active",
        actual="not reported",
        remedy=f"ask `systemctl status {name}` by hand; install it if it is missing",
        source=source_of(evidence, "needed"),
    )


CHECKS = (
    Check(
        name="services",
        asks="Did a service fail, or is one not running that this kind of node needs?",
        wants=(Service,),
        judge=judge,
        limits={"needed": Limit((), "clusterctl: what is needed depends on the SKU")},
    ),
)
