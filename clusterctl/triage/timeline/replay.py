"""What a step would have taken, had some operations taken another time.

Method: "Understanding Stragglers in Large Model Training Using What-if Analysis" (OSDI 2025).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from clusterctl.triage.timeline.operations import Floats, Timeline
from clusterctl.triage.timeline.schedule import Event, Schedule


@dataclass(frozen=True, slots=True)
class Durations:
    """[op, step, DP rank]: `take_s` of work or, once all have begun, of transfer; `wait_s` from
    the moment an operation could begin until it did.
    """

    take_s: Floats
    wait_s: Floats


def observed(line: Timeline, plan: Schedule) -> Durations:
    """As they were; a recorder's jitter below zero is zero."""
    take, wait = line.end_s - line.start_s, np.zeros_like(line.start_s)
    begun = line.start_s.min(axis=(0, 2))[:, None]
    for event in plan.events:
        for at, after in zip(event.ops, event.after, strict=True):
            ready = latest(line.end_s, after) if after else begun
            wait[at] = line.start_s[at] - ready
            if plan.moves[at]:
                take[at] = line.end_s[at] - together(line.start_s, event)
    return Durations(np.maximum(take, 0.0), np.maximum(wait, 0.0))


def latest(times: Floats, places: Sequence[int]) -> Floats:
    found: Floats = times[places[0]]
    for place in places[1:]:
        found = np.maximum(found, times[place])
    return found


def together(start: Floats, event: Event) -> Floats:
    """When the last of those who transfer with each other began."""
    begun = latest(start, event.ops)
    return begun.max(axis=-1, keepdims=True) if event.over_dp else begun


def replay(plan: Schedule, take: Floats, wait: Floats | None = None) -> Floats:
    """Seconds of each step."""
    end = np.empty_like(take)
    zero = np.zeros(take.shape[1:])
    for event in plan.events:
        begun: Floats | None = None
        for at, after in zip(event.ops, event.after, strict=True):
            own = latest(end, after) if after else zero
            if wait is not None:
                own = own + wait[at]
            begun = own if begun is None else np.maximum(begun, own)
        if begun is None:
            continue
        if event.over_dp:
            begun = begun.max(axis=-1, keepdims=True)
        for at in event.ops:
            np.add(begun, take[at], out=end[at])
    seconds: Floats = end.max(axis=(0, 2))
    return seconds
