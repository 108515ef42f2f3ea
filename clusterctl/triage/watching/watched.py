"""All nodes of a job that is watched: what they say goes in, what happens comes out.  No I/O."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from statistics import median

from clusterctl.model import Trouble
from clusterctl.triage.watching.asked import JOB
from clusterctl.triage.watching.learning import CLEAR, SCALES_S, anew, learn, middle
from clusterctl.triage.watching.rhythm import Heard, Looks, again, clearly, first
from clusterctl.triage.watching.samples import Part, Ranks, read
from clusterctl.triage.watching.shift import judge
from clusterctl.triage.watching.state import HOPS, SAME, WINDOW_MOST_S, Event, Mood, State, What

LEAST_HOP_S = 3.0
SILENT_S = 16.0  # three lines that did not come
GONE_S = 30.0  # a job that begins anew has its ranks back by then
ALARMS = frozenset({What.SLOWER, What.STALLED})
WHOLE_STEPS = 48  # that a longer period is looked for in: eight microbatches, six times
PART = 1.35  # times as clear is what repeats as a whole
BEHIND = 1.5  # times the largest look back


@dataclass(slots=True)
class Watched:
    """One node.  Times: `heard_at`, `idle_since` by our clock; those of looks by its own.

    `idle_since`: when it first said that none of the job's ranks runs there; None: some do.
    `spent_s` of a processor in `span_s` seconds, by question; `earlier_s`: of samplers before them.
    """

    name: str
    channels: dict[str, Looks] = field(default_factory=dict)
    heard_at: float | None = None
    ranks: tuple[tuple[int, int | None, str], ...] = ()
    jobs: frozenset[str] = frozenset()  # that have ranks there, ours or not
    reads: tuple[str, ...] = ()  # channels
    hidden: int = 0
    idle_since: float | None = None
    trouble: Trouble | None = None
    silent: bool = False
    spent_s: dict[str, float] = field(default_factory=dict)
    earlier_s: float = 0.0
    span_s: float = 0.0
    use_percent: float | None = None
    heard: Heard = field(default_factory=Heard)

    def runs(self, told: Ranks, job: str, at: float) -> None:
        self.heard_at, self.trouble, self.hidden = at, None, told.hidden
        self.ranks = tuple(one for one in told.ranks if job in {"", one[2]})
        self.jobs = frozenset(job for _, _, job in told.ranks)
        self.reads = told.channels
        if self.ranks:
            self.idle_since = None
        elif self.idle_since is None:
            self.idle_since = at

    def counts(self, part: Part, question: str, at: float) -> None:
        """The channels that it reads and that did not move counted nothing."""
        if part.spent_s < (before := self.spent_s.get(question, 0.0)):
            self.earlier_s += before  # another process counts from nothing
        self.spent_s[question] = part.spent_s
        if question == JOB:
            self.heard_at, self.trouble = at, None
            self.span_s += sum(part.steps)
        else:
            self.use_percent = part.use_percent
        still = (0.0,) * len(part.steps)
        for name in {*part.added, *(self.reads if question == JOB else ())}:
            looks = self.channels.setdefault(name, Looks())
            looks.add(part.begin, part.steps, part.added.get(name, still))
            looks.forget(looks.times[-1] - BEHIND * WINDOW_MOST_S)

    @property
    def cost(self) -> float | None:
        """Of one processor."""
        spent_s = self.earlier_s + sum(self.spent_s.values())
        return spent_s / self.span_s if self.span_s else None

    def last(self) -> float:
        return max((one.times[-1] for one in self.channels.values() if one.times), default=0.0)

    def reach_s(self) -> float:
        """How far back its looks go without a gap."""
        return max((o.times[-1] - o.times[0] for o in self.channels.values() if o.times), default=0)


@dataclass(slots=True)
class Job:
    """The nodes and what is known of their job: `name`, where there may be several.

    `due`: when to look at it next.
    """

    nodes: dict[str, Watched] = field(default_factory=dict)
    state: State = field(default_factory=State)
    name: str = ""
    began: float = 0.0
    cool_down_s: float = 600.0
    due: float = 0.0
    looked_s: float = 0.0  # how much had been seen when longer periods were looked for

    def take_in(self, node: str, question: str, text: str, at: float) -> Trouble | None:
        """One line of a node; what could not be read."""
        row = read(text)
        if isinstance(row, Trouble):
            return row
        if isinstance(row, Ranks):
            self.nodes[node].runs(row, self.name, at)
        else:
            self.nodes[node].counts(row, question, at)
        return None

    def tick(self, at: float) -> Event | None:
        """Judge the latest window, if it is time; what has happened, if anything has."""
        if at < self.due:
            return None
        seen = {name: one for name, one in self.nodes.items() if speaks(one, at)}
        event = None
        if seen and self.state.step_s is None:
            event = self.learn(seen, at)
        elif seen:
            event = self.judge(seen, at)
        if event is not None and event.what in ALARMS:
            self.state = replace(self.state, quiet_until=at + self.cool_down_s)
        self.due = at + max(LEAST_HOP_S, self.state.window_s / HOPS)
        return event

    def jobs(self) -> set[str]:
        return {job for one in self.nodes.values() for job in one.jobs}

    def missed(self, seconds: float) -> None:
        """Nobody listened for so long: that nothing was heard meanwhile is not the nodes' doing."""
        for one in self.nodes.values():
            if one.heard_at is not None:
                one.heard_at += seconds

    def turned(self, at: float) -> tuple[list[Watched], list[Watched]]:
        """Nodes that have fallen silent since this was asked last, and that are heard again."""
        fallen, back = [], []
        for one in self.nodes.values():
            silent = at - (self.began if one.heard_at is None else one.heard_at) > SILENT_S
            if silent and not one.silent:
                fallen.append(one)
            elif one.silent and not silent:
                back.append(one)
            one.silent = silent
        return fallen, back

    def over_since(self, at: float) -> float | None:
        """When the last rank had ended, on all nodes that are heard; None: some may yet run."""
        heard = [one for one in self.nodes.values() if not one.silent and one.heard_at is not None]
        ends = [one.idle_since for one in heard if one.idle_since is not None]
        if not heard or len(ends) < len(heard) or at - max(ends) < GONE_S:
            return None
        return max(ends)

    def learn(self, seen: Mapping[str, Watched], at: float) -> Event | None:
        state = self.state
        for window_s in scales(state, seen):
            heard = {name: listen(one, window_s, state.hint_s) for name, one in seen.items()}
            if middle(heard) is not None and (state.hint_s or clear(heard)):
                break
        else:
            heard = {name: Heard(moves=one.heard.moves) for name, one in seen.items()}
        self.take(heard)
        if middle(heard) is None and state.hint_s is None:
            return None
        state = learn(state, heard, at)
        if not state.checked and state.hint_s and not self.state.hint_s:
            state = self.checked(state, seen, at)
        what = What.BACK if self.state.well and not state.well else What.LEARNT
        self.state = state
        if state.step_s is None:
            return None
        return Event(what, at, state.before_s, state.step_s, at)

    def checked(self, state: State, seen: Mapping[str, Watched], at: float) -> State:
        """Whether what repeats is a part of something longer, as far as can be seen until now."""
        longer = self.longer(state.hint_s or 0.0, seen)
        if longer is not None:
            return replace(state, hint_s=longer, checked=True, learning=())
        last = state.learning[-1]
        return learn(replace(state, checked=True, learning=state.learning[:-1]), last, at)

    def deepened(self, seen: Mapping[str, Watched]) -> bool:
        """Looks again once four times as much has been seen; whether it has to be learnt anew."""
        state, step_s = self.state, self.state.step_s or 0.0
        reach = reach_s(seen)
        if self.looked_s >= reach / 4 or state.mood is not Mood.STEADY:
            return False
        self.looked_s = reach
        longer = self.longer(step_s, seen)
        if longer is None:
            return False
        self.state = anew(state, longer)
        return True

    def longer(self, step_s: float, seen: Mapping[str, Watched]) -> float | None:
        """A period of which this one is but a part."""
        reach = min(reach_s(seen), WHOLE_STEPS * step_s)
        found = middle({name: listen(one, reach) for name, one in seen.items()})
        if found is None or found < 1.5 * step_s or not self.clearer(seen, reach, step_s, found):
            return None
        return found

    def clearer(
        self, seen: Mapping[str, Watched], reach: float, hint: float, longer: float
    ) -> bool:
        """Whether the longer period is so much clearer that the other is but a part of it."""
        told = []
        for one in seen.values():
            name, since = one.heard.channel, one.last() - reach
            if name in one.channels:
                looks = one.channels[name]
                short, wide = (clearly(name, looks, since, at) for at in (hint, longer))
                told.append(wide > PART * short)
        return bool(told) and 2 * sum(told) > len(told)

    def judge(self, seen: Mapping[str, Watched], at: float) -> Event | None:
        state = self.state
        heard = {}
        for name, one in seen.items():
            beat = state.beats.get(name)
            if beat is not None:
                heard[name] = again(one.channels, one.last(), state.window_s, beat, SAME)
        if not heard or self.deepened(seen):
            return None
        self.take(heard)
        self.state, event = judge(state, heard, at)
        return event

    def take(self, heard: Mapping[str, Heard]) -> None:
        for name, one in heard.items():
            self.nodes[name].heard = one


def speaks(one: Watched, at: float) -> bool:
    return one.heard_at is not None and at - one.heard_at <= SILENT_S and bool(one.channels)


def listen(one: Watched, window_s: float, hint_s: float | None = None) -> Heard:
    return first(one.channels, one.last() - window_s, hint_s)


def clear(heard: Mapping[str, Heard]) -> bool:
    return median(one.period.clarity for one in heard.values() if one.period) >= CLEAR


def scales(state: State, seen: Mapping[str, Watched]) -> Iterator[float]:
    if state.hint_s is not None:
        yield state.window_s
        return
    yield from (one for one in SCALES_S if one <= reach_s(seen) + 1)


def reach_s(seen: Mapping[str, Watched]) -> float:
    """How far back most nodes have been seen without a gap."""
    return median(one.reach_s() for one in seen.values())
