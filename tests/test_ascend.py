"""What nodes with Ascend NPUs are asked, and what becomes of the answers."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from ascend_texts import OWN, read
from rich.console import Console
from scripted import NOON, Scripted, answers, nodes, said

from clusterctl.catalog import all_checks, all_probes
from clusterctl.model import (
    Address,
    Kind,
    Node,
    Playbook,
    Run,
    Severity,
    Status,
    Trouble,
)
from clusterctl.probes.pci import BUS, END
from clusterctl.report.accounts import account
from clusterctl.report.tables import summary
from clusterctl.run import World, sweep

# ----------------------------------------------------------------------------- the question


def stub(folder: Path, tool: str, text: str) -> None:
    """A tool that says what the fixture says it said, and exits as there."""
    for piece in text.split("== run ")[1:]:
        command, _, rest = piece.partition("\n")
        output, _, status = rest.rpartition("\n== exit ")
        name = command.replace(" ", "_").replace("/", "_")
        (folder / name).write_text(output)
        (folder / f"{name}.status").write_text(status.split("\n")[0])
    script = folder / tool
    script.write_text(
        f'#!/bin/sh\nf="{folder}/{tool}_$(echo "$*" | tr " /" __)"\n'
        '[ -e "$f" ] || { echo "This device does not support it"; exit 255; }\n'
        'cat "$f"; exit "$(cat "$f.status")"\n'
    )
    script.chmod(0o755)


def ask(
    probe: str, folder: Path, path: str = os.environ["PATH"]
) -> subprocess.CompletedProcess[str]:
    """Of a machine whose /dev and PCI bus are in the folder."""
    shell, option, command = all_probes()[probe].question.without_python
    for root in ("/dev/davinci", BUS):
        command = command.replace(root, f"{folder}{root}")
    return subprocess.run(
        [shell, option, command],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": f"{folder}:{path}"},
        timeout=60,
    )


def machine(folder: Path, device: str, npus: int) -> None:
    (folder / "dev").mkdir()
    for number in range(npus):
        (folder / f"dev/davinci{number}").touch()
    (folder / "dev/davinci_manager").touch()
    card = folder / BUS.lstrip("/") / "0000:9d:00.0"
    card.mkdir(parents=True)
    for name, text in {"vendor": "0x19e5", "class": "0x120000", "device": device}.items():
        (card / name).write_text(f"{text}\n")


def test_the_question_brings_back_what_hccn_tool_says(tmp_path):
    text = (OWN / "hccn_tool/healthy.txt").read_text()
    stub(tmp_path, "hccn_tool", text)
    machine(tmp_path, "0xd803", 2)
    facts, troubles = read("hccn_tool", ask("hccn_tool", tmp_path).stdout)
    assert not troubles
    whole = [fact for fact in read("hccn_tool", text)[0] if not isinstance(fact, Address)]
    assert [fact for fact in facts if not isinstance(fact, Address)] == whole


def test_inference_cards_have_no_ports_to_ask_for(tmp_path):
    stub(tmp_path, "hccn_tool", (OWN / "hccn_tool/healthy.txt").read_text())
    machine(tmp_path, "0xd500", 2)
    assert read("hccn_tool", ask("hccn_tool", tmp_path).stdout) == ([], [])


def test_cards_without_device_files_are_a_trouble(tmp_path):
    stub(tmp_path, "hccn_tool", (OWN / "hccn_tool/healthy.txt").read_text())
    machine(tmp_path, "0xd803", 0)
    facts, (trouble,) = read("hccn_tool", ask("hccn_tool", tmp_path).stdout)
    assert not facts
    assert trouble == Trouble(Kind.MISSING, "no /dev/davinci0: is the driver loaded?")


def test_a_node_without_timeout_is_asked_all_the_same(tmp_path):
    text = (OWN / "npu_smi/healthy.txt").read_text()
    stub(tmp_path, "npu-smi", text)
    bare = tmp_path / "bin"
    bare.mkdir()
    for tool in ("sh", "cat", "tr", "sort", "date"):
        (bare / tool).symlink_to(shutil.which(tool) or tool)
    facts, troubles = read("npu_smi", ask("npu_smi", tmp_path, str(bare)).stdout)
    assert not troubles
    assert len(facts) == len(read("npu_smi", text)[0])


def test_the_question_brings_back_what_npu_smi_says(tmp_path):
    text = (OWN / "npu_smi/healthy.txt").read_text()
    stub(tmp_path, "npu-smi", text)
    answer = ask("npu_smi", tmp_path)
    assert answer.returncode == 0
    facts, troubles = read("npu_smi", answer.stdout)
    assert not troubles
    assert set(map(repr, facts)) == set(map(repr, read("npu_smi", text)[0]))


@pytest.mark.parametrize("probe", ["npu_smi", "hccn_tool", "hinicadm"])
def test_a_tool_that_is_not_installed_is_missing(probe, tmp_path):
    answer = ask(probe, tmp_path)
    assert answer.returncode == 127
    assert "not found" in answer.stderr


# ----------------------------------------------------------------------------- the whole pipe

CHECKS = (
    "accelerator_count",
    "accelerator_health",
    "accelerator_links",
    "ecc",
    "fault_codes",
    "link_flaps",
    "optics",
    "port_errors",
    "port_reach",
    "port_state",
    "stale_addresses",
    "temperature",
)
BUSES = ("9d", "9f", "a1", "a3")
ASCEND = {"vendor": "0x19e5", "device": "0xd803", "class": "0x120000", "driver@": "drv_pcie"}
NONE = f"{END}\tLinux\n"
PCI = "".join(
    f"{BUS}/0000:{bus}:00.0/{name}\t{text}\n" for bus in BUSES for name, text in ASCEND.items()
)


def swept(*told: dict[str, str | int], pci: str = PCI + NONE) -> Run:
    """A sweep of as many nodes as are given; a number is the exit status of a tool that fails."""
    probes = tuple(all_probes()[name] for name in ("pci", "npu_smi", "hccn_tool"))
    book = Playbook(
        "test",
        probes=probes,
        checks=tuple(check for n, check in all_checks().items() if n in CHECKS),
    )
    script = {
        node.name: answers(
            said("pci", pci),
            *(
                said(name, "", what) if isinstance(what, int) else said(name, what)
                for name, what in texts.items()
            ),
        )
        for node, texts in zip(many(len(told)), told, strict=True)
    }
    world = World(reach=lambda _r, _s: Scripted(script), clock=lambda: NOON, seed=1, run_id="r")
    return sweep(book, many(len(told)), world)


def many(count: int) -> tuple[Node, ...]:
    return nodes(count, sku="a3")


def case(name: str, ports: str = "") -> dict[str, str | int]:
    return {
        "npu_smi": (OWN / f"npu_smi/{name}.txt").read_text(),
        "hccn_tool": (OWN / f"hccn_tool/{ports or name}.txt").read_text(),
    }


def found(run: Run, *statuses: Status) -> set[tuple[str, str]]:
    return {
        (finding.check, finding.verdict.part)
        for finding in run.findings
        if finding.verdict.status in statuses
    }


def test_healthy_nodes_pass_and_nothing_is_left_unknown():
    run = swept(case("healthy"))
    assert not found(run, Status.FAIL, Status.WARN, Status.UNKNOWN)
    assert account(run).nodes == {"n000": Status.PASS}


def test_each_fault_of_a_troubled_node_is_named():
    run = swept(case("healthy"), case("healthy"), case("healthy"), case("troubled"))
    assert found(run, Status.FAIL) >= {
        ("accelerator_health", "npu1"),
        ("accelerator_links", "npu2"),
        ("ecc", "npu1"),
        ("fault_codes", "npu1"),
        ("link_flaps", "npu2/1"),
        ("port_reach", "npu2/1"),
        ("port_state", "npu1/1"),
        ("stale_addresses", "npu0"),
        ("stale_addresses", "npu2"),
        ("temperature", "npu2"),
    }
    assert account(run).nodes["n003"] is Status.FAIL
    assert {
        finding.verdict.node for finding in run.findings if finding.verdict.status is Status.FAIL
    } == {"n003"}


def test_the_words_are_those_of_any_other_vendor():
    """The same checks judge, so what is to be done about an error of memory is said the same."""
    run = swept(case("troubled"))
    verdicts = {(f.check, f.verdict.part): f.verdict for f in run.findings}
    ecc, hot = verdicts["ecc", "npu1"], verdicts["temperature", "npu2"]
    assert (ecc.severity, ecc.actual) == (Severity.RESET_DEVICE, "66")
    assert ecc.why == "data in device memory was lost since the driver was loaded"
    assert (hot.severity, hot.why) == (Severity.ISOLATE, "so hot that it slows down")
    worst = [
        f.verdict for f in run.findings if f.check == "fault_codes" and f.verdict.part == "npu1"
    ]
    assert [verdict.actual for verdict in worst] == ["80E18402", "80E01801"]
    assert worst[0].severity is Severity.RETURN


def test_the_table_shows_the_faults():
    run = swept(case("troubled"))
    console = Console(width=200, record=True, file=open(os.devnull, "w"))  # noqa: SIM115, PTH123
    console.print(summary(run, account(run)))
    shown = console.export_text()
    for words in ("80E18402", "npu2/1", "97 °C", "10.1.0.77"):
        assert words in shown


def test_a_garbled_node_does_not_pass():
    run = swept(case("garbled"))
    assert account(run).nodes == {"n000": Status.UNKNOWN}
    assert ("observed", "npu_smi") in found(run, Status.UNKNOWN)


def test_what_could_not_be_read_is_no_fault_beside_healthy_peers():
    run = swept(case("garbled"), case("healthy"), case("healthy"), case("healthy"))
    assert not found(run, Status.FAIL)
    assert account(run).nodes["n000"] is Status.UNKNOWN


@pytest.mark.parametrize("what", [127, 1, "", "Segmentation fault\n"])
def test_a_node_with_npus_and_a_tool_that_fails_is_unknown(what):
    run = swept({"npu_smi": what, "hccn_tool": case("healthy")["hccn_tool"]})
    assert account(run).nodes == {"n000": Status.UNKNOWN}


@pytest.mark.parametrize("what", [127, 1, "", "Segmentation fault\n"])
def test_a_node_without_npus_skips_what_their_tools_say(what):
    run = swept({"npu_smi": what, "hccn_tool": what}, pci=NIC + NONE)
    assert not found(run, Status.FAIL, Status.WARN)
    promised = {("accelerator_count", "accelerators")}  # its sku names a card, and none is there
    assert found(run, Status.UNKNOWN) == promised
    skips = [f.verdict.why for f in run.findings if f.check == "fault_codes"]
    assert skips == ["no Huawei accelerator on the PCI bus"]


NIC = "".join(
    f"{BUS}/0000:02:00.0/{name}\t{text}\n"
    for name, text in {"vendor": "0x8086", "device": "0x1533", "class": "0x020000"}.items()
)
