"""Fabric manager, IMEX, DCGM and MIG through the whole pipe: node's words in, table out."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console
from scripted import NOON, Scripted, answers, said

from clusterctl.catalog import all_checks, all_probes, readers
from clusterctl.model import (
    Burn,
    Copy,
    Fact,
    KernelEvent,
    Kind,
    Link,
    Node,
    Playbook,
    Run,
    Status,
    Trouble,
    Version,
)
from clusterctl.probes import dcgmi, fabricmanager, nvidia_imex, nvidia_smi
from clusterctl.report.tables import findings_table
from clusterctl.run import World, sweep

OWN = Path(__file__).parent / "captured"
CHECKS = ("fabric_manager", "fabric_domain", "diagnoses", "xid", "kernel_faults", "ecc")
ASKED = ("pci", "nvidia_smi", "kernel_log", "fabricmanager", "nvidia_imex", "dcgmi_health")
DRIVER = "550.54.15"
RACK = "5a5a2b00-9e8b-4c0f-8d1e-000000000501"
NO_TOOL = {"exit_code": 127, "stderr": "not found"}


def own(case: str) -> str:
    return (OWN / f"{case}.txt").read_bytes().decode()


def cards(cluster: str = "", clique: int = 0) -> str:
    """A healthy node's nvidia-smi, in a rack's domain where one is given."""
    fabric = f"<fabric><state>Completed</state><status>Success</status><cliqueId>{clique}"
    fabric += f"</cliqueId><clusterUuid>{cluster}</clusterUuid></fabric>"
    text = re.sub(r"<driver_version>[^<]*", f"<driver_version>{DRIVER}", HEALTHY)
    return re.sub(r"(?s)<fabric>.*?</fabric>", fabric, text) if cluster else text


HEALTHY = own("nvidia_smi/healthy_one_busy")


def manager(version: str = DRIVER, *lines: str, now: str = "Mar 02 2026 10:10:01 +0800") -> str:
    runs = f"Fabric Manager version {version} is running with the following configuration options"
    log = [f"[Mar 02 2026 04:10:01] [INFO] [tid 2101] {runs}", *lines]
    return "\n".join([f"== now {now}", "== tool", "== log", *log, "== end", ""])


def swept(*nodes: dict[str, object], labels: dict[str, str] | None = None) -> Run:
    """Nodes with these answers; what is not given is a healthy node's of its own."""
    script = {}
    for number, given_ in enumerate(nodes, 1):
        usual = {
            "pci": own("pci/h100_node"),
            "nvidia_smi": cards(),
            "kernel_log": own("kernel_log/quiet_journal"),
            "fabricmanager": manager(),
            "nvidia_imex": NO_TOOL,
            "dcgmi_health": own("dcgmi_health/healthy"),
        }
        told = {**usual, **given_}
        script[f"n{number}"] = answers(
            *(
                said(name, text) if isinstance(text, str) else said(name, **text)
                for name, text in told.items()
            )
        )
    book = Playbook(
        "p",
        probes=tuple(all_probes()[name] for name in ASKED),
        checks=tuple(all_checks()[name] for name in CHECKS),
    )
    world = World(reach=lambda _r, _s: Scripted(script), clock=lambda: NOON, seed=1, run_id="r")
    return sweep(book, [Node(name, labels=labels or {}) for name in script], world)


def bad(run: Run) -> list[tuple[str, str, str, str]]:
    """(node, check, part, status) of what a person must act on."""
    return [
        (one.verdict.node, one.check, one.verdict.part, str(one.verdict.status))
        for one in run.findings
        if one.verdict.status not in (Status.PASS, Status.SKIP)
    ]


def shown(run: Run) -> str:
    page = io.StringIO()
    Console(file=page, width=200).print(findings_table(run.findings))
    return page.getvalue()


def test_a_healthy_node_of_its_own_is_healthy():
    assert bad(swept({})) == []


def test_a_manager_of_another_version_is_named_in_the_table():
    run = swept({"fabricmanager": manager("535.161.08")})
    assert bad(run) == [("n1", "fabric_manager", "fabricmanager", "fail")]
    assert "535.161.08" in shown(run)
    assert DRIVER in shown(run)


