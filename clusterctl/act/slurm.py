"""Slurm's nodes, and draining them: scontrol, here or on a host that we reach by SSH."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from clusterctl.act.deed import LABELS, Action, Blind, Outcome, Picture, State, Told, moment
from clusterctl.model import Answer, Kind, Question, Trouble
from clusterctl.spelling import visible

# scontrol(1), NODE STATE CODES.  Somebody, or Slurm itself, has taken the node out:
HOLDS = (
    *("DRAIN", "DRAINED", "DRAINING", "DOWN", "FAIL", "FAILING", "ERROR", "FUTURE"),
    *("MAINT", "MAINTENANCE", "INVALID", "INVALID_REG"),  # scontrol prints MAINTENANCE
)
# Nobody has, and yet no job starts there just now.
AWAY = frozenset(
    {
        *("UNKNOWN", "NO_RESPOND", "NOT_RESPONDING", "BLOCKED", "POWERED_DOWN", "POWERING_DOWN"),
        *("POWER_DOWN", "POWERING_UP", "POWER_UP", "REBOOT", "REBOOT_ISSUED", "REBOOT_REQUESTED"),
    }
)
DRAINED = frozenset({"DRAIN", "DRAINED", "DRAINING"})
FIELD = {key: re.compile(rf"(?:^| ){key}=(\S*)") for key in ("NodeName", "State", "Partitions")}
# Reason=fan [root@2026-01-02T03:04:05], then what older and newer versions add
GIVEN = re.compile(r"(?P<text>.*) \[(?P<by>[^\s\[\]@]+)@(?P<at>[^\s\[\]]+)\]", re.DOTALL)
DENIED = re.compile(r"Invalid user id|permission denied", re.IGNORECASE)
NAME = re.compile(r"[A-Za-z0-9_][\w.-]*", re.ASCII)
# Its times are that host's own unless told otherwise, and a user's environment restyles them.
SCONTROL = ("env", "TZ=UTC", "SLURM_TIME_FORMAT=standard", "scontrol")
LOOK = Question("slurm_nodes", (*SCONTROL, "-a", "show", "node", "-o"), 60.0, cap_bytes=64 << 20)
CHANGE_S = 90.0
VERBS = {"drain": "DRAIN", "undrain": "UNDRAIN"}

Ask = Callable[[Question], Answer | Trouble]


@dataclass(frozen=True, slots=True)
class Slurm:
    """`ask` puts a question to the host whose scontrol we use; `where` names it."""

    ask: Ask
    where: str
    by: str = "slurm"
    label: str = LABELS["slurm"]
    sees: bool = True

    def look(self) -> Picture:
        answer = self.ask(LOOK)
        if isinstance(answer, Trouble):
            raise Blind(f"{self.where}: {answer}")
        if answer.exit_code != 0:
            said = " ".join((answer.stderr.strip() or answer.stdout or "no word").split())
            code = "no end" if answer.exit_code is None else f"exit {answer.exit_code}"
            raise Blind(f"{self.where}: scontrol: {code}: {visible(said, 200)}")
        return read(answer.stdout, whole=not answer.truncated)

    def says(self, verb: str, state: State, reason: str) -> str:
        words = ("scontrol", "update", f"NodeName={state.called}", *update(verb, reason))
        return " ".join(map(shlex.quote, words))

    def change(self, verb: str, state: State, action: Action) -> Told:
        if not NAME.fullmatch(state.called) or state.called.upper() == "ALL":
            return Told(Outcome.REFUSED, f"{state.called!r} is not one node's name in Slurm")
        order = {
            "node": state.called,
            "mark": state.mark,
            "holds": list(HOLDS),
            "update": list(update(verb, action.reason)),
            "env": dict(word.split("=", 1) for word in SCONTROL[1:-1]),
        }
        asked = Question(
            "change_slurm", (json.dumps(order),), CHANGE_S, script="change_slurm", cap_bytes=1 << 22
        )
        answer = self.ask(asked)
        if isinstance(answer, Trouble):
            return Told(Outcome.UNKNOWN, str(answer), silent=True)
        return told(verb, action, answer)


def update(verb: str, reason: str) -> tuple[str, ...]:
    """UNDRAIN, and not RESUME, which would also take a node that is down for up."""
    why = (f"Reason={reason}",) if verb == "drain" else ()
    return (f"State={VERBS[verb]}", *why)


# --------------------------------------------------------------------------- what scontrol prints


def read(stdout: str, *, whole: bool = True) -> Picture:
    """Every node, a line each; a line that cannot be read costs its node.

    A node that is named twice is not believed either time.
    """
    troubles: list[Trouble] = []
    states: dict[str, State] = {}
    twice: set[str] = set()
    lines = stdout.split("\n")
    last = lines.pop()
    if last or not whole:
        troubles.append(Trouble(Kind.CUT, f"the list of nodes ends early: {visible(last, 80)}"))
    for line in lines:
        if not line.strip():
            continue
        state = node_of(line)
        if state is None:
            troubles.append(Trouble(Kind.UNREADABLE, f"not a node: {visible(line, 120)}"))
            continue
        twice |= {state.called} & states.keys()
        states[state.called] = state
    for name in sorted(twice):
        del states[name]
        troubles.append(Trouble(Kind.UNREADABLE, f"{name} is listed more than once", name))
    return Picture(states, troubles)


def node_of(line: str) -> State | None:
    """One line of `scontrol show node -o`; None: it is none."""
    before, _, tail = line.partition(" Reason=")
    cells = {key: form.search(before) for key, form in FIELD.items()}
    name, words, partitions = (cells[key][1] if cells[key] else "" for key in FIELD)  # type: ignore[index]
    states = re.findall("[A-Z_]+", words)
    if not before.startswith("NodeName=") or not NAME.fullmatch(name) or not states:
        return None
    tail = tail.rstrip()
    given = GIVEN.match(tail)
    text = given["text"] if given else tail
    held = tuple(sorted(state for state in states if state in HOLDS))
    pools = tuple(one for one in partitions.split(",") if one not in {"", "(null)", "N/A"})
    return State(
        called=name,
        words=visible(words, 80),
        held=held,
        reason=visible(text, 300),
        by=visible(given["by"], 60) if given else "",
        since=given_at(given["at"]) if given else None,
        pools=pools,
        usable=not held and AWAY.isdisjoint(states) and "*" not in words,  # IDLE*: no answer
        mark=f"{'+'.join(held)}|{tail}",
    )


def given_at(text: str) -> datetime | None:
    try:
        return moment(text)
    except ValueError:
        return None


# --------------------------------------------------------------------------- what became of it


def told(verb: str, action: Action, answer: Answer) -> Told:
    """What counts is how the node stands afterwards, whatever scontrol said."""
    try:
        said: dict[str, Any] = json.loads(answer.stdout)
        before, after = (node_of(str(said[key]).strip("\n")) for key in ("before", "after"))
        ran, why = said["ran"] is True, visible(str(said["said"]), 200)
    except (ValueError, KeyError, TypeError):
        why = visible(answer.stderr or answer.stdout, 200)
        return Told(Outcome.UNKNOWN, f"the change gave no answer that can be read: {why}")
    if not ran:
        if before is None:
            return Told(Outcome.REFUSED, f"nothing was changed: {why}", silent=True)
        return Told(Outcome.CHANGED, "somebody changed it while we looked: it is left", before)
    if after is None:
        return Told(Outcome.UNKNOWN, why or "the node could not be read back", silent=True)
    if as_wanted(verb, action, after):
        return Told(Outcome.DONE, "", after)
    if DENIED.search(why):
        why += ": scontrol update wants SlurmUser, root or an operator of Slurm"
    return Told(Outcome.REFUSED, why or "Slurm took the order and did not do it", after)


def as_wanted(verb: str, action: Action, state: State) -> bool:
    drained = not DRAINED.isdisjoint(state.held)
    return drained and state.reason == action.reason if verb == "drain" else not drained
