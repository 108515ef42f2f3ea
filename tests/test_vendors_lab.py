"""Twelve nodes of twelve vendors over real SSH, one fault planted on each: named in one wording."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from random import Random

import pytest
from faults import clear_all, inject
from lab import Lab
from vendor_nodes import BY_NAME, CAPTURED, Vendor, calls
from vendors import become, loongson, place, stub

from clusterctl import playbook
from clusterctl.inventory import load
from clusterctl.model import Accelerator, Cpu, Finding, Pace, Run, Severity, Status
from clusterctl.run import World, sweep
from clusterctl.transport.ssh import Ssh
from clusterctl.transport.ssh_config import Surroundings

pytestmark = pytest.mark.lab

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
PLANTED = {
    "n01": ("nvidia", "ecc"),
    "n02": ("huawei", "unhealthy"),
    "n03": ("amd", "ecc"),
    "n04": ("hygon", "unhealthy"),
    "n05": ("cambricon", "missing"),
    "n06": ("moorethreads", "hot"),
    "n07": ("metax", "ecc"),
    "n08": ("iluvatar", "missing"),
    "n09": ("enflame", "unhealthy"),
    "n10": ("kunlunxin", "ecc"),
    "n11": ("biren", "hot"),
    "n12": ("tecorigin", "unhealthy"),
}
GONE = "0000:f8:00.0"  # on the bus, with a driver, and no tool shows it
CHECK = {
    "ecc": "ecc",
    "unhealthy": "accelerator_health",
    "hot": "temperature",
    "missing": "accelerator_count",
}


def furnish(lab: Lab, node: str, vendor: Vendor, fault: str) -> None:
    more = [GONE] if fault == "missing" else []
    become(
        lab,
        node,
        ids=vendor.card,
        driver=vendor.name,
        addresses=[*vendor.addresses(), *more],
        tool=vendor.tool,
        answers=calls(vendor.text(fault)),
    )


def ascend_ports(lab: Lab, node: str) -> None:
    """The other tool of an Ascend node, and the devices that it is asked of."""
    text = (CAPTURED / "hccn_tool" / "healthy.txt").read_text()
    said = calls(text)
    conf, _ = said.pop("/etc/hccn.conf")
    devices = [(f"dev/davinci{number}", "") for number in (0, 1)]
    place(lab, node, [("etc/hccn.conf", conf), *devices, *stub("hccn_tool", said)])


@pytest.fixture(scope="module")
def run(lab: Lab) -> Iterator[Run]:
    try:
        inject(lab, "n01", "ecc", "3")
        for node, (name, fault) in PLANTED.items():
            if name != "nvidia":
                furnish(lab, node, BY_NAME[name], fault)
        ascend_ports(lab, "n02")
        loongson(lab, "n12")
        yield swept(lab)
    finally:
        clear_all(lab, PLANTED)


def swept(lab: Lab) -> Run:
    nodes = [node for node in load([lab.inventory]) if node.name in PLANTED]
    around = Surroundings(home=lab.folder, environ={}, login="root", config=lab.ssh_config)
    with Ssh(Pace(), around=around, rng=Random(1)) as ssh:
        world = World(lambda _reading, _s: ssh, clock=lambda: NOON, seed=1, run_id="r")
        return sweep(playbook.load("nightly"), nodes, world)


def failed(run: Run, node: str) -> list[Finding]:
    return [
        one
        for one in run.findings
        if one.verdict.node == node and one.verdict.status is Status.FAIL
    ]


def cards(run: Run, node: str) -> list[Accelerator]:
    best = {}
    for seen in run.observations:
        for fact in seen.facts:
            if seen.node == node and isinstance(fact, Accelerator):
                best.setdefault(fact.part, fact)
    return list(best.values())


@pytest.mark.parametrize("node", PLANTED)
def test_every_vendors_cards_are_seen(run, node):
    name, _ = PLANTED[node]
    told = cards(run, node)
    assert {card.vendor for card in told} == {name}
    assert len(told) == (8 if name == "nvidia" else len(BY_NAME[name].addresses()))


@pytest.mark.parametrize("node", PLANTED)
def test_the_planted_fault_is_the_one_that_fails(run, node):
    name, fault = PLANTED[node]
    (found,) = failed(run, node)
    assert found.check == CHECK[fault]
    if fault == "missing":
        assert GONE in found.verdict.why
    else:
        part = "gpu3" if name == "nvidia" else BY_NAME[name].last()
        assert found.verdict.part == part


@pytest.mark.parametrize("node", PLANTED)
def test_nothing_else_of_the_node_is_unknown(run, node):
    unknown = [
        one
        for one in run.findings
        if one.verdict.node == node and one.verdict.status is Status.UNKNOWN
    ]
    assert not unknown


@pytest.mark.parametrize("fault", CHECK)
def test_a_fault_has_the_same_words_and_severity_on_every_vendor(run, fault):
    told = {
        (one.check, one.verdict.severity, one.verdict.why, one.verdict.remedy)
        for node, (_, planted) in PLANTED.items()
        if planted == fault
        for one in failed(run, node)
    }
    assert len(told) == 1
    ((_, severity, _, remedy),) = told
    assert severity not in {Severity.NONE, Severity.OBSERVE}
    assert remedy


def test_a_loongarch_node_in_chinese_is_read_as_any(run):
    seen = [fact for one in run.observations if one.node == "n12" for fact in one.facts]
    (cpu,) = (fact for fact in seen if isinstance(fact, Cpu))
    assert cpu.model == "Loongson-3C6000/S"


def test_the_loongarch_node_says_so_itself(lab: Lab, run):
    assert run
    said = lab.ssh("n12", "uname -m; echo $LANG; python3 -c 'import os; print(os.uname().machine)'")
    assert re.split(r"\s+", said.stdout.strip()) == ["loongarch64", "zh_CN.UTF-8", "loongarch64"]
