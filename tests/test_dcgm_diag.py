"""What `dcgmi diag` says, read with its known flaws; by stubs and captured reports."""

from __future__ import annotations

import json
import os
import shutil
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from burning import Burning, asked, stage, statuses
from kin import alive, gone

from clusterctl.model import Burn, Kind
from clusterctl.trials import dcgm_diag, gpu_burn

CAPTURES = Path(__file__).parent.parent.parent / "shared" / "captures"
CAPTURED = pytest.mark.skipif(not CAPTURES.is_dir(), reason="the captures are not here")
NEW = sys.executable
OLD = sorted(Path.home().glob(".pyenv/versions/3.6.*/bin/python3.6"))
PYTHONS = pytest.mark.parametrize(
    "python",
    [
        NEW,
        pytest.param(str(OLD[0]) if OLD else "", marks=pytest.mark.skipif(not OLD, reason="3.6")),
    ],
    ids=["new", "3.6"],
)


@pytest.fixture(autouse=True)
def family(monkeypatch) -> Iterator[str]:
    """Marks every process that a test starts; none may outlive it."""
    mark = uuid.uuid4().hex
    monkeypatch.setenv("FAMILY", mark)
    yield mark
    assert gone(mark, 5), alive(mark)


@pytest.fixture
def tool(tmp_path, monkeypatch):
    """`tool("dcgmi", "exit 3")` stands before the real one on the PATH."""
    stubs = tmp_path / "bin"
    stubs.mkdir()
    monkeypatch.setenv("PATH", f"{stubs}:{os.environ['PATH']}")

    def make(name: str, script: str) -> None:
        (stubs / name).write_text(f"#!/bin/sh\n{script}\n")
        (stubs / name).chmod(0o755)

    return make


def four(*tests: dict, device: str = "2330") -> str:
    """DCGM 4's shape."""
    return json.dumps(
        {
            "DCGM Diagnostic": {"test_categories": [{"category": "Hardware", "tests": [*tests]}]},
            "entity_groups": [
                {
                    "entity_group": "GPU",
                    "entities": [{"entity_id": n, "device_id": device} for n in range(2)],
                }
            ],
            "metadata": {"version": "4.5.2"},
        }
    )


def test_of(name: str, *statuses: str, **warning: object) -> dict:
    results = [
        {"entity_group": "GPU", "entity_id": n, "status": status}
        | ({"warnings": [warning]} if warning and status == "Fail" else {})
        for n, status in enumerate(statuses)
    ]
    return {"name": name, "results": results, "test_summary": {"status": "?"}}


test_of.__test__ = False


def three(*tests: tuple[str, str, str], warning: str = "") -> str:
    """DCGM 3's shape: (name, gpu ids, status)."""
    told = [
        {"name": name, "results": [{"gpu_ids": ids, "status": status, "warnings": warning}]}
        for name, ids, status in tests
    ]
    body = {"test_categories": [{"category": "Hardware", "tests": told}], "version": "3.3.5"}
    return json.dumps({"DCGM GPU Diagnostic": body})


def read(text: str) -> tuple[list, list]:
    found = list(dcgm_diag.report(text, 900.0, "226"))
    return (
        [one for one in found if isinstance(one, Burn)],
        [one for one in found if not isinstance(one, Burn)],
    )


@pytest.mark.parametrize(
    "text",
    [
        four(test_of("memory", "Pass", "Pass"), test_of("diagnostic", "Pass", "Fail")),
        three(
            ("GPU Memory", "0,1", "PASS"), ("Diagnostic", "0", "PASS"), ("Diagnostic", "1", "FAIL")
        ),
    ],
    ids=["DCGM 4", "DCGM 3"],
)
def test_a_gpu_that_dcgmi_fails_is_named_and_the_others_pass(text):
    burns, troubles = read(text)
    assert [(burn.part, burn.errors, burn.amount) for burn in burns] == [
        ("gpu0", 0, 2.0),
        ("gpu1", 1, 2.0),
    ]
    assert "failed diagnostic" in burns[1].detail
    assert not troubles


def test_persistence_mode_is_a_setting_and_no_fault():
    said = {"error_id": 29, "error_severity": 5, "warning": "Persistence mode is disabled"}
    burns, _ = read(
        four(test_of("memory", "Pass", "Pass"), test_of("software", "Fail", "Pass", **said))
    )
    assert [burn.errors for burn in burns] == [0, 0]
    assert "Persistence mode is disabled" in burns[0].detail
    # Older versions give no severity.
    del said["error_severity"]
    burns, _ = read(
        four(test_of("memory", "Pass", "Pass"), test_of("software", "Fail", "Pass", **said))
    )
    assert [burn.errors for burn in burns] == [0, 0]


