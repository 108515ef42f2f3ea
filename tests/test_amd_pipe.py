"""AMD and Hygon nodes through the whole pipe: two tools of one maker, and one name of two tools."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from scripted import NOON, Scripted, answers, said
from test_no_silent_pass import BREAKS
from vendor_nodes import BY_NAME, pci_listing

from clusterctl.catalog import all_checks, all_probes
from clusterctl.model import Node, Playbook, Run, Severity, Status, Trouble
from clusterctl.report.accounts import account
from clusterctl.run import World, sweep

OWN = Path(__file__).parent / "captured"
CHECKS = (
    *("accelerator_count", "accelerator_health", "accelerator_links", "ecc", "row_remap"),
    *("temperature", "throttle", "pcie_width", "pcie_gen", "fault_codes"),
)
MISSING = {"exit_code": 127, "stderr": "not found in PATH"}


def own(probe: str, case: str) -> str:
    return (OWN / probe / f"{case}.txt").read_bytes().decode("utf-8", "replace")


def swept(vendor: str, *heard, cards: bool = True) -> Run:
    """A node with this vendor's two cards, and what its tools said."""
    listing = said("pci", pci_listing(BY_NAME[vendor if cards else "nvidia"]))
    probes = [all_probes()[name] for name in ("pci", *(one.name for one in heard))]
    return swept_by(probes, listing, *heard)


def swept_by(probes, *heard) -> Run:
    book = Playbook("p", probes=tuple(probes), checks=tuple(all_checks()[name] for name in CHECKS))
    world = World(
        lambda _r, _s: Scripted({"n1": answers(*heard)}), clock=lambda: NOON, seed=1, run_id="r"
    )
    return sweep(book, (Node("n1"),), world)


def amd(case: str) -> tuple:
    return said("amd_smi", own("amd_smi", case))


def told(run: Run) -> set[tuple[str, str, Status, Severity]]:
    """All that is not well."""
    return {
        (one.check, one.verdict.part, one.verdict.status, one.verdict.severity)
        for one in run.findings
        if one.verdict.status not in {Status.PASS, Status.SKIP}
    }


def seen(run: Run, probe: str):
    return next(one for one in run.observations if one.probe == probe)


def test_a_troubled_amd_node_is_named_card_by_card():
    found = told(swept("amd", amd("troubled")))
    assert {
        ("ecc", "gpu0", Status.FAIL, Severity.RESET_DEVICE),
        ("ecc", "gpu0", Status.WARN, Severity.OBSERVE),  # errors whose data nobody used yet
        ("fault_codes", "gpu0", Status.FAIL, Severity.RESET_DEVICE),  # its block UMC
        ("row_remap", "gpu0", Status.FAIL, Severity.RESET_DEVICE),  # a page waits for a reset
        ("pcie_width", "gpu0", Status.FAIL, Severity.ISOLATE),
        ("temperature", "gpu1", Status.FAIL, Severity.ISOLATE),
        ("throttle", "gpu1", Status.FAIL, Severity.ISOLATE),  # PROCHOT
        ("throttle", "gpu1", Status.WARN, Severity.OBSERVE),  # its firmware lowers clocks too
        ("accelerator_links", "gpu0", Status.WARN, Severity.OBSERVE),
        ("accelerator_links", "gpu1", Status.WARN, Severity.OBSERVE),
    } <= found
    assert not {one for one in found if one[2] is Status.PASS}


