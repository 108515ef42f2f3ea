"""The makers' own tools as engines of gpu_burn: stubs that print as their makers publish."""

from __future__ import annotations

import json
import os
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from burning import Burning, asked, stage, statuses
from hypothesis import given
from hypothesis import strategies as st
from kin import alive, gone

from clusterctl.model import Burn, Fact, Kind, Trouble
from clusterctl.trials import gpu_burn, vendor_reports

OLD = sorted(Path.home().glob(".pyenv/versions/3.6.*/bin/python3.6"))
PYTHONS = pytest.mark.parametrize(
    "python",
    [
        sys.executable,
        pytest.param(str(OLD[0]) if OLD else "", marks=pytest.mark.skipif(not OLD, reason="3.6")),
    ],
    ids=["new", "3.6"],
)
GST = (
    "[RESULT] [  123.45] [gst-bf16] [GPU:: {gpu:5d}] GFLOPS {got} Target GFLOPS: 552000 met: {met}"
)
RVS = [
    "[RESULT] [  100.01] [gst-bf16] [GPU::  3254] Start of GPU ramp up",
    "[RESULT] [  103.01] [gst-bf16] [GPU::  3254] GFLOPS 601233",
    GST.format(gpu=3254, got=601233, met="TRUE"),
    GST.format(gpu=50599, got=401233, met="FALSE"),
    "[RESULT] [  163.01] [iet-750W] [GPU::  3254] Power(W) 748.000000",
    "[RESULT] [  163.01] [iet-750W] [GPU::  3254] pass: TRUE",
]
RESULTS = {
    "program_args": {"device_ids": ["GPU-00", "GPU-01", "GPU-02"]},
    "test_results": {
        "1": {"test": "gfx_dgemm", "state": "passed"},
        "2": {
            "test": "hbm_bw",
            "state": "failed",
            "primary_action_subject": "GPU-01",
            "primary_suggested_action": "Service",
        },
        "3": {"test": "xgmi_a2a", "state": "skipped"},
    },
}
FLOPS = """
--------------------------------------------------------------------------------------
    Device        Execute Times        Duration(ms)        TFLOPS@BF16          Power(W)
--------------------------------------------------------------------------------------
    {device}             360,000,000          1702                {rate}              239.300003
--------------------------------------------------------------------------------------
""".strip("\n")


@pytest.fixture(autouse=True)
def family(monkeypatch) -> Iterator[str]:
    """Marks every process that a test starts; none may outlive it."""
    mark = uuid.uuid4().hex
    monkeypatch.setenv("FAMILY", mark)
    yield mark
    assert gone(mark, 5), alive(mark)


@pytest.fixture
def tool(tmp_path, monkeypatch) -> Callable[[str, str], None]:
    """`tool("rvs", "exit 3")` is what the node finds on its PATH."""
    stubs = tmp_path / "bin"
    stubs.mkdir()
    monkeypatch.setenv("PATH", f"{stubs}:{os.environ['PATH']}")
    monkeypatch.setenv("TMPDIR", str(tmp_path))

    def make(name: str, script: str) -> None:
        (stubs / name).write_text(f"#!/bin/sh\n{script}\n")
        (stubs / name).chmod(0o755)

    return make


def split(found: list[Fact | Trouble]) -> tuple[list[Burn], list[Trouble]]:
    return (
        [one for one in found if isinstance(one, Burn)],
        [one for one in found if isinstance(one, Trouble)],
    )


def printing(text: str) -> str:
    return f"cat <<'.'\n{text}\n."


# ----------------------------------------------------------------------------- rvs


@PYTHONS
def test_rvs_names_the_gpu_that_missed_its_target(tool, python):
    tool("rvs", printing("\n".join(RVS)))
    seen = Burning(asked(stage("gpu_burn", engine="rvs")), python).join()
    assert not seen.troubles
    assert [(one.part, one.engine, one.errors, one.rate, one.power_w) for one in seen.facts] == [
        ("gpu3254", "rvs, gst-bf16", 0, 601.233, None),
        ("gpu50599", "rvs, gst-bf16", 1, 401.233, None),
        ("gpu3254", "rvs, iet-750W", 0, None, 748),
    ]
    assert all("unproven" in one.detail for one in seen.facts)
    assert statuses(seen) >= {"pass", "fail"}