def test_another_complaint_beside_it_still_fails():
    bad = test_of("software", "Fail", "Pass")
    bad["results"][0]["warnings"] = [
        {"error_id": 29, "error_severity": 5, "warning": "Persistence mode is disabled"},
        {"error_id": 6, "error_severity": 2, "warning": "row remapping failed"},
    ]
    burns, _ = read(four(test_of("memory", "Pass", "Pass"), bad))
    assert [burn.errors for burn in burns] == [1, 0]


def test_what_was_skipped_was_not_tested():
    burns, _ = read(
        four(test_of("memory", "Pass", "Pass"), test_of("targeted_power", "Skip", "Pass"))
    )
    assert [burn.covered for burn in burns] == [0.5, 1.0]
    burns, troubles = read(four(test_of("memory", "Skip", "Skip")))
    assert not burns
    assert [trouble.part for trouble in troubles] == ["gpu0", "gpu1"]


def test_a_limit_that_cannot_be_missed_proves_nothing():
    only = test_of("memory_bandwidth", "Pass", "Pass")
    assert [burn.amount for burn in read(four(only))[0]] == [1.0, 1.0]
    burns, troubles = read(four(only, device="2335"))
    assert not burns
    assert "2333 MB/s" in troubles[0].detail


def test_a_failure_that_names_no_gpu_is_not_lost():
    text = three(("GPU Memory", "0", "PASS"), ("Inforom", "", "Fail"), warning="corrupt")
    burns, troubles = read(text)
    assert [burn.errors for burn in burns] == [0]
    assert ["inforom fail: corrupt" in trouble.detail for trouble in troubles] == [True]


def test_a_status_nobody_knows_is_not_a_pass():
    _, troubles = read(four(test_of("memory", "Splendid", "Splendid")))
    assert {trouble.kind for trouble in troubles} == {Kind.UNREADABLE, Kind.EXIT}


@CAPTURED
def test_captured_diagnoses_condemn_no_gpu_for_its_settings():
    for path in (CAPTURES / "dcgmi").glob("*level*.json"):
        burns, troubles = read(path.read_text())
        assert burns or troubles, path
        assert all(burn.errors == 0 for burn in burns), path
    burns, _ = read((CAPTURES / "dcgmi" / "glimmer_gb10-level2-plugins-allowed.json").read_text())
    assert [(burn.part, burn.amount) for burn in burns] == [("gpu0", 2.0)]


@CAPTURED
@pytest.mark.parametrize("name", ["glimmer_gb10-level2-plugins-allowed", "gcm_diag_r1_line60"])
def test_no_cut_of_a_report_raises_or_passes(name):
    line = " ".join((CAPTURES / "dcgmi" / f"{name}.json").read_text().split())
    whole = f"tool\tdcgmi\t226\t10.0\nreport\tdcgmi\t{line}\nend\t2\n"
    good = [one for one in gpu_burn.parse(whole) if isinstance(one, Burn)]
    for at in range(0, len(whole) - 1, 7):
        found = list(gpu_burn.parse(whole[:at]))
        assert not [one for one in found if isinstance(one, Burn) and one not in good], at
        assert [one for one in found if not isinstance(one, Burn)], at


@PYTHONS
@pytest.mark.parametrize(
    ("script", "status"),
    [
        ("echo 'some library says hello'; cat <<'.'\n{}\n.\nexit 0", {"pass", "skip"}),
        (
            "echo 'Error: unable to establish a connection to the specified host'; exit 1",
            {"unknown"},
        ),
        ("kill -9 $$", {"unknown"}),
        ("head -c 100000 /dev/urandom", {"unknown"}),
    ],
    ids=["report", "no engine", "killed", "garbage"],
)
def test_dcgmi_is_believed_only_where_it_reports(python, script, status, tool):
    report = json.dumps(json.loads(four(test_of("memory", "Pass", "Pass"))), indent="\t")
    tool("dcgmi", script.replace("{}", report))
    seen = Burning(asked(stage("gpu_burn", engine="dcgmi")), python).join()
    assert statuses(seen) >= status - {"skip"}
    assert len(seen.facts) == (2 if "pass" in status else 0)


@pytest.mark.skipif(bool(shutil.which("dcgmi")), reason="dcgmi is installed here")
def test_a_node_without_dcgmi_is_unknown():
    seen = Burning(asked(stage("gpu_burn", engine="dcgmi")), NEW).join()
    assert [trouble.kind for trouble in seen.troubles] == [Kind.MISSING]
    assert statuses(seen) == {"unknown"}
