"""PyTorch profiler (Kineto) and other Chrome traces, one file a rank, as one job.

A step is a ProfilerStep#N mark.  Within it, collectives cut the computation into segments; a
segment takes as long as its kernels were busy, so that a wait is a wait.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from clusterctl.model import UserError
from clusterctl.triage.timeline.kineto_file import Heard, listen
from clusterctl.triage.timeline.operations import Floats, Rows

ROUNDS = 12  # of estimating clocks


def read(files: Sequence[Path]) -> Rows:
    """Raises UserError where a file is none, or no file has steps."""
    heard = [listen(file, number) for number, file in enumerate(files)]
    by_rank = {one.rank: one for one in heard}
    unseen = [
        f"{file.name}: cut; its events up to there are used"
        for file, one in zip(files, heard, strict=True)
        if one.cut
    ]
    if len(by_rank) < len(heard):
        last = {one.rank: file.name for file, one in zip(files, heard, strict=True)}
        unseen += [
            f"whose it is: {file.name} and {last[one.rank]} say the same rank, so ranks are the "
            "places of the files, from 0"
            for file, one in zip(files, heard, strict=True)
            if last[one.rank] != file.name
        ][:3]
        by_rank = dict(enumerate(heard))
    lacking = [file.name for file, one in zip(files, heard, strict=True) if not one.steps]
    if len(lacking) == len(files):
        raise UserError(
            f"{files[0]}: no ProfilerStep#N marks; profile with torch.profiler's `schedule` and "
            "call `prof.step()` after every step"
        )
    unseen += [f"{name}: no ProfilerStep#N marks" for name in lacking]
    return assembled(by_rank, unseen)


def assembled(heard: Mapping[int, Heard], unseen: list[str]) -> Rows:
    on_device = any(one.work for one in heard.values())
    shift = clocks({rank: moves(one, on_device=on_device) for rank, one in heard.items()})
    kinds: dict[str, int] = {}
    columns: dict[str, list[float]] = defaultdict(list)
    for rank, one in heard.items():
        for step, kind, seq, start, end in operations(one, on_device=on_device):
            code = kinds.setdefault(kind, len(kinds))
            for name, value in (
                ("rank", rank),
                ("step", step),
                ("kind", code),
                ("seq", seq),
                ("start", start - shift[rank]),
                ("end", end - shift[rank]),
            ):
                columns[name].append(value)
    whole = {
        name: np.array(columns[name], dtype=np.int64) for name in ("rank", "step", "kind", "seq")
    }
    zero = np.zeros(len(whole["rank"]), dtype=np.int64)
    widest = max(map(abs, shift.values()), default=0.0)
    if widest > 1e-3:
        unseen = [*unseen, f"clocks differ by up to {widest:.3g} s; estimated from collectives"]
    return Rows(
        rank=whole["rank"],
        dp=whole["rank"],
        stage=zero,
        step=whole["step"],
        kind=whole["kind"],
        start_s=np.array(columns["start"], dtype=np.float64),
        end_s=np.array(columns["end"], dtype=np.float64),
        seq=whole["seq"],
        chunk=zero,
        microbatch=zero,
        kinds=tuple(kinds),
        node={rank: one.host for rank, one in heard.items() if one.host},
        unread=sum(one.unread for one in heard.values()),
        unseen=tuple(unseen),
    )


def moves(one: Heard, *, on_device: bool) -> list[tuple[int, int, float, float, str, str]]:
    """(step, turn in it, begin, end, kind, group), in order."""
    found = one.collectives if on_device else one.host_collectives
    steps = one.device_steps if on_device and one.device_steps else one.steps
    turn: dict[int, int] = defaultdict(int)
    made = []
    marks = sorted((begin, finish, step) for step, (begin, finish) in steps.items())
    for start, end, kind, group in sorted(found):
        step = within(start, marks)
        if step is not None:
            made.append((step, turn[step], start, end, kind, group))
            turn[step] += 1
    return made


def within(when: float, marks: Sequence[tuple[float, float, int]]) -> int | None:
    """The step that a moment is in; `marks`: (begin, end, step), in order."""
    place = bisect_right(marks, when, key=lambda one: one[0]) - 1
    return marks[place][2] if place >= 0 and when < marks[place][1] else None


def clocks(
    moved: Mapping[int, Sequence[tuple[int, int, float, float, str, str]]],
) -> dict[int, float]:
    """Seconds that each rank's clock is ahead of the median: a collective ends for all at once."""
    ends: dict[tuple[int, int, str, str], dict[int, float]] = defaultdict(dict)
    for rank, found in moved.items():
        for step, turn, _, end, kind, group in found:
            ends[step, turn, kind, group][rank] = end
    shift = dict.fromkeys(moved, 0.0)
    for _ in range(ROUNDS):
        apart: dict[int, list[float]] = defaultdict(list)
        for members in ends.values():
            if len(members) > 1:
                middle = float(np.median([end - shift[rank] for rank, end in members.items()]))
                for rank, end in members.items():
                    apart[rank].append(end - middle)
        shift = {rank: float(np.median(apart[rank])) if apart[rank] else 0.0 for rank in moved}
    return shift


def operations(one: Heard, *, on_device: bool) -> Iterator[tuple[int, str, int, float, float]]:
    """(step, kind, seq, begin, end)"""
    steps = one.device_steps if on_device and one.device_steps else one.steps
    work = np.array(sorted(one.work if on_device else one.host_work), dtype=np.float64)
    work = merged(work.reshape(-1, 2))
    by_step: dict[int, list[tuple[float, float, str]]] = defaultdict(list)
    for step, _, start, end, kind, _ in moves(one, on_device=on_device):
        by_step[step].append((start, end, kind))
    for step, (begin, finish) in sorted(steps.items()):
        seqs: dict[str, int] = defaultdict(int)
        edges = [begin]
        for start, end, kind in by_step[step]:
            edges += [max(start, edges[-1]), max(end, edges[-1])]
            yield step, kind, seqs[kind], start, end
            seqs[kind] += 1
        edges.append(max(finish, edges[-1]))
        for number, (left, right) in enumerate(pairwise(edges)):
            began, busy = busy_in(work, left, right)
            kind = "forward-compute" if number == 0 else "backward-compute"
            yield step, kind, max(0, number - 1), began, began + busy


def merged(work: Floats) -> Floats:
    """Without overlaps: streams run side by side, threads nest."""
    if not len(work):
        return work
    reach = np.maximum.accumulate(work[:, 1])
    new = np.ones(len(work), dtype=bool)
    new[1:] = work[1:, 0] > reach[:-1]
    first = np.flatnonzero(new)
    last = np.append(first[1:], len(work)) - 1
    return np.stack([work[first, 0], reach[last]], axis=1)


def busy_in(work: Floats, left: float, right: float) -> tuple[float, float]:
    """(when the first begins, seconds busy) of the work between two moments."""
    if not len(work):
        return left, 0.0
    low = int(np.searchsorted(work[:, 1], left, side="right"))
    high = int(np.searchsorted(work[:, 0], right, side="left"))
    if high <= low:
        return left, 0.0
    starts = np.maximum(work[low:high, 0], left)
    ends = np.minimum(work[low:high, 1], right)
    return float(starts[0]), float(np.maximum(ends - starts, 0).sum())
