"""What nodes draw under load, summed by rack, against the inventory's budget."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from burning import Burning, asked, stage
from inventory_files import nodes_of
from scripted import NOON

from clusterctl import remote
from clusterctl.catalog import all_checks, all_trials
from clusterctl.judge import judge
from clusterctl.limits import check_labels
from clusterctl.model import (
    Finding,
    Kind,
    Node,
    Observation,
    Playbook,
    Power,
    Status,
    Trouble,
    UserError,
)
from clusterctl.run import as_probe

REMOTE = Path(remote.__file__).parent
BOOK = Playbook("p", checks=(all_checks()["rack_power"],))
PROBES = {name: as_probe(all_trials()[name]) for name in ("power_step", "gpu_burn")}
GONE = Trouble(Kind.TIMEOUT, "no answer")


def node(name: str, rack: str = "r7", budget: str = "40000") -> Node:
    labels = {"rack": rack, "rack_power_w": budget}
    return Node(name, labels={key: value for key, value in labels.items() if value})


def drew(name: str, watts: float, *, whole: bool = True, in_step: bool = True) -> Observation:
    source = "ACPI power meter" if whole else "NVML, GPUs only"
    fact = Power("node", source, watts, watts / 3, watts, 60.0, whole=whole, in_step=in_step)
    return Observation(name, "power_step", NOON, (fact,))


def judged(nodes: list[Node], *seen: Observation) -> list[Finding]:
    return [one for one in judge(BOOK, nodes, seen, probes=PROBES) if one.check == "rack_power"]


def told(nodes: list[Node], *seen: Observation) -> set[tuple[str, str, str]]:
    found = judged(nodes, *seen)
    assert {n for one in found for n in one.verdict.node.split(",")} == {n.name for n in nodes}
    return {(one.verdict.part, str(one.verdict.status), one.verdict.actual) for one in found}


def test_a_rack_within_its_budget_passes_and_one_over_it_fails_by_name():
    nodes = [node(f"n{i}") for i in range(4)] + [node(f"m{i}", "r8") for i in range(4)]
    seen = [drew(f"n{i}", 9900) for i in range(4)] + [drew(f"m{i}", 10100) for i in range(4)]
    assert told(nodes, *seen) == {
        ("rack=r7", "pass", "39600 W by 4 of 4 nodes"),
        ("rack=r8", "fail", "40400 W by 4 of 4 nodes"),
    }
    failed = [one for one in judged(nodes, *seen) if one.verdict.status is Status.FAIL]
    why = "the rack draws 400 W more than it may (ACPI power meter of 4)"
    assert all(why in one.verdict.why for one in failed)


@pytest.mark.parametrize("last", [(), (GONE,)], ids=["no meter", "no answer"])
def test_a_node_that_was_not_seen_leaves_the_rack_open(last):
    nodes = [node(f"n{i}") for i in range(4)]
    seen = [drew(f"n{i}", 9000) for i in range(3)]
    seen.append(Observation("n3", "power_step", NOON, troubles=last))
    assert ("rack=r7", "unknown", "27000 W by 3 of 4 nodes") in told(nodes, *seen)
    assert "pass" not in {status for _, status, _ in told(nodes, *seen)}


def test_a_rack_that_is_over_without_the_unseen_is_over():
    nodes = [node(f"n{i}") for i in range(4)]
    seen = [drew(f"n{i}", 15000) for i in range(3)]
    seen.append(Observation("n3", "power_step", NOON, troubles=(GONE,)))
    assert ("rack=r7", "fail", "45000 W by 3 of 4 nodes") in told(nodes, *seen)


def test_a_meter_that_sees_the_gpus_only_can_fail_a_rack_and_cannot_pass_it():
    nodes = [node("n0"), node("n1")]
    low = told(nodes, drew("n0", 5000), drew("n1", 5000, whole=False))
    assert low == {("rack=r7", "unknown", "10000 W by 2 of 2 nodes")}
    high = told(nodes, drew("n0", 5000), drew("n1", 36000, whole=False))
    assert high == {("rack=r7", "fail", "41000 W by 2 of 2 nodes")}


def test_what_sees_the_whole_node_is_believed_before_what_sees_more_watts():
    both = [drew("n0", 5000), drew("n0", 7000, whole=False)]
    merged = Observation("n0", "power_step", NOON, tuple(one.facts[0] for one in both))
    assert told([node("n0")], merged) == {("rack=r7", "pass", "5000 W by 1 of 1 nodes")}


def test_where_lines_disagree_the_lowest_budget_holds():
    nodes = [node("n0"), node("n1", budget="9000")]
    assert told(nodes, drew("n0", 5000), drew("n1", 5000)) == {
        ("rack=r7", "fail", "10000 W by 2 of 2 nodes")
    }


@pytest.mark.parametrize(("rack", "budget"), [("", "40000"), ("r7", "")])
def test_without_a_rack_or_a_budget_nothing_is_judged(rack, budget):
    found = judged([node("n0", rack, budget)], drew("n0", 5000))
    assert [one.verdict.status for one in found] == [Status.SKIP]
    assert "5000 W by ACPI power meter" in found[0].verdict.why


def test_a_budget_that_is_no_number_is_refused():
    with pytest.raises(UserError, match="rack_power_w: expected a number, found 'plenty'"):
        check_labels([node("n0", budget="plenty")], ())


def test_the_inventory_says_the_budget_once_for_a_group(tmp_path):
    text = "groups:\n  train: {nodes: 'n[1-2]', rack: r7, rack_power_w: 40000}\n"
    nodes = nodes_of(tmp_path, "racks.yml", text).values()
    assert {one.labels["rack_power_w"] for one in nodes} == {"40000"}


# ----------------------------------------------------------------------------- the meters

MEASURE = """
import json, sys
sys.path.insert(0, sys.argv[1])
import node_power
node_power.HWMON, node_power.IPMI = sys.argv[2] + "/hwmon*", sys.argv[2] + "/ipmi0"
print(json.dumps(node_power.row(node_power.measure(0.6, 0.1), in_step=sys.argv[3] == "1")))
"""


def measured(folder: Path, *, in_step: bool = False) -> dict[str, object] | None:
    words = [sys.executable, "-c", MEASURE, str(REMOTE), str(folder), str(int(in_step))]
    return json.loads(subprocess.check_output(words, text=True, timeout=30))


def meter(folder: Path, number: int, name: str, cell: str) -> None:
    place = folder / f"hwmon{number}"
    place.mkdir()
    (place / "name").write_text(f"{name}\n")
    (place / "power1_average").write_text(f"{cell}\n")


def test_the_acpi_meter_is_read_and_others_sensors_are_not(tmp_path):
    meter(tmp_path, 0, "power_meter", "6250000000")
    meter(tmp_path, 1, "amdgpu", "300000000")
    found = measured(tmp_path)
    assert (found["source"], found["power_w"], found["whole"]) == ("ACPI power meter", 6250, 1)


DCMI = """
    Instantaneous power reading:                  8167 Watts
    Minimum during sampling period:                124 Watts
    Power reading state is:                   {state}
