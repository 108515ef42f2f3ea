"""What the tables and lists of cnmon, mthreads-gmi, mx-smi and ixsmi have in common.

A tool's sub-commands each tell a part of every card; `cards` brings the parts together.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from typing import NoReturn

from clusterctl.model import Accelerator, DeviceProcess, Fact, Kind, Link, Trouble, Version
from clusterctl.probes.fields import every
from clusterctl.probes.smi_tables import Cells, table
from clusterctl.probes.tool_calls import Call, calls, complaint
from clusterctl.spelling import Unreadable, count, number, reported, visible

Item = Fact | Trouble
Read = Callable[[str], Iterable[Item]]
Readers = Mapping[str, Callable[[Cells], object]]

CARDS_AT_MOST = 256
LINE_AT_MOST = 4000  # characters; patterns take the square of a line's length at worst
SECTIONS_DEEP = 8  # the tools have three
# An option that this version of a tool does not have
REFUSED = re.compile(
    "invalid|unrecogni[sz]ed|not (?:yet )?(?:supported|implemented|a valid)|^usage:|^try "
    "|(?:unknown|illegal|no such) (?:command|option|argument|field)",
    re.IGNORECASE | re.MULTILINE,
)
MISSING = re.compile(r"command not found|: not found$|No such file", re.MULTILINE)
FAILED = re.compile(
    r"ERR!|Unknown Error|is lost\b|\bfailed\b|timed? ?out|\bunable to\b|not exist"
    r"|couldn't|can(?:'t|not)\b|\bno (?:devices?|cards?|gpus?|mlus?)\b|permission denied",
    re.IGNORECASE,
)
NAMED = re.compile(r"\b(?:GPU|Card|MLU)[ #]?(\d{1,3})\b", re.IGNORECASE)
SIZES = {"KB": 1 << 10, "KBytes": 1 << 10, "KiB": 1 << 10, "MiB": 1 << 20, "MB": 1 << 20}
PREAMBLE = re.compile(r"\s*$|\s*=+.*=+\s*$|.* : |\S+ +version: |Timestamp ")
PROCESS = re.compile(
    r"(?P<index>\d{1,3})\s+(?:(?:/|-|N/A)\s+)?(?P<pid>\d{1,10})\s+(?P<name>\S.*?)\s+"
    r"(?P<used>\d{1,12})\s*(?:MiB)?"
)
NO_PROCESS = re.compile("no (?:running )?process(?:es)? found", re.IGNORECASE)


def bare(places: str, *tools: str) -> tuple[str, ...]:
    """What a node without Python is asked: the table of the first of these tools that is there."""
    found = " || ".join(f"command -v {tool}" for tool in tools)
    return ("sh", "-c", f"PATH=$PATH:{places}; tool=$({found}) || exit 127; LC_ALL=C exec $tool")


def parsed(stdout: str, read: Read, vendor: str, *, json: bool = False) -> Iterator[Item]:
    """All that one answer says; its calls are read each by itself, and their cards put together."""
    told, troubles = calls(stdout)
    yield from (trouble for trouble in troubles if trouble.kind is Kind.CUT)
    items: list[Item] = []
    for call in told:
        items += heard(call, read, json=json)
    if not items and not troubles:
        items.append(Trouble(Kind.UNREADABLE, "the answer says nothing of any card"))
    yield from cards(items, vendor)


def heard(call: Call, read: Read, *, json: bool) -> Iterator[Item]:
    """What a call says, and how it failed; a text that says nothing is a trouble, too."""
    text, _, rest = call.text.rpartition("\n")
    if call.framed and not call.ending:  # cut: its last line may be half of one
        text, rest = text.rpartition("\n")[0], ""
    if call.ending == "exit" and not call.succeeded and REFUSED.search(f"{call.said}\n{call.text}"):
        return
    if trouble := None if call.succeeded or not call.ending else complaint(call):
        yield trouble
    if rest.strip():
        yield Trouble(Kind.CUT, f"ends within a line: {visible(rest, 80)}")
    long_lines = json and text.lstrip().startswith("{")
    if not long_lines and max(map(len, text.split("\n"))) > LINE_AT_MOST:
        text = "\n".join(line for line in text.split("\n") if len(line) <= LINE_AT_MOST)
        yield Trouble(Kind.UNREADABLE, f"{name_of(call)}a line is longer than any of this tool's")
    found = list(read(text))
    yield from found
    told = any(not isinstance(item, Version) for item in found)
    if not told and not trouble and (text.strip() or not rest.strip()):
        yield unread(call, text)


def unread(call: Call, text: str) -> Trouble:
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    said = next((line for line in lines if FAILED.search(line)), lines[0] if lines else "")
    return Trouble(kind_of(text), f"{name_of(call)}{visible(said, 120) or 'nothing was said'}")


def name_of(call: Call) -> str:
    return f"{visible(call.words, 60)}: " if call.framed else ""


def kind_of(text: str) -> Kind:
    if MISSING.search(text):
        return Kind.MISSING
    if "permission denied" in text.lower():
        return Kind.DENIED
    return Kind.EXIT if FAILED.search(text) else Kind.UNREADABLE


def complaints(text: str, prefix: str) -> Iterator[Trouble]:
    """Errors that stand between a tool's tables and lists, with the card where they name one."""
    for line in text.split("\n"):
        if "|" in line or PREAMBLE.match(line) or not FAILED.search(line):
            continue
        named = NAMED.search(line)
        yield Trouble(
            Kind.EXIT, visible(line.strip(), 200), f"{prefix}{int(named[1])}" if named else ""
        )


