"""The same fault on many nodes is one finding, whichever checks see it and however it spreads."""

from __future__ import annotations

from clusterctl.model import Finding, Node, Severity, Status, Verdict
from clusterctl.shared import explain_shared


def fleet(count: int = 64) -> list[Node]:
    return [
        Node(f"n{n:02}", labels={"rack": f"r{n // 8}", "leaf": f"l{n // 32}"}) for n in range(count)
    ]


def found(node, check, part="node", *, status="warn", why="odd", actual="", expected="") -> Finding:
    verdict = Verdict(node, part, Status(status), expected=expected, actual=actual, why=why)
    return Finding(check, verdict)


def told(findings) -> list[tuple[str, str, int]]:
    """(check, part, nodes) of what nothing else explains."""
    return [
        (one.check, one.verdict.part, one.verdict.node.count(",") + 1)
        for one in findings
        if not one.shared
    ]


def flaps(nodes, why="the link went down and came back") -> list[Finding]:
    return [
        found(node.name, "link_flaps", f"mlx5_{port}/1", why=why, actual="1 down")
        for node in nodes
        for port in range(8)
    ]


def test_a_switch_that_rebooted_is_one_finding_about_its_leaf():
    nodes = fleet()
    assert told(explain_shared(flaps(nodes[:32]), nodes)) == [("link_flaps", "leaf=l0", 32)]


def test_several_checks_that_saw_it_are_one_finding_the_gravest_names_the_others():
    nodes = fleet()
    seen = flaps(nodes[:32])
    seen += [found(n.name, "port_errors", "mlx5_0/1", status="fail", why="x") for n in nodes[:32]]
    seen += [found(n.name, "kernel_faults", why="link down") for n in nodes[:31]]
    findings = explain_shared(seen, nodes)

    assert told(findings) == [("port_errors", "leaf=l0", 32)]
    (lead,) = [one for one in findings if not one.shared]
    assert "the same nodes fail kernel_faults, link_flaps" in lead.verdict.why
    assert len(findings) == len(seen) + 3  # nothing is lost, only explained


def test_two_racks_with_faults_of_their_own_are_two_findings():
    nodes = fleet()
    seen = [found(n.name, "reachable", status="unknown", why="no answer") for n in nodes[:8]]
    seen += [found(n.name, "clock_offset", why="no time") for n in nodes[16:24]]
    assert told(explain_shared(seen, nodes)) == [
        ("reachable", "rack=r0", 8),
        ("clock_offset", "rack=r2", 8),
    ]


def test_another_fault_in_the_same_rack_keeps_its_own_line():
    nodes = fleet()
    seen = [found(n.name, "reachable", status="unknown", why="no answer") for n in nodes[:8]]
    other = found("n03", "ecc", "gpu3", status="fail", why="data was lost")
    assert ("ecc", "gpu3", 1) in told(explain_shared([*seen, other], nodes))


def test_a_mild_word_about_everybody_stays_with_each():
    nodes = fleet()
    seen = [found(n.name, "clock_offset", why="no time") for n in nodes]
    assert explain_shared(seen, nodes) == seen


def drifted(nodes, why, *, actual="550.90", expected="550.54") -> list[Finding]:
    return [
        found(n.name, "drift", "driver/nvidia", why=why, actual=actual, expected=expected)
        for n in nodes
    ]


def test_a_rollout_is_one_finding_wherever_it_has_got_to():
    nodes = fleet()
    for count in (3, 8, 20, 31):
        why = f"not the same on all: {count} of 64 nodes"
        assert told(explain_shared(drifted(nodes[:count], why), nodes)) == [
            ("drift", "driver/nvidia", count)
        ]


def test_it_says_which_rack_it_is_where_it_is_one():
    nodes = fleet()
    findings = explain_shared(drifted(nodes[8:16], "not the same on all: 8 of 64 nodes"), nodes)
    (lead,) = [one for one in findings if not one.shared]
    assert lead.verdict.why.endswith("they are rack=r1")


def test_two_nodes_that_drift_are_two_findings_and_two_values_are_two():
    nodes = fleet()
    assert len(told(explain_shared(drifted(nodes[:2], "differs from its peers"), nodes))) == 2
    two = [
        *drifted(nodes[:4], "not the same on all: 4 of 64 nodes"),
        *drifted(nodes[9:14], "not the same on all: 5 of 64 nodes", actual="535.1"),
    ]
    assert [count for *_, count in told(explain_shared(two, nodes))] == [4, 5]


def test_the_gravest_decides_by_status_then_by_severity():
    nodes = fleet()
    mild = [found(n.name, "a", status="fail", why="mild") for n in nodes[:8]]
    grave = [
        Finding("b", Verdict(n.name, "node", Status.FAIL, why="grave", severity=Severity.ISOLATE))
        for n in nodes[:8]
    ]
    assert told(explain_shared([*mild, *grave], nodes)) == [("b", "rack=r0", 8)]
