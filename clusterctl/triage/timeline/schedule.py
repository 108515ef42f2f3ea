"""Which operation of a step waits for which: read off the order that every step keeps.

Within a worker, an operation waits for the last computation, and the last operation in line, that
had ended before it began in (nearly) every step of every DP rank: what always holds is a
dependency, what is only usual is not.  Between workers it waits for those it transfers with.
The scopes of operations are those of Megatron-LM's training step.
"""

from __future__ import annotations

import re
from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from itertools import pairwise

import numpy as np

from clusterctl.triage.timeline.operations import Floats, Integers, Op, Timeline

FORWARD, BACKWARD = "forward-compute", "backward-compute"
COMPUTE = re.compile(r".*compute.*")
TRANSFER = re.compile(r"(forward|backward)-(send|recv)")
OVER_DP = re.compile(
    r"params-all-gather|(grads|gradient).*(reduce-scatter|all-reduce)|all-?reduce|all-?gather"
    r"|reduce-?scatter|broadcast|all-?to-?all|barrier|collective.*"
)
WITHIN_WORKER = re.compile(r"layernorm-grads-all-reduce|tp-.*|gc|optimizer|first-op")
OVER_ENDS = re.compile(r"embedding-grads-all-reduce")  # first and last stage share the embedding
OVER_ALL = re.compile(r"optimizer-clip-main-grad|world-.*")

ALWAYS = 0.98  # of lanes; the rest is left to jitter of the recorder
LEAST_SLACK_S, MOST_SLACK_S, SLACK = 5e-5, 1e-3, 0.25


class Scope(Enum):
    """Who has to begin before anyone can end."""

    COMPUTE = auto()
    LOCAL = auto()
    TRANSFER = auto()
    DP = auto()
    ENDS = auto()
    ALL = auto()


def scope(kind: str) -> Scope:
    for form, found in (
        (TRANSFER, Scope.TRANSFER),
        (WITHIN_WORKER, Scope.LOCAL),
        (OVER_ENDS, Scope.ENDS),
        (OVER_ALL, Scope.ALL),
        (OVER_DP, Scope.DP),
        (COMPUTE, Scope.COMPUTE),
    ):
        if form.fullmatch(kind):
            return found
    return Scope.LOCAL


@dataclass(frozen=True, slots=True)
class Event:
    """Operations that end together; `after[i]`: what `ops[i]` waits for before it begins."""

    ops: tuple[int, ...]
    after: tuple[tuple[int, ...], ...]
    over_dp: bool  # all DP ranks have to begin, too


@dataclass(frozen=True, slots=True)
class Schedule:
    """`events` in an order in which they can be replayed.  `moves`: an op has a transfer time.

    `links`: (sender, receiver) operations.
    """

    events: tuple[Event, ...]
    moves: tuple[bool, ...]
    links: tuple[tuple[int, int], ...] = ()


def schedule(line: Timeline) -> Schedule | None:
    """None where the operations wait for each other in a circle: the trace is not to be trusted."""
    pairs, feeds = transfers(line)
    after: list[list[int]] = [[] for _ in line.ops]
    for stage in range(len(line.stages)):
        for at, before in within(line, stage):
            after[at].append(before)
    for compute, received in feeds:
        after[compute].append(received)
    groups = [list(pair) for pair in pairs]
    taken = {at for pair in pairs for at in pair}
    joined: dict[tuple[str, int], list[int]] = defaultdict(list)
    moves = [False] * len(line.ops)
    over_dp = set()
    for at, op in enumerate(line.ops):
        match scope(op.kind):
            case Scope.TRANSFER:
                moves[at] = True
                if at not in taken:
                    groups.append([at])
            case Scope.ENDS | Scope.ALL as wide:
                joined[op.kind, op.seq].append(at)
                moves[at] = True
                if wide is Scope.ALL:
                    over_dp.add(at)
            case Scope.DP:
                moves[at] = True
                over_dp.add(at)
                groups.append([at])
            case _:
                groups.append([at])
    groups += joined.values()
    events = in_order(groups, after, over_dp)
    return Schedule(events, tuple(moves), pairs) if events is not None else None


