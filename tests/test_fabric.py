"""Rails, leaves and spines out of what tools say; cables against a plan; links that are slow."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from clusterctl import codec
from clusterctl.catalog import fabric_probes
from clusterctl.fabric.cabling import cabling
from clusterctl.fabric.found import discover
from clusterctl.fabric.links import Before, error_findings, link_findings
from clusterctl.fabric.plan import Plan, infer, parse
from clusterctl.fabric.survey import WALKS
from clusterctl.fabric.tree import BY_INDEX, BY_LABELS, BY_LLDP, Fabric
from clusterctl.fabric.verdict import verdicts
from clusterctl.model import (
    Address,
    Evidence,
    FabricCounters,
    FabricLink,
    Kind,
    Neighbour,
    Node,
    Port,
    Status,
    Trouble,
    UserError,
    Version,
)

CAPTURES = Path(__file__).parent.parent.parent / "shared" / "captures"
captures = pytest.mark.skipif(not CAPTURES.exists(), reason="the captures are not here")

TEXTS = {
    path.stem: path.read_text() for path in (Path(__file__).parent / "fabric_texts").glob("*.txt")
}
LLDP = TEXTS["lldp"]
RUBBISH = ["", "\0" * 9, "Segmentation fault\n", "<html>\n", "{}\n", "[]\n", "[[[[", "9" * 5000]
probes = pytest.mark.parametrize("name", sorted(fabric_probes()))


def read(name: str, text: str):
    found = list(fabric_probes()[name].parse(text))
    facts = [one for one in found if not isinstance(one, Trouble)]
    return facts, [one for one in found if isinstance(one, Trouble)]


# ------------------------------------------------------------------ what the tools print


@probes
def test_a_whole_answer_is_facts_and_no_trouble(name):
    facts, troubles = read(name, TEXTS[name])
    assert facts
    assert not troubles
    for fact in facts:
        assert isinstance(fact, fabric_probes()[name].yields)
        assert codec.read(codec.spell(fact)) == fact


@probes
def test_a_cut_answer_never_raises_and_never_looks_whole(name):
    text = TEXTS[name].rstrip("\n")
    linked = [fact for fact in read(name, TEXTS[name])[0] if getattr(fact, "far", "")]
    for place in range(len(text)):
        facts, troubles = read(name, text[:place])
        # Ports without a cable, which iblinkinfo tells last, are all that can go unnoticed.
        assert troubles or [fact for fact in facts if getattr(fact, "far", "")] == linked != []


@probes
@pytest.mark.parametrize(
    "rubbish",
    ["", "\0" * 9, "Segmentation fault\n", "<html>\n", "{}\n", "[]\n", "[[[[", "9" * 5000],
)
def test_rubbish_is_a_trouble_and_no_fact(name, rubbish):
    facts, troubles = read(name, rubbish)
    assert not facts
    assert troubles


@probes
def test_one_bad_line_costs_that_line(name):
    if name == "lldp":
        pytest.skip("one JSON document, not lines")
    facts, troubles = read(name, TEXTS[name].replace("\n", "\n\x1b[31mgarbage [1] \t x\n", 1))
    assert len(facts) == len(read(name, TEXTS[name])[0])
    assert troubles


@captures
@pytest.mark.parametrize(
    "path", [*CAPTURES.glob("ib[nl]*/*"), *CAPTURES.glob("lldpctl/*")], ids=lambda path: path.name
)
def test_captured_outputs_give_their_links(path):
    name = {"lldpctl": "lldp"}.get(path.parent.name, path.parent.name)
    facts, troubles = read(name, path.read_text())
    assert facts
    assert {one.kind for one in troubles} <= {Kind.CUT}, troubles


def test_ports_of_a_line_each_are_read_too_and_an_empty_one_has_no_far_end():
    facts, troubles = read("ibnetdiscover", TEXTS["ibnetdiscover_p"])
    assert not troubles
    assert [(one.part, one.far, one.width) for one in facts] == [
        ("n1 mlx5_0/1", "leaf-1", 4),
        ("leaf-1/1", "n1 mlx5_0", 4),
        ("leaf-1/2", "", None),
    ]


def test_a_list_and_a_mapping_of_lldp_say_the_same():
    listed = LLDP.replace('{"eth2": ', '[{"eth2": ').replace("}}}}}", "}}]}}", 1)
    listed = '{"lldp": {"interface": [' + LLDP[LLDP.index('{"eth2"') : LLDP.rindex("}}")] + "]}}"
    assert read("lldp", listed) == read("lldp", LLDP)
    assert read("lldp", LLDP)[0] == [
        Neighbour("eth2", "leaf-1", "Eth1/7", "02:00:00:00:00:01", "to n1")
    ]


def test_json0_of_lldp_is_read_too():
    chassis = [
        {"id": [{"type": "mac", "value": "02:00:00:00:00:01"}], "name": [{"value": "leaf-1"}]}
    ]
    port = [{"id": [{"type": "ifname", "value": "Eth1/7"}], "descr": [{"value": "to n1"}]}]
    interface = [{"name": "eth2", "chassis": chassis, "port": port}]
    text = json.dumps({"lldp": [{"interface": interface}]})
    assert read("lldp", text) == read("lldp", LLDP)


def test_a_port_known_by_its_mac_goes_by_its_description():
    text = LLDP.replace("Eth1/7", "02:00:00:00:00:09")
    assert [one.system_port for one in read("lldp", text)[0]] == ["to n1"]


def test_nobody_heard_is_neither_a_neighbour_nor_a_trouble():
    assert read("lldp", '{"lldp": {}}') == ([], [])


def test_settings_leave_addresses_out_and_say_index_and_type():
    facts, _ = read("rdma_settings", TEXTS["rdma_settings"])
    assert Version("rdma/mlx5_0/1/gids", "0 RoCE v2 link-local, 1 RoCE v2 IPv4") in facts
    assert {one.part: one.value for one in facts} == {
        "rdma/mlx5_0/1/gids": "0 RoCE v2 link-local, 1 RoCE v2 IPv4",
        "rdma/mlx5_0/1/pkeys": "0xffff",
        "rdma/mlx5_0/traffic_class": "Global tclass=106",
        "rdma/mlx5_0/mtu": "9000",
        "rdma/mlx5_0/ecn_np": "3",
        "rdma/mlx5_0/1/default_mode": "RoCE v2",
    }


def test_mlnx_qos_and_dcb_say_pfc_in_the_same_words():
    facts, _ = read("roce_qos", TEXTS["roce_qos"])
    said = {one.part: one.value for one in facts}
    assert said["rdma/mlx5_0/pfc"] == said["rdma/mlx5_1/pfc"] == "3"
    assert said["rdma/mlx5_0/trust"] == "dscp"
    assert said["rdma/mlx5_0/dscp"] == "48>3"
    assert "rdma/mlx5_1/trust" not in said


def test_an_address_is_told_by_the_device_and_by_its_file():
    facts, _ = read("hccn", TEXTS["hccn"])
    assert [
        (one.part, one.actual, one.configured) for one in facts if isinstance(one, Address)
    ] == [
        ("npu0", "10.1.0.1", "10.1.0.1"),
        ("npu1", "10.1.0.9", "10.1.0.2"),
        ("npu2", "", ""),
    ]


# ------------------------------------------------------------------ what hangs where

NODES = tuple(f"n{number}" for number in range(1, 9))


def both(near: str, near_port: int, far: str, far_port: int, **rest):
    """A cable as both of its ends tell it; a box with a blank in its name is an adapter."""
    ends = ((near, near_port), (far, far_port))
    for (one, port), (other, other_port) in (ends, ends[::-1]):
        yield FabricLink(
            f"{one}/{port}", one, f"0x{one}", port,
            near_kind="ca" if " " in one else "switch", near_device=f"0x{one}",
            far=other, far_guid=f"0x{other}", far_port=other_port,
            far_kind="ca" if " " in other else "switch",
            **{"width": 4, "speed_gbit_s": 106.25, "state": "active", **rest},
        )  # fmt: skip


def cables(moved=None, *, spines=2):
    """Eight nodes of three rails, four to a leaf; `moved`: where an adapter hangs instead."""
    moved = moved or {}
    for number, node in enumerate(NODES):
        for rail in range(3):
            place = (f"leaf-{'ab'[number // 4]}{rail}", number % 4 + 1)
            place = moved.get((node, rail), place)
            if place:
                yield from both(f"{node} mlx5_{rail}", 1, *place)
    for pod in "ab":
        for rail in range(3):
            for spine in range(spines):
                far = (f"spine-{spine}", "ab".index(pod) * 3 + rail + 1)
                yield from both(f"leaf-{pod}{rail}", 10 + spine, *far)


def found_in(*facts, nodes=NODES) -> Fabric:
    evidence = [Evidence(Node(name), ()) for name in nodes[1:]]
    return discover([Evidence(Node(nodes[0]), facts), *evidence], nodes=nodes, walk="a test")


PLAN = {
    "rails": 3,
    "nodes": {
        "n[1-4]": {"leaf": "leaf-a[0-2]", "port": "[1-4]"},
        "n[5-8]": {"leaf": "leaf-b[0-2]", "port": "[1-4]"},
    },
    "spines": "spine-[0-1]",
}


def wrong(fabric: Fabric, plan: Plan | None = None):
    return [
        (one.verdict.status, one.verdict.node, one.verdict.part, one.verdict.why)
        for one in cabling(fabric, plan or parse(PLAN, "plan.yml"))
        if one.verdict.status not in (Status.PASS, Status.SKIP)
    ]


def test_leaves_spines_and_rails_are_told():
    fabric = found_in(*cables())
    assert fabric.rails == ("mlx5_0", "mlx5_1", "mlx5_2")
    assert fabric.switches(1) == ["leaf-a0", "leaf-a1", "leaf-a2", "leaf-b0", "leaf-b1", "leaf-b2"]
    assert fabric.switches(2) == ["spine-0", "spine-1"]
    assert fabric.leaf("n6", 2) == "leaf-b2"
    assert not wrong(fabric)


def test_a_node_that_lacks_an_adapter_keeps_the_rails_of_the_others():
    fabric = found_in(*cables({("n2", 0): None}))
    assert [fabric.leaf("n2", rail) for rail in range(3)] == ["", "leaf-a1", "leaf-a2"]


def test_an_adapter_is_known_by_its_guid_where_it_was_never_named():
    port = Port("mlx5_7/1", "mlx5_7", "active", guid="0xMT4129 ConnectX7")
    fabric = found_in(port, *both("MT4129 ConnectX7", 1, "leaf-a0", 1))
    assert fabric.leaf("n1", 0) == "leaf-a0"
    assert fabric.rails == ("mlx5_7",)


def test_a_host_plugged_into_a_spine_does_not_make_it_a_leaf():
    fabric = found_in(*cables({("n1", 0): ("spine-0", 30)}))
    assert fabric.levels["spine-0"] == 2
    assert wrong(fabric) == [(Status.FAIL, "n1", "rail 0 mlx5_0", "wrong leaf")]


def test_two_switches_of_one_name_are_two():
    links = [*both("n1 mlx5_0", 1, "MF0;switch", 1)]
    twin = [*both("n2 mlx5_0", 1, "MF0;switch", 1)]
    twin = [
        FabricLink(**{
            **{name: getattr(one, name) for name in one.__slots__},
            "near_guid": one.near_guid.replace("MF0", "other"),
            "far_guid": one.far_guid.replace("MF0", "other"),
        })
        for one in twin
    ]  # fmt: skip
    fabric = found_in(*links, *twin)
    assert fabric.leaf("n1", 0) != fabric.leaf("n2", 0)


@pytest.mark.parametrize(
    ("moved", "expected"),
    [
        (
            {("n1", 0): ("leaf-a1", 1), ("n1", 1): ("leaf-a0", 1)},
            [("n1", "rail 0 mlx5_0, rail 1 mlx5_1", "rails 0 and 1 are swapped")],
        ),
        ({("n2", 2): ("leaf-b2", 9)}, [("n2", "rail 2 mlx5_2", "wrong leaf")]),
        ({("n8", 1): None}, [("n8", "rail 1 mlx5_1", "missing link")]),
        (
            {("n3", 0): ("leaf-a0", 4), ("n4", 0): ("leaf-a0", 3)},
            [
                ("n3", "rail 0 mlx5_0", "right leaf, wrong port"),
                ("n4", "rail 0 mlx5_0", "right leaf, wrong port"),
            ],
        ),
    ],
)
def test_a_miscabling_is_named_by_the_plan_and_but_for_ports_by_the_peers(moved, expected):
    fabric = found_in(*cables(moved))
    by_plan = wrong(fabric)
    assert [(node, part) for _, node, part, _ in by_plan] == [one[:2] for one in expected]
    assert all(why.startswith(one[2]) for (*_, why), one in zip(by_plan, expected, strict=True))
    by_peers = wrong(fabric, infer(fabric))
    if "port" not in expected[0][2]:
        assert [(status, *rest) for status, *rest in by_peers] == [
            (Status.WARN, node, part, f"{why}; unlike its peers") for _, node, part, why in by_plan
        ]


def test_missing_and_extra_uplinks_are_named():
    links = [one for one in cables() if {one.near, one.far} != {"leaf-a0", "spine-1"}]
    links += both("leaf-b1", 20, "spine-0", 20)
    links += both("leaf-a2", 21, "leaf-b2", 21)
    fabric = found_in(*links)
    named = [(str(status), part) for status, _, part, _ in wrong(fabric)]
    assert named == [
        ("fail", "leaf-a0 > spine-1"),
        ("warn", "leaf-b1 > spine-0"),
        ("warn", "leaf-a2 > leaf-b2"),
    ]
    assert [part for *_, part, _ in wrong(fabric, infer(fabric))] == [part for _, part in named]


def test_with_one_rail_and_no_plan_nothing_is_said_of_who_is_misplaced():
    links = [one for one in cables({("n1", 0): ("leaf-b0", 9)}) if "mlx5_0" in one.near + one.far]
    fabric = found_in(*links)
    found = list(cabling(fabric, infer(fabric)))
    assert not [
        one for one in found if one.verdict.status is Status.WARN and one.verdict.node == "n1"
    ]


# ------------------------------------------------------------------ links and their errors


def bad(findings):
    return [
        (str(one.verdict.status), one.check, one.verdict.part)
        for one in findings
        if one.verdict.status not in (Status.PASS, Status.SKIP)
    ]


def test_a_link_below_what_both_ends_could_do_fails_with_both_named():
    links = [*cables(), *both("n1 mlx5_9", 1, "leaf-a0", 30, width=2, width_could=4)]
    assert bad(link_findings(found_in(*links))) == [
        ("fail", "link_width", "n1 mlx5_9/1 > leaf-a0/30")
    ]


def test_a_link_below_its_peers_fails_where_no_tool_says_what_it_could_do():
    links = [*cables(), *both("leaf-a0", 33, "spine-0", 33, speed_gbit_s=53.125)]
    assert bad(link_findings(found_in(*links))) == [
        ("fail", "link_speed", "leaf-a0/33 > spine-0/33")
    ]


def test_a_whole_tier_below_what_it_could_do_is_one_finding():
    links = [
        FabricLink(**{
            **{name: getattr(one, name) for name in one.__slots__},
            "width_could": 12 if " " in one.near + one.far else None,
        })
        for one in cables()
    ]  # fmt: skip
    assert bad(link_findings(found_in(*links))) == [("warn", "link_width", "node cables")]


def test_a_port_that_waits_for_its_subnet_manager_fails():
    links = [*cables(), *both("n1 mlx5_9", 1, "leaf-a0", 30, state="init")]
    assert bad(link_findings(found_in(*links))) == [
        ("fail", "link_state", "n1 mlx5_9/1 > leaf-a0/30")
    ]


def test_two_links_alone_are_not_compared():
    fabric = found_in(*both("n1 mlx5_0", 1, "s", 1), *both("n2 mlx5_0", 1, "s", 2, width=1))
    widths = [one for one in link_findings(fabric) if one.check == "link_width"]
    assert [one.verdict.status for one in widths] == [Status.SKIP]


def test_errors_name_both_ends_and_few_are_not_told():
    many = FabricCounters("leaf-a0/1", "leaf-a0", "0xleaf-a0", 1, {"SymbolErrorCounter": 11})
    few = FabricCounters("leaf-a1/1", "leaf-a1", "0xleaf-a1", 1, {"SymbolErrorCounter": 10})
    fabric = found_in(*cables(), many, few)
    assert bad(error_findings(fabric, asked=True)) == [
        ("warn", "link_errors", "leaf-a0/1 < n1 mlx5_0/1")
    ]


@pytest.mark.parametrize(
    ("was", "says"),
    [
        ({"SymbolErrorCounter": 60}, "+17 SymbolErrorCounter since the last walk, 2.0 h ago"),
        ({"SymbolErrorCounter": 77}, "none of them since the last walk, 2.0 h ago"),
        ({"SymbolErrorCounter": 99}, "cleared since the last walk, 2.0 h ago"),
        ({}, "+77 SymbolErrorCounter since the last walk, 2.0 h ago"),
    ],
)
def test_errors_say_whether_they_still_rise(was, says):
    now = FabricCounters("leaf-a0/1", "leaf-a0", "0xleaf-a0", 1, {"SymbolErrorCounter": 77})
    before = Before({("0xleaf-a0", "1"): was} if was else {}, 2.0)
    (one,) = error_findings(found_in(*cables(), now), asked=True, before=before)
    assert one.verdict.why.endswith(says)


def test_a_leaf_that_is_gone_is_one_finding_that_explains_its_cables():
    gone = {(node, 1): None for node in NODES[:4]}
    links = [one for one in cables(gone) if "leaf-a1" not in (one.near, one.far)]
    found = list(cabling(found_in(*links), parse(PLAN, "plan.yml")))
    told = [one for one in found if one.verdict.status is Status.FAIL and not one.shared]
    assert [(one.verdict.node, one.verdict.part) for one in told] == [
        ("leaf-a1", "the whole switch")
    ]
    explained = sorted(one.verdict.node for one in found if one.shared)
    assert explained == ["leaf-a1", "leaf-a1", "n1", "n2", "n3", "n4"]


def test_a_spine_that_is_gone_is_one_finding_too():
    fabric = found_in(*cables(spines=1))
    found = list(cabling(fabric, parse(PLAN, "plan.yml")))
    told = [one for one in found if one.verdict.status is Status.FAIL and not one.shared]
    assert [one.verdict.node for one in told] == ["spine-1"]
    assert len([one for one in found if one.shared]) == 6


def test_a_device_that_the_plan_has_no_rail_for_is_told():
    plan = parse({**PLAN, "rails": "mlx5_[0-2]"}, "plan.yml")
    links = [*cables(), *both("n1 mlx5_9", 1, "leaf-a0", 30)]
    evidence = [Evidence(Node(NODES[0]), tuple(links)), *(Evidence(Node(n), ()) for n in NODES[1:])]
    fabric = discover(evidence, nodes=NODES, rails=plan.rails, walk="a test")
    assert wrong(fabric, plan) == [
        (Status.WARN, "n1", "mlx5_9", "extra link: the plan has no rail for this device")
    ]


def test_counters_that_were_not_asked_for_do_not_pass():
    (one,) = error_findings(found_in(*cables()), asked=False)
    assert one.verdict.status is Status.SKIP


# ------------------------------------------------------------------ other sources


def test_lldp_gives_leaves_of_the_rdma_ports_alone():
    facts = (
        Port("mlx5_0/1", "mlx5_0", "active", netdev="eth2"),
        Neighbour("eth2", "tor-1", "Eth1/7"),
        Neighbour("eth0", "mgmt", "1/1"),
    )
    fabric = found_in(*facts)
    assert fabric.source == BY_LLDP
    assert (fabric.rails, fabric.leaf("n1", 0)) == (("mlx5_0",), "tor-1")


@pytest.mark.parametrize("labels", [{"leaf0": "x", "leaf1": "y"}, {"leaf": "x, y"}])
def test_labels_give_a_leaf_a_rail(labels):
    fabric = discover([Evidence(Node("n1", labels=labels), ())], nodes=("n1",))
    assert fabric.source == BY_LABELS
    assert [fabric.leaf("n1", rail) for rail in range(2)] == ["x", "y"]


def test_with_nothing_to_go_by_rails_are_by_index_and_that_is_unknown():
    port = Port("mlx5_3/1", "mlx5_3", "active")
    fabric = found_in(port)
    assert (fabric.source, fabric.rails, fabric.leaf("n1", 0)) == (BY_INDEX, ("mlx5_3",), "")
    assert [one.verdict.status for one in verdicts(fabric, None, [], counters=False)] == [
        Status.UNKNOWN
    ]


def test_a_label_that_the_fabric_contradicts_is_told():
    nodes = [Node("n1", labels={"leaf0": "leaf-b0", "leaf1": "leaf-a1"}, origin="rack.yml:3")]
    found = verdicts(found_in(*cables()), None, nodes, counters=True)
    labels = [one for one in found if one.check == "leaf_labels"]
    assert [str(one.verdict.status) for one in labels] == ["warn", "pass"]
    assert "rack.yml:3" in labels[0].verdict.remedy


# ------------------------------------------------------------------ the plan


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        ({"rail": 3}, "unknown key 'rail'; did you mean 'rails'?"),
        ({"rails": 0}, "rails: expected their number or devices"),
        ({"rails": "mlx5_[0-"}, "rails: "),
        ({"nodes": {}}, "nodes: expected"),
        ({"nodes": {"n1": {"leaf": "l[0-1]"}}}, "nodes: n1: leaf: 2 for 3 rails"),
        ({"nodes": {"n1": {"leaf": "l", "prot": 1}}}, "did you mean 'port'?"),
        ({"nodes": {"n1": {"leaf": "l"}, "n[1-2]": {"leaf": "l"}}}, "n1 stands in another line"),
        ({"nodes": {"n[1-2]": {"leaf": "l[0-2]", "port": 1}}}, "l0/1 is taken by n1 rail 0"),
        ({"uplinks": 0}, "uplinks: expected a whole number above 0"),
        ({"nodes": 3}, "nodes: expected"),
        ({"nodes": {"n1": None}}, "n1: expected {leaf"),
    ],
)
def test_a_plan_that_cannot_be_is_refused_in_one_line(edit, says):
    with pytest.raises(UserError) as told:
        parse({**PLAN, **edit}, "plan.yml")
    assert says in str(told.value)
    assert str(told.value).startswith("plan.yml: ")
    assert "\n" not in str(told.value)


def test_the_walks_are_in_no_playbook_that_asks_for_all():
    from clusterctl import playbook

    assert not set(fabric_probes()) & {probe.name for probe in playbook.load("nightly").probes}
    assert set(WALKS) <= set(fabric_probes())
