"""Leading a campaign: one conversation a node a tick; what it says is kept, then acted upon."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

from clusterctl.campaign import decisions, rolling, supervision
from clusterctl.campaign import folder as campaign_folder
from clusterctl.campaign.agenda import Agenda
from clusterctl.campaign.asks import Asking, questions
from clusterctl.campaign.boards import Boards
from clusterctl.campaign.decisions import Case, Decision
from clusterctl.campaign.early import Bench, end_of, judge_empty, key_of
from clusterctl.campaign.gate import Demands, admission
from clusterctl.campaign.heard import hear
from clusterctl.campaign.leaving import Farewells
from clusterctl.campaign.silences import AskBmc, Silences, no_bmc
from clusterctl.campaign.supervision import Reply
from clusterctl.campaign.told import silence
from clusterctl.fanout import each
from clusterctl.limits import Sku
from clusterctl.model import Answer, Kind, Node, Observation, Run, Trouble
from clusterctl.observe import Clock, attempt, explain, observe
from clusterctl.sources import lost
from clusterctl.transport import Transport, TransportError
from clusterctl.transport.replay import Heard, Recording
from clusterctl.transport.wire import NEEDS_PYTHON

log = logging.getLogger(__name__)

BEAT_S = 0.5
CONVERSATION_S = 150.0  # the longest of them stops a node
STOP_SILENT_S = 60.0  # for a node that does not answer when all are to stop
LATELY = 12  # steps of a soak that a controller that died may not have judged: four hours
LOOK_S = 60.0  # between looks at the inventory, at most
BUSY_TICK_S = 0.2  # between conversations that have something to say
Reach = Callable[[float], Transport]


@dataclass(frozen=True, slots=True)
class Said:
    """What a conversation brought: answers by name of the question, or a reading."""

    node: str
    answers: dict[str, Answer] = field(default_factory=dict)
    seen: tuple[Observation, ...] = ()
    heard: tuple[Heard, ...] = ()
    trouble: Trouble | None = None
    outage: str = ""  # why it is silent, as its BMC says
    ill: Sequence[Mapping[str, str]] = ()  # see boards.py


class Leader:
    """Owns the campaign in `path` while it leads.  `opening`: the run as it began.

    `lists`: see rolling.looks; with it nodes may join, and the campaign ends only when told to.
    `demands`: see gate.py.  `bmc`: see silences.py.
    """

    def __init__(
        self,
        path: Path,
        opening: Run,
        *,
        reach: Reach,
        clock: Clock,
        skus: tuple[Sku, ...],
        force: str = "",
        take_over: bool = False,
        lists: Iterator[tuple[Node, ...] | None] | None = None,
        demands: Demands = lambda *_: None,
        bmc: AskBmc = no_bmc,
        beat: Callable[[dict[str, Case]], None] = lambda _cases: None,
    ) -> None:
        self.path, self.opening, self.book = path, opening, opening.playbook
        self.reach, self.clock, self.skus, self.force, self.beat = reach, clock, skus, force, beat
        self.nodes = {node.name: node for node in opening.nodes}
        self.cases = campaign_folder.cases(path, opening.nodes)
        self.words = campaign_folder.leader(path, clock())
        self.take_over, self.lists, self.demands = take_over, lists, demands
        self.silences = Silences(bmc, clock, time.monotonic)
        self.boards = Boards(bmc, clock, time.monotonic)
        self.look_at_s = 0.0  # when the inventory is read again
        self.lonely_since: dict[str, float] = {}
        self.ready_since: dict[tuple[str, int], float] = {}
        self.farewells = Farewells()
        self.mine: set[str] = set()  # nodes that have obeyed us
        self.mute: set[str] = set()  # nodes with which the last conversation broke off
        self.rival: tuple[str, Mapping[str, Any]] | None = None  # where somebody else leads; who
        self.rng = Random(opening.seed)  # noqa: S311 - who burns beside whom is no secret
        self.agenda = Agenda()
        self.by_hand = False  # Ctrl-C: it may be resumed
        self.ending = ""  # why all are to stop; written by a signal's handler too
        self.hurry = False
        for case in self.cases.values():
            judge_empty(case, self.book, clock())
            # Whoever fetched the older ones judged them; the verdict looks at all of them again.
            case.judged |= {key_of(step) for step in case.course.soaked[:-LATELY]}
            if case.phase == "burn":
                self.advance(case)
            silence(case.course)

    @property
    def tick_s(self) -> float:
        return self.book.soak.tick_s if self.book.soak else BEAT_S

    # ------------------------------------------------------------------------- the loop

    def reopen(self) -> None:
        """Take back what the operator stopped."""
        for case in self.cases.values():
            if case.phase == "done" and case.stopped:
                self.note(case, {"do": "reopen"})

    def run(self) -> None:
        """Until every node is done, or somebody else turns out to lead."""
        now = time.monotonic()
        for number, (name, case) in enumerate(self.cases.items()):
            if case.phase != "done":
                spread = number * min(self.tick_s, 10.0) / len(self.cases)
                self.agenda.put(name, now + (spread if case.phase != "gate" else 0.0))
        self.agenda.put("", now)
        for said in each(self.agenda, self.attend, at_once=self.book.pace.at_once):
            if said is None:
                self.think()
                self.agenda.back("")
                self.agenda.put("", time.monotonic() + min(BEAT_S, self.tick_s))
            else:
                self.absorb_safely(said)
                self.again(said.node)
            if self.rival or (said is None and self.is_over()):
                self.agenda.close()
                break
        self.beat(self.cases)

    def is_over(self) -> bool:
        done = all(case.phase == "done" for case in self.cases.values())
        more = self.lists is not None and not self.ending
        return done and not more and not self.agenda.away

    def again(self, name: str) -> None:
        self.agenda.back(name)
        case = self.cases[name]
        if case.phase == "done":
            return
        busy = decisions.is_busy(case, self.book)
        busy = busy and not campaign_folder.full
        wait_s = BUSY_TICK_S if busy else self.tick_s * self.rng.uniform(0.8, 1.2)
        self.agenda.put(name, time.monotonic() + min(wait_s, self.tick_s))

    def think(self) -> None:
        """What concerns more than one node, and whoever waits for us."""
        if (said := campaign_folder.stop_said(self.path)) is not None:
            self.ending = self.ending or "stopped by the operator"
            self.hurry |= "now" in said
        if self.ending:
            for name, case in self.cases.items():
                if case.phase == "gate" and name not in self.agenda.away:
                    self.note(case, {"do": "refuse", "why": self.ending, "stopped": True})
                elif case.phase == "burn":
                    self.note(case, {"do": "end", "why": self.ending, "stopped": True})
                    self.soon(name)
            # After Ctrl-C whoever ended before goes on to its end when somebody resumes.
            self.give_up(min(STOP_SILENT_S, self.silent_s()), only_stopped=self.by_hand)
        else:
            self.let_in()
        self.give_up(self.silent_s(), only_stopped=False)
        if self.lists is not None and not campaign_folder.full:
            self.bid_farewell()
        paired = decisions.pair_up(
            self.cases.values(),
            self.book,
            self.rng,
            goes_on_alone=self.goes_on_alone,
            has_waited=self.has_waited,
        )
        for case, decision in list(paired):
            self.note(case, decision)
            self.soon(case.node.name)
        self.beat(self.cases)

    def let_in(self) -> None:
        """Whoever is new in the inventory."""
        now = time.monotonic()
        if self.lists is None or now < self.look_at_s:
            return
        self.look_at_s = now + min(self.tick_s, LOOK_S)
        listed = next(self.lists)
        for decision, told in list(rolling.news(self.cases, listed)) if listed is not None else ():
            name = decision["node"]
            case = self.cases.get(name) or Case(Node(**decision["as"]))
            if not self.note(case, decision):
                continue
            log.warning("%s", told)
            if decision["do"] == "move":
                case.node = self.nodes[name] = replace(case.node, **decision["ways"])
                self.soon(name)
            elif name not in self.cases:
                self.cases[name], self.nodes[name] = case, case.node
                self.opening = replace(self.opening, nodes=(*self.opening.nodes, case.node))
                self.soon(name)

    def goes_on_alone(self, case: Case) -> bool:
        """Where nodes may still join, somebody may come."""
        if self.lists is None or self.book.soak is None:
            return True
        since = self.lonely_since.setdefault(case.node.name, time.monotonic())
        return time.monotonic() - since > self.book.soak.partner_wait_s

    def has_waited(self, case: Case, stage: int) -> bool:
        """For the others of a stage of all together."""
        since = self.ready_since.setdefault((case.node.name, stage), time.monotonic())
        wait_s = self.book.soak.partner_wait_s if self.book.soak else 0.0
        return time.monotonic() - since > wait_s

    def bid_farewell(self) -> None:
        """Who is done leaves with its own verdict, by the nodes that left last; others burn on."""
        left = [one for one in self.cases.values() if one.phase == "done" and not one.stopped]
        for case in (one for one in left if not one.verdict):
            decided, why = self.farewells.verdict(case, left, self.opening, self.bench)
            if self.note(case, decided):
                told = f"{case.node.name} leaves: {case.verdict}"
                log.warning("%s", f"{told} · {why}" if why else told)

    def silent_s(self) -> float:
        return self.book.soak.silent_s if self.book.soak else 0.0

    def give_up(self, after_s: float, *, only_stopped: bool) -> None:
        for case in self.cases.values():
            if case.phase in {"done", "gate"} or (only_stopped and not case.stopped):
                continue
            if not case.trouble or mark_silence(case) <= after_s:
                continue
            why = f"given up: {case.trouble}"
            if case.phase == "burn" and case.node.name not in self.mute:
                # Who only says no is cleared like any other, and has as long for it.
                case.silent_s = None
                self.note(case, {"do": "end", "why": why})
            else:
                self.note(case, {"do": "done", "why": why, "left": True})

    def soon(self, name: str) -> None:
        self.agenda.put(name, time.monotonic())

    def note(self, case: Case, decision: Decision) -> bool:
        """Whether it stands: what is not on our disk was not decided."""
        whole = {"node": case.node.name, "at": self.clock().isoformat(), **decision}
        if not campaign_folder.keep_decision(self.path, whole):
            return False
        decisions.apply(case, whole)
        return True

    # ------------------------------------------------------------------------- a conversation

    def attend(self, name: str) -> Said | None:
        """In a thread of its own; our bug costs this node's visit, and no other node's."""
        if not name:
            return None
        (said,) = attempt(map(self.visit, (name,)))
        return Said(name, trouble=said) if isinstance(said, Trouble) else said

    def visit(self, name: str) -> Said:
        case = self.cases[name]
        if case.phase in {"gate", "reading"}:
            return self.look(case)
        answers: dict[str, Answer] = {}
        try:
            with self.reach(CONVERSATION_S).open(case.node) as shell:
                for answer in shell.ask(questions(case, self.asking(case))):
                    answers[answer.name] = answer
        except TransportError as error:
            trouble = explain(error, "")
            return Said(name, answers, trouble=trouble, outage=self.silences.why(case.node))
        return Said(name, answers, ill=self.boards.ill(case.node) if case.phase == "burn" else ())

    def look(self, case: Case) -> Said:
        heard: list[Heard] = []
        transport = Recording(self.reach(self.book.pace.node_s), heard.append)
        seen = observe(case.node, self.book.probes, transport, self.clock)
        return Said(case.node.name, seen=tuple(seen), heard=tuple(heard))

    def asking(self, case: Case) -> Asking:
        """It is taken from another leader once, and not again behind its back."""
        takes = self.take_over and case.node.name not in self.mine
        words = {**self.words, "take_over": True} if takes else self.words
        about = (self.opening.id, self.book, self.opening.seed, self.nodes, words)
        return Asking(*about, hurry=self.hurry)

    @property
    def bench(self) -> Bench:
        return Bench(self.path, self.book, self.skus, self.clock())

    # ------------------------------------------------------------------------- what it brought

    def absorb_safely(self, said: Said) -> None:
        """Where we break over what one node said, it is in trouble, and the others burn on."""
        (bug,) = attempt(map(self.absorb, (said,)))
        if said.trouble is not None and said.trouble.kind is Kind.BUG:
            bug = said.trouble
        case = self.cases[said.node]
        if bug is not None and case.phase == "gate":
            self.note(case, {"do": "refuse", "why": str(bug)})
        elif bug is not None:
            case.trouble = str(bug)
            mark_silence(case)

    def absorb(self, said: Said) -> None:
        case = self.cases[said.node]
        if said.seen:
            self.absorb_reading(case, said)
            return
        start = said.answers.get("start")
        if start and start.stderr == NEEDS_PYTHON and not case.course.size:
            self.note(case, {"do": "refuse", "why": NEEDS_PYTHON.strip()})
            return
        replies = {name: supervision.reply(answer) for name, answer in said.answers.items()}
        troubles = [one for one in replies.values() if isinstance(one, Trouble)]
        trouble = said.trouble or (troubles[0] if troubles else None)
        case.trouble = "; ".join(filter(None, (str(trouble), said.outage))) if trouble else ""
        if trouble is None:
            self.silences.over(case.node.name)
            self.mute.discard(case.node.name)
        else:
            self.mute.add(case.node.name)
        if said.outage and said.outage not in case.outages:
            self.note(case, {"do": "outage", "why": said.outage})
        for one in said.ill:
            if one["part"] not in case.boards:
                self.note(case, {"do": "board", "part": one["part"], "verdict": one})
        for name, told in replies.items():
            if isinstance(told, Reply):
                self.hear(case, name.split()[0], told)
        mark_silence(case)
        if case.phase == "burn":
            self.advance(case)
        silence(case.course)

    def absorb_reading(self, case: Case, said: Said) -> None:
        name, before = case.node.name, case.phase == "gate"
        trouble = next((one for one in said.heard if one.trouble), None)
        if not before and trouble is not None:
            case.trouble = str(trouble.trouble)
            self.mute.add(name)
            mark_silence(case)
            return  # it may come back; until it is given up
        since_s, case.trouble, case.silent_s = case.silent_s, "", None
        which = "before" if before else "after"
        if not campaign_folder.keep_reading(self.path, name, which, said.heard):
            return
        if not before:
            self.note(case, {"do": "read"})
            return
        if self.may_come_up(case, said.seen, since_s):
            return
        for decision in admission(
            case, said.seen, self.bench, force=self.force, demands=self.demands
        ):
            self.note(case, decision)
        if case.phase == "burn":
            self.advance(case)

    def may_come_up(self, case: Case, seen: Sequence[Observation], since_s: float | None) -> bool:
        """A node that joins may be listed before it answers."""
        trouble = lost(seen)
        if self.lists is None or trouble is None:
            return False
        case.trouble, case.silent_s = str(trouble), since_s
        return mark_silence(case) < self.silent_s()

    def hear(self, case: Case, verb: str, told: Reply) -> None:
        if "leader" in told.words:
            self.rival = (case.node.name, told.words["leader"])
            return
        self.mine.add(case.node.name)
        for decision in hear(case, verb, told, self.bench):
            self.note(case, decision)

    def advance(self, case: Case) -> None:
        if (end := end_of(case, self.bench)) is not None:
            self.note(case, end)
            return
        for decision in decisions.decide(case, self.book):
            if not self.note(case, decision):
                return


def mark_silence(case: Case) -> float:
    """For how long, in seconds, it has been in trouble now; begins or ends that time."""
    now = time.monotonic()
    if not case.trouble:
        case.silent_s = None
        return 0.0
    case.silent_s = now if case.silent_s is None else case.silent_s
    return now - case.silent_s
