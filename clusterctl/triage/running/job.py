"""What all nodes say, put together: one job's ranks, who is missing, which ends are one link."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from clusterctl.inventory.ranges import fold
from clusterctl.model import UserError
from clusterctl.triage.ranks import ranks_word
from clusterctl.triage.running.observed import Link, Process, Seen
from clusterctl.triage.running.roles import Role, roles

MOST_WORLD = 1 << 20


@dataclass(frozen=True, slots=True)
class Path:
    """One connection between two ranks, both of its ends seen; `here` is the first of them."""

    here: Process
    there: Process
    near: Link  # as `here` counts it
    far: Link


@dataclass(frozen=True, slots=True)
class Job:
    """`ranks` in order; `missing`: ranks that nobody saw; `unseen`: why, a sentence each.

    `roles`: of each of the ranks, in their order.  `silent`: node -> why it said nothing.
    """

    name: str
    ranks: tuple[Process, ...]
    nodes: Mapping[str, Seen] = field(default_factory=dict, hash=False)
    paths: tuple[Path, ...] = ()
    world: int | None = None
    missing: tuple[int, ...] = ()
    unseen: tuple[str, ...] = ()
    roles: tuple[Role, ...] = ()
    silent: Mapping[str, str] = field(default_factory=dict, hash=False)


def gathered(seen: Sequence[Seen], silent: Mapping[str, str], wanted: str = "") -> Job:
    """One job of what nodes said; `silent`: node -> why it said nothing.

    Raises UserError where several jobs have ranks there and none, or none of them, was asked for.
    """
    every = [rank for one in seen for rank in one.ranks]
    sizes = Counter(rank.job for rank in every)
    if wanted and wanted not in sizes:
        raise UserError(f"--job {wanted}: no such job there; there are {described(sizes)}")
    if len(sizes) > 1 and not wanted:
        raise UserError(f"several jobs run there, say --job: {described(sizes)}")
    name = wanted or next(iter(sizes), "")
    ranks = sorted((rank for rank in every if rank.job == name), key=order)
    worlds = Counter(rank.world for rank in ranks if rank.world and rank.world <= MOST_WORLD)
    world = worlds.most_common(1)[0][0] if worlds else None
    known = {rank.rank for rank in ranks}
    missing = tuple(number for number in range(world or 0) if number not in known)
    parts, doubts = roles(ranks, world)
    return Job(
        name,
        tuple(ranks),
        {one.node: one for one in seen},
        tuple(paths(ranks, seen)),
        world,
        missing if ranks and any(rank.rank is not None for rank in ranks) else (),
        (*unseen(seen, silent, missing, world), *doubts),
        parts,
        silent,
    )


def described(sizes: Mapping[str, int]) -> str:
    return ", ".join(f"{name} ({count} ranks)" for name, count in sorted(sizes.items())) or "none"


def order(rank: Process) -> tuple[bool, int, str, int]:
    return (rank.rank is None, rank.rank or 0, rank.node, rank.pid)


def paths(ranks: Sequence[Process], seen: Sequence[Seen]) -> list[Path]:
    """Links that both ends know, each once."""
    owner = {(rank.node, rank.pid): rank for rank in ranks}
    links = [link for one in seen for link in one.links if (link.node, link.pid) in owner]
    ends = {(link.near, link.far): link for link in links}
    found = []
    for link in links:
        other = ends.get((link.far, link.near))
        if other is not None and link.near < link.far:
            here, there = owner[link.node, link.pid], owner[other.node, other.pid]
            found.append(Path(here, there, link, other))
    return found


def silences(silent: Mapping[str, str]) -> Iterator[str]:
    """`silent`: node -> why it said nothing; those of one reason in one line."""
    reasons: dict[str, list[str]] = {}
    for node, why in sorted(silent.items()):
        reasons.setdefault(why, []).append(node)
    for why, nodes in reasons.items():
        yield f"{fold(nodes)}: {why}"


def unseen(
    seen: Sequence[Seen], silent: Mapping[str, str], missing: Sequence[int], world: int | None
) -> list[str]:
    """What could not be seen, a sentence each."""
    told = [*silences(silent)]
    told += [f"{one.node}: {trouble}" for one in seen for trouble in one.troubles]
    if missing and len(missing) != world:
        told.append(f"{ranks_word(missing)} of {world} not seen: {len(missing)} missing")
    return told
