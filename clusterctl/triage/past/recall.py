"""Asking the memory of earlier runs about suspects' nodes, for as long as there is time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path

from clusterctl.act import journal
from clusterctl.act.breaker import MAY_HAVE
from clusterctl.inventory.ranges import fold
from clusterctl.judge import REACHABLE
from clusterctl.memory import acks, compare, identity, story
from clusterctl.memory.cache import Memory, Night, memory
from clusterctl.memory.dataset import found, labels
from clusterctl.memory.folder import Ended, Folder, begun, ended, open_folder
from clusterctl.memory.identity import Swap
from clusterctl.memory.life import BACK_DAYS
from clusterctl.model import UserError
from clusterctl.triage.past.excuses import Pages, excused, memories
from clusterctl.triage.past.known import Lemon, NodePast, Past
from clusterctl.triage.past.neighbours import leaves_of, shared

Labels = Mapping[str, Mapping[str, str]]
MOST_NODES = 8  # whose past is looked up: nobody reads more at three in the morning
MOST_RUNS = 400  # the newest; as many nights of 1,250 nodes take four seconds to go through
MOST_CHANGES = 40  # of a node


@dataclass(frozen=True, slots=True)
class Asked:
    """`nodes`: the suspects', the likeliest first.  `labels`: of the inventory, where there is one.

    `at`: now.  `left_s`: seconds until nobody waits any longer for what is not begun.  `company`:
    the job's nodes, where they are known: of them, what failed last is told if nobody is suspected.
    """

    nodes: Sequence[str]
    at: datetime
    left_s: Callable[[], float]
    labels: Labels = field(default_factory=dict)
    company: Sequence[str] = ()


def recall(where: str | Path, asked: Asked) -> Past:
    """Raises UserError where the folder cannot be read."""
    name = str(where)
    if not (asked.nodes or asked.company):
        return Past(name, notes=("no suspect has a node with a name: nothing to look up",))
    if "://" not in name and not Path(name).is_dir():
        return nothing(name, asked)
    folder = open_folder(name)
    runs = list(ended(folder, until=asked.at))
    known, notes = within(folder, runs, asked)
    if not known.nights:
        told = nothing(name, asked)
        return replace(told, notes=(*told.notes, *notes))
    past = Past(name, len(known.nights), known.nights[0].started)
    if not asked.nodes:
        return replace(past, notes=(*notes, nobody(known, asked)))
    few = list(dict.fromkeys(asked.nodes))
    if len(few) > MOST_NODES:
        notes.append(f"of {len(few)} suspects' nodes the past of the first {MOST_NODES} is shown")
    return looked_up(known, replace(asked, nodes=few[:MOST_NODES]), past, notes)


def nothing(name: str, asked: Asked) -> Past:
    nodes = listed(asked.nodes or asked.company)
    return Past(name, notes=(f"no earlier run of {nodes} under {name}",))


def nobody(known: Memory, asked: Asked) -> str:
    """Where nobody is suspected: what failed of the job's nodes when they were last looked at."""
    ill = failing(known, set(asked.company))
    told = "; ".join(f"{node} failed {what}" for node, what in sorted(ill.items())[:MOST_NODES])
    more = f"; and {len(ill) - MOST_NODES} more nodes" if len(ill) > MOST_NODES else ""
    where = f"nobody is suspected; of {listed(asked.company)}, when last looked at:"
    return f"{where} {told or 'none failed anything'}{more}"


def listed(nodes: Sequence[str]) -> str:
    return fold(sorted(set(nodes)))


def within(folder: Folder, runs: Sequence[Ended], asked: Asked) -> tuple[Memory, list[str]]:
    """The memory of the newest runs, and what of them is not in it."""
    notes = []
    since = None
    if len(runs) > MOST_RUNS:
        since = begun(runs[-MOST_RUNS].id)
        notes.append(f"only the newest {MOST_RUNS} of {len(runs)} runs were looked through")
    known = memory(folder, since=since, until=asked.at, left_s=asked.left_s)
    there = {one.id for one in known.nights}
    late = [run.id for run in runs[-MOST_RUNS:] if run.id not in there]
    if late and asked.left_s() <= 0:
        notes.append(
            f"{len(late)} runs, the newest {late[-1]}, were never read and there was no time to: "
            "`clusterctl history --lemons` reads them once"
        )
    return known, notes


# --------------------------------------------------------------------------- of each node


@dataclass(frozen=True)  # no slots: what was found once is kept
class Looking:
    known: Memory
    asked: Asked
    looked: Mapping[str, Sequence[Night]]

    @cached_property
    def swaps(self) -> list[Swap]:
        return identity.swaps(self.known)

    @property
    def local(self) -> Path | None:
        """None: the runs are in a bucket, where nothing lies beside them."""
        return None if "://" in self.known.folder.name else Path(self.known.folder.path)


def looked_up(known: Memory, asked: Asked, past: Past, notes: list[str]) -> Past:
    """Everything there is time for: first what is open, last who is a lemon."""
    looked = story.looked_at(known, asked.nodes)
    if strange := [node for node, nights in looked.items() if not nights]:
        notes.append(f"no earlier run of {listed(strange)} under {past.where}")
    told = first_look(known, {node: nights for node, nights in looked.items() if nights})
    looking = Looking(known, asked, looked)
    late: list[str] = []
    for step, what in STEPS:
        if late or asked.left_s() <= 0:
            late.append(what)
            continue
        try:
            told = step(looking, told)
        except UserError as error:
            notes.append(f"{what} is not known: {error}")
    if late:
        notes.append(f"no time was left for {', '.join(late)}: `clusterctl history NODE` has it")
    return replace(past, nodes=tuple(told), notes=(*past.notes, *notes))


