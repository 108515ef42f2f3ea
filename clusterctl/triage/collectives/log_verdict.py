"""From a job's log: which collective timed out first, who was not in it, whom peers lost."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from clusterctl.triage.collectives.nccl_log import Accusation, Log, TimedOut
from clusterctl.triage.ranks import ranks_word
from clusterctl.triage.verdict import Cause, Suspect, Triage

# infiniband/verbs.h, enum ibv_wc_status.  A flush only follows another failure.
RETRIES_SPENT, RNR_RETRIES_SPENT, FLUSHED = 12, 13, 5
STATUS = {
    RETRIES_SPENT: "no answer to any retry: a path, a port or the peer is gone",
    RNR_RETRIES_SPENT: "the peer was not ready to receive",
    4: "local protection error",
    10: "remote access error",
    11: "remote operation error",
}
PREPARE = (
    "set NCCL_DEBUG=INFO and TORCH_NCCL_TRACE_BUFFER_SIZE=2000 with TORCH_NCCL_DUMP_ON_TIMEOUT=1, "
    "so that the next hang leaves dumps for `clusterctl triage --flight`"
)


def triage_log(log: Log, *, unseen: Sequence[str] = ()) -> Triage:
    lost = list(blamed(log))
    late = list(absent(log))
    if late:
        return Triage(
            Cause.WORKER,
            suspects=(*late, *lost),
            confidence=max(one.confidence for one in late),
            evidence=tuple(story(log)),
            next_step="look at the suspect's own log before that time, its node and its kernel "
            f"log; {PREPARE}",
            unseen=tuple(unseen),
        )
    if lost:
        network = any(one.status in {RETRIES_SPENT, RNR_RETRIES_SPENT} for one in log.accusations)
        return Triage(
            Cause.NETWORK if network else Cause.WORKER,
            suspects=tuple(lost),
            confidence=max(one.confidence for one in lost),
            evidence=tuple(story(log)),
            next_step="see whether that process ended by itself (its own log, kernel log: OOM, "
            "XID); else test its ports: `clusterctl sweep`, `clusterctl bandwidth`",
            unseen=tuple(unseen),
        )
    if log.timeouts:
        return Triage(
            Cause.NETWORK,
            confidence=0.4,
            evidence=(*story(log), everybody(log)),
            next_step=f"ask who had not come: {PREPARE}",
            unseen=tuple(unseen),
        )
    said = f"{log.lines} lines, and none of a timeout or of a lost peer"
    return Triage(
        Cause.UNKNOWN,
        evidence=(said, *log.warnings[:3]),
        next_step=f"give the logs of every rank; {PREPARE}",
        unseen=tuple(unseen),
    )


def everybody(log: Log) -> str:
    if len({(one.group, one.seq, one.operation) for one in log.timeouts}) == 1:
        return "every rank that the log knows timed out in the same operation"
    return "groups timed out whose members the log does not tell: who is missing is not known"


def story(log: Log) -> Iterator[str]:
    """What timed out, first first."""
    by_operation: defaultdict[tuple[str, int, str], list[TimedOut]] = defaultdict(list)
    for one in log.timeouts:
        by_operation[short(one.group), one.seq, one.operation].append(one)
    ordered = sorted(by_operation.items(), key=lambda item: min(one.stamp for one in item[1]))
    for (group, seq, operation), each in ordered[:3]:
        first = min(each, key=lambda one: one.stamp)
        ranks = sorted({one.rank for one in each})
        where = f" of group {group}" if group else ""
        when = f", rank {first.rank} first at {first.stamp}" if first.stamp else ""
        yield f"{operation} number {seq}{where} timed out on {ranks_word(ranks)}{when}"
    yield from log.warnings[:2]


def short(group: str) -> str:
    """`0(default_pg)` of `ID 0 PG GUID 0(default_pg)`."""
    return group.rpartition("GUID ")[2] or group


def absent(log: Log) -> Iterator[Suspect]:
    """Ranks that did not time out in what the others of their group did."""
    if not log.timeouts:
        return
    first = earliest(log.timeouts)
    same = [one for one in log.timeouts if short(one.group) == short(first.group)]
    stuck = {one.rank: one for one in sorted(same, key=lambda one: -one.seq)}
    top = Counter((one.seq, one.operation) for one in stuck.values()).most_common(1)[0][0]
    there = {rank for rank, one in stuck.items() if (one.seq, one.operation) == top}
    odd = {rank: one for rank, one in stuck.items() if rank not in there}
    what = f"{top[1]} number {top[0]}"
    for rank, one in sorted(odd.items()):
        yield Suspect(
            f"rank {rank}",
            (rank,),
            node_of(log, rank),
            confidence=0.8 if 2 * len(odd) < len(stuck) else 0.4,
            why=(
                (
                    f"it timed out in {one.operation} number {one.seq}, "
                    f"{ranks_word(sorted(there))} in {what}"
                ),
            ),
        )
    if all(one.rank == one.member for one in same) and of_all(short(first.group)):
        yield from silent(log, there, what)


def of_all(group: str) -> bool:
    """Whether it is the group of every rank, as far as its name tells."""
    return group in {"", "0"} or group.startswith("0(") or "default_pg" in group


def silent(log: Log, there: set[int], what: str) -> Iterator[Suspect]:
    """Members of the job of which the log has no timeout at all."""
    known = {one.rank for one in log.timeouts}
    size = max(log.size, 0)
    everyone = set(range(size)) if size else {rank for _, rank in log.enqueued} | known
    quiet = sorted(everyone - known)
    if not quiet or len(there) < 2 or 2 * len(quiet) > len(everyone):
        return
    for rank in quiet:
        yield Suspect(
            f"rank {rank}",
            (rank,),
            node_of(log, rank),
            confidence=0.7 if len(quiet) <= 2 else 0.5,
            why=(
                (
                    f"{ranks_word(sorted(there))} timed out in {what}, it did not: it never "
                    "came, or its log is not here"
                ),
            ),
        )


def earliest(timeouts: Sequence[TimedOut]) -> TimedOut:
    return min(timeouts, key=lambda one: (one.stamp, one.seq))


def node_of(log: Log, rank: int) -> str:
    return next((host for (host, _), known in log.places.items() if known == rank), "")


def blamed(log: Log) -> Iterator[Suspect]:
    """The peer that most lost and that itself lost nobody first; a flush blames nobody."""
    told = [one for one in log.accusations if one.status != FLUSHED]
    accusers: defaultdict[str, dict[tuple[str, int], Accusation]] = defaultdict(dict)
    for one in told:
        accusers[one.peer][one.host, one.pid] = one
    most = max((len(each) for each in accusers.values()), default=0)
    for peer, each in sorted(accusers.items()):
        if len(each) < most:
            continue
        one = next(iter(each.values()))
        hosts = sorted({host for host, _ in each})
        meaning = (
            STATUS.get(one.status, f"completion status {one.status}")
            if one.status
            else ("its end of the connection was closed: its process ended first")
        )
        yield Suspect(
            peer,
            tuple(sorted(rank for (host, _), rank in log.places.items() if host == peer)),
            peer,
            confidence=0.7 if len(each) > 1 and len(accusers) > 1 else 0.5,
            why=(f"{len(each)} processes on {', '.join(hosts[:3])} lost it", meaning),
        )
