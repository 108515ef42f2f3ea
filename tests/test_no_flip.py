"""However a campaign is interrupted and resumed, a bad node does not become a good one."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from random import Random

import pytest
from scripted import NOON
from test_watched import BEFORE, PORT, SYMBOLS, XID, of

from clusterctl.acceptance import GRAVEST_FIRST, Outcome, decide, shipped_rules
from clusterctl.campaign.course import learn
from clusterctl.campaign.decisions import Case, apply
from clusterctl.campaign.verdict import Told, results, verdict
from clusterctl.model import LogWindow, Node, Observation, Run, Status
from clusterctl.playbook import build

BURNT_S, STEP_S = 60, 6
BOOK = build(
    "test",
    {
        "name": "test",
        "probes": ["nvml", "sysfs_rdma", "pci", "memory", "kernel_log", "ethtool"],
        "checks": ["ecc", "row_remap", "throttle", "temperature", "xid", "port_errors",
                   "pcie_errors", "memory_errors", "burn_errors", "burn_rate"],
        "soak": {"hours": BURNT_S / 3600, "sample_s": 1, "load": ["cpu_burn"]},
    },
)  # fmt: skip
NODE = Node("n1")
LOG = Observation("n1", "kernel_log", NOON, (LogWindow("kmsg", 3600.0, 99),))
READ = (*BEFORE, LOG)
OPENING = Run("r", BOOK, (NODE,), 1, NOON, NOON, (), (), verb="burnin")
NAMES = ("nvml", "gpu3.ecc_uncorrected_volatile", "gpu3.throttle_mask", "gpu3.handle", SYMBOLS,
         "gpu3.remapped", "gpu3.power_w")  # fmt: skip
WELL = ("ok", 0, 4, "ok", 7, "0 0 0 0", 600)
FAULTS = {
    "ecc": {1: 1},
    "throttle": {2: 0x48},
    "gone": {3: "!GpuIsLost"},
    "symbols": {4: 5007},
    "remap": {5: "0 0 0 1"},
    "xid": {},
    "wrong": {},
}
ROW = (
    "burn\tpart=cpu\tengine=built-in\tseconds=5\tamount=100\tunit=operations\trate=20\t"
    "rate_unit=op_s\terrors=%d\tcovered=1\tasked=1\tdetail=2 of 2 cores\nend\t1\n"
)
INTERRUPTIONS = ("killed", "rebooted", "lease", "full disk", "orphaned")


@dataclass
class Writer:
    """A node that writes its journal second by second, as a supervisor would."""

    rng: Random
    at_s: float = 0.0
    sequence: int = 0
    boot: int = 0
    soaks: int = 0
    step: int = 0
    ran_s: float = -1.0
    values: list[object] = field(default_factory=lambda: list(WELL))
    lines: list[bytes] = field(default_factory=list)

    def tell(self, kind: str, **cells: object) -> None:
        words = {"k": kind, "m": round(self.at_s, 3), **cells}
        text = f"{self.sequence} {json.dumps(words, separators=(',', ':'))}".encode()
        self.lines.append(b"%08x %s\n" % (zlib.crc32(text), text))
        self.sequence += 1

    def start(self) -> None:
        self.tell("start", boot=f"boot{self.boot}", every_s=1)
        self.soaks += 1
        self.tell("command", do="soak", id=f"soak{self.soaks}", on=True)
        self.tell("full", groups=[["", list(NAMES), self.values]])
        self.ran_s = -1.0

    def second(self, *, wrong: bool = False) -> None:
        if self.ran_s < 0:
            self.step, self.ran_s = self.step + 1, 0.0
            self.tell("begin", step=f"soak{self.soaks}/{self.step}", name="cpu_burn", soak=True)
        self.at_s, self.ran_s = self.at_s + 1, self.ran_s + 1
        power = self.rng.choice((599, 600, 601))
        self.values[6] = power
        self.tell("sample", d=[6, power])
        if self.ran_s >= STEP_S or wrong:
            step = f"soak{self.soaks}/{self.step}"
            self.tell("end", step=step, name="cpu_burn", soak=True, code=0, why="exit",
                      s=self.ran_s, out=ROW % wrong, err="")  # fmt: skip
            self.ran_s = -1.0

    def break_down(self, fault: str) -> None:
        """Seen in one sample, and mended before the next, but for what counts."""
        delta = [cell for pair in FAULTS[fault].items() for cell in pair]
        for place, value in FAULTS[fault].items():
            if NAMES[place] in {SYMBOLS, "gpu3.ecc_uncorrected_volatile"}:
                self.values[place] = value
        if delta:
            self.tell("sample", d=delta, news=1)
            well = [cell for place in FAULTS[fault] for cell in (place, self.values[place])]
            self.tell("sample", d=well, news=1)
        if fault == "xid":
            self.tell("kernel", lines=[[self.at_s, XID]])
        self.second(wrong=fault == "wrong")

    def interrupt(self, how: str) -> None:
        match how:
            case "rebooted":
                self.boot, self.at_s = self.boot + 1, 1.0
                self.values = list(WELL)
                self.values[4] = 0  # counters of hardware begin anew
            case "lease":
                self.tell("lease", held=False, after_s=9, policy="stop")
                self.tell("stop", why="lease")
                self.tell("finish", why="lease")
            case "full disk":
                self.tell("disk", error="ENOSPC")
                self.tell("disk", error="", lost_samples=3)
            case "orphaned":
                self.tell("orphaned", why="killed", survivors=0)
        self.start()


def journal(seed: int, fault: str, *, interruptions: int, how: tuple[str, ...]) -> list[bytes]:
    rng = Random(seed)
    node = Writer(Random(seed + 1))
    broken_at = rng.randrange(5, BURNT_S)
    breaks = {rng.randrange(3, 2 * BURNT_S): rng.choice(how) for _ in range(interruptions)}
    node.start()
    for second in range(2 * BURNT_S):
        if second in breaks:
            node.interrupt(breaks[second])
        if fault and second == broken_at:
            node.break_down(fault)
        node.second()
    return node.lines


def seen_by_half(silence: str) -> list[bytes]:
    """Nobody samples for a while, or NVML is mute."""
    node = Writer(Random(1))
    node.start()
    for second in range(3 * BURNT_S):
        if second == BURNT_S + 2 and silence == "stopped":
            node.at_s += BURNT_S
        elif second == BURNT_S and silence == "nvml":
            node.tell("sample", d=[0, "timeout"], news=1)
        elif second == 2 * BURNT_S and silence == "nvml":
            node.tell("sample", d=[0, "ok"], news=1)
        node.second()
    return node.lines


def outcome(lines: list[bytes], rng: Random) -> Outcome:
    """As a controller hears it: in pieces of any length."""
    case = Case(NODE)
    for decision in ({"do": "gate"}, {"do": "start", "base": 0}, {"do": "soak", "id": "soak1"}):
        apply(case, {"at": NOON.isoformat(), "node": "n1", **decision})
    for piece in pieces(lines, rng):
        learn(case.course, piece)
    apply(case, {"at": NOON.isoformat(), "node": "n1", "do": "end", "why": "burnt"})
    case.phase = "done"
    told = Told(case, READ, (*READ, *results(case, BOOK, NOON)))
    (found,) = decide(verdict(OPENING, [told], (), NOON), shipped_rules())
    return found


def judged(lines: list[bytes], rng: Random) -> str:
    return str(outcome(lines, rng).decision)


def pieces(lines: list[bytes], rng: Random) -> Iterator[bytes]:
    left = list(lines)
    while left:
        some = rng.randrange(1, 40)
        yield b"".join(left[:some])
        left = left[some:]


def grave(decision: str) -> int:
    return [str(one) for one in GRAVEST_FIRST].index(decision)


def test_a_healthy_node_is_accepted_however_often_its_supervisor_dies():
    for seed in range(12):
        rng = Random(seed)
        calm = journal(seed, "", interruptions=0, how=INTERRUPTIONS)
        assert judged(calm, rng) == "ACCEPT"
        killed = journal(seed, "", interruptions=4, how=("killed", "lease", "orphaned"))
        assert judged(killed, rng) == "ACCEPT", seed


@pytest.mark.parametrize("fault", FAULTS)
def test_no_interruption_makes_a_bad_node_better(fault):
    for seed in range(6):
        rng = Random(seed)
        calm = judged(journal(seed, fault, interruptions=0, how=INTERRUPTIONS), rng)
        assert calm in {"RETURN", "QUARANTINE"}, (fault, seed)
        for many in (1, 3, 6):
            again = journal(seed, fault, interruptions=many, how=INTERRUPTIONS)
            assert grave(judged(again, rng)) <= grave(calm), (fault, seed, many)


@pytest.mark.parametrize("fault", FAULTS)
def test_what_was_found_is_still_found_when_more_is_known(fault):
    """Cut at any record, resumed, cut again: INCOMPLETE may become ACCEPT, a fault never less."""
    lines = journal(3, fault, interruptions=3, how=INTERRUPTIONS)
    rng = Random(7)
    worst = len(GRAVEST_FIRST)
    for cut in [*sorted(rng.sample(range(5, len(lines)), 12)), len(lines)]:
        now = grave(judged(lines[:cut], rng))
        assert now <= worst or worst >= grave("INCOMPLETE"), (fault, cut)
        worst = min(worst, now)
    assert worst <= grave("QUARANTINE")


@pytest.mark.parametrize("fault", ["", *FAULTS])
def test_a_journal_with_a_damaged_or_missing_record_is_never_accepted(fault):
    rng = Random(5)
    for seed in range(4):
        lines = journal(seed, fault, interruptions=1, how=INTERRUPTIONS)
        at = rng.randrange(4, len(lines) - 1)
        flipped = lines[at].replace(b'"m":', b'"n":')
        for damaged in ([*lines[:at], flipped, *lines[at + 1 :]], [*lines[:at], *lines[at + 1 :]]):
            assert judged(damaged, rng) != "ACCEPT", (seed, at)


@pytest.mark.parametrize(
    ("silence", "decision", "part", "actual"),
    [
        ("", "ACCEPT", "", ""),
        ("stopped", "INCOMPLETE", "node", "180 samples"),
        ("nvml", "INCOMPLETE", "accelerators", "119 samples"),
    ],
)
def test_a_node_that_nobody_looked_at_for_a_while_is_incomplete_with_numbers(
    silence, decision, part, actual
):
    found = outcome(seen_by_half(silence), Random(1))
    told = [(one.verdict.part, one.verdict.actual) for one in found.evidence]
    assert (str(found.decision), told) == (decision, [(part, actual)] if part else [])
    assert found.rule == ("too-few-samples" if part else "accepted")
    for one in found.evidence:
        assert one.verdict.expected.startswith("≥ 90% of ")


def counted(node: str, minutes: int, *, read: int = 0, sampled: int = 0) -> Told:
    """So many minutes from gate to end, and so many symbol errors in the readings or samples."""
    case = Case(Node(node))
    for do, at in (("gate", 0), ("start", 0), ("end", minutes), ("read", minutes)):
        words = {"base": 0, "why": "burnt"}
        apply(case, {"at": str(NOON + timedelta(minutes=at)), "node": node, "do": do, **words})
    case.phase, case.course.watched = "done", of(SYMBOLS, 7, 7 + sampled)
    before = tuple(replace(one, node=node) for one in READ)
    port = replace(PORT, counters={"symbol_error": 7 + read})
    after = replace(before[1], facts=(port,))
    return Told(case, before, (before[0], after, *before[2:]))


def test_a_node_s_counters_are_judged_over_the_time_that_it_was_burnt_itself():
    """The limit is 120/h: 30 in 72 h are few, whoever else ended after a minute; 1000 in 2 h are
    many, whoever else was burnt for three days.
    """
    three_days = 72 * 60
    told = [
        counted("n1", 1), counted("n2", 1), counted("n3", three_days, read=30),
        counted("n4", three_days, sampled=30), counted("n5", three_days),
        counted("n6", 120, read=1000), counted("n7", 120, sampled=1000),
    ]  # fmt: skip
    opening = replace(OPENING, nodes=tuple(one.case.node for one in told))
    run = verdict(opening, told, (), NOON)
    ports = [one.verdict for one in run.findings if one.check == "port_errors"]
    bad = {(one.node, one.actual) for one in ports if one.status is not Status.PASS}
    assert bad == {("n6", "500/h"), ("n7", "500/h")}
