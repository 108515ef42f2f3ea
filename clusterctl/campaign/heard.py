"""What a node's answers mean for its case: the decisions that follow, and what is in the way."""

from __future__ import annotations

from collections.abc import Iterator

from clusterctl.campaign import decisions
from clusterctl.campaign import folder as campaign_folder
from clusterctl.campaign.course import learn
from clusterctl.campaign.decisions import Case, Decision
from clusterctl.campaign.early import Bench, judge_empty
from clusterctl.campaign.supervision import Reply, Words


def hear(case: Case, verb: str, told: Reply, by: Bench) -> Iterator[Decision]:
    """Each decision is to be taken before the next is asked for."""
    words = told.words
    match verb:
        case "start" if told.ok:
            case.words = words
        case "start" if words.get("holder"):
            yield denied(case, f"campaign {words['holder']} has this node")
        case "fetch" if told.ok:
            yield from fetched(case, told, by)
        case "start" | "fetch":
            yield from missing(case, str(words.get("why")))
        case "stop":
            case.halted = told.ok or "no such campaign" in str(words.get("why"))
            case.trouble = case.trouble if case.halted else left_of(words)
        case "collect" if told.ok:
            yield {"do": "done"}
        case "collect" if "survivors" in words:
            case.trouble = left_of(words)
        case "collect":
            case.behind = True
        case "tell" if not told.ok:
            case.trouble = str(words.get("why"))


def denied(case: Case, why: str) -> Decision:
    """The node does not take it, or not again: then something of before may be left there."""
    if case.course.size:
        return {"do": "done", "why": why, "left": True}
    return {"do": "refuse", "why": why}


def left_of(words: Words) -> str:
    """A step that hangs in the kernel outlives every signal, and holds its cgroup."""
    if "survivors" not in words:
        return str(words.get("why"))
    return f"what cannot be killed is left: {words['survivors'] or 'cgroups'}"


def missing(case: Case, why: str) -> Iterator[Decision]:
    """The node has nothing of ours any more, or less than we have: its memory was lost."""
    lost = "no such campaign" in why or "the journal has" in why
    if case.phase == "burn" and lost:
        yield {"do": "start", "base": case.course.size}
    elif case.phase == "ending" and lost:
        yield {"do": "stopped"}
    else:
        case.trouble = why


def fetched(case: Case, told: Reply, by: Bench) -> Iterator[Decision]:
    words, data = told.words, told.journal
    if data and not campaign_folder.keep_journal(by.path, case.node.name, data):
        case.behind = False
        return
    if words.get("alive") is None:
        case.trouble = str(words.get("why"))
    elif words.get("disk"):
        case.trouble = f"its disk takes nothing: {words['disk']}"
    was_alive, case.words = case.words.get("alive") is True, words
    learn(case.course, data)
    judge_empty(case, by.book, by.now)
    case.behind = words["size"] > words["next"]
    if case.phase == "ending" and case.halted and not case.behind:
        yield {"do": "stopped"}
    # Before our eyes: one that nobody led until then may go on, with a new deadline.
    lapsed = was_alive and words.get("why") == "ended: deadline"
    if case.phase == "burn" and lapsed and case.course.burnt_s < decisions.wanted_s(case, by.book):
        yield {"do": "end", "why": "its deadline passed"}
