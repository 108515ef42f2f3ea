"""Copies within a node: what the engines print, and which GPU is named when a path is slow."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from burning import Burning, asked, stage, statuses
from hypothesis import given
from hypothesis import strategies as st

from clusterctl.catalog import all_checks
from clusterctl.limits import resolve
from clusterctl.model import (
    Accelerator,
    Copy,
    Evidence,
    Fact,
    Kind,
    Link,
    Node,
    Playbook,
    Status,
    Trouble,
    Verdict,
)
from clusterctl.playbook import skus
from clusterctl.trials import gpu_bandwidth, nvbandwidth

TORCH = pytest.mark.skipif(not importlib.util.find_spec("torch"), reason="PyTorch is not installed")
CAPTURES = Path(__file__).parent.parent.parent / "shared" / "captures" / "nvbandwidth"
CAPTURED = pytest.mark.skipif(not CAPTURES.is_dir(), reason="the captures are not here")
OLD = sorted(Path.home().glob(".pyenv/versions/3.6.*/bin/python3.6"))
CHECK = all_checks()["gpu_bandwidth"]

# ----------------------------------------------------------------------------- nvbandwidth


def case(name: str, said: str, *lines: str, status: str = "Passed") -> dict[str, object]:
    matrix = [line.split() for line in lines]
    return {
        "name": name,
        "status": status,
        "bandwidth_description": said,
        "bandwidth_matrix": matrix,
    }


H2D = case(
    "host_to_device_memcpy_ce", "memcpy CE CPU(row) -> GPU(column) bandwidth (GB/s)", "55.3 55.4"
)
D2H = case(
    "device_to_host_memcpy_ce", "memcpy CE CPU(row) <- GPU(column) bandwidth (GB/s)", "54.3 54.4"
)
P2P = case(
    "device_to_device_memcpy_write_ce",
    "memcpy CE GPU(row) <- GPU(column) bandwidth (GB/s)",
    "N/A 390.1",
    "380.2 N/A",
)
LOCAL = case("device_local_copy", "memcpy local GPU(column) bandwidth (GB/s)", "1400 1410")


def body(*cases: dict[str, object]) -> str:
    return json.dumps({"nvbandwidth": {"git_version": "v0.8", "testcases": list(cases)}})


def split(found: list[Fact | Trouble]) -> tuple[list[Copy], list[Trouble]]:
    return (
        [one for one in found if isinstance(one, Copy)],
        [one for one in found if isinstance(one, Trouble)],
    )


def test_every_cell_is_a_path_and_its_direction_is_that_of_the_arrow():
    copies, troubles = split(list(nvbandwidth.report(body(H2D, D2H, P2P, LOCAL))))
    assert not troubles
    assert {(one.part, one.gbyte_s) for one in copies} == {
        ("host>gpu0", 55.3),
        ("host>gpu1", 55.4),
        ("gpu0>host", 54.3),
        ("gpu1>host", 54.4),
        ("gpu1>gpu0", 390.1),
        ("gpu0>gpu1", 380.2),
        ("gpu0>gpu0", 1400),
        ("gpu1>gpu1", 1410),
    }
    assert {one.engine for one in copies} == {"nvbandwidth v0.8"}
    assert {one.wrong for one in copies} == {0}


@pytest.mark.parametrize(
    ("bent", "kind"),
    [
        ({"status": "Error", "error": "CUDA_ERROR_UNKNOWN"}, Kind.EXIT),
        ({"status": "Splendid"}, Kind.UNREADABLE),
        ({"bandwidth_description": "memcpy"}, Kind.UNREADABLE),
        ({"bandwidth_matrix": [["nan", "-1"]]}, Kind.UNREADABLE),
        ({"bandwidth_matrix": None}, Kind.EXIT),
        ({"status": "Waived"}, Kind.EXIT),
    ],
)
def test_what_is_no_measurement_is_trouble_and_no_rate(bent, kind):
    copies, troubles = split(list(nvbandwidth.report(body({**H2D, **bent}))))
    assert not copies
    assert kind in {one.kind for one in troubles}


def test_a_path_that_this_machine_does_not_have_is_no_trouble():
    copies, troubles = split(list(nvbandwidth.report(body(H2D, {**P2P, "status": "Waived"}))))
    assert len(copies) == 2
    assert not troubles


@CAPTURED
def test_captured_reports_are_read():
    text = (CAPTURES / "nvbandwidth_j_ok.json").read_text()
    copies, troubles = split(list(nvbandwidth.report(text)))
    assert not troubles
    assert ("host>gpu0", 12.3964) in {(one.part, one.gbyte_s) for one in copies}
    assert ("gpu0>host", 13.2001) in {(one.part, one.gbyte_s) for one in copies}
    lines = (CAPTURES / "superbench_nvbandwidth_text.txt").read_text().splitlines()
    copies, _ = split(list(nvbandwidth.tables(lines, "0")))
    assert ("host>gpu0", 369.36) in {(one.part, one.gbyte_s) for one in copies}
    assert ("host1>gpu2", 312.11) in {(one.part, one.gbyte_s) for one in copies}
    assert ("gpu0>host", 295.15) in {(one.part, one.gbyte_s) for one in copies}


WHOLE = f"tool\tnvbandwidth\t0\t60.0\nreport\tnvbandwidth\t{body(H2D, P2P)}\nend\t2\n"
LINES = [
    "Running host_to_device_memcpy_ce.",
    "memcpy CE CPU(row) -> GPU(column) bandwidth (GB/s)",
    "           0         1",
    " 0    369.36    269.33",
    "SUM host_to_device_memcpy_ce 638.69",
]
TEXT = "tool\tnvbandwidth\t0\t60.0\n" + "".join(f"line\tnvbandwidth\t{line}\n" for line in LINES)
TEXT += f"end\t{TEXT.count(chr(10))}\n"


@pytest.mark.parametrize("whole", [WHOLE, TEXT], ids=["json", "text"])
def test_no_cut_adds_anything_and_every_cut_is_seen(whole):
    good, troubles = split(list(gpu_bandwidth.parse(whole)))
    assert good
    assert not troubles
    for at in range(len(whole) - 1):
        copies, troubles = split(list(gpu_bandwidth.parse(whole[:at])))
        assert all(one in good for one in copies), at
        assert troubles, at


@given(st.data())
def test_no_garbage_raises(data):
    text = data.draw(st.sampled_from([WHOLE, TEXT]))
    at = data.draw(st.integers(0, len(text) - 1))
    list(gpu_bandwidth.parse(text[:at] + data.draw(st.text(max_size=4)) + text[at + 1 :]))


def tool(folder: Path, script: str) -> Path:
    path = folder / "nvbandwidth"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("python", [sys.executable, *map(str, OLD[:1])], ids=lambda p: p[-10:])
def test_auto_takes_nvbandwidth_and_asks_it_only_for_what_it_lists(tmp_path, monkeypatch, python):
    report = json.dumps(json.loads(body(H2D, P2P)), indent="\t")
    listed = "  0, host_to_device_memcpy_ce:\\n  5, device_to_device_memcpy_write_ce:\\n"
    script = f"""[ "$1" = -l ] && {{ printf '{listed}'; exit 0; }}
