"""The answer of triage: its nouns and the three ways it is written."""

from __future__ import annotations

import csv
import io
import json

import pytest
from rich.console import Console

from clusterctl.report import triage as report
from clusterctl.triage.running.job import gathered as job_of
from clusterctl.triage.stacks.asked_stacks import gathered as stacks_of
from clusterctl.triage.verdict import NEXT, NO_CULPRIT, Cause, RuledOut, Suspect, Triage

SLOW = Triage(
    Cause.WORKER,
    slowdown=1.97,
    share={Cause.WORKER: 0.998, Cause.STAGE: 0.0},
    suspects=(
        Suspect("dp 0 stage 0", (0, 1, 2, 3, 9), "n001", 2.4, 0.99, ("2.4 times its peers",)),
    ),
    ruled_out=(RuledOut(Cause.STAGE, "the last stage keeps pace", 0.0),),
    confidence=0.99,
)


def shown(found):
    console = Console(width=160, file=io.StringIO())
    console.print(report.as_table(found))
    return console.file.getvalue()


def test_json_is_as_documented():
    told = json.loads(report.as_json(SLOW))
    assert told["schema"] == 1
    assert told["class"] == "worker"
    assert told["slowdown"] == 1.97
    assert told["share"] == {"worker": 0.998, "stage": 0.0}
    assert told["suspects"][0] == {
        "what": "dp 0 stage 0",
        "ranks": [0, 1, 2, 3, 9],
        "node": "n001",
        "slowdown": 2.4,
        "confidence": 0.99,
        "why": ["2.4 times its peers"],
    }
    assert told["ruled_out"][0]["class"] == "stage-imbalance"


def test_json_has_no_number_that_json_has_not():
    told = json.loads(report.as_json(Triage(Cause.UNKNOWN, slowdown=float("nan"))))
    assert told["slowdown"] is None


def test_the_verdict_comes_first_and_names_the_suspect():
    lines = shown(SLOW).splitlines()
    assert lines[0].startswith("worker:")
    assert "dp 0 stage 0" in lines[0]
    assert "0-3,9" in "\n".join(lines)
    assert lines[-1].startswith("next:")


def test_what_nobody_saw_is_on_the_screen():
    assert "12 rows" in shown(Triage(Cause.HEALTHY, 1.0, unseen=("12 rows unreadable",)))


def test_of_much_that_was_not_seen_a_person_is_told_some_and_how_much():
    many = Triage(Cause.UNKNOWN, unseen=tuple(f"n{one}: why {one}" for one in range(500)))
    lines = shown(many).splitlines()
    assert len([line for line in lines if "not seen" in line]) == 21
    assert any("480 more" in line and "--format json" in line for line in lines)
    assert len(json.loads(report.as_json(many))["unseen"]) == 500


def test_nodes_that_say_nothing_for_one_reason_are_one_line():
    silent = {f"n{number:03}": "unreachable: no route" for number in range(1, 65)}
    silent["n100"] = "denied: no key"
    lines = ("n100: denied: no key", "n[001-064]: unreachable: no route")
    assert set(job_of([], silent).unseen) == set(lines)
    assert set(stacks_of([], silent).unseen) == set(lines)


def test_a_hang_is_no_number():
    hung = Triage(Cause.WORKER, None, suspects=(Suspect("rank 3", (3,), "n004"),))
    assert "does not move" in shown(hung)
    assert "stands still" in shown(hung)
    assert json.loads(report.as_json(hung))["slowdown"] is None


@pytest.mark.parametrize("cause", sorted(NO_CULPRIT))
def test_a_class_without_a_culprit_names_no_suspect(cause):
    with pytest.raises(ValueError, match="no culprit"):
        Triage(cause, suspects=(Suspect("n001"),))


@pytest.mark.parametrize("cause", Cause)
def test_every_class_says_what_to_do_and_exits_as_documented(cause):
    assert " ".join(NEXT[cause].split()) in " ".join(shown(Triage(cause, 1.2)).split())
    assert report.exit_code(Triage(cause)) in {0, 1, 4}


def test_csv_has_one_line_a_suspect():
    (row,) = csv.DictReader(io.StringIO(report.as_csv(SLOW)))
    assert row["what"] == "dp 0 stage 0"
    assert row["ranks"] == "0 1 2 3 9"
    (row,) = csv.DictReader(io.StringIO(report.as_csv(Triage(Cause.HEALTHY, 1.0))))
    assert row["class"] == "healthy"
    assert not row["what"]


def test_hostile_names_are_shown_not_obeyed():
    hostile = Suspect("[red]x[/red]\x1b[31m", (1,), "n\x07", 2.0, 0.5, ("[/nope]",))
    text = shown(Triage(Cause.WORKER, 1.5, suspects=(hostile,)))
    assert "[red]x[/red]" in text
    assert "\x1b" not in text
    assert "[/nope]" in text
