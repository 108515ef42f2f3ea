"""One fault, thirteen vendors, one wording: through parser, sources and judge, to the table."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace

import pytest
from rich.console import Console
from scripted import NOON, Scripted, answers, said
from vendor_nodes import BY_NAME, VENDORS, Vendor, pci_listing

from clusterctl import playbook
from clusterctl.catalog import all_probes
from clusterctl.model import Finding, Kind, Node, Status, Verdict
from clusterctl.report.folding import reasons
from clusterctl.report.tables import findings_table
from clusterctl.run import World, sweep

CHECKS = {
    "accelerator_count",
    "accelerator_health",
    "ecc",
    "temperature",
    "pcie_width",
}
ACCUSED = {Status.FAIL, Status.WARN, Status.UNKNOWN}
EXTRA = "0000:f8:00.0"


def run(vendor: Vendor, text: str, listing: str, **how):
    book = playbook.load("nightly")
    probes = tuple(all_probes()[name] for name in ("pci", vendor.probe))
    checks = tuple(check for check in book.checks if check.name in CHECKS)
    script = {"n1": answers(said("pci", listing), said(vendor.probe, text, **how))}
    world = World(lambda _r, _s: Scripted(script), clock=lambda: NOON, seed=1, run_id="r")
    return sweep(replace(book, probes=probes, checks=checks), (Node("n1"),), world)


def accused(found) -> Iterator[Finding]:
    return (one for one in found.findings if one.verdict.status in ACCUSED)


def planted(vendor: Vendor, fault: str):
    match fault:
        case "missing":
            return run(vendor, vendor.text(), pci_listing(vendor, more=(EXTRA,)))
        case "narrow":
            return run(vendor, vendor.text(), pci_listing(vendor, width=8))
    return run(vendor, vendor.text(fault), pci_listing(vendor))


def has(fault: str) -> list[Vendor]:
    return [one for one in VENDORS if fault in one.faults or fault in {"missing", "narrow"}]


FAULTS = ("ecc", "hot", "unhealthy", "missing", "narrow")
EVERY = [(fault, one) for fault in FAULTS for one in has(fault)]


@pytest.mark.parametrize("vendor", VENDORS, ids=lambda one: one.name)
def test_a_healthy_node_of_every_vendor_passes(vendor):
    found = run(vendor, vendor.text(), pci_listing(vendor))
    assert not list(accused(found))
    passed = {one.check for one in found.findings if one.verdict.status is Status.PASS}
    assert {"accelerator_count", "temperature"} <= passed


@pytest.mark.parametrize(("fault", "vendor"), EVERY, ids=lambda one: getattr(one, "name", one))
def test_a_planted_fault_is_the_one_thing_named(fault, vendor):
    expected = {
        "ecc": ("ecc", vendor.last(), Status.FAIL),
        "hot": ("temperature", vendor.last(), Status.FAIL),
        "unhealthy": ("accelerator_health", vendor.last(), Status.FAIL),
        "missing": ("accelerator_count", "accelerators", Status.FAIL),
        "narrow": ("pcie_width", "", Status.FAIL),
    }[fault]
    named = list(accused(planted(vendor, fault)))
    check, part, status = expected
    assert {one.check for one in named} == {check}, named
    assert {one.verdict.status for one in named} == {status}
    if part:
        assert [one.verdict.part for one in named] == [part]


def drawn(found) -> str:
    console = Console(width=400, file=io.StringIO(), color_system=None)
    console.print(findings_table(found.findings))
    return console.file.getvalue()


@pytest.mark.parametrize("vendor", has("hot"), ids=lambda one: one.name)
def test_the_table_names_the_part_what_was_seen_and_what_to_do(vendor):
    (line,) = (text for text in drawn(planted(vendor, "hot")).split("\n") if "temperature" in text)
    for words in (
        "FAIL",
        "n1",
        vendor.last(),
        "105 °C",
        "so hot that it slows down",
        "look at fans",
    ):
        assert words in line


@pytest.mark.parametrize("fault", FAULTS)
def test_the_words_and_the_severity_are_the_same_for_all(fault):
    told = set()
    for vendor in has(fault):
        for one in accused(planted(vendor, fault)):
            verdict = one.verdict
            why = verdict.why.replace(EXTRA, "…")
            told.add((one.check, verdict.status, verdict.severity, why, verdict.remedy))
    assert len(told) == 1, told


@pytest.mark.parametrize("vendor", VENDORS, ids=lambda one: one.name)
def test_a_missing_tool_is_unknown_where_its_card_sits(vendor):
    found = run(vendor, "", pci_listing(vendor), exit_code=127, stderr="not found")
    named = list(accused(found))
    assert named
    assert {one.verdict.status for one in named} == {Status.UNKNOWN}
    assert any(one.check == "accelerator_count" for one in named) or any(
        "nothing here can ask it" in one.verdict.why for one in named
    )


@pytest.mark.parametrize("vendor", VENDORS, ids=lambda one: one.name)
def test_a_missing_tool_is_skipped_where_no_such_card_is(vendor):
    other = BY_NAME["amd" if vendor.name == "nvidia" else "nvidia"]
    listing = pci_listing(replace(other, card=("8086", "1563", "020000")))
    found = run(vendor, "", listing, exit_code=127, stderr="not found")
    seen = next(one for one in found.observations if one.probe == vendor.probe)
    assert seen.skip
    assert not seen.troubles


@pytest.mark.parametrize("vendor", VENDORS, ids=lambda one: one.name)
def test_half_a_text_never_passes(vendor):
    text = vendor.text()
    found = run(vendor, text[: len(text) // 2], pci_listing(vendor))
    assert list(accused(found))


@pytest.mark.parametrize("vendor", VENDORS, ids=lambda one: one.name)
def test_rubbish_is_unknown_and_says_so(vendor):
    found = run(vendor, "\x00\x1b[31m无法访问设备\n", pci_listing(vendor))
    named = list(accused(found))
    assert {one.verdict.status for one in named} == {Status.UNKNOWN}
    trouble = next(one for one in found.observations if one.probe == vendor.probe).troubles
    assert trouble
    assert trouble[0].kind in {Kind.UNREADABLE, Kind.CUT, Kind.EXIT}


def skip(part: str, why: str, node: str = "n1") -> Finding:
    return Finding("observed", Verdict(node, part, Status.SKIP, why=why))


def test_in_a_mixed_room_each_node_lacks_the_others_cards_and_that_is_one_line_too():
    (found,) = reasons(
        [
            skip("efsmi", "no Enflame accelerator on the PCI bus"),
            skip("cnmon", "no Cambricon accelerator on the PCI bus", "n2"),
        ]
    )
    assert (found.nodes, found.checks) == (("n1", "n2"), "cnmon, efsmi")
    assert found.why == "no accelerator of that vendor on the PCI bus"


def test_a_dozen_absent_vendors_are_one_reason_and_others_keep_theirs():
    found = reasons(
        [
            skip("efsmi", "no Enflame accelerator on the PCI bus"),
            skip("cnmon", "no Cambricon accelerator on the PCI bus"),
            skip("clock", "clock is not installed"),
        ]
    )
    assert {(one.why, one.checks) for one in found} == {
        ("no Enflame, Cambricon accelerator on the PCI bus", "cnmon, efsmi"),
        ("clock is not installed", "clock"),
    }
