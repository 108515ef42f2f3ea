"""What the kernel log says went wrong, and how much of the log was looked at.

Reads the answer of `remote/read_kernel_log.py`, and the text of people's own dmesg, journal and
syslog files.  Lines that no pattern knows are not facts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from clusterctl.model import Boot, Fact, KernelEvent, Kind, LogWindow, Probe, Question, Trouble
from clusterctl.probes.kernel_lines import DEVICE_LINES
from clusterctl.probes.kernel_lines_amd import AMD_LINES
from clusterctl.probes.kernel_lines_host import HOST_LINES
from clusterctl.spelling import Unreadable, count, number, pci_address, visible
from clusterctl.sysfs import rows

PATTERNS = DEVICE_LINES + AMD_LINES + HOST_LINES

WINDOW_S = 86400  # a nightly sweep sees each line once
KEEP = 100  # of a flood of like lines, the first so many and the last so many
LINE_LENGTH = 300
HEADER = ("clusterctl", "kernel_log", "1")
BOOT_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")

# Every prefix that a line may have, in the order in which they stack up:
PREFIXES = (
    # 4,1234,5678901,-;NVRM: …     Documentation/ABI/testing/dev-kmsg
    re.compile(r"\d{1,4},\d{1,20},(?P<usec>\d{1,18}),[^;]{0,80};"),
    re.compile(r"[a-z0-9]+ *:[a-z]+ *: "),  # kern  :warn  :     dmesg --decode
    re.compile(r"<\d{1,3}>"),
    re.compile(r"(?P<iso>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:[+-]\d\d:?\d\d|Z)) "),
    re.compile(r"(?P<syslog>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d) "),  # no year and no zone
    re.compile(
        r"\[[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4}\] "
    ),  # dmesg -T: no zone
    re.compile(r"(?P<tag>(?:\S+ )?kernel: )"),  # spark kernel:
    re.compile(r"\[ {0,8}(?P<seconds>\d{1,10}(?:\.\d{1,9})?)\] ?"),
    re.compile(r"\[ {0,8}[TC]\d+\] "),  # [ T1946]     CONFIG_PRINTK_CALLER
    re.compile(r"(?P<late_tag>\S+ kernel: )"),  # journalctl -o short-monotonic
)
# a process that logs: "vmname systemd[1]: ", and in syslog also "localhost mcelog: "
PROCESS = re.compile(r"\S+ [\w./@-]+\[\d+\]: ")
REFUSED = re.compile("EPERM|EACCES|not permitted|ermission denied|insufficient permissions")


@dataclass(frozen=True, slots=True)
class Record:
    """One line.  `boot_s`: seconds since boot.  `stamped`: it has a prefix that we know."""

    message: str
    boot_s: float | None = None
    at: datetime | None = None
    stamped: bool = False
    more: int = 0


@dataclass(frozen=True, slots=True)
class Now:
    """When the log was read, on the node's clocks."""

    uptime_s: float | None = None
    wall: datetime | None = None


def parse(stdout: str) -> Iterator[Fact | Trouble]:
    """Boot and LogWindow come out of our script's answer only when all of it arrived.

    Of somebody's file the window is unknown (`since_s` None), and nothing shows that it was cut.
    """
    if stdout.startswith("\t".join(HEADER)):
        yield from parse_answer(stdout)
    else:
        yield from parse_text(stdout)


def parse_answer(stdout: str) -> Iterator[Fact | Trouble]:
    told = list(rows(stdout))
    now = Now()
    found: list[Fact | Trouble] = []
    for row in told:
        item = row if isinstance(row, Trouble) else understood(row, now)
        if isinstance(item, Boot):
            now = Now(item.uptime_s, item.wall)
        if item is not None:
            found.append(item)
    whole = not any(isinstance(item, Trouble) for item in found)
    # What is missing or garbled may have been the one line that matters: then nothing says "none".
    yield from (item for item in found if whole or not isinstance(item, LogWindow))
    if whole and not any(isinstance(item, LogWindow) for item in found):
        yield unread(told)
    if whole and not any(isinstance(item, Boot) for item in found):
        yield Trouble(Kind.UNREADABLE, "the answer names no boot", "boot")
    for row in told:
        if not isinstance(row, Trouble) and row[0] == "unsent":
            yield Trouble(Kind.CUT, f"{visible(' '.join(row[1:]), 20)} lines were too many to send")


