"""Reading what `remote/ask_mlx.py` prints: a tool's text for each device, with its ending."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from clusterctl.model import Kind, Trouble
from clusterctl.spelling import plain, visible

MARK = re.compile(r"== (port|device|missing|failed|exit|timeout|skipped|end)(?: (.*))?")
MESSAGE = re.compile(r'"message"\s*:\s*"([^"]*)"')  # of JSON that tells of a failure
ENDINGS = {
    "timeout": (Kind.TIMEOUT, "no answer in time; it was stopped"),
    "skipped": (Kind.TIMEOUT, "no time was left for this device"),
}


@dataclass(slots=True)
class Said:
    """`part` empty: the bare output of a tool, of whatever device."""

    part: str = ""
    lines: list[str] = field(default_factory=list)
    ending: str = ""

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


def sections(stdout: str) -> tuple[list[Said], list[Trouble]]:
    """What was said of each device, and what went wrong with asking.

    Of a call that did not end, nothing is handed on.  A bare text whose last line has no end is
    cut there, and that line is left out.
    """
    text = plain(stdout).replace("\r\n", "\n")
    marked = [MARK.fullmatch(line) for line in text.split("\n")]
    if not any(marked):
        return bare(text)
    found: list[Said] = []
    troubles: list[Trouble] = []
    told, headings = -1, 0
    for line, mark in zip(text.split("\n"), marked, strict=True):
        word, rest = (mark[1], mark[2] or "") if mark else ("", "")
        headings += word in {"port", "device", "missing", "failed"}
        if word in {"port", "device"}:
            found.append(Said(visible(rest, 80)))
        elif word == "missing":
            troubles.append(Trouble(Kind.MISSING, f"none of these is installed: {visible(rest)}"))
        elif word == "failed":
            troubles.append(Trouble(Kind.EXIT, visible(rest, 200)))
        elif word == "end":
            told = int(rest) if re.fullmatch("[0-9]{1,4}", rest) else -1
        elif found and word:
            found[-1].ending = f"{word} {rest}".strip()
        elif found and line.strip():
            found[-1].lines.append(line)
    troubles += [trouble for said in found if (trouble := complaint(said))]
    if told != headings:
        troubles.append(Trouble(Kind.CUT, f"no end mark for {headings} devices"))
    return [said for said in found if said.ending == "exit 0"], troubles


def bare(text: str) -> tuple[list[Said], list[Trouble]]:
    *lines, rest = text.split("\n")
    said = Said(lines=lines, ending="exit 0")
    if not rest.strip():
        return [said], []
    if text.rstrip().endswith("}"):  # JSON says by itself where it ends
        return [Said(lines=[*lines, rest])], []
    return [said], [Trouble(Kind.CUT, f"the text ends within a line: {visible(rest, 80)!r}")]


def complaint(said: Said) -> Trouble | None:
    if said.ending == "exit 0":
        return None
    if said.ending in ENDINGS:
        kind, why = ENDINGS[said.ending]
        return Trouble(kind, why, said.part)
    if not said.ending:
        return Trouble(Kind.CUT, "the answer ends within this device", said.part)
    last = next((line for line in reversed(said.lines) if line.strip()), "it said nothing")
    if message := MESSAGE.search(said.text):
        last = message[1]
    return Trouble(Kind.EXIT, f"{said.ending}: {visible(last.strip(), 160)}", said.part)
