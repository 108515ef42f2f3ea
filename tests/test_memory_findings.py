"""Findings of many runs are one table, and a run that cannot be read costs that run."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from scripted import NOON

from clusterctl import store
from clusterctl.memory import dataset
from clusterctl.model import Finding, Node, Playbook, Run, Status, Verdict

BOOK = Playbook("nightly")


def found(check: str, part: str, status: Status, node: str = "n1") -> Finding:
    return Finding(check, Verdict(node, part, status, why=f"{status} of {part}"))


def night(runs: Path, number: int, *findings: Finding) -> str:
    at = NOON + timedelta(days=number)
    run = Run(
        f"{at:%Y%m%dT%H%M%S}-nightly-{number:04x}",
        BOOK,
        (Node("n1"), Node("n2")),
        1,
        at,
        at,
        (),
        findings,
    )
    recorder = store.Recorder(runs, run.id)
    recorder.begin(store.describe(run))
    recorder.finish(run)
    return run.id


def test_what_was_ever_bad_has_its_good_nights_too_and_what_was_always_well_has_none(tmp_path):
    ids = [
        night(
            tmp_path,
            number,
            found("ecc", "gpu0", Status.PASS),
            found("ecc", "gpu1", status),
            found("xid", "gpu1", Status.SKIP, node="n2"),
        )
        for number, status in enumerate((Status.PASS, Status.FAIL, Status.PASS))
    ]
    frame = dataset.findings(tmp_path)
    assert frame[["run", "part", "status"]].to_numpy().tolist() == [
        [ids[0], "gpu1", "pass"],
        [ids[1], "gpu1", "fail"],
        [ids[2], "gpu1", "pass"],
    ]
    assert list(frame.started) == [NOON + timedelta(days=number) for number in range(3)]
    assert {*dataset.FINDING, "run", "started"} == set(frame.columns)


def test_only_what_is_asked_for(tmp_path):
    night(tmp_path, 0, found("ecc", "gpu1", Status.FAIL))
    night(tmp_path, 1, found("ecc", "gpu1", Status.FAIL), found("xid", "gpu2", Status.WARN, "n2"))
    shared = found("reachable", "rack=r1", Status.UNKNOWN, "n2,n3")
    last = night(tmp_path, 2, found("ecc", "gpu1", Status.FAIL), shared)
    later = dataset.findings(tmp_path, since=NOON + timedelta(hours=1))
    assert later.started.nunique() == 2
    assert dataset.findings(tmp_path, until=NOON).started.nunique() == 1
    assert set(dataset.findings(tmp_path, checks=["xid"])["check"]) == {"xid"}
    of_n3 = dataset.findings(tmp_path, nodes=["n3"])
    assert of_n3[["run", "part"]].to_numpy().tolist() == [[last, "rack=r1"]]
    assert dataset.findings(tmp_path, nodes=["n9"]).empty


def test_a_run_that_cannot_be_read_is_named_and_costs_that_run(tmp_path, caplog):
    ids = [night(tmp_path, number, found("ecc", "gpu1", Status.FAIL)) for number in range(5)]
    (tmp_path / ids[0] / "findings.parquet").write_bytes(b"PAR1 and then nothing")
    (tmp_path / ids[1] / "run.json").write_text("{")
    (tmp_path / ids[2] / "observations.parquet").unlink()
    (tmp_path / ids[3]).rename(tmp_path / f"{ids[3]}.partial")
    assert set(dataset.findings(tmp_path).run) == {ids[4]}
    assert all(one in caplog.text for one in ids[:3])
    assert ids[3] not in caplog.text