"""


@pytest.mark.parametrize(
    ("state", "source"), [("activated", "ipmitool dcmi"), ("deactivated", None)]
)
def test_the_bmc_is_asked_where_there_is_no_acpi_meter(tmp_path, monkeypatch, state, source):
    tool = tmp_path / "ipmitool"
    tool.write_text(
        f"#!/bin/sh\n[ \"$*\" = 'dcmi power reading' ] && cat <<.\n{DCMI.format(state=state)}\n.\n"
    )
    tool.chmod(0o755)
    (tmp_path / "ipmi0").touch()
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    meter(tmp_path, 0, "power_meter", "0")  # it does not measure
    found = measured(tmp_path, in_step=True) or {"source": None}
    if source:
        assert (found["source"], found["power_w"], found["in_step"]) == (source, 8167, 1)
    else:
        assert found["source"] not in ("ipmitool dcmi", "ACPI power meter")


def test_a_power_step_without_any_meter_says_nothing_of_power():
    what = stage("power_step", engine="cpu", seconds=1.2, period_s=0.5)
    seen = Burning(asked(what), sys.executable).join()
    assert not seen.troubles
    assert {one.source for one in seen.facts if isinstance(one, Power)} <= {
        *("ACPI power meter", "ipmitool dcmi", "RAPL, sockets only")
    }