def test_switch_errors_of_its_log_are_judged_as_those_of_the_kernel_log():
    line = (
        "[Mar 02 2026 10:09:30] [ERROR] [tid 33] detected NVSwitch fatal error 20034 on fid 0 on "
        "NVSwitch pci bus id 00000000:05:00.0 physical id 0 port 63"
    )
    (found,) = bad(swept({"fabricmanager": manager(DRIVER, line)}))
    assert found == ("n1", "xid", "0000:05:00.0", "fail")


def test_an_old_error_that_a_switch_got_over_is_no_news():
    line = (
        "[Jan 02 2026 09:40:01] [ERROR] [tid 33] detected NVSwitch non-fatal error 12028 on fid 0 "
        "on NVSwitch pci bus id 00000000:05:00.0 physical id 0 port 63"
    )
    assert bad(swept({"fabricmanager": manager(DRIVER, line)})) == []
    recent = line.replace("Jan 02 2026 09", "Mar 02 2026 10").replace("40:01", "09:30")
    assert bad(swept({"fabricmanager": manager(DRIVER, recent)})) == [
        ("n1", "xid", "0000:05:00.0", "warn")
    ]


@pytest.mark.parametrize("case", ["cut", "garbled_clock_and_tool", "denied", "no_log"])
def test_an_answer_about_the_manager_that_cannot_be_read_is_no_pass(case):
    found = bad(swept({"fabricmanager": own(f"fabricmanager/{case}")}))
    assert ("n1", "observed", "fabricmanager", "unknown") in found


def test_a_board_without_nvswitch_has_no_manager_and_no_fault():
    run = swept({"fabricmanager": own("fabricmanager/none_here")})
    assert bad(run) == []


TRAY = {"nvidia_smi": cards(RACK, 32766), "nvidia_imex": own("nvidia_imex/up")}


def test_a_rack_in_one_domain_is_healthy():
    assert bad(swept(TRAY, TRAY, TRAY, TRAY, labels={"rack": "r1"})) == []


def test_a_tray_in_another_clique_of_its_rack_is_named():
    odd = {**TRAY, "nvidia_smi": cards(RACK, 5)}
    run = swept(TRAY, TRAY, TRAY, odd, labels={"rack": "r1"})
    assert bad(run) == [("n4", "fabric_domain", "fabric domain", "warn")]
    assert "clique 5" in shown(run)


def test_a_daemon_that_is_down_fails_a_tray_and_no_lone_node():
    down = {"nvidia_imex": own("nvidia_imex/daemon_down")}
    assert bad(swept({**TRAY, **down})) == [("n1", "fabric_domain", "fabric domain", "fail")]
    assert bad(swept(down)) == []


def test_neighbours_that_are_not_ready_are_named():
    run = swept({**TRAY, "nvidia_imex": own("nvidia_imex/degraded")})
    assert bad(run) == [("n1", "fabric_domain", "fabric domain", "warn")]
    assert "10.20.0.12 unavailable" in shown(run)


@pytest.mark.parametrize("case", ["cut", "garbled"])
def test_an_imex_that_cannot_be_read_is_no_pass(case):
    found = bad(swept({**TRAY, "nvidia_imex": own(f"nvidia_imex/{case}")}))
    assert [one[1] for one in found] == ["observed"] * len(found)
    assert found


def test_what_dcgm_says_of_a_gpu_is_a_finding_of_that_gpu():
    found = bad(swept({"dcgmi_health": own("dcgmi_health/two_bad_gpus")}))
    assert ("n1", "diagnoses", "gpu3", "fail") in found
    assert ("n1", "diagnoses", "gpu3", "warn") in found
    assert ("n1", "diagnoses", "node", "fail") not in found


@pytest.mark.parametrize("case", ["unwatched", "no_engine"])
def test_a_dcgm_that_nobody_had_watch_is_no_fault(case):
    assert bad(swept({"dcgmi_health": own(f"dcgmi_health/{case}")})) == []


@pytest.mark.parametrize("case", ["cut", "garbled"])
def test_a_dcgm_that_cannot_be_read_is_no_pass(case):
    found = bad(swept({"dcgmi_health": own(f"dcgmi_health/{case}")}))
    assert found
    assert {one[1] for one in found} == {"observed"} or ("n1", "diagnoses") in {
        one[:2] for one in found
    }


def test_a_divided_gpu_raises_no_alarm_beside_whole_ones():
    """N/A in MIG mode is no sensor that went silent."""
    text = cards()
    divided = re.sub(r"(?s)(<current_mig>)\w+", r"\1Enabled", text)
    divided = re.sub(r"(?s)<ecc_errors>.*?</ecc_errors>", "", divided)
    divided = re.sub(r"<gpu_util>[^<]*", "<gpu_util>N/A", divided)
    assert divided != text
    assert bad(swept({}, {}, {}, {"nvidia_smi": divided})) == []