def understood(row: tuple[str, ...], now: Now) -> Fact | Trouble | None:
    """One row of the script's answer; None for what is no fact by itself."""
    try:
        match row:
            case ("boot", boot_id, uptime, wall) if BOOT_ID.fullmatch(boot_id):
                return Boot(boot_id, seconds(uptime), datetime.fromtimestamp(seconds(wall), UTC))
            case ("line", boot_s, more, message):
                since = seconds(boot_s) if boot_s else None
                found = event(Record(message, since, more=count(more)), now)
                return found or Trouble(Kind.UNREADABLE, f"garbled: {visible(message, 80)}")
            case ("window", ("kmsg" | "journal" | "dmesg") as source, since, records, "0" | "1"):
                covered = seconds(since) if since else None
                return LogWindow(source, covered, count(records), lost=row[-1] == "1")
            case ("refused", _, _) | ("unsent", _) | ("clusterctl", "kernel_log", "1"):
                return None
    except Unreadable as error:
        return Trouble(Kind.UNREADABLE, str(error))
    return Trouble(Kind.UNREADABLE, f"not a row of ours: {visible(' '.join(row), 80)!r}")


def seconds(text: str) -> float:
    """A time or a length of time in this century.  Raises Unreadable."""
    value = number(text)
    if value is None or not 0 <= value < 1e10:
        raise Unreadable(f"not a time: {visible(text, 40)!r}")
    return value


def unread(told: list[tuple[str, ...] | Trouble]) -> Trouble:
    """No log could be read: dmesg_restrict without root is the usual reason."""
    refused = [row[1:] for row in told if not isinstance(row, Trouble) and row[0] == "refused"]
    reasons = visible("; ".join(": ".join(cells) for cells in refused)) or "it read no log at all"
    return Trouble(Kind.DENIED if REFUSED.search(reasons) else Kind.EXIT, reasons)


def parse_text(text: str) -> Iterator[Fact | Trouble]:
    records = [one for line in text.split("\n") if (one := record(line))]
    events = [found for one in records if (found := event(one, Now()))]
    if "read kernel buffer failed" in text:
        yield Trouble(Kind.DENIED, "dmesg was not allowed to read the log")
    elif not events and not any(one.stamped for one in records):
        yield Trouble(Kind.UNREADABLE, "no line looks like one of a kernel log")
    else:
        yield LogWindow("dmesg", None, len(records))
        yield from events


def record(line: str) -> Record | None:
    """The line without its prefixes; None for what is not the kernel's."""
    rest = line.rstrip("\r")
    told: dict[str, str] = {}
    stamped = False
    for prefix in PREFIXES:
        if match := prefix.match(rest):
            rest = rest[match.end() :]
            told |= {name: text for name, text in match.groupdict().items() if text}
            stamped = True
    tagged = "tag" in told or "late_tag" in told
    if not rest.strip() or ("syslog" in told and not tagged):
        return None
    if not tagged and PROCESS.match(rest):
        return None
    boot_s = float(told["seconds"]) if "seconds" in told else None
    if "usec" in told:
        boot_s = int(told["usec"]) / 1e6
    return Record(rest, boot_s, zoned(told.get("iso", "")), stamped)


def zoned(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text.replace(",", "."))
    except ValueError:
        return None


def event(record: Record, now: Now) -> KernelEvent | None:
    """What the line means, if any pattern knows it."""
    for pattern in PATTERNS:
        if not any(word in record.message for word in pattern.words):
            continue
        if match := pattern.compiled.match(record.message):
            ago = None
            if record.boot_s is not None and now.uptime_s is not None:
                ago = max(0.0, round(now.uptime_s - record.boot_s, 3))
            at = now.wall - timedelta(seconds=ago) if now.wall and ago is not None else record.at
            groups = match.groupdict()
            return KernelEvent(
                part_of(groups),
                pattern.kind,
                pattern.code or groups["code"].lower().replace("-", ""),
                visible(record.message, LINE_LENGTH),
                at=at,
                seconds_ago=ago,
                count=1 + record.more,
            )
    return None


def part_of(groups: dict[str, str | None]) -> str:
    """A network device by its name, others by their PCI address; cpu3; mc0; nvme1."""
    if name := groups.get("name"):
        return visible(name, 80)
    if pci := groups.get("pci"):
        try:
            return pci_address(pci)
        except Unreadable:
            return visible(pci, 80)
    named = [(kind, groups[kind]) for kind in ("cpu", "mc") if groups.get(kind)]
    return "".join(named[0][0] + str(int(text or "0")) for _, text in named[:1])


PROBES = (
    Probe(
        Question(
            "kernel_log",
            command=(
                *(str(WINDOW_S), str(KEEP)),
                *(text for p in PATTERNS for text in ("\n".join(p.words), p.regex)),
            ),
            script="read_kernel_log",
            brief=True,
            without_python=("dmesg",),
            timeout_s=40.0,
        ),
        parse,
        yields=(KernelEvent, Boot, LogWindow),
        about="XID, SXid, machine checks, AER, NVMe, NIC, OOM and stall lines of the last day",
    ),
)
