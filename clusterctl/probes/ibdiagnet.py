"""The summary that ibdiagnet prints at its end: how many warnings and errors each stage found."""

from __future__ import annotations

import re
from collections.abc import Iterator

from clusterctl.model import Fact, Kind, Stages, Trouble
from clusterctl.spelling import plain, visible

HEAD = re.compile(r"-I- Stage\s+Warnings\s+Errors\s+Comment")
ROW = re.compile(r"-[IEW]- (\S.*?)\s+([0-9]{1,9})\s+([0-9]{1,9})(?:\s+(.*))?")
LAST = "Create IBNetDiscover File"


def parse(stdout: str) -> Iterator[Fact | Trouble]:
    """What is before the summary, thousands of lines, is left out."""
    lines = plain(stdout).split("\n")
    heads = [at for at, line in enumerate(lines) if HEAD.fullmatch(line.strip())]
    if not heads:
        yield Trouble(Kind.UNREADABLE, "no summary in it: ibdiagnet prints it at its end")
        return
    stages: dict[str, tuple[int, int]] = {}
    for line in lines[heads[-1] + 1 :]:
        if found := ROW.fullmatch(line.strip()):
            stages[visible(found[1], 60)] = (int(found[2]), int(found[3]))
        elif line.strip().startswith("-I-"):
            yield Trouble(Kind.UNREADABLE, f"not a row of the summary: {visible(line, 120)}")
    if LAST not in stages:
        yield Trouble(Kind.CUT, f"the summary ends before {LAST}")
    if stages:
        warned, failed = ({name: two[at] for name, two in stages.items()} for at in (0, 1))
        yield Stages("fabric", "ibdiagnet", warned, failed)


READS = {"ibdiagnet": parse}