echo "$@" >>"$ASKED"; echo 'WARNING: hello {{'; cat <<'.'\n{report}\n.\necho bye"""
    tool(tmp_path, script)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("ASKED", str(tmp_path / "asked"))
    seen = Burning(asked(stage("gpu_bandwidth", size_mib=64)), python).join()
    assert not seen.troubles
    assert len(seen.facts) == 4
    assert (tmp_path / "asked").read_text().split() == [
        *("-j", "-b", "64", "-t"),
        *("host_to_device_memcpy_ce", "device_to_device_memcpy_write_ce"),
    ]


@pytest.mark.parametrize("script", ["exit 0", "kill -9 $$", "head -c 5000 /dev/urandom"])
def test_an_nvbandwidth_that_says_nothing_is_unknown(tmp_path, monkeypatch, script):
    tool(tmp_path, script)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    seen = Burning(asked(stage("gpu_bandwidth", engine="nvbandwidth")), sys.executable).join()
    assert not seen.facts
    assert seen.troubles
    assert statuses(seen) == {"unknown"}


@pytest.mark.parametrize("engine", ["nvbandwidth", "cuda", "torch"])
def test_no_engine_is_no_pass(monkeypatch, engine):
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setenv("LD_LIBRARY_PATH", "/nonexistent")
    what = asked(stage("gpu_bandwidth", engine=engine, python="/bin/false"))
    seen = Burning(what, sys.executable).join()
    assert [one.kind for one in seen.troubles] == [Kind.MISSING]
    assert "no engine" in seen.troubles[0].detail
    assert statuses(seen) == {"unknown"}


@TORCH
def test_pytorch_times_every_copy_and_compares_what_arrives():
    knobs = {"device": "cpu", "seconds": 0.3, "size_mib": 1, "python": sys.executable}
    seen = Burning(asked(stage("gpu_bandwidth", engine="torch", **knobs)), sys.executable).join()
    assert not seen.troubles
    assert {one.part for one in seen.facts} == {"host>cpu", "cpu>host", "cpu>cpu"}
    for one in seen.facts:
        assert one.engine.startswith("PyTorch ")
        assert (one.wrong, one.size_bytes) == (0, 1 << 20)
        assert len(one.samples_gbyte_s) >= 3
        assert min(one.samples_gbyte_s) <= one.gbyte_s <= max(one.samples_gbyte_s)


# ----------------------------------------------------------------------------- the check


def copies_of(change: Callable[[str], float], *, gpus: int = 8, seed: int = 1) -> list[Copy]:
    """A node of `gpus`: 55 GB/s to the host, 390 between GPUs, times what `change` says."""
    rng = Random(seed)
    names = [f"gpu{number}" for number in range(gpus)]
    parts = [(f"host>{one}", 55.0) for one in names] + [(f"{one}>host", 54.0) for one in names]
    parts += [(f"{one}>{other}", 390.0) for one in names for other in names if one != other]
    return [
        Copy(
            part, "built-in CUDA", rate * change(part) * rng.gauss(1, 0.002), 1 << 28, 1.0, wrong=0
        )
        for part, rate in parts
    ]


def evidence(name: str, facts: list[Copy], *more: Fact, model: str = "") -> Evidence:
    limits = resolve(CHECK, Playbook("p"), skus(), Node(name), model)
    cards = [Accelerator(f"gpu{n}", model=model) for n in range(8)] if model else []
    return Evidence(Node(name), (*facts, *cards, *more), limits)


def worst(*fleet: Evidence) -> list[Verdict]:
    return [one for one in CHECK.judge(fleet) if one.status is not Status.PASS]


def sound(_part: str) -> float:
    return 1.0


def test_like_paths_that_are_alike_pass_without_any_floor():
    assert not worst(evidence("n1", copies_of(sound)))


@pytest.mark.parametrize("part", ["host>gpu3", "gpu5>host", "gpu2>gpu6"])
def test_one_slow_path_is_named_and_no_other(part):
    (found,) = worst(evidence("n1", copies_of(lambda one: 0.7 if one == part else 1.0)))
    assert (found.part, found.status, found.yardstick) == (part, Status.FAIL, "peers")


def test_a_gpu_in_all_the_slow_pairs_is_named_instead_of_them():
    found = worst(
        evidence("n1", copies_of(lambda one: 0.6 if one[:3] + one[4:] == "gpu>gpu3" else 1.0))
    )
    assert [(one.part, one.status) for one in found] == [("gpu3", Status.FAIL)]
    assert "7 of 7 paths to it fail" in found[0].why


def test_links_of_both_ends_stand_beside_a_slow_pair():
    links = [Link(f"gpu2/link{n}", "gpu2", "nvlink", "up" if n else "down") for n in range(18)]
    slow = copies_of(lambda one: 0.7 if one == "gpu2>gpu6" else 1.0)
    (found,) = worst(evidence("n1", slow, *links))
    assert "gpu2: 17 of 18 nvlinks up" in found.why


def test_a_floor_holds_where_all_are_slow():
    low = copies_of(lambda part: 0.8 if "host" in part else 1.0)
    found = worst(evidence("n1", low, model="NVIDIA H100 80GB HBM3"))
    assert {one.part for one in found} == {f"host>gpu{n}" for n in range(8)} | {
        f"gpu{n}>host" for n in range(8)
    }
    assert {(one.status, one.expected) for one in found} == {(Status.FAIL, "≥ 48 GB/s")}
    assert "azurehpc-health-checks" in found[0].source


def test_two_kinds_of_path_are_not_called_broken():
    """PCIe: pairs on one switch are faster than pairs across the sockets."""

    def near(part: str) -> float:
        one, _, other = part.partition(">")
        return 1.0 if "host" in part or (one < "gpu4") == (other < "gpu4") else 0.6

    found = worst(evidence("n1", copies_of(near)))
    assert Status.FAIL not in {one.status for one in found}
    fleet = [evidence(f"n{n}", copies_of(near, seed=n)) for n in range(6)]
    assert not worst(*fleet)
    odd = copies_of(lambda part: near(part) * (0.8 if part == "gpu1>gpu6" else 1.0), seed=9)
    (seen,) = worst(*fleet, evidence("n9", odd))
    assert (seen.node, seen.part, seen.status) == ("n9", "gpu1>gpu6", Status.FAIL)


def test_few_paths_without_a_floor_are_not_judged():
    (found,) = worst(evidence("n1", [Copy("host>gpu0", "e", 12.0, wrong=0)]))
    assert found.status is Status.SKIP


@pytest.mark.parametrize(
    ("bent", "status"),
    [
        ({"wrong": 3}, Status.FAIL),
        ({"gbyte_s": 0.0}, Status.FAIL),
        ({"gbyte_s": 9999.0}, Status.UNKNOWN),
    ],
)
def test_a_copy_that_cannot_be_right_never_passes(bent, status):
    first, *others = copies_of(sound)
    found = worst(evidence("n1", [replace(first, **bent), *others]))
    assert [(one.part, one.status) for one in found] == [(first.part, status)]


@pytest.mark.parametrize(("knob", "value"), [("engine", "gpu"), ("device", "npu"), ("size_mib", 0)])
def test_a_knob_that_cannot_be_so_is_refused(knob, value):
    what = stage("gpu_bandwidth", **{knob: value})
    assert what.trial.refuse(what.params).startswith(f"{knob}: ")


def test_faster_than_the_wire_is_a_broken_test_and_no_pass():
    facts = copies_of(lambda part: 1.3 if part.startswith("host>") else 1.0)
    found = worst(evidence("n1", facts, model="NVIDIA H100 80GB HBM3"))
    assert {one.part for one in found} == {f"host>gpu{number}" for number in range(8)}
    assert {(one.status, one.expected) for one in found} == {(Status.UNKNOWN, "≤ 63 GB/s")}