@pytest.mark.parametrize(
    ("more", "errors"),
    [
        ("[RESULT] [ 9.1] [gst-bf16] [GPU:: 3254] self-check error 0.2500000000", 1),
        ("[RESULT] [ 9.1] [gst-bf16] [GPU:: 3254] accu-check error 3.0000000000", 1),
        ("[INFO  ] [ 9.1] all is well", 0),
    ],
)
def test_products_that_rvs_found_to_differ_are_wrong_at_any_speed(more, errors):
    burns, _ = split(list(vendor_reports.rvs([more, *RVS[:3]], 60.0, "0")))
    assert [one.errors for one in burns] == [errors]
    alone, _ = split(list(vendor_reports.rvs([more], 60.0, "0")))
    assert [one.errors for one in alone] == [1] * errors


@pytest.mark.parametrize(
    "line",
    [
        "[RESULT] [ 1.0] [gst-bf16] [GPU::  3254] GFLOPS nan Target GFLOPS: 552000 met: TRUE",
        "[RESULT] [ 1.0] [gst-bf16] [GPU::  3254] GFLOPS 601233 Target GFLOPS: 552000 met: MAYBE",
        "[RESULT] [ 1.0] [iet-750W] [GPU::  3254] pass: ",
    ],
)
def test_a_verdict_that_cannot_be_read_is_trouble_and_no_pass(line):
    burns, troubles = split(list(vendor_reports.rvs([line], 1.0, "0")))
    assert not burns
    assert troubles[0].kind is Kind.UNREADABLE


# ----------------------------------------------------------------------------- agfhc


@PYTHONS
def test_agfhc_blames_the_gpu_it_names_and_leaves_no_logs(tool, python, tmp_path):
    tool(
        "agfhc",
        f'mkdir "$5/agfhc_1" && cat >"$5/agfhc_1/results.json" <<.\n{json.dumps(RESULTS)}\n.',
    )
    seen = Burning(asked(stage("gpu_burn", engine="agfhc")), python).join()
    assert not seen.troubles
    assert [(one.part, one.errors, one.amount, one.covered) for one in seen.facts] == [
        ("gpu0", 0, 1, 0.5),
        ("gpu1", 1, 2, pytest.approx(2 / 3)),
        ("gpu2", 0, 1, 0.5),
    ]
    assert "failed hbm_bw (Service)" in seen.facts[1].detail
    assert "not run: xgmi_a2a skipped" in seen.facts[0].detail
    assert statuses(seen) >= {"fail", "unknown"}
    assert [path.name for path in tmp_path.iterdir()] == ["bin"]


@pytest.mark.parametrize("subject", ["SYSTEM", "PROGRAM", "", "GPU-00:SYSTEM", "somebody"])
def test_a_failure_that_names_no_gpu_blames_them_all(subject):
    given = {
        **RESULTS,
        "test_results": {"1": {"state": "failed", "primary_action_subject": subject}},
    }
    burns, _ = split(list(vendor_reports.agfhc(json.dumps(given), 1.0, "1")))
    assert [one.errors for one in burns] == [1, 1, 1]


@pytest.mark.parametrize("state", ["skipped", "queued", "splendid", ""])
def test_a_test_that_did_not_run_passes_nobody(state):
    given = {**RESULTS, "test_results": {"1": {"test": "hbm_bw", "state": state}}}
    burns, troubles = split(list(vendor_reports.agfhc(json.dumps(given), 1.0, "0")))
    assert not burns
    assert {one.part for one in troubles} == {"gpu0", "gpu1", "gpu2"}


# ----------------------------------------------------------------------------- ascend-dmi


def ascend(device: int, rate: float = 313.548) -> list[str]:
    return FLOPS.format(device=device, rate=rate).splitlines()