def first_look(known: Memory, looked: Mapping[str, Sequence[Night]]) -> list[NodePast]:
    """When they were last healthy, and what was found of late: what is older is history's."""
    frame = found(known, nodes=looked)
    traces = story.traces(frame)
    made = []
    for node, nights in looked.items():
        newest = nights[-1]
        late = newest.started - timedelta(days=BACK_DAYS)
        of_it = [one for one in traces if node in one.node.split(",")]
        few = tuple(one for one in of_it if one.last >= late)
        past = NodePast(node, len(nights), newest.started, newest.id, findings=few)
        for one in reversed(story.stretches(frame, node, nights)):
            if not any(fails(check, status) for check, status, _ in one.wrong):
                past = replace(past, healthy=one.last.started, healthy_run=one.last.id)
                break
            past = replace(past, since=past.since + one.nights)
        made.append(past)
    return made


def fails(check: str, status: str) -> bool:
    """What nobody could see is no fault of the node, unless nobody could see the node."""
    return status == "fail" or (status == "unknown" and check == REACHABLE)


def known_of(looking: Looking, told: list[NodePast]) -> list[NodePast]:
    """Whose open findings an ack covers, as the last sweep that looked there would have it."""
    if looking.local is None:
        raise UserError(f"{looking.known.folder.name}: acks are read from a disk only")
    given = acks.active(acks.read(looking.local), looking.asked.at)
    pages: Pages = {}
    return [
        replace(one, acked=tuple(excused(one.open, memories(looking.local, runs, pages), given)))
        for one in told
        if (runs := [night.id for night in reversed(looking.looked[one.node])])
    ]


def acted(looking: Looking, told: list[NodePast]) -> list[NodePast]:
    """What was done to them since, by the journal of actions beside the runs."""
    log = journal.beside(looking.known.folder)
    return [
        replace(
            one,
            done=tuple(
                f"on {act.at:%Y-%m-%d}: {act.words}"
                for act in log.actions.values()
                if act.node == one.node
                and act.outcome in MAY_HAVE  # what was refused was not done
                and (one.healthy is None or act.at > one.healthy)
            ),
        )
        for one in told
    ]


def changed(looking: Looking, told: list[NodePast]) -> list[NodePast]:
    """Versions that differ from those of the last healthy night, parts that were exchanged."""
    lines: defaultdict[str, list[str]] = defaultdict(list)
    nights: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    healthy = {one.node: one.healthy for one in told if one.healthy is not None}
    for swap in looking.swaps:
        if swap.node in healthy and swap.since > healthy[swap.node]:
            lines[swap.node].append(f"{swap.part}: {swap.new} instead of {swap.old}; {swap.words}")
    for one in told:
        if one.node in healthy and one.healthy_run != one.run:
            nights[one.healthy_run, one.run].append(one.node)
    for (then, now), nodes in nights.items():
        both = looking.known.night(then), looking.known.night(now)
        for _, node, part, _, before, after in compare.versions(looking.known, *both, nodes):
            lines[node].append(f"{part}: {after} instead of {before}")
    return [
        replace(one, changed=tuple(lines[one.node][:MOST_CHANGES])) if one.node in healthy else one
        for one in told
    ]


def neighbours(looking: Looking, told: list[NodePast]) -> list[NodePast]:
    """Who else hangs on their leaf or stands in their rack, and what is wrong there."""
    everywhere = {**labels(looking.known), **looking.asked.labels}
    leaves = leaves_of(looking.local, [one.node for one in told]) if looking.local else {}
    groups = {one.node: shared(one.node, everywhere, leaves.get(one.node, {})) for one in told}
    others = {name for few in groups.values() for group in few for name in group.others}
    ill = failing(looking.known, others)
    return [
        replace(
            one,
            shares=tuple(
                replace(
                    group,
                    suspects=tuple(name for name in group.others if name in looking.asked.nodes),
                    ill=tuple((name, ill[name]) for name in group.others if name in ill),
                )
                for group in groups[one.node]
            ),
        )
        for one in told
    ]


def failing(known: Memory, nodes: set[str]) -> dict[str, str]:
    """What failed of each of these nodes on the newest night that looked at it."""
    newest = {node: nights[-1] for node, nights in story.looked_at(known, nodes).items() if nights}
    last = known.only({night.id for night in newest.values()})
    said: dict[str, str] = {}
    for fault in story.faults(last, nodes) if last.nights else ():
        if fault.at == newest[fault.node].started:
            said[fault.node] = ", ".join(filter(None, (said.get(fault.node), fault.check)))
    return said


def lemons(looking: Looking, told: list[NodePast]) -> list[NodePast]:
    every = story.scores(looking.known, looking.swaps)
    places = {one.node: (place, one) for place, one in enumerate(every, 1)}
    return [
        replace(one, lemon=Lemon(places[one.node][0], len(every), places[one.node][1]))
        if one.node in places
        else replace(one, lemon=Lemon(0, len(every), None))
        for one in told
    ]


STEPS: tuple[tuple[Callable[[Looking, list[NodePast]], list[NodePast]], str], ...] = (
    (known_of, "who acked what"),
    (acted, "what was done to them"),
    (changed, "what changed since they were healthy"),
    (neighbours, "who shares their leaf"),
    (lemons, "whether they are lemons"),
)