# --------------------------------------------------------------------------- tables


def tabled(text: str, header: str, label: str, prefix: str, readers: Readers) -> Iterator[Item]:
    """The cards of a table and the processes under it.  `label`: whose cell is a card's number."""
    found = table(text, header)
    for row in found.rows:
        if isinstance(row, Trouble):
            yield replace(row, part=f"{prefix}{row.part}" if row.part else "")
            continue
        number_of = row.get(label, "")
        if not re.fullmatch("[0-9]{1,3}", number_of):
            yield Trouble(Kind.UNREADABLE, f"a row of no card: {visible(number_of, 40)!r}")
            continue
        index = int(number_of)
        yield from card(f"{prefix}{index}", index, row, readers)
    if not found.ended:
        yield Trouble(Kind.CUT, "the table ends early")
    elif not found.rows:
        yield Trouble(Kind.UNREADABLE, "the table shows no card below its header")
    yield from processes(found.processes, prefix)


def processes(lines: Sequence[str], prefix: str) -> Iterator[Item]:
    for line in lines:
        words = line.strip().strip("|").strip()
        if found := PROCESS.fullmatch(words):
            part, used = f"{prefix}{int(found['index'])}", int(found["used"]) << 20
            yield DeviceProcess(part, int(found["pid"]), visible(found["name"], 200), used)
        elif re.match(r"\d", words) and not NO_PROCESS.search(words):
            yield Trouble(Kind.UNREADABLE, f"not a process's row: {visible(words, 100)}")


# --------------------------------------------------------------------------- cells


def quantity(text: str | None, unit: str) -> float | None:
    """A number and exactly this unit, with or without a blank between: 49C, 66 %, 56.90 W."""
    words = (text or "").strip()
    if not words or not reported(words):
        return None
    if not words.endswith(unit):
        raise Unreadable(f"not a number of {unit}: {words!r}")
    return number(words.removesuffix(unit).strip() or words)


def size(text: str | None) -> int | None:
    """Bytes.  KB is 1024 here: a 64 GiB card has 67108864 of them."""
    words = (text or "").strip()
    if not words or not reported(words):
        return None
    found = re.fullmatch(r"([0-9]{1,15})\s*([A-Za-z]+)", words)
    if not found or found[2] not in SIZES:
        raise Unreadable(f"not a size: {words!r}")
    return int(found[1]) * SIZES[found[2]]


def halves(text: str | None, between: str = "/") -> tuple[str, str]:
    """Both sides of 106 W/ 250 W, 831/65536 MiB and N/A / N/A; the unit may be told once."""
    words = (text or "").strip()
    if not words or not reported(words):
        return "", ""
    if re.fullmatch(r"N/A\s*/\s*N/A", words):
        return "N/A", "N/A"
    one, found, other = words.partition(between)
    if not found:
        raise Unreadable(f"not two values with {between} between: {words!r}")
    return one.strip(), other.strip()


def positive(text: str | None) -> int | None:
    """A count, None where the tool has none to give."""
    words = (text or "").strip()
    return count(words) if words and reported(words) else None