def within(line: Timeline, stage: int) -> Iterable[tuple[int, int]]:
    """(operation, one it waits for) on the same worker."""
    here = np.array([at for at, op in enumerate(line.ops) if op.stage == stage], dtype=np.int64)
    if not len(here):
        return
    scopes = [scope(line.ops[at].kind) for at in here]
    begins = np.median(line.start_s[here], axis=(1, 2))
    computes = sorted_by(here, begins, [one is Scope.COMPUTE for one in scopes])
    in_line = sorted_by(
        here, begins, [one not in {Scope.COMPUTE, Scope.TRANSFER} for one in scopes]
    )
    yield from zip(computes[1:].tolist(), computes[:-1].tolist(), strict=True)
    yield from streams(line, here, begins)
    place = {int(at): number for number, at in enumerate(computes)}
    for at, kind_scope in zip(here.tolist(), scopes, strict=True):
        if kind_scope is not Scope.COMPUTE:
            found = last_ended(line, at, computes)
            if found is not None:
                yield at, found
        others = in_line[in_line != at]
        found = last_ended(line, at, others)
        if found is not None and (
            kind_scope is not Scope.COMPUTE or between(line, found, computes, place[at])
        ):
            yield at, found


def between(line: Timeline, found: int, computes: Integers, number: int) -> bool:
    """Whether an operation in line stands right before this computation.

    One that ended long before constrains nothing that the computation before does not.
    """
    if number == 0:
        return True
    previous = computes[number - 1]
    begun = line.start_s[found] >= line.end_s[previous] - slack(line, int(previous))
    first_of_chunk = all(
        line.ops[at].chunk != line.ops[int(computes[number])].chunk for at in computes[:number]
    )
    return bool(begun.mean() >= ALWAYS) or first_of_chunk


def sorted_by(here: Integers, begins: Floats, wanted: Sequence[bool]) -> Integers:
    mask = np.array(wanted, dtype=bool)
    found: Integers = here[mask][np.argsort(begins[mask], kind="stable")]
    return found


def streams(line: Timeline, here: Integers, begins: Floats) -> Iterable[tuple[int, int]]:
    """Operations of one kind that move something follow each other."""
    by_kind: dict[str, list[tuple[float, int]]] = defaultdict(list)
    for at, begun in zip(here.tolist(), begins.tolist(), strict=True):
        if scope(line.ops[at].kind) not in {Scope.COMPUTE, Scope.LOCAL}:
            by_kind[line.ops[at].kind].append((begun, at))
    for found in by_kind.values():
        found.sort()
        for (_, before), (_, at) in pairwise(found):
            yield at, before


def last_ended(line: Timeline, at: int, candidates: Integers) -> int | None:
    """The last of `candidates` (in order) that had always ended when this one began."""
    begun = line.start_s[at]
    low, high = 0, len(candidates)  # ends grow with the order, so halving finds it
    while low < high:
        middle = (low + high) // 2
        one = candidates[middle]
        ended = (line.end_s[one] <= begun + slack(line, int(one))).mean() >= ALWAYS
        if ended:
            low = middle + 1
        else:
            high = middle
    return int(candidates[low - 1]) if low else None


def slack(line: Timeline, at: int) -> float:
    """How long an operation may still seem to run when the next begins.

    Hosts' and devices' clocks differ by some microseconds, and single-precision seconds of a long
    step by as many.
    """
    took = float(np.median(line.end_s[at] - line.start_s[at]))
    return min(MOST_SLACK_S, max(LEAST_SLACK_S, SLACK * took))


# ------------------------------------------------------------------- transfers between stages


