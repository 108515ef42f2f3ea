"""Which burns clear a node of the check that took it out."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import pytest
from scripted import NOON

from clusterctl import store
from clusterctl.act.proof import proof
from clusterctl.model import Finding, Node, Run, Severity, Status, Verdict
from clusterctl.playbook import build

BOOK = build(
    "b", {"name": "b", "stages": ["disk_burn"], "soak": {"hours": 1, "load": ["cpu_burn"]}}
)
AGAIN = {"again": Status.WARN}
GOOD = {**AGAIN, "xid": Status.PASS}


def burn(
    runs: Path, name: str, told: Mapping[str, Status], hours: float = 1.0, **how: object
) -> None:
    """A burn of n7 and n8, so many hours after noon, that ended with these verdicts of n7."""
    at = NOON + timedelta(hours=hours)
    found = [
        Finding(check, Verdict("n7", "part", status, severity=Severity.ISOLATE))
        for check, status in told.items()
    ]
    found += [Finding(check, Verdict("n8", "part", status)) for check, status in GOOD.items()]
    cells = {"verb": "burnin", "complete": True, **how}
    run = Run(name, BOOK, (Node("n7"), Node("n8")), 1, at, at, (), tuple(found), **cells)  # type: ignore[arg-type]
    recorder = store.Recorder(runs, name)
    recorder.begin(store.describe(run))
    recorder.finish(run)


def said(runs: Path) -> tuple[str, str]:
    return proof(runs, "n7", "xid", NOON)


def test_a_burn_again_that_was_accepted_with_the_check_passed_clears_the_node(tmp_path):
    burn(tmp_path, "b1", GOOD)
    assert said(tmp_path) == ("b1", "xid passed under load in b1")


@pytest.mark.parametrize(
    ("told", "how", "why"),
    [
        ({"xid": Status.PASS}, {}, "no burn since then"),  # it was not burnt as one that returns
        (GOOD, {"hours": -1}, "no burn since then"),
        (GOOD, {"verb": "sweep"}, "no burn since then"),
        (GOOD, {"complete": False}, "no burn since then"),
        (AGAIN, {}, "INCOMPLETE|xid passed nowhere in it"),
        ({**GOOD, "ecc": Status.FAIL}, {}, "does not clear that: QUARANTINE"),
        ({**AGAIN, "ecc": Status.PASS}, {}, "xid passed nowhere in it"),
        ({**AGAIN, "xid": Status.SKIP, "ecc": Status.PASS}, {}, "xid passed nowhere in it"),
        ({**AGAIN, "xid": Status.WARN, "ecc": Status.PASS}, {}, "xid of part is warn"),
        ({**AGAIN, "xid": Status.UNKNOWN, "ecc": Status.PASS}, {}, "INCOMPLETE|QUARANTINE"),
    ],
)
def test_anything_less_does_not(tmp_path, told, how, why):
    burn(tmp_path, "b1", told, **how)
    run, words = said(tmp_path)
    assert run == ""
    assert any(one in words for one in why.split("|")), words
    assert "burnin --again n7" in words


def test_a_newer_burn_that_failed_takes_back_what_an_older_one_proved(tmp_path):
    burn(tmp_path, "b1", GOOD)
    burn(tmp_path, "b2", {**GOOD, "ecc": Status.FAIL}, hours=2)
    assert said(tmp_path)[0] == ""
    burn(tmp_path, "b3", GOOD, hours=3)
    assert said(tmp_path)[0] == "b3"


def test_a_newer_burn_that_cannot_be_read_may_have_failed(tmp_path):
    burn(tmp_path, "b1", GOOD)
    (tmp_path / "b3").mkdir()
    (tmp_path / "b3" / "run.json").write_text("{")  # nobody knows of which nodes
    assert said(tmp_path)[0] == "b1"
    burn(tmp_path, "b2", GOOD, hours=2)
    (tmp_path / "b2" / "findings.parquet").write_bytes(b"rubbish")
    assert said(tmp_path)[0] == ""
    assert "b2 after it does not clear that: it cannot be read" in said(tmp_path)[1]
