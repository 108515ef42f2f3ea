"""What a tired person sees: worst first, folded, nothing vanished, everything accounted for."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

import pytest
from rich.console import Console
from scripted import NOON

from clusterctl.model import (
    Accelerator,
    Answer,
    Finding,
    Kind,
    Limit,
    Node,
    Observation,
    PcieDevice,
    Playbook,
    Run,
    Severity,
    Status,
    Trouble,
    Verdict,
)
from clusterctl.report import records
from clusterctl.report.accounts import account
from clusterctl.report.folding import fold_parts, rows
from clusterctl.report.gathered import as_text, exit_code, gather
from clusterctl.report.tables import findings_table, summary
from clusterctl.spelling import visible

PASS = Verdict("n1", "gpu0", Status.PASS)
HOT = Verdict(
    "n1", "gpu0", Status.FAIL, "≤ 87 °C", "91 °C", "too hot", "look at fans", Severity.ISOLATE, "s"
)


def run(*findings: Finding, nodes: int = 3, **how: object) -> Run:
    fleet = tuple(Node(f"n{i}") for i in range(1, nodes + 1))
    return Run("r", Playbook("p"), fleet, 1, NOON, NOON, (), findings, **how)


def shown(thing) -> str:
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(thing)
    return console.export_text()


def on(node: str, verdict: Verdict, check: str = "temperature", **how: object) -> Finding:
    return Finding(check, replace(verdict, node=node), **how)


def test_equal_findings_of_many_nodes_are_one_line():
    made = rows([on(f"n{i:03}", HOT) for i in range(1, 129)])

    assert [(row.nodes, row.count) for row in made] == [("n[001-128]", 128)]


def test_equal_findings_of_many_parts_are_one_line():
    made = rows([on("n1", replace(HOT, part=f"gpu{i}")) for i in (0, 1, 2, 5)])

    assert [row.parts for row in made] == ["gpu[0-2,5]"]


def test_findings_that_differ_stay_apart():
    assert len(rows([on("n1", HOT), on("n2", replace(HOT, actual="95 °C"))])) == 2


@pytest.mark.parametrize(
    ("parts", "folded"),
    [
        (["mlx5_0/1", "mlx5_1/1"], "mlx5_[0-1]/1"),
        (["gpu3"], "gpu3"),
        (["/", "/data"], "/, /data"),
        ([], ""),
        (["0000:1b:00.0"], "0000:1b:00.0"),
    ],
)
def test_parts_fold_and_the_odd_ones_stay(parts, folded):
    assert fold_parts(parts) == folded


def test_the_worst_and_most_urgent_come_first():
    mild = replace(HOT, status=Status.WARN, severity=Severity.OBSERVE)
    grave = replace(HOT, severity=Severity.RETURN)
    unseen = replace(HOT, status=Status.UNKNOWN)

    made = rows([on("n1", mild), on("n2", unseen), on("n3", HOT), on("n4", grave)])

    assert [row.nodes for row in made] == ["n4", "n3", "n2", "n1"]


@pytest.mark.parametrize(
    "text", ["[gpu0]", "[/dev/nvidia0]", "[bold red]x[/]", "\x1b[31mred", "a\x00b"]
)
def test_no_text_of_a_node_vanishes_raises_or_colours(text):
    out = shown(findings_table([on("n1", replace(HOT, actual=text, why=""))]))

    assert visible(text) in out
    assert "\x1b" not in out
    assert "\x00" not in out


def test_a_flood_of_one_character_is_said_once():
    assert visible("\x00" * 1000) == "\\x00{1000}"


def test_the_last_line_accounts_for_every_node():
    made = run(on("n1", PASS), on("n2", HOT), on("n3", replace(HOT, status=Status.UNKNOWN)))

    assert account(made).line.startswith("1 pass · 1 fail · 1 unknown of 3 nodes;")


def test_a_node_of_which_nothing_was_judged_is_unknown():
    made = run(on("n1", PASS), on("n2", replace(PASS, status=Status.SKIP)))

    assert account(made).nodes == {
        "n1": Status.PASS, "n2": Status.UNKNOWN, "n3": Status.UNKNOWN
    }  # fmt: skip


@pytest.mark.parametrize(
    ("findings", "code"),
    [
        ([on("n1", PASS)], 0),
        ([on("n1", replace(HOT, status=Status.WARN))], 0),
        ([on("n1", HOT)], 1),
        ([on("n1", replace(HOT, status=Status.UNKNOWN))], 4),
        ([on("n1", HOT), on("n1", replace(HOT, status=Status.UNKNOWN))], 1),
        ([on("n1", replace(HOT, status=Status.UNKNOWN, actual=str(Kind.BUG)))], 70),
        ([on("n1", replace(HOT, actual="bug"))], 1),
        ([on("n1", replace(PASS, status=Status.UNKNOWN, actual="bug"))], 4),
    ],
)
def test_exit_codes_are_api(findings, code):
    assert account(run(*findings, nodes=1)).exit_code == code


def test_no_node_is_exit_3():
    assert account(run(nodes=0)).exit_code == 3


def test_accelerators_are_counted_against_the_bus_and_silent_nodes_against_their_peers():
    from clusterctl.catalog import all_probes

    probes = tuple(all_probes()[name] for name in ("nvml", "pci"))
    cards = tuple(
        PcieDevice(f"0000:{i:02x}:00.0", "accelerator", "10de", "2330", "030200") for i in range(8)
    )
    seven = tuple(Accelerator(f"gpu{i}") for i in range(7))
    gone = Trouble(Kind.UNREACHABLE, "no route", "*")
    broken = Trouble(Kind.EXIT, "too many open files")
    seen = (
        Observation("n1", "nvml", NOON, (*seven, Accelerator("gpu7"))),
        Observation("n1", "pci", NOON, cards),
        Observation("n2", "nvml", NOON, seven),
        Observation("n2", "pci", NOON, cards),
        Observation("n3", "nvml", NOON, troubles=(gone,)),
        Observation("n3", "pci", NOON, troubles=(gone,)),
        Observation("n4", "nvml", NOON, troubles=(broken,)),
        Observation("n4", "pci", NOON, troubles=(broken,)),
    )
    made = replace(
        run(on("n1", PASS), nodes=4), observations=seen, playbook=Playbook("p", probes=probes)
    )

    (parts,) = account(made).parts

    assert (parts.seen, parts.expected) == (15, 32)


def test_parts_are_counted_against_what_the_check_itself_would_hold_the_node_to():
    from clusterctl.cli.finish import accounted
    from clusterctl.playbook import skus

    named, labelled, bare = (
        Node("n1", labels={"sku": "h100-sxm"}),
        Node("n2", labels={"sku": "h100-sxm", "accelerators": "4"}),
        Node("n3", labels={"accelerators": "nan"}),
    )
    made = replace(run(nodes=0), nodes=(named, labelled, bare))
    asked = Playbook("p", expect={"accelerator_count": {"accelerators": Limit(2, "site")}})

    assert accounted(made, None).line.endswith("; 0 of 12 accelerators seen")
    assert account(replace(made, playbook=asked), skus()).line.endswith(
        "; 0 of 6 accelerators seen"
    )


def test_what_another_finding_explains_leaves_the_table_and_is_counted():
    unseen = replace(HOT, status=Status.UNKNOWN, actual="unreachable")
    made = run(
        on("n1", unseen, "reachable"), *(on("n1", unseen, c, shared="observed") for c in "ab")
    )

    out = shown(summary(made, account(made)))

    assert "2 more findings explained by: observed" in out


def test_a_burn_says_what_becomes_of_each_node():
    made = run(on("n1", PASS), on("n2", HOT), verb="burnin")

    out = shown(summary(made, account(made)))

    assert "ACCEPT: n1 (1 node): accepted" in out
    assert "QUARANTINE: n2 (1 node): any-failure" in out
    assert "INCOMPLETE: n3 (1 node): not-seen" in out


def test_json_holds_every_finding_and_the_accounts():
    made = run(on("n1", PASS), on("n2", HOT))

    document = json.loads(records.as_json(made, account(made)))

    assert document["schema"] == 1
    assert document["nodes"] == {
        "selected": 3, "answered": 3, "pass": 1, "warn": 0, "fail": 1, "unknown": 1
    }  # fmt: skip
    assert [one["status"] for one in document["findings"]] == ["pass", "fail"]
    promised = "node part check status severity expected actual why remedy source"
    assert set(document["findings"][0]) >= set(promised.split(" "))


def test_a_cell_that_a_spreadsheet_would_run_is_made_inert():
    made = run(on("n1", replace(HOT, actual='=cmd|"/c calc"!A1')))

    (row,) = csv.DictReader(io.StringIO(records.as_csv(made)))

    assert row["actual"].startswith("'=")


def answer(text: str, code: int | None = 0) -> Answer:
    return Answer("exec", code, text, "", 1.0)


def test_nodes_that_say_the_same_are_shown_once():
    said = gather([("n1", answer("a\n")), ("n2", answer("a\n")), ("n3", answer("b\n", 2))])

    assert as_text(said) == "== n[1-2] (2)\na\n== n3 (1) exit 2\nb\n"
    assert exit_code(said) == 1


def test_a_node_without_an_answer_is_unknown_to_exec():
    said = gather([("n1", answer("a")), ("n2", Trouble(Kind.UNREACHABLE, "no route"))])

    assert "n2 (1) unreachable: no route" in as_text(said)
    assert exit_code(said) == 4