def transfers(line: Timeline) -> tuple[tuple[tuple[int, int], ...], list[tuple[int, int]]]:
    """((send, receive) of one transfer, …) and (computation, receive that feeds it)."""
    stages = len(line.stages)
    chunks = 1 + max((op.chunk for op in line.ops if scope(op.kind) is Scope.COMPUTE), default=0)
    sent: dict[tuple[str, int, int], int] = {}
    received: dict[tuple[str, int, int], int] = {}
    feeds = []
    for stage in range(stages):
        for way, step in (("forward", 1), ("backward", -1)):
            computes = ordered(line, stage, f"{way}-compute")
            turn = turns(line, computes)
            for one, at in matched(line, stage, f"{way}-send", computes, (step, chunks, stages)):
                where = virtual(line.ops[one], stages)
                sent[way, where + step, micro(line.ops[one], turn[one])] = at
            for one, at in matched(line, stage, f"{way}-recv", computes, (-step, chunks, stages)):
                where = virtual(line.ops[one], stages)
                received[way, where, micro(line.ops[one], turn[one])] = at
                feeds.append((one, at))
    return tuple((sent[key], received[key]) for key in sent if key in received), feeds


def micro(op: Op, number: int) -> int:
    """A microbatch keeps its number through the pipeline; without one the order has to do."""
    return op.microbatch if op.microbatch >= 0 else number


def turns(line: Timeline, computes: Sequence[int]) -> dict[int, int]:
    """Of each computation the number among those of its chunk."""
    seen: dict[int, int] = defaultdict(int)
    found = {}
    for at in computes:
        chunk = line.ops[at].chunk
        found[at] = seen[chunk]
        seen[chunk] += 1
    return found


def virtual(op: Op, stages: int) -> int:
    return max(op.chunk, 0) * stages + op.stage


def ordered(line: Timeline, stage: int, kind: str) -> list[int]:
    found = [at for at, op in enumerate(line.ops) if op.stage == stage and op.kind == kind]
    begins = np.median(line.start_s[found], axis=(1, 2)) if found else np.empty(0)
    return [found[at] for at in np.argsort(begins, kind="stable")]


def matched(
    line: Timeline, stage: int, kind: str, computes: Sequence[int], way: tuple[int, int, int]
) -> list[tuple[int, int]]:
    """(computation, the transfer before or after it); recorders may count the ends' idle ones."""
    step, chunks, stages = way
    moved = ordered(line, stage, kind)
    there = [at for at in computes if 0 <= virtual(line.ops[at], stages) + step < chunks * stages]
    if len(moved) == len(there):
        return list(zip(there, moved, strict=True))
    if len(moved) == len(computes):
        idle = set(computes) - set(there)
        return [(at, one) for at, one in zip(computes, moved, strict=True) if at not in idle]
    return []


# ------------------------------------------------------------------------------------- order


def in_order(
    groups: Sequence[Sequence[int]], after: Sequence[Sequence[int]], over_dp: set[int]
) -> tuple[Event, ...] | None:
    """Kahn's order over groups; None: a circle."""
    group_of = {at: number for number, group in enumerate(groups) for at in group}
    needs = [
        {group_of[before] for at in group for before in after[at]} - {number}
        for number, group in enumerate(groups)
    ]
    waiting = [len(one) for one in needs]
    leads: list[list[int]] = [[] for _ in groups]
    for number, one in enumerate(needs):
        for before in one:
            leads[before].append(number)
    ready = deque(number for number, count in enumerate(waiting) if not count)
    found = []
    while ready:
        number = ready.popleft()
        group = tuple(groups[number])
        found.append(
            Event(
                group,
                tuple(tuple(dict.fromkeys(after[at])) for at in group),
                any(at in over_dp for at in group),
            )
        )
        for follower in leads[number]:
            waiting[follower] -= 1
            if not waiting[follower]:
                ready.append(follower)
    return tuple(found) if len(found) == len(groups) else None