def test_ascend_dmi_gives_a_rate_and_does_not_claim_to_have_checked():
    lines = [*ascend(0), *ascend(1, 250.0), *ascend(0, 313.452)]
    burns, troubles = split(list(vendor_reports.ascend_dmi(lines, 60.0, "0")))
    assert not troubles
    assert [(one.part, one.engine, one.rate, one.errors) for one in burns] == [
        ("npu0", "ascend-dmi, bf16", pytest.approx(313.5), None),
        ("npu1", "ascend-dmi, bf16", 250, None),
    ]
    assert burns[0].seconds == pytest.approx(3.404)
    assert burns[0].power_w == pytest.approx(239.3, rel=1e-4)


@pytest.mark.parametrize(
    ("line", "errors"),
    [
        ("| aicore   | PASS |", [0]),
        ("| aicore   | EMERGENCY_WARN |", [1]),
        ("aicore GENERAL_WARN ; aicore PASS", [1]),
        ("aicore SKIP", []),
        ("all PASS", []),
    ],
)
def test_the_test_of_the_cores_is_believed_only_in_words_that_are_known(line, errors):
    burns, _ = split(list(vendor_reports.ascend_dmi([*ascend(0), line], 60.0, "0")))
    assert [one.errors for one in burns if one.part == "npu"] == errors


def test_what_is_no_measurement_is_none():
    for line in ("    0   360,000,000   1702   nan   239.3", "    0   360,000,000   1702", "hello"):
        head = ascend(0)[:3]
        burns, troubles = split(list(vendor_reports.ascend_dmi([*head, line], 1.0, "3")))
        assert not burns
        assert "measured no device" in troubles[-1].detail


# ----------------------------------------------------------------------------- all of them


@pytest.mark.parametrize("engine", ["rvs", "agfhc", "ascend-dmi", "dcgmi"])
@pytest.mark.parametrize(
    "script",
    ["exit 0", "echo hello; exit 0", "kill -9 $$", "head -c 50000 /dev/urandom"],
    ids=["mute", "words", "killed", "garbage"],
)
def test_a_tool_that_says_nothing_of_use_is_unknown(tool, engine, script):
    tool(engine, script)
    seen = Burning(asked(stage("gpu_burn", engine=engine)), sys.executable).join()
    assert not seen.facts
    assert seen.troubles
    assert statuses(seen) == {"unknown"}


def test_auto_takes_the_makers_tool_where_nothing_surer_is(tool):
    """The first of those that are here, and the result names it."""
    tool("dcgmi", "exit 1")
    tool("rvs", printing("\n".join(RVS)))
    what = asked(stage("gpu_burn", engine="auto", python="/bin/false"))
    seen = Burning(what, sys.executable).join()
    assert {one.engine.partition(",")[0] for one in seen.facts} == {"rvs"}


def test_mix_never_takes_a_tool_that_wants_the_node_for_itself():
    words = asked(stage("mix", seconds=1.0)).question.command
    at = words.index("burn_gpu")
    assert words[at + 1] == gpu_burn.CHECKED
    assert "{}" in words[at:]


WHOLE = (
    "tool\trvs\t0\t60.0\n"
    + "".join(f"line\trvs\t{line}\n" for line in RVS)
    + f"tool\tagfhc\t0\t60.0\nreport\tagfhc\t{json.dumps(RESULTS)}\n"
    + "tool\tascend-dmi\t0\t2.0\n"
    + "".join(f"line\tascend-dmi\t{line}\n" for line in [*ascend(0), "aicore PASS"])
)
WHOLE += f"end\t{WHOLE.count(chr(10))}\n"


def test_no_cut_adds_anything_and_every_cut_is_seen():
    whole, troubles = split(list(gpu_burn.parse(WHOLE)))
    assert not troubles
    assert len(whole) == 8
    for at in range(0, len(WHOLE) - 1, 3):
        burns, troubles = split(list(gpu_burn.parse(WHOLE[:at])))
        assert all(one in whole for one in burns), at
        assert troubles, at


@given(st.data())
def test_no_garbage_raises(data):
    at = data.draw(st.integers(0, len(WHOLE) - 1))
    list(gpu_burn.parse(WHOLE[:at] + data.draw(st.text(max_size=4)) + WHOLE[at + 1 :]))