def test_partitions_that_leave_the_telling_to_the_first_are_no_fault():
    """CPX mode: eight to a card; only the first of a card has a temperature (ROCm 6.4.1)."""
    text = json.dumps(
        [
            {
                "gpu": number,
                "bdf": ["0000:05:00.0", "0000:26:00.0"][number // 4],
                "partition_id": number % 4,
                "asic": {"market_name": "AMD Instinct MI300X"},
                "temperature": {"hotspot": "N/A" if number % 4 else {"value": 45, "unit": "C"}},
                "ecc": "N/A" if number % 4 else {"total_uncorrectable_count": 0},
            }
            for number in range(8)
        ]
    )
    run = swept("amd", said("amd_smi", text))
    assert not told(run)
    passed = {
        (one.check, one.verdict.part) for one in run.findings if one.verdict.status is Status.PASS
    }
    assert {("temperature", "gpu0"), ("temperature", "gpu4")} <= passed
    assert ("temperature", "gpu1") not in passed


@pytest.mark.parametrize("case", ["healthy_rocm6", "healthy_rocm7"])
def test_a_healthy_node_of_both_generations_passes(case):
    run = swept("amd", amd(case), said("rocm_smi", **MISSING))
    assert not told(run)
    assert seen(run, "rocm_smi").skip
    passed = {one.check for one in run.findings if one.verdict.status is Status.PASS}
    assert {"accelerator_count", "row_remap", "ecc", "temperature", "throttle"} <= passed


def test_a_garbled_value_is_unknown_of_its_card():
    parts = {part for _, part, status, _ in told(swept("amd", amd("garbled"))) if status}
    assert "amd_smi:gpu0" in parts
    assert "amd_smi:gpu1" not in parts


def test_a_metric_that_hangs_leaves_nothing_healthy_of_it():
    run = swept("amd", amd("metric_hangs"))
    assert ("observed", "amd_smi", Status.UNKNOWN, Severity.OBSERVE) in told(run)
    passed = {one.check for one in run.findings if one.verdict.status is Status.PASS}
    assert not passed & {"ecc", "temperature", "throttle"}


def moved(text: str) -> str:
    """rocm-smi's cards where the PCI list of these nodes has them."""
    return text.replace("0000:83:00.0", "0000:05:00.0").replace("0000:A3:00.0", "0000:26:00.0")


def test_a_node_of_an_older_rocm_is_judged_by_rocm_smi():
    run = swept("amd", amd("older"), said("rocm_smi", moved(own("rocm_smi", "healthy"))))
    assert not told(run)
    passed = {one.check for one in run.findings if one.verdict.status is Status.PASS}
    assert {"accelerator_count", "ecc", "temperature"} <= passed


def test_an_older_node_whose_rocm_smi_fails_is_not_healthy():
    run = swept("amd", amd("older"), said("rocm_smi", "", 1, stderr="Traceback"))
    found = told(run)
    assert ("observed", "rocm_smi", Status.UNKNOWN, Severity.OBSERVE) in found
    assert any(check == "accelerator_count" for check, *_ in found)


def test_what_rocm_smi_alone_tells_is_named_alike():
    run = swept("amd", amd("older"), said("rocm_smi", moved(own("rocm_smi", "troubled"))))
    assert {
        ("ecc", "gpu1", Status.FAIL, Severity.RESET_DEVICE),
        ("row_remap", "gpu1", Status.FAIL, Severity.RESET_DEVICE),
        ("temperature", "gpu1", Status.FAIL, Severity.ISOLATE),
    } <= told(run)


def test_without_either_tool_beside_its_cards_nothing_passes():
    run = swept("amd", said("amd_smi", **MISSING), said("rocm_smi", **MISSING))
    found = told(run)
    assert ("observed", "amd_smi", Status.UNKNOWN, Severity.OBSERVE) in found
    assert {status for *_, status, _ in found} == {Status.UNKNOWN}


@pytest.mark.parametrize("probe", ["amd_smi", "rocm_smi", "hy_smi"])
def test_without_such_a_card_a_missing_tool_is_skipped_once(probe):
    run = swept("amd", said(probe, **MISSING), cards=False)
    assert seen(run, probe).skip
    assert not seen(run, probe).troubles


@pytest.mark.parametrize(
    ("tools", "part"),
    [
        ([said("amd_smi", own("amd_smi", "troubled"))], "gpu0"),
        (
            [
                said("amd_smi", own("amd_smi", "older")),
                said("rocm_smi", own("rocm_smi", "troubled")),
            ],
            "gpu1",
        ),
    ],
    ids=["amd_smi", "rocm_smi"],
)
def test_the_block_that_lost_data_is_named_and_explained(tools, part):
    (verdict,) = (
        one.verdict
        for one in swept("amd", *tools).findings
        if one.check == "fault_codes" and one.verdict.status is Status.FAIL
    )
    assert (verdict.part, verdict.actual) == (part, "UMC")
    assert "memory controller" in verdict.why
    assert "reset the device" in verdict.remedy


def test_a_driver_that_is_down_is_unknown():
    found = told(swept("amd", amd("driver_down")))
    assert found
    assert {status for *_, status, _ in found} == {Status.UNKNOWN}


def test_a_dcu_that_is_not_normal_is_named_as_any_vendors():
    run = swept("hygon", said("hy_smi", own("hy_smi", "troubled")))
    assert {
        ("accelerator_health", "dcu1", Status.FAIL, Severity.ISOLATE),
        ("temperature", "dcu1", Status.FAIL, Severity.ISOLATE),
    } <= told(run)
    assert {part for _, part, *_ in told(run)} == {"dcu1"}


def test_a_dcu_that_one_answer_hides_is_unknown():
    parts = {
        part for _, part, *_ in told(swept("hygon", said("hy_smi", own("hy_smi", "one_hides"))))
    }
    assert "hy_smi:dcu1" in parts


@pytest.mark.parametrize("case", ["garbled", "cut", "no_device", "of_amd"])
def test_a_bad_answer_of_hygons_tool_never_passes(case):
    found = told(swept("hygon", said("hy_smi", own("hy_smi", case))))
    assert found
    assert {status for *_, status, _ in found} == {Status.UNKNOWN}


def test_a_card_that_does_not_say_what_holds_it_back_is_a_warning():
    """As RX cards and MI200 print it, without the sections of MI300."""
    text = (
        '[{"gpu": 0, "bdf": "0000:05:00.0", "power": {"throttle_status": "UNTHROTTLED"}},'
        ' {"gpu": 1, "bdf": "0000:26:00.0", "power": {"throttle_status": "THROTTLED"}}]'
    )
    found = swept("amd", said("amd_smi", text))
    assert told(found) == {("throttle", "gpu1", Status.WARN, Severity.OBSERVE)}
    (verdict,) = (one.verdict for one in found.findings if one.verdict.status is Status.WARN)
    assert "not in our table" not in verdict.why


ANSWERED = {
    "amd_smi": ("amd", [said("amd_smi", own("amd_smi", "healthy_rocm6"))]),
    "rocm_smi": (
        "amd",
        [
            said("rocm_smi", moved(own("rocm_smi", "healthy"))),
            said("amd_smi", own("amd_smi", "older")),
        ],
    ),
    "hy_smi": ("hygon", [said("hy_smi", own("hy_smi", "healthy"))]),
}


@pytest.mark.parametrize("probe", ANSWERED)
def test_the_answers_that_are_broken_below_pass_when_whole(probe):
    vendor, heard = ANSWERED[probe]
    assert account(swept(vendor, *heard)).nodes["n1"] is Status.PASS


@pytest.mark.parametrize("how", BREAKS)
@pytest.mark.parametrize("probe", ANSWERED)
def test_no_broken_answer_beside_a_card_ends_in_a_pass(probe, how):
    vendor, (first, *others) = ANSWERED[probe]
    became = BREAKS[how](first)
    if became is None or isinstance(became, Trouble):
        became = said("nobody")  # the conversation broke before it
    probes = [all_probes()[name] for name in ("pci", probe, *(one.name for one in others))]
    listing = said("pci", pci_listing(BY_NAME[vendor]))
    run = swept_by(probes, listing, became, *others)
    assert account(run).nodes["n1"] in {Status.UNKNOWN, Status.FAIL}
