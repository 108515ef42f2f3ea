"""Where a rank is: what its frames and the kernel tell, and whether it stays there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from clusterctl.knowledge.frames import kind_of, said, wait_of
from clusterctl.triage.stacks.stacks import Frame, Look, Stacked

RUNS = "R"


@dataclass(frozen=True, slots=True)
class Place:
    """`kind` is a word of frames.yml.  `path`: frames from the root, without lines; two ranks with
    one path are at one place.  `told_by`: the frame that tells the kind; else the leaf.
    """

    kind: str
    path: tuple[tuple[str, str], ...]
    told_by: Frame | None
    leaf: Frame | None
    idle: bool
    wait: str = ""  # the kernel's own word for what it sleeps in

    @property
    def called(self) -> str:
        """`waits in a collective: all_reduce (distributed_c10d.py:3252)`"""
        where = f": {self.told_by.place}" if self.told_by else f": {self.wait}" if self.wait else ""
        return f"{said(self.kind)}{where}"


def place(look: Look) -> Place:
    kind, at = kind_of([(one.name, one.file) for one in look.frames])
    sleeping = look.state not in {"", RUNS}
    idle = sleeping if look.state else look.active is False
    held = wait_of([look.held_in, *look.kernel]) if sleeping else ""
    path = tuple((one.name, one.file) for one in reversed(look.frames))
    # A frame tells what it is for; of a user's own one only the kernel knows why it sleeps.
    if not kind or (kind == "lock" and held in {"sleep", "disk"}) or held == "stopped":
        told_by = look.frames[0] if look.frames else None
        kind = held or ("" if idle else "compute") or ("asleep" if look.state else "unknown")
    else:
        told_by = look.frames[at]
    leaf = look.frames[0] if look.frames else None
    return Place(kind, path, told_by, leaf, idle, look.held_in)


@dataclass(frozen=True, slots=True)
class Stay:
    """One rank over all looks that saw something of it; `who` has only those.

    `held`: in each look at the same line, which alone does not tell one that stands from one that
    comes back there: `ran_ticks`, its main thread's CPU time between the first look and the last,
    and `woke`, how often it slept anew, do; None: not known.
    """

    who: Stacked
    places: tuple[Place, ...]
    held: bool
    ran_ticks: int | None
    woke: int | None = None

    @property
    def still(self) -> bool:
        """Surely at one spot all the time."""
        return self.held and self.ran_ticks == 0 and self.woke == 0

    @property
    def kind(self) -> str:
        """What it does most."""
        return Counter(one.kind for one in self.places).most_common(1)[0][0]

    @property
    def last(self) -> Place:
        return self.places[-1]


def stay(one: Stacked) -> Stay | None:
    """None: it was never seen."""
    looks = [each for each in one.looks if each.state or each.frames]
    if not looks:
        return None
    ticks = [each.ticks for each in looks if each.ticks is not None]
    slept = [each.slept for each in looks if each.slept is not None]
    where = {(tuple(each.frames), each.held_in if not each.frames else "") for each in looks}
    return Stay(
        replace(one, looks=tuple(looks)),
        tuple(place(each) for each in looks),
        held=len(where) == 1 and len(looks) > 1,
        ran_ticks=ticks[-1] - ticks[0] if len(ticks) > 1 else None,
        woke=slept[-1] - slept[0] if len(slept) > 1 else None,
    )


def stays(ranks: Sequence[Stacked]) -> list[Stay]:
    return [found for one in ranks if (found := stay(one)) is not None]
