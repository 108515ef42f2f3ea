"""Questions to the supervisor of a campaign on a node, and the reading of its answers.

What each does, and the keys of plan, order and step, stand in remote/supervise.py and
remote/supervisor.py.  `places`: folders to keep its state in, best first; empty: its own choice.
Every question may be repeated after a lost answer.
`leader`: who asks; a supervisor obeys one at a time.  Empty: nobody in particular.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from clusterctl.model import Answer, Kind, Question, Trouble

SCRIPT = "supervise"
ASKS = ("places", "journal")
ENDS = (*ASKS, "apart", "cgroups", "steps")
RUNS = (
    *ENDS, "desk", "gpus", "load", "orders", "rhythm", "sample_nvml", "sample_slow", "sampler",
    "slow", "supervisor", "watcher",
)  # fmt: skip
START_S, ASK_S, STOP_S, COLLECT_S = 40.0, 30.0, 90.0, 40.0
HEAD_BYTES = 1 << 16  # of the line before the records
Words = Mapping[str, Any]
NOBODY: Words = {}


@dataclass(frozen=True, slots=True)
class Reply:
    """`ok` False: `words["why"]` not; `words["holder"]` is the campaign that has the node, and
    `words["leader"]` is the controller that leads it: host, pid, since, and lapses_s of its lease.

    Of `fetch`: `words` has the state, `size` (as far as the journal goes) and `next` (where to go
    on), and `journal` holds whole records.  `words["alive"]` False: `words["why"]` there is no
    supervisor; None: it does not answer.
    """

    ok: bool
    words: Mapping[str, Any] = field(hash=False)
    journal: bytes = b""


def ask(
    verb: str, campaign: str, who: tuple[Sequence[str], Words], words: Sequence[str], **how: Any
) -> Question:
    places, leader = who
    chosen = (f"--in={':'.join(places)}",) if places else ()
    named = (f"--leader={json.dumps(leader)}",) if leader else ()
    return Question(verb, (verb, campaign, *chosen, *named, *words), script=SCRIPT, **how)


def start(
    campaign: str, plan: Words, places: Sequence[str] = (), *, leader: Words = NOBODY
) -> Question:
    """Answered when the supervisor is up and its first record on its way to disk."""
    words = (json.dumps(plan), *RUNS)
    return ask("start", campaign, (places, leader), words, modules=RUNS, timeout_s=START_S)


def fetch(
    campaign: str,
    offset: int,
    *,
    most_bytes: int = 1 << 20,
    places: Sequence[str] = (),
    leader: Words = NOBODY,
) -> Question:
    """The state, and records from `offset`, a byte; all of them stay on the node."""
    words, who = (str(offset), str(most_bytes)), (places, leader)
    cap = most_bytes + HEAD_BYTES
    return ask("fetch", campaign, who, words, modules=ASKS, timeout_s=ASK_S, cap_bytes=cap)


def tell(
    campaign: str, order: Words, places: Sequence[str] = (), *, leader: Words = NOBODY
) -> Question:
    """Answered when the order is on the node's disk."""
    words = (json.dumps(order),)
    return ask("tell", campaign, (places, leader), words, modules=ASKS, timeout_s=ASK_S)


def stop(
    campaign: str, *, now: bool = False, places: Sequence[str] = (), leader: Words = NOBODY
) -> Question:
    """Answered when nothing of it runs any more."""
    words = ("now",) if now else ()
    return ask("stop", campaign, (places, leader), words, modules=ENDS, timeout_s=STOP_S)


def collect(campaign: str, size: int, places: Sequence[str] = ()) -> Question:
    """Removes it all.  Refused unless `size` bytes is as far as the journal goes."""
    words, who = (str(size),), (places, NOBODY)
    return ask("collect", campaign, who, words, modules=ENDS, timeout_s=COLLECT_S)


def reply(answer: Answer) -> Reply | Trouble:
    """Trouble: nobody knows what was done; ask again."""
    if answer.exit_code is None:
        return Trouble(Kind.TIMEOUT, "the node did not finish in time")
    if answer.exit_code != 0:
        last = answer.stderr.strip().rpartition("\n")[2]
        return Trouble(Kind.EXIT, f"exit {answer.exit_code}: {last}")
    head, _, rest = answer.stdout.partition("\n")
    try:
        words = json.loads(head)
        ok = words["ok"] is True
        good = isinstance(words.get("leader", {}), dict)
        if ok and answer.name == "fetch":
            good = good and isinstance(words["size"], int) and isinstance(words["next"], int)
    except (ValueError, TypeError, KeyError, RecursionError):
        good = False
    if not good:
        return Trouble(Kind.UNREADABLE, f"not an answer of a supervisor: {head[:80]!r}")
    if not rest:
        return Reply(ok, words)
    journal, _, mark = rest.rpartition("end\t")
    if answer.truncated or not mark.strip().isdecimal():
        return Trouble(Kind.CUT, "the journal's end mark is missing")
    # It is ASCII: what is not is a damaged byte, and offsets count bytes.
    return Reply(ok, words, journal.encode("ascii", "replace"))
