"""Exactly one observation for each node and probe, whatever the node does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from scripted import NOON, Scripted, answers, nodes, probe, said

from clusterctl.model import (
    WHOLE_NODE,
    Accelerator,
    Applies,
    Kind,
    Node,
    Observation,
    PcieDevice,
    Probe,
    Trouble,
)
from clusterctl.observe import observe, settle

GOOD = probe("good")
CARDS = probe("pci", PcieDevice)
VENDOR = probe(
    "vendor", applies=Applies(pci_vendors=("10de",), why_not="no such card on the PCI bus")
)
(NODE,) = nodes(1)


def seen(script: dict, *probes: Probe, breaks_after: int = 99) -> list[Observation]:
    world = Scripted({NODE.name: script} if script is not None else {}, breaks_after)
    return observe(NODE, probes, world, lambda: NOON)


def test_a_cut_conversation_keeps_what_was_said():
    first, second = seen(
        answers(said("good", "gpu0 40"), said("late", "gpu0 40")),
        GOOD,
        probe("late"),
        breaks_after=1,
    )

    assert first.facts
    assert not first.troubles
    assert second.troubles == (Trouble(Kind.CUT, "connection reset", WHOLE_NODE),)


def test_a_dead_node_is_one_trouble_for_every_probe():
    found = seen(None, GOOD, CARDS)

    assert [one.probe for one in found] == ["good", "pci"]
    assert {one.troubles[0].kind for one in found} == {Kind.UNREACHABLE}


def test_a_broken_parser_costs_one_cell():
    def broken(text: str) -> Iterator[Accelerator]:
        yield Accelerator("gpu0")
        raise KeyError(text)

    bad = replace(probe("bad"), parse=broken)
    first, second = seen(answers(said("bad"), said("good", "gpu0 40")), bad, GOOD)

    assert first.facts == (Accelerator("gpu0"),)
    assert first.troubles[0].kind is Kind.BUG
    assert second.facts
    assert not second.troubles


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        pytest.param(said("good", exit_code=None), Kind.TIMEOUT, id="stopped"),
        pytest.param(said("good", exit_code=127, stderr="not found"), Kind.MISSING, id="missing"),
        pytest.param(said("good", exit_code=9, stderr="no driver"), Kind.EXIT, id="failed"),
        pytest.param(said("good", exit_code=-9), Kind.EXIT, id="killed"),
        pytest.param(said("good", "gpu0 40", truncated=True), Kind.CUT, id="too-much"),
        pytest.param(said("good", "gpu0 40\nrubbish"), Kind.UNREADABLE, id="bad-row"),
    ],
)
def test_no_failure_looks_like_emptiness(answer, kind):
    (found,) = seen(answers(answer), GOOD)

    assert kind in {trouble.kind for trouble in found.troubles}


def test_a_failed_tool_keeps_the_facts_it_printed():
    (found,) = seen(answers(said("good", "gpu0 40", exit_code=15)), GOOD)

    assert [fact.part for fact in found.facts] == ["gpu0"]
    assert found.troubles


def test_a_tool_without_its_card_is_skipped():
    _, found = seen(answers(said("pci", ""), said("vendor", exit_code=127)), CARDS, VENDOR)

    assert found.skip == "no such card on the PCI bus"
    assert not found.troubles


def test_a_missing_tool_beside_its_card_is_trouble():
    _, found = seen(
        answers(said("pci", "card 0000:1b:00.0 10de"), said("vendor", exit_code=127)), CARDS, VENDOR
    )

    assert found.troubles[0].kind is Kind.MISSING


def test_a_hung_tool_is_never_excused_by_the_pci_list():
    """A card that fell off the bus takes its tool with it into a hang."""
    _, found = seen(answers(said("pci", ""), said("vendor", exit_code=None)), CARDS, VENDOR)

    assert found.troubles[0].kind is Kind.TIMEOUT


def test_an_unreadable_pci_list_excuses_nobody():
    _, found = seen(answers(said("pci", "rubbish"), said("vendor", exit_code=127)), CARDS, VENDOR)

    assert found.troubles[0].kind is Kind.MISSING


def test_an_optional_tool_that_is_absent_is_skipped_and_one_that_fails_is_not():
    optional = probe("good", optional=True)

    (absent,) = seen(answers(said("good", exit_code=127)), replace(optional, tool="goodctl"))
    assert absent.skip == "goodctl is not installed"
    (absent,) = seen(answers(said("good", exit_code=127)), optional)
    (failed,) = seen(answers(said("good", exit_code=1)), optional)

    assert absent.skip
    assert failed.troubles


def test_settle_keeps_one_observation_a_probe():
    heard = [Observation("n", "good", NOON), Observation("n", "pci", NOON)]

    assert settle(heard, (GOOD, CARDS)) == heard


def test_node_text_in_a_trouble_is_made_visible():
    (found,) = seen(answers(said("good", exit_code=1, stderr="\x1b[31mred\x00")), GOOD)

    assert found.troubles[0].detail == "exit 1: \\x1b[31mred\\x00"


def test_a_node_without_an_address_is_asked_by_its_name():
    assert Node("n1").host == "n1"
