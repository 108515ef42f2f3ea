"""The log of IBM Storage Scale (GPFS), /var/adm/ras/mmfs.log.latest, as a saved text.

What the file system says when it loses its network, its quorum or its disks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from clusterctl.model import Fact, KernelEvent, Kind, LogWindow, Trouble
from clusterctl.probes import kernel_log
from clusterctl.spelling import visible

# 2024-11-23_01:18:31.152+0800: [E] Lost membership …, maybe after "node: "
LINE = re.compile(
    r"(?:[\w.-]+: )?(\d{4}-\d\d-\d\d)_(\d\d:\d\d:\d\d)(\.\d+)?([+-]\d{4}): (?:\[(\w)\] )?(.*)"
)


@dataclass(frozen=True, slots=True)
class Pattern:
    code: str
    form: re.Pattern[str]


PATTERNS = tuple(
    Pattern(code, re.compile(form))
    for code, form in (
        ("expelled", r"(?:will be|is being) expelled from"),
        ("unauthorised", r"cluster is not authorized"),
        ("quorum", r"Unable to contact any quorum|Lost membership in cluster|lost quorum"),
        ("unmounted", r"unmounting file system|unmounted by the system"),
        ("disks", r"Too many disks are unavailable|disk .* (?:failed|is down)"),
        ("rdma", r"VERBS RDMA.*(?:error|fatal|disable|forced to)|RDMA fatal|RDMA send error"),
        ("connection", r"Bad TCP state|Close connection to|Killing connection"),
        ("clock", r"Time-of-day may have jumped back"),
    )
)
PORT = re.compile(r"\b(?:on|for device) ((?:mlx5|bnxt_re|hns|irdma)\w*?_\d+)(?: port (\d+))?")


def parse(stdout: str) -> Iterator[Fact | Trouble]:
    seen = records = 0
    foreign: list[str] = []
    whole, _, rest = stdout.rpartition("\n")
    lines = [*whole.split("\n"), *([rest] if LINE.fullmatch(rest) else [])]
    for line in filter(str.strip, lines):
        found = LINE.fullmatch(line)
        if not found:
            foreign.append(line)
            continue
        seen += 1
        records += 1
        if one := event(found, line):
            yield one
    if not seen:
        yield Trouble(Kind.UNREADABLE, f"not a log of GPFS: {visible(stdout.strip(), 120)!r}")
        return
    yield LogWindow("gpfs", None, records)
    # Somebody pasted the kernel's words between: the kernel log's own reader knows them.
    for fact in kernel_log.parse("".join(f"{line}\n" for line in foreign)) if foreign else ():
        if isinstance(fact, KernelEvent):
            yield fact


def event(found: re.Match[str], line: str) -> KernelEvent | None:
    day, clock, _, zone, grade, text = found.groups()
    code = next((one.code for one in PATTERNS if one.form.search(text)), "")
    if not code and grade not in ("E", "X"):
        return None
    try:
        at = datetime.strptime(f"{day} {clock} {zone}", "%Y-%m-%d %H:%M:%S %z")
    except ValueError:
        at = None
    port = PORT.search(text)
    part = f"{port[1]}/{port[2]}" if port and port[2] else port[1] if port else ""
    return KernelEvent(part, "gpfs", code or "error", visible(line, 300), at=at)


READS = {"gpfs": parse}