def counted(texts: Iterable[str]) -> int | None:
    """The sum of those that are told."""
    values = [value for text in texts if (value := positive(text)) is not None]
    return sum(values) if values else None


def words(text: str | None) -> str:
    """Text as it is, empty where the tool has none; an error is Unreadable."""
    said = (text or "").strip()
    if FAILED.search(said):
        raise Unreadable(f"an error: {said!r}")
    return visible(said, 120) if reported(said) else ""


def refuse(text: str) -> NoReturn:
    raise ValueError(f"not a number: {text}")  # NaN compares false with every limit


def leaves(found: object, path: str = "", deep: int = 0) -> Iterator[tuple[str, str]]:
    """(Section/Label, text) of JSON, as `labelled.block` has it of an indented text."""
    match found:
        case dict() if deep < SECTIONS_DEEP:
            for name, value in found.items():
                yield from leaves(value, f"{path}/{name}" if path else str(name), deep + 1)
        case str() | int() | float():
            yield path, str(found)


def version(name: str, part: str, text: str | None) -> Iterator[Version | Trouble]:
    """Of a card's firmware, say: the fact's part is firmware/gpu0."""
    try:
        said = words(text)
    except Unreadable as error:
        yield Trouble(Kind.UNREADABLE, f"{visible(str(error), 100)} ({name})", part)
    else:
        if said:
            yield Version(f"{name}/{part}", said)


# --------------------------------------------------------------------------- cards


def card(part: str, index: int | None, found: Cells, readers: Readers) -> Iterator[Item]:
    """The card with every value that can be read; fields with the same error share a trouble."""
    values, troubles = every(part, readers, found)
    yield from troubles
    values = {name: value for name, value in values.items() if value not in (None, "")}
    if values:
        yield Accelerator(part, index=index, **values)  # type: ignore[arg-type]
    elif not troubles:
        yield Trouble(Kind.UNREADABLE, "nothing is said of this card", part)


def cards(items: Sequence[Item], vendor: str) -> Iterator[Item]:
    """Each card once, with what the calls say of it together; what came first holds."""
    versions: dict[str, Version] = {}
    found: dict[str, Accelerator] = {}
    troubles = [item for item in items if isinstance(item, Trouble)]
    for item in items:
        if isinstance(item, Version):
            versions.setdefault(item.part, item)
        elif isinstance(item, Accelerator):
            card = replace(item, vendor=vendor)
            one = found.setdefault(item.part, card)
            differ = [
                f"{ours} and {theirs}"
                for ours, theirs in ((one.pci, card.pci), (one.uuid, card.uuid))
                if ours and theirs and ours != theirs
            ]
            if differ:
                why = f"{differ[0]}: calls differ about which card this is"
                troubles.append(Trouble(Kind.UNREADABLE, why, item.part))
            elif one is not card:
                found[item.part] = joined(one, card)
    yield from versions.values()
    yield from dict.fromkeys(troubles)
    yield from found.values()
    yield from dict.fromkeys(item for item in items if isinstance(item, DeviceProcess))
    yield from {item.part: item for item in items if isinstance(item, Link)}.values()


def joined(one: Accelerator, other: Accelerator) -> Accelerator:
    told = {field.name: getattr(one, field.name) for field in fields(one)}
    more = {name: getattr(other, name) for name, value in told.items() if value in (None, "")}
    if other.health not in {None, "ok"}:  # no call's good word outweighs another's bad one
        more["health"] = other.health
    return replace(one, **more)


def unshown(said: str | None, items: Iterable[Item], prefix: str) -> Iterator[Trouble]:
    """A trouble for each card that the tool counts and does not show."""
    if said is None:
        return
    if not re.fullmatch("[0-9]{1,4}", said.strip()):
        yield Trouble(Kind.UNREADABLE, f"not a number of cards: {visible(said, 40)}")
        return
    shown = {item.part for item in items if isinstance(item, Accelerator | Trouble) and item.part}
    missing = min(int(said), CARDS_AT_MOST) - len(shown)
    free = (part for at in range(CARDS_AT_MOST) if (part := f"{prefix}{at}") not in shown)
    for _, part in zip(range(missing), free, strict=False):
        yield Trouble(Kind.CUT, "the tool counts this card and does not show it", part)
