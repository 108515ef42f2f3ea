"""NVIDIA's fabric manager: its version and what its log says went wrong.

https://docs.nvidia.com/datacenter/tesla/fabric-manager-user-guide/.  Boards without NVSwitch have
none, and GB200 racks run it on their switches: where there is none, this yields nothing.  Reads the
answer of COMMAND, and /var/log/fabricmanager.log as people keep it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from clusterctl.model import (
    Applies,
    Fact,
    KernelEvent,
    Kind,
    Probe,
    Question,
    Trouble,
    Version,
)
from clusterctl.spelling import Unreadable, pci_address, visible

LOG = "/var/log/fabricmanager.log"
TAIL_BYTES = 64 << 20  # mostly messages of multicast teams; it grows to 1 GB before it is rotated
ERRORS_AT_MOST = 2000
LINE_LENGTH = 300
NOW, TOOL, TEXT, END = "== now", "== tool", "== log", "== end"
CLOCK = "%b %d %Y %H:%M:%S"
# [Feb 27 2025 15:10:02] [ERROR] [tid 12727] detected NVSwitch non-fatal error 12028 on fid 0 …
LINE = re.compile(
    r"\[([A-Z][a-z]{2} \d\d \d{4} \d\d:\d\d:\d\d)\] \[(\w{1,12})\] \[tid \d{1,9}\] (.*)"
)
# … on NVSwitch pci bus id 00000000:86:00.0 physical id 3 port 61
SXID = re.compile(
    r"detected NVSwitch (non-fatal|fatal) error (\d{1,6}) .*?pci bus id ([0-9a-fA-F:.]{7,20})\b.*",
    re.IGNORECASE,
)
RUNNING = re.compile(r"Fabric Manager version (\d[\d.]{0,30}) is running with ")
INSTALLED = re.compile(r"(?mi)^Fabric Manager version is *: *(\d[\d.]{0,30})\s*$")
# A log is mostly its payload dumps, which carry no stamp.
STAMP = re.compile(r"(?m)^\[[A-Z][a-z]{2} \d\d \d{4} \d\d:\d\d:\d\d\] \[\w+\] \[tid ")
MATTERS = frozenset({"ERROR", "CRITICAL", "FATAL"})
WRONG = r"\] \[(ERROR|CRITICAL|FATAL)\] "

COMMAND = f"""
echo "{NOW} $(LC_ALL=C date '+{CLOCK} %z')"
echo '{TOOL}'
command -v nv-fabricmanager >/dev/null && nv-fabricmanager --version 2>&1
echo '{TEXT}'
if [ -e {LOG} ]; then
  if [ -r {LOG} ]; then
    tail -c {TAIL_BYTES} {LOG} | grep -a 'Fabric Manager version .* is running' | tail -n 1
    tail -c {TAIL_BYTES} {LOG} | grep -aE '{WRONG}' | tail -n {ERRORS_AT_MOST}
  else echo 'EACCES {LOG}'; fi
fi
echo '{END}'
"""


def parse(stdout: str) -> Iterator[Fact | Trouble]:
    """Versions `fabricmanager` (runs, by its log) and `fabricmanager/installed`, and errors."""
    if not stdout.startswith(NOW):
        yield from parse_log(stdout)
        return
    text = stdout.removesuffix(f"{END}\n")
    if text == stdout:
        yield Trouble(Kind.CUT, "the answer about the fabric manager has no end")
        text = stdout.rpartition("\n")[0]
    head, _, rest = text.partition(f"{TOOL}\n")
    tool, _, log = rest.partition(f"{TEXT}\n")
    if found := INSTALLED.search(tool):
        yield Version("fabricmanager/installed", found[1])
    elif tool.strip():
        yield Trouble(Kind.EXIT, f"nv-fabricmanager: {visible(tool.strip(), 200)}")
    if log.startswith("EACCES "):
        yield Trouble(Kind.DENIED, f"{LOG}: EACCES")
        return
    now = clock(head)
    if now is None:
        yield Trouble(Kind.UNREADABLE, f"not a time: {visible(head.strip(), 80)!r}")
    yield from lines(log, now)


def clock(head: str) -> datetime | None:
    """The node's own; the log writes its local time without a zone."""
    try:
        return datetime.strptime(head.strip().removeprefix(f"{NOW} "), f"{CLOCK} %z")
    except ValueError:
        return None


def parse_log(text: str) -> Iterator[Fact | Trouble]:
    """A log, or a part of one: nothing shows where it was cut, nor when it was read."""
    if not STAMP.search(text):
        shown = visible(text.strip(), 80)
        yield Trouble(Kind.UNREADABLE, f"not a fabric manager's log: {shown!r}")
    else:
        yield from lines(text, None)


def lines(log: str, now: datetime | None) -> Iterator[Fact | Trouble]:
    running = ""
    for line in log.split("\n"):
        found = LINE.fullmatch(line.rstrip("\r"))
        if not found:
            continue
        stamp, level, words = found.groups()
        if version := RUNNING.match(words):
            running = version[1]
        elif level in MATTERS:
            at, ago = when(stamp, now)
            yield event(words, line, at, ago)
    if running:
        yield Version("fabricmanager", running)


def when(stamp: str, now: datetime | None) -> tuple[datetime | None, float | None]:
    """A stamp later than now: the log was written in another zone, or the clock was set."""
    try:
        then = datetime.strptime(stamp, CLOCK).replace(tzinfo=now.tzinfo) if now else None
    except ValueError:
        then = None
    if now is None or then is None:
        return None, None
    return then.astimezone(UTC), max(timedelta(), now - then).total_seconds()


def event(words: str, line: str, at: datetime | None, ago: float | None) -> KernelEvent:
    """An SXid as the kernel log has it, so that it is judged as one; else what the manager says."""
    shown = visible(line.strip(), LINE_LENGTH)
    if found := SXID.fullmatch(words):
        try:
            return KernelEvent(pci_address(found[3]), "sxid", found[2], shown, at, ago)
        except Unreadable:
            return KernelEvent("", "sxid", found[2], shown, at, ago)
    code = "member_gpu" if "failed to find the member GPU handle" in words else "error"
    return KernelEvent("", "fabricmanager", code, shown, at, ago)


PROBES = (
    Probe(
        Question(
            "fabricmanager",
            command=("sh", "-c", COMMAND),
            without_python=("sh", "-c", COMMAND),
        ),
        parse,
        yields=(KernelEvent, Version),
        about="NVIDIA's fabric manager: its version, and NVSwitch errors and others in its log",
        applies=Applies(
            pci_vendors=("10de",),
            kinds=("accelerator",),
            why_not="no NVIDIA accelerator on the PCI bus",
        ),
    ),
)
