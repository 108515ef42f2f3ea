"""What a job's own log says of its collectives: PyTorch's watchdog and NCCL_DEBUG lines.

Lines: torch/csrc/distributed/c10d/ProcessGroupNCCL.cpp (checkTimeout, logPrefix) and NCCL's
src/debug.cc, init.cc, misc/socket.cc, transport/net_ib.  Logs of many ranks may be one file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from clusterctl.spelling import plain, visible

# [rank4]:[E1016 03:31:38.928463388 ProcessGroupNCCL.cpp:607] [Rank 4] Watchdog caught collective
# operation timeout: WorkNCCL(SeqNum=9141, OpType=ALLREDUCE, NumelIn=1, NumelOut=1,
# Timeout(ms)=600000) ran for 600071 milliseconds before timing out.
TIMEOUT = re.compile(
    r"\[(?:PG (?P<pg>[^\]]{0,200}?) )?Rank (?P<rank>\d{1,9})\] "
    r"Watchdog caught collective operation timeout: WorkNCCL\(SeqNum=(?P<seq>\d{1,20}), "
    r"OpType=(?P<op>\w{1,40})[^)]{0,200}\)?[^)]{0,40}\) "
    r"ran for \d{1,15} milliseconds"
)
# [PG ID 0 PG GUID 0(default_pg) Rank 1] Timeout at NCCL work: 808, last enqueued NCCL work: 811,
# last completed NCCL work: 807.
PROGRESS = re.compile(
    r"\[PG (?P<pg>[^\]]{1,200}?) Rank (?P<rank>\d{1,9})\] .{0,120}?"
    r"work: (?P<seq>\d{1,20}), last enqueued NCCL work: (?P<enqueued>-?\d{1,20}), "
    r"last completed NCCL work: (?P<completed>-?\d{1,20})"
)
STAMP = re.compile(r"\[[EWIF](?P<stamp>\d{3,4} \d\d:\d\d:\d\d\.\d{1,9})")
# hostname-test:984:1257 [4] NCCL INFO comm 0x557f rank 36 nranks 64 cudaDev 4 …
COMM = re.compile(
    r"(?P<host>[\w.-]{1,255}):(?P<pid>\d{1,10}):\d{1,10} \[\d{1,3}\] NCCL INFO .{0,40}?"
    r"comm 0x[0-9a-f]+ rank (?P<rank>\d{1,9}) n[Rr]anks (?P<size>\d{1,9})"
)
WARN = re.compile(
    r"(?P<host>[\w.-]{1,255}):(?P<pid>\d{1,10}):\d{1,10} \[\d{1,3}\] (?P<where>\S{0,100} ?)"
    r"NCCL WARN (?P<said>.{1,500})"
)
CLOSED = re.compile(r"[Cc]onnection closed by remote peer (?P<peer>[^\s<]{1,255})<")
COMPLETION = re.compile(
    r"[Gg]ot completion from peer (?P<peer>[^\s<]{1,255})<\d{1,5}> with status=(?P<status>\d{1,3})"
)
# Before all that c10 logs stands RANK of the environment; a message has the number in its group.
OF_THE_JOB = re.compile(r"\[rank(\d{1,9})\]:\[")
KEPT_OF_A_LINE = 16384  # its end: before a message may stand a progress bar's whole life


@dataclass(frozen=True, slots=True)
class TimedOut:
    """A rank's watchdog gave up an operation.  `group` is as the log has it; empty: it does not.

    `rank`: in the job, where the line tells it, else as `member`: in the group.
    """

    rank: int
    member: int
    group: str
    seq: int
    operation: str
    stamp: str = ""


@dataclass(frozen=True, slots=True)
class Accusation:
    """A process that lost a peer.  `status`: of the verbs completion; None: a closed socket."""

    host: str
    pid: int
    peer: str
    status: int | None


@dataclass(slots=True)
class Log:
    """What of one or several log files matters; rank, size and place as NCCL's own lines say."""

    timeouts: list[TimedOut] = field(default_factory=list)
    enqueued: dict[tuple[str, int], tuple[int, int]] = field(default_factory=dict)
    accusations: list[Accusation] = field(default_factory=list)
    places: dict[tuple[str, int], int] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    size: int = 0
    lines: int = 0


def read_log(lines: Iterable[str]) -> Log:
    """Lines that say nothing of collectives are passed over, as most of a log is the program's."""
    log = Log()
    for line in lines:
        log.lines += 1
        if "NCCL" in line:
            for part in pieces(plain(line)):
                take(log, part)
    return log


def pieces(line: str) -> Iterator[str]:
    """Several ranks write at once, and then one line holds two messages."""
    yield from re.split(r"(?=\[rank\d{1,9}\]:\[)", line[-KEPT_OF_A_LINE:])


def take(log: Log, line: str) -> None:
    stamp = found["stamp"] if (found := STAMP.search(line)) else ""
    if found := TIMEOUT.search(line):
        log.timeouts.append(
            TimedOut(
                number_in_job(line, int(found["rank"])),
                int(found["rank"]),
                found["pg"] or "",
                int(found["seq"]),
                found["op"],
                stamp,
            )
        )
    elif found := PROGRESS.search(line):
        key = (found["pg"], number_in_job(line, int(found["rank"])))
        log.enqueued[key] = (int(found["enqueued"]), int(found["completed"]))
    elif found := COMM.search(line):
        size, rank = int(found["size"]), int(found["rank"])
        if size >= log.size:  # the largest communicator's ranks are the job's
            if size > log.size:
                log.places.clear()
            log.size = size
            log.places[found["host"], int(found["pid"])] = rank
    elif found := WARN.search(line):
        take_warning(log, found)


def number_in_job(line: str, member: int) -> int:
    """Of a line that holds one message, see `pieces`."""
    found = OF_THE_JOB.match(line)
    return int(found[1]) if found else member


def take_warning(log: Log, found: re.Match[str]) -> None:
    said = found["said"].strip()
    blamed = COMPLETION.search(said) or CLOSED.search(said)
    if blamed is None:
        log.warnings.append(visible(f"{found['host']}: {said}", 200))
        return
    status = blamed.groupdict().get("status")
    log.accusations.append(
        Accusation(
            found["host"],
            int(found["pid"]),
            blamed["peer"],
            int(status) if status is not None else None,
        )
    )
