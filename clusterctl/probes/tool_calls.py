"""Reading what `remote/tool_calls.py` prints: a tool's sub-commands, each with its own ending."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from clusterctl.model import Kind, Trouble
from clusterctl.spelling import plain, visible

BEGIN = "== clusterctl calls 1"
MARK = re.compile(r"== (call|exit|timeout|skipped|failed|older|end)(?: (.*))?")
WORDS = 60  # of a call are shown
KINDS = {"timeout": Kind.TIMEOUT, "skipped": Kind.TIMEOUT, "failed": Kind.EXIT}
# A sub-command or an option that this version of the tool does not have, or this card not.
NOT_HERE = re.compile(
    "not[ _]supported|not[ _]yet[ _]implemented|invalid choice|is invalid"
    "|unrecognized argument|unknown (?:command|option)",
    re.IGNORECASE,
)


@dataclass(slots=True)
class Call:
    """One sub-command.  `words` empty: the text was not asked by us, and may be anything."""

    words: str
    text: str = ""
    ending: str = ""  # exit, timeout, …; empty: the answer was cut here
    said: str = ""

    @property
    def framed(self) -> bool:
        return bool(self.words)

    @property
    def succeeded(self) -> bool:
        return not self.framed or (self.ending == "exit" and self.said.split(" ")[0] == "0")


def calls(stdout: str) -> tuple[list[Call], list[Trouble]]:
    """The calls of our own answer; of a tool's bare output, that one.  Colours are taken out.

    A call that did not end well is a trouble, but for what this version or card does not have.
    A line without its end was cut, and is left out.
    """
    text = plain(stdout).replace("\r\n", "\n")
    if BEGIN not in text:
        return [Call("", text)], []
    found: list[Call] = []
    texts: list[list[str]] = []  # a text grown line by line costs its length each time
    told = -1
    *lines, rest = text.partition(BEGIN)[2].split("\n")
    for line in lines if MARK.match(rest) is None else [*lines, rest]:
        mark = MARK.fullmatch(line)
        if not mark:
            if found and not found[-1].ending:
                texts[-1].append(f"{line}\n")
        elif mark[1] == "call":
            found.append(Call(mark[2] or "?"))
            texts.append([])
        elif mark[1] == "end":
            told = int(mark[2]) if re.fullmatch("[0-9]{1,4}", mark[2] or "") else -1
        elif found and mark[1] != "older":
            found[-1].ending, found[-1].said = mark[1], mark[2] or ""
    for call, pieces in zip(found, texts, strict=True):
        call.text = "".join(pieces)
    troubles = folded([(call, said) for call in found if (said := complaint(call))])
    if told != len(found):
        last = f"; the last call was {visible(found[-1].words, 80)}" if found else ""
        troubles.append(Trouble(Kind.CUT, f"the answer has no end{last}"))
    return found, troubles


def folded(failed: Sequence[tuple[Call, Trouble]]) -> list[Trouble]:
    """Calls that failed alike are one trouble: a driver that is down fails them all."""
    alike: dict[tuple[Kind, str], list[Trouble]] = {}
    for call, trouble in failed:
        said = trouble.detail.removeprefix(visible(call.words, WORDS))
        alike.setdefault((trouble.kind, said), []).append(trouble)
    return [
        replace(first, detail=f"{first.detail} (the same of {len(more)} more)") if more else first
        for first, *more in alike.values()
    ]


def complaint(call: Call) -> Trouble | None:
    if call.succeeded or not call.ending:
        return None
    if call.ending == "exit" and NOT_HERE.search(f"{call.said} {call.text}"):
        return None
    last = (call.text.strip().split("\n") or [""])[-1]
    words = call.said if " " in call.said or call.ending != "exit" else f"{call.said}: {last}"
    shown = visible(f"{visible(call.words, WORDS)}: {call.ending} {words}", 200)
    return Trouble(KINDS.get(call.ending, Kind.EXIT), shown)
