"""Whatever becomes of one answer of one node, that node does not pass, and no other node changes.

A mutation check: real nodes are recorded once, healthy; then every probe's answer on one of them is
broken in every way a node can break it, and the recording is judged again by the same code.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from clusterctl import catalog, playbook
from clusterctl.inventory import load
from clusterctl.model import Answer, Kind, Pace, Probe, Status, Trouble
from clusterctl.report.accounts import account
from clusterctl.run import World, sweep
from clusterctl.transport.replay import Heard, Recording, Replay

pytestmark = pytest.mark.lab

NODES = 4
VICTIM = "n01"
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
Break = Callable[[Answer], Answer | Trouble | None]


PROBES = catalog.all_probes()
CARDS = "10de"  # what the lab's nodes have on their PCI bus


def applies(probe: Probe) -> bool:
    """Of cards that a node does not have, its tool may say what it likes: that is a SKIP."""
    return not probe.applies.pci_vendors or CARDS in probe.applies.pci_vendors


def half(text: str) -> str:
    return text[: len(text) // 2]


BREAKS: dict[str, Break] = {
    "stopped at its deadline": lambda a: replace(a, exit_code=None, stdout=""),
    "stopped in mid-answer": lambda a: replace(a, exit_code=None, stdout=half(a.stdout)),
    "not installed": lambda a: replace(a, exit_code=127, stdout="", stderr="not found"),
    "failed": lambda a: replace(a, exit_code=1, stdout="", stderr="no"),
    "failed after a whole answer": lambda a: replace(a, exit_code=1),
    "killed": lambda a: replace(a, exit_code=-9, stdout=half(a.stdout)),
    "silent success": lambda a: replace(a, stdout=""),
    "half an answer": lambda a: replace(a, stdout=half(a.stdout)),
    "all but its last line": lambda a: replace(a, stdout=a.stdout.rstrip("\n").rpartition("\n")[0]),
    "another language": lambda a: replace(a, stdout="无法访问设备\n"),
    "binary rubbish": lambda a: replace(a, stdout="\x00\x01\x02\ufffd" * 50),
    "flood": lambda a: replace(a, truncated=True),
    "no answer": lambda _a: None,
    "cut": lambda _a: Trouble(Kind.CUT, "connection reset"),
    "denied": lambda _a: Trouble(Kind.DENIED, "key refused"),
    "unreachable": lambda _a: Trouble(Kind.UNREACHABLE, "no route"),
}


def look(reach) -> dict[str, Status]:
    book = playbook.load("nightly")
    run = sweep(book, look.nodes, World(reach=reach, clock=lambda: NOON, seed=1, run_id="r"))
    return account(run).nodes


@pytest.fixture(scope="module")
def healthy(lab) -> list[Heard]:
    from random import Random

    from clusterctl.transport.ssh import Ssh
    from clusterctl.transport.ssh_config import Surroundings

    look.nodes = load([lab.inventory])[:NODES]
    around = Surroundings(home=lab.folder, environ={}, login="root", config=lab.ssh_config)
    heard: list[Heard] = []
    with Ssh(Pace(), around=around, rng=Random(1)) as ssh:
        statuses = look(lambda _reading, _s: Recording(ssh, heard.append))
    assert set(statuses.values()) == {Status.PASS}
    return heard


def test_the_recording_as_it_is_passes(healthy):
    assert set(look(lambda _r, _s: Replay(healthy)).values()) == {Status.PASS}


@pytest.mark.parametrize("probe", [name for name, probe in PROBES.items() if applies(probe)])
@pytest.mark.parametrize("how", list(BREAKS))
def test_no_broken_answer_ends_in_a_pass(healthy, probe, how):
    if missing(healthy, probe, BREAKS[how]):
        pytest.skip(f"{probe} is not installed on the lab's nodes, and this does not change that")
    broken = [one for said in healthy for one in damaged(said, probe, BREAKS[how])]

    statuses = look(lambda _r, _s: Replay(broken))

    assert statuses.pop(VICTIM) in {Status.UNKNOWN, Status.FAIL}
    assert set(statuses.values()) == {Status.PASS}


def missing(healthy: list[Heard], probe: str, how: Break) -> bool:
    """Whether the victim lacks this tool, and says so however its answer was broken."""
    said = [one.answer for one in healthy if one.node == VICTIM and one.answer]
    mine = [answer for answer in said if answer.name == probe and answer.exit_code == 127]
    became = [how(answer) for answer in mine]
    return bool(mine) and all(isinstance(one, Answer) and one.exit_code == 127 for one in became)


def damaged(said: Heard, probe: str, how: Break) -> list[Heard]:
    if said.node != VICTIM or said.answer is None or said.answer.name != probe:
        return [said]
    became = how(said.answer)
    if became is None:
        return []
    if isinstance(became, Trouble):
        return [Heard(VICTIM, None, became)]
    return [replace(said, answer=became)]