def test_an_error_that_one_instance_counts_fails_that_instance():
    instance = (
        "<mig_devices><mig_device><index>0</index><ecc_error_count><volatile_count>"
        "<sram_uncorrectable>2</sram_uncorrectable></volatile_count></ecc_error_count>"
        "</mig_device></mig_devices>"
    )
    text = re.sub(r"(?s)(<current_mig>)\w+", r"\1Enabled", cards(), count=1)
    text = text.replace("</mig_mode>", f"</mig_mode>{instance}", 1)
    assert bad(swept({"nvidia_smi": text})) == [("n1", "ecc", "gpu0/mig0", "fail")]


# ----------------------------------------------------------------------------- asked for real


def asked(probe, folder: Path, **tools: str):
    """What the question prints on a node that has these tools and no others of NVIDIA's."""
    for name, body in tools.items():
        (folder / name).write_text(f"#!/bin/sh\n{body}\n")
        (folder / name).chmod(0o755)
    shell = shutil.which("sh")
    ran = subprocess.run(
        [shell, *probe.question.command[1:]],
        env={**os.environ, "PATH": f"{folder}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    return ran, list(probe.parse(ran.stdout))


def test_a_node_without_a_manager_answers_that_there_is_none(tmp_path):
    ran, found = asked(fabricmanager.PROBES[0], tmp_path)
    assert ran.returncode == 0
    assert found == []


def test_the_manager_is_asked_for_its_version(tmp_path):
    tool = "echo 'Fabric Manager version is : 550.54.15'"
    _, found = asked(fabricmanager.PROBES[0], tmp_path, **{"nv-fabricmanager": tool})
    assert [(item.part, item.value) for item in found] == [("fabricmanager/installed", "550.54.15")]


def test_the_log_is_read_from_its_end(tmp_path):
    """Its last start, and its errors; not the messages that make most of it."""
    (probe,) = fabricmanager.PROBES
    log = tmp_path / "fm.log"
    text = own("fabricmanager/a_log")
    old = text.replace("550.90.07", "535.161.08").replace("12028", "11012")
    log.write_text(old + text * 3)
    command = [part.replace(fabricmanager.LOG, str(log)) for part in probe.question.command]
    ran = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    found = list(probe.parse(ran.stdout))
    assert Version("fabricmanager", "550.90.07") in found
    events = [item for item in found if isinstance(item, KernelEvent)]
    assert [event.code for event in events] == ["11012", "12028", "12028", "12028"]
    assert all(event.seconds_ago is not None for event in events)
    assert "multicast" not in ran.stdout


@pytest.mark.parametrize("probe", [nvidia_imex.PROBES[0], dcgmi.PROBES[0]], ids=lambda p: p.name)
def test_a_tool_that_is_not_there_says_so(probe, tmp_path):
    ran, _ = asked(probe, tmp_path)
    assert ran.returncode == 127


def test_imex_and_dcgm_are_asked_in_their_words(tmp_path):
    ctl = '[ "$*" = -N ] || exit 3; echo "Node #0   - 10.0.0.1 - READY"; echo "Domain State: UP"'
    _, (domain,) = asked(nvidia_imex.PROBES[0], tmp_path, **{"nvidia-imex-ctl": ctl})
    assert (domain.state, dict(domain.members)) == ("up", {"10.0.0.1": "ready"})
    health = '[ "$*" = "health -c -j" ] || exit 3; echo "Error: Health watches not enabled."'
    _, (diagnosis,) = asked(dcgmi.PROBES[0], tmp_path, dcgmi=health)
    assert diagnosis.state == "unwatched"


# ----------------------------------------------------------------------------- texts

GPU_BURN = """GPU 0: NVIDIA A100 (UUID: GPU-1)
Initialized device 0 with 81251 MB of memory (80493 MB available), using FLOATS
50.0%  proc'd: 10 (7150 Gflop/s) - 9 (7000 Gflop/s)   errors: 0 - 3  (WARNING!)  temps: 38 C - --
\r100.0%  proc'd: 20 (8000 Gflop/s) - -1 (0 Gflop/s)   errors: 0 - 0  temps: 61 C - --
done

Tested 3 GPUs:
\tGPU 0: OK
\tGPU 1: FAULTY
"""
DIAG = """+---------------------------+------------------------------------------------+
| Diagnostic                | Result                                         |
+===========================+================================================+
|-----  Hardware  ----------+------------------------------------------------|
| GPU Memory                | Pass - GPUs: 1, 2                              |
|                           | Fail - GPU: 0                                  |
| Error                     | GPU 0 had uncorrectable memory er              |
|                           | rors                                           |
|-----  Stress  ------------+------------------------------------------------|
| Targeted Power            | Skip - GPUs: 0, 1, 2                           |
+---------------------------+------------------------------------------------+
"""
BANDWIDTH = """[CUDA Bandwidth Test] - Starting...
 Device 2: Tesla T4
bandwidthTest-D2H-Pinned, Bandwidth = 12.1 GB/s, Time = 0.1 s, Size = 2000 bytes, NumDevsUsed = 1
bandwidthTest-H2D-Pinned, Bandwidth = nan GB/s, Time = 0.1 s, Size = 2000 bytes, NumDevsUsed = 1
"""
COPY = """cpu_to_gpu0_by_sm_under_numa1 26.5
gpu0_and_gpu1_read_by_dma 526.0
gpu_all_to_gpu1_write_by_sm 56.0
gpu0_to_gpu1_by_sm much
"""
TEXTS = {"gpu_burn": GPU_BURN, "dcgmi_diag": DIAG, "bandwidthTest": BANDWIDTH, "gpu_copy": COPY}


def read(name: str, text: str) -> tuple[list[Fact], list[Trouble]]:
    found = list(readers()[name](text))
    troubles = [item for item in found if isinstance(item, Trouble)]
    return [item for item in found if not isinstance(item, Trouble)], troubles


def test_gpu_burn_blames_whose_results_were_wrong_or_whose_process_died():
    burns, troubles = read("gpu_burn", GPU_BURN)
    assert [(b.part, b.errors, b.rate, b.temp_max_c, b.precision) for b in burns] == [
        ("gpu0", 0, 8.0, 61, "fp32"),
        ("gpu1", 3, 7.0, None, "fp32"),
    ]
    assert [trouble.part for trouble in troubles] == ["gpu2"]


def test_gpu_burn_without_its_results_passes_nothing():
    burns, troubles = read("gpu_burn", GPU_BURN.partition("Tested")[0])
    assert [burn.errors for burn in burns] == [None, 3]
    assert [trouble.kind for trouble in troubles] == [Kind.CUT]


def test_a_table_of_diag_is_judged_as_its_json():
    burns, _ = read("dcgmi_diag", DIAG)
    assert [(b.part, b.errors, b.covered) for b in burns] == [
        ("gpu0", 1, 0.5),
        ("gpu1", 0, 0.5),
        ("gpu2", 0, 0.5),
    ]
    assert "uncorrectable memory errors" in burns[0].detail


def test_copies_name_both_ends_and_the_way():
    (copy,), troubles = read("bandwidthTest", BANDWIDTH)
    assert (copy.part, copy.gbyte_s, copy.size_bytes) == ("gpu2>host", 12.1, 2000)
    assert len(troubles) == 1
    copies, troubles = read("gpu_copy", COPY)
    assert [(c.part, c.gbyte_s, c.way, c.both_ways) for c in copies] == [
        ("host1>gpu0", 26.5, "sm", False),
        ("gpu0>gpu1", 526.0, "read by dma", True),
        ("all>gpu1", 56.0, "write by sm", False),
    ]
    assert len(troubles) == 1


@pytest.mark.parametrize("name", TEXTS)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(place=st.floats(0, 1, exclude_max=True), new=st.text(max_size=6) | st.just("9" * 400))
def test_no_flip_of_a_text_raises_and_none_of_its_cuts_invents_a_result(name, place, new):
    text = TEXTS[name]
    at = int(place * len(text))
    read(name, text[:at] + new + text[at + len(new) :])
    facts, _ = read(name, text[:at])
    whole, _ = read(name, text)
    for fact in facts:
        assert isinstance(fact, Burn | Copy)
        assert fact.part in {item.part for item in whole}
        assert name != "gpu_burn" or (fact.part, fact.errors) != ("gpu1", 0)


@pytest.mark.parametrize("name", ["gpu_burn", "gpu_bandwidth", "cpu_burn"])
def test_a_trial_is_read_by_its_name(name):
    assert name in readers()


def test_the_counters_of_dcgmi_are_links_of_the_gpu_it_names():
    text = (
        '{"body": {"Link 3": {"children": {"CRC FLIT Error": {"value": "7"}}}, "Link 4": '
        '{"children": {"CRC FLIT Error": {"value": "N/A"}}}}, "header": ["NVLINK Error Counts", '
        '"GPU 5"]}'
    )
    links, troubles = read("dcgmi", text)
    assert links == [
        Link("gpu5/link3", "gpu5", "nvlink", "unknown", counters={"crc_flit_errors": 7})
    ]
    assert [trouble.part for trouble in troubles] == ["gpu5"]


def test_a_gpu_that_discovery_counts_and_does_not_show_is_trouble():
    text = """2 GPUs found.
+--------+----------------------------------------------------------------------+
| GPU ID | Device Information                                                   |
+--------+----------------------------------------------------------------------+
| 0      | Name: NVIDIA H100 80GB HBM3                                          |
|        | PCI Bus ID: 00000000:1B:00.0                                         |
|        | Device UUID: GPU-5a5a0000-0000-4000-8000-000000000000                |
+--------+----------------------------------------------------------------------+
"""
    (card,), (trouble,) = read("dcgmi", text)
    assert (card.part, card.pci) == ("gpu0", "0000:1b:00.0")
    assert (trouble.kind, trouble.part) == (Kind.CUT, "gpu1")


def test_only_a_text_without_our_marks_is_read_as_somebodys_own():
    """Half of what our question brings back must not pass for a listing."""
    text = nvidia_smi.BEGIN + "\n" + own("nvidia_smi/listing")
    assert [type(item) for item in nvidia_smi.parse(text)].count(Trouble) >= 1
    assert all(isinstance(item, Trouble) for item in nvidia_smi.parse(text))


# ----------------------------------------------------------------------------- cuts of raw texts

RAW = (
    *("table_mig_and_broken_fan", "query_text_troubled", "query_csv", "query_csv_nounits"),
    *("processes_csv", "retired_csv", "listing", "topology", "dmon", "version", "nvlink_alone"),
)


def values(text: str) -> dict[tuple[str, str], dict[str, object]]:
    """What each fact says, by kind and part."""
    told: dict[tuple[str, str], dict[str, object]] = {}
    for item in nvidia_smi.parse(text):
        if not isinstance(item, Trouble):
            key = (type(item).__name__, f"{item.part} {getattr(item, 'pid', '')}")
            told[key] = {
                field.name: getattr(item, field.name)
                for field in fields(item)
                if getattr(item, field.name) not in (None, "", (), {})
            }
    return told


@pytest.mark.parametrize("case", RAW)
def test_a_cut_of_a_raw_text_says_nothing_else_than_the_whole(case):
    """Its last reading may be an earlier one (dmon), and a link's state may come later.

    The first line of a listing of links is one of `-L`.
    """
    text = own(f"nvidia_smi/{case}")
    whole = values(text)
    for place in range(len(text)):
        for key, said_ in values(text[:place]).items():
            assert key in whole or case == "nvlink_alone", (place, key)
            if case not in ("dmon", "nvlink_alone", "retired_csv"):
                assert said_.items() <= whole[key].items(), place


@pytest.mark.parametrize("case", ["query_text_troubled", "query_csv", "dmon", "nvlink_alone"])
def test_a_raw_text_that_ends_within_a_line_loses_that_line(case):
    """12 of 127 MiB would be a value that nobody measured."""
    text = own(f"nvidia_smi/{case}").rstrip("\n")
    whole = values(f"{text}\n")
    assert values(text).keys() <= whole.keys()


LONG = 1_000_000  # a pattern that looks back at what it has read would take hours
LINES = {
    "dcgmi": f"Health Monitor Report\n| {' ' * LONG}x\n",
    "dcgmi_diag": f"| {' ' * LONG}x\n",
    "nvidia_smi": f"| NVIDIA-SMI 1 Driver Version: 1 \n| 0 1 1 1 | {'/' * LONG}\n",
}


@pytest.mark.parametrize("name", LINES)
def test_a_row_of_a_megabyte_is_read_once_and_is_none(name):
    facts, troubles = read(name, LINES[name])
    assert troubles
    assert all(isinstance(fact, Version) for fact in facts)
