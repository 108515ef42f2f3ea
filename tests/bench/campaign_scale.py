#!/usr/bin/env python3
"""What a controller costs while so many nodes soak: its share of a core and its memory.

    tests/bench/campaign_scale.py --nodes 1000 --seconds 300

The controller's own code leads the campaign; only the transport is simulated: every node answers
as its supervisor would, with the journal of eight GPUs and eight ports, a sample every 10 s, and
the load's steps of twenty minutes.  The nodes have burnt for `--burnt` hours before, of which
every step is in their journals, and are resumed.  The first two minutes are not counted.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from synthetic_campaign import BOOK
from synthetic_journals import journal

from clusterctl import playbook
from clusterctl.campaign.decisions import Case
from clusterctl.campaign.folder import DECISIONS, journal_of, prepare
from clusterctl.campaign.lead import Leader
from clusterctl.cli import collect_rarely
from clusterctl.model import Answer, Node, Question, Run
from clusterctl.playbook import skus
from clusterctl.report.campaign_lines import lines
from clusterctl.store import Recorder, describe

EVERY_S, SETTLE_S = 10.0, 120.0
STARTED = "2026-03-01T08:00:00+00:00"


@dataclass(frozen=True)
class Soaking:
    """A transport to nodes that all soak.  `told`: (lines, up to which each sample ends) of one."""

    lines: Sequence[bytes]
    ends: Sequence[int]  # how many lines there are when so many samples were taken
    before: int  # samples that the controller has already
    began_s: float

    @contextmanager
    def open(self, node: Node) -> Iterator[Talk]:
        yield Talk(self, node)

    def so_far(self, node: Node) -> int:
        """Lines of its journal; no two nodes sample at the same time."""
        late_s = hash(node.name) % 1000 / 1000 * EVERY_S
        passed = int((time.monotonic() - self.began_s + late_s) / EVERY_S)
        return self.ends[min(self.before + passed, len(self.ends) - 1)]


@dataclass(frozen=True)
class Talk:
    soaking: Soaking
    node: Node

    def ask(self, questions: Sequence[Question]) -> Iterator[Answer]:
        for question in questions:
            state = {"ok": True, "alive": True, "campaign": "bench"}
            if question.name != "fetch":
                yield Answer(question.name, 0, json.dumps(state) + "\n", "", 0.1)
                continue
            offset = int(next(word for word in question.command[2:] if word.isdecimal()))
            known = self.soaking
            until = SIZES[known.so_far(self.node)]
            data = b"".join(known.lines[INDEX[offset] : known.so_far(self.node)]).decode()
            head = json.dumps({**state, "size": until, "next": until})
            yield Answer("fetch", 0, f"{head}\n{data}end\t{len(data)}\n", "", 0.1)


SIZES: list[int] = [0]  # bytes of so many lines
INDEX: dict[int, int] = {0: 0}


def history(hours: float) -> tuple[list[bytes], list[int]]:
    """Lines, and how many of them there are after each sample."""
    told, ends = [], []
    for line in journal(hours=hours, stages=()):
        told.append(line)
        if b'{"k":"sample"' in line[:40] or b'{"k":"full"' in line[:40]:
            ends.append(len(told))
        SIZES.append(SIZES[-1] + len(line))
        INDEX[SIZES[-1]] = len(told)
    return told, ends


def folder(runs: Path, count: int, known: bytes) -> tuple[Path, Run]:
    nodes = tuple(Node(f"n{number:05d}") for number in range(1, count + 1))
    given = {**BOOK, "stages": [], "soak": {**BOOK["soak"], "hours": 72}}  # type: ignore[dict-item]
    book = playbook.build("bench", given)
    now = datetime.now(UTC)
    opening = Run("bench", book, nodes, 7, now, now, (), (), verb="burnin", complete=False)
    recorder = Recorder(runs, "bench")
    recorder.begin({**describe(opening), "campaign": {}})
    prepare(recorder.path)
    decided = ({"do": "gate", "forced": ""}, {"do": "start", "base": 0},
               {"do": "soak", "id": "soak1"})  # fmt: skip
    with (recorder.path / DECISIONS).open("w") as file:
        for node in nodes:
            journal_of(recorder.path, node.name).write_bytes(known)
            for one in decided:
                file.write(json.dumps({"node": node.name, "at": STARTED, **one}) + "\n")
    return recorder.path, opening


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--nodes", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--burnt", type=float, default=1.0, help="hours that they soaked before")
    given = parser.parse_args()
    collect_rarely()
    with tempfile.TemporaryDirectory(prefix="clusterctl-bench-") as name:
        told, ends = history(given.burnt + (given.seconds + SETTLE_S) / 3600 + 0.5)
        before = round(given.burnt * 3600 / EVERY_S)
        path, opening = folder(Path(name), given.nodes, b"".join(told[: ends[before]]))
        began, spent = time.monotonic(), time.process_time()
        looked = [0.0]

        def look(cases: dict[str, Case]) -> None:
            """As a terminal of 50 lines does, twice a second at most."""
            if time.monotonic() - looked[0] > 0.5:
                looked[0] = time.monotonic()
                lines(cases.values(), opening.playbook, 50)

        leader = Leader(path, opening, reach=lambda _s: transport, clock=lambda: datetime.now(UTC),
                        skus=skus(), beat=look)  # fmt: skip
        print(
            f"{given.nodes} nodes, {given.burnt:g} h soaked: resumed in "
            f"{time.process_time() - spent:.1f} s of CPU, {time.monotonic() - began:.1f} s"
        )
        transport = Soaking(told, ends, before, time.monotonic())
        leading = threading.Thread(target=leader.run, daemon=True)
        leading.start()
        time.sleep(SETTLE_S)
        sizes = sum(case.course.samples for case in leader.cases.values())
        began, spent = time.monotonic(), time.process_time()
        time.sleep(given.seconds)
        seconds, spent = time.monotonic() - began, time.process_time() - spent
        got = sum(case.course.samples for case in leader.cases.values()) - sizes
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        load = Path("/proc/loadavg").read_text().split()[0]
        print(f"{got} samples in {seconds:.0f} s: {spent / seconds:.1%} of one core; load {load}")
        print(f"highest resident memory: {peak:.0f} MiB, of which the simulated journal is "
              f"{sum(map(len, told)) / 2**20:.0f} MiB")  # fmt: skip
        phases = {case.phase for case in leader.cases.values()}
        assert phases == {"burn"}, phases
        leader.agenda.close()
        leading.join()


if __name__ == "__main__":
    main()
