"""Every check against its table, and what must hold for all of them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import accelerator_rows
import board_rows
import burn_rows
import code_rows
import collective_rows
import counter_rows
import digest_rows
import domain_rows
import fabric_rows
import host_rows
import link_rows
import log_rows
import network_rows
import nic_rows
import path_rows
import pcie_rows
import pytest
import storage_rows
import xid_rows
from rows import Row, worst

from clusterctl.catalog import all_checks
from clusterctl.judge import judge
from clusterctl.model import (
    WHOLE_NODE,
    Check,
    Kind,
    Node,
    Observation,
    Playbook,
    Probe,
    Question,
    Severity,
    Status,
    Trouble,
    Verdict,
)
from clusterctl.probes.kernel_lines import DEVICE_LINES
from clusterctl.probes.kernel_lines_amd import AMD_LINES
from clusterctl.probes.kernel_lines_host import HOST_LINES

MODULES = (
    accelerator_rows,
    board_rows,
    burn_rows,
    code_rows,
    collective_rows,
    counter_rows,
    digest_rows,
    domain_rows,
    fabric_rows,
    host_rows,
    link_rows,
    log_rows,
    network_rows,
    nic_rows,
    path_rows,
    pcie_rows,
    storage_rows,
    xid_rows,
)
TABLES = {name: rows for module in MODULES for name, rows in module.TABLES.items()}
CASES = [pytest.param(n, r, id=f"{n}: {r.claim}") for n, rows in TABLES.items() for r in rows]
ALL = pytest.mark.parametrize("check", all_checks().values(), ids=lambda check: check.name)
BAD = (Status.FAIL, Status.WARN)


def judged(check: Check, row: Row) -> Iterator[Verdict]:
    """As judge.py calls it: node by node, or all at once."""
    evidence = row.evidence(check.limits)
    groups = [evidence] if check.scope == "fleet" else [[one] for one in evidence]
    for group in groups:
        yield from check.judge(group)


@pytest.mark.parametrize(("name", "row"), CASES)
def test_facts_give_the_status_the_table_says(name: str, row: Row) -> None:
    verdicts = list(judged(all_checks()[name], row))
    found = worst(verdicts, by_node=len(row.nodes) > 1)
    assert {part: found.get(part) for part in row.expect} == dict(row.expect), verdicts
    rest = {part: status for part, status in found.items() if part not in row.expect}
    assert set(rest.values()) <= {"pass", "skip"}, verdicts
    assert any(row.says in repr(verdict) for verdict in verdicts) or not row.says, verdicts


@pytest.mark.parametrize(("name", "row"), CASES)
def test_whoever_reads_a_fault_learns_what_to_do_and_who_says_so(name: str, row: Row) -> None:
    for verdict in judged(all_checks()[name], row):
        assert verdict.part
        if verdict.status in BAD:
            assert verdict.remedy
            assert verdict.source
            assert verdict.expected
            assert verdict.actual
            assert verdict.severity is not Severity.NONE
            assert verdict.yardstick in {"floor", "peers", "past"}
        else:
            assert verdict.severity is Severity.NONE
            assert verdict.why or verdict.status is Status.PASS


@ALL
def test_every_check_has_a_table_that_passes_and_fails(check: Check) -> None:
    rows = TABLES[check.name]
    statuses = {status for row in rows for status in row.expect.values()}
    assert "pass" in statuses
    # Of a machine under two names we can only say that one of them was not seen.
    assert statuses & ({"unknown"} if check.name == "identity" else {"fail", "warn"})
    claims = [row.claim for row in rows]
    assert len(claims) == len(set(claims))


@ALL
def test_every_check_says_what_it_asks_and_where_its_limits_come_from(check: Check) -> None:
    assert check.asks.endswith("?")
    assert check.wants
    for limit in check.limits.values():
        assert limit.source


@pytest.mark.parametrize(("name", "row"), CASES)
def test_a_limit_that_a_table_sets_is_one_that_the_check_declares(name: str, row: Row) -> None:
    check = all_checks()[name]
    assert set(row.limits) <= {*check.limits, *check.options}


def observed(check: Check, **said: object) -> list[Verdict]:
    """The whole way, with a probe of our own that answers `said` for all that the check wants."""
    probe = Probe(Question("probe"), lambda _: (), yields=check.wants, about="")
    seen = Observation("n1", "probe", datetime(2026, 1, 1, tzinfo=UTC), **said)
    findings = judge(
        Playbook("test", checks=(check,)), [Node("n1")], [seen], probes={"probe": probe}
    )
    return [finding.verdict for finding in findings if finding.check == check.name]


@ALL
@pytest.mark.parametrize("kind", list(Kind))
def test_what_was_not_seen_is_unknown_in_every_check(check: Check, kind: Kind) -> None:
    verdicts = observed(check, troubles=(Trouble(kind, "broken", WHOLE_NODE),))
    assert {verdict.status for verdict in verdicts} == {Status.UNKNOWN}


@ALL
def test_a_probe_that_does_not_apply_is_a_skip_with_its_reason(check: Check) -> None:
    verdicts = observed(check, skip="no such hardware")
    assert {verdict.status for verdict in verdicts} == {Status.SKIP}
    assert all(verdict.why for verdict in verdicts)


@ALL
def test_nothing_there_never_passes(check: Check) -> None:
    assert Status.PASS not in {verdict.status for verdict in observed(check)}


@pytest.mark.parametrize(
    "pattern", [*DEVICE_LINES, *AMD_LINES, *HOST_LINES], ids=lambda p: p.sample[:50]
)
def test_every_kernel_line_the_probe_knows_means_something(pattern) -> None:
    from clusterctl.knowledge.kernel import STRANGE, about_hardware, meaning
    from clusterctl.model import KernelEvent

    event = KernelEvent("", pattern.kind, pattern.code, pattern.sample)
    assert not about_hardware(event) or meaning(event) is not STRANGE or pattern.kind == "link"
