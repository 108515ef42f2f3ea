"""What chronyc prints, as saved texts: tracking for people and as CSV, sources as CSV."""

from __future__ import annotations

import re
from collections.abc import Iterator

from clusterctl.model import Clock, Fact, Kind, Trouble
from clusterctl.probes.clock import LEAPS, chrony, some
from clusterctl.spelling import Unreadable, count, visible

LINE = re.compile(r"([A-Z][A-Za-z ()]+?)\s*: (.*)")
SOURCE = re.compile(r"([\^=#]),([*+\-?x~]),([^,]*),(\d+),(\d+),(\d+),(\d+),([^,]+),([^,]+),([^,]+)")
SERVED = re.compile(r"\d+(?:,\d+){4,}")  # serverstats: how many packets, nothing of this clock


def parse(stdout: str) -> Iterator[Fact | Trouble]:
    whole, _, rest = stdout.rpartition("\n")
    said: dict[str, str] = {}
    sources = []
    for line in filter(None, (line.strip() for line in whole.split("\n"))):
        try:
            if found := SOURCE.fullmatch(line):
                sources.append(found)
            elif SERVED.fullmatch(line):
                continue
            elif line.count(",") >= 12:
                yield chrony([line])
            elif found := LINE.fullmatch(line):
                said[found[1].strip()] = found[2].strip()
            else:
                yield Trouble(Kind.UNREADABLE, f"not a line of chronyc: {visible(line, 120)!r}")
        except Unreadable as error:
            yield Trouble(Kind.UNREADABLE, str(error), "chrony")
    try:
        yield from tracking(said)
        yield from selected(sources)
    except Unreadable as error:
        yield Trouble(Kind.UNREADABLE, str(error), "chrony")
    if rest.strip():
        yield Trouble(Kind.CUT, f"ends within a line: {visible(rest, 80)!r}")
    elif not stdout.strip():
        yield Trouble(Kind.UNREADABLE, "chronyc printed nothing")


def tracking(said: dict[str, str]) -> Iterator[Fact | Trouble]:
    """Raises Unreadable.  Without its last line it does not say whether it is synchronised."""
    if not said:
        return
    if "Reference ID" not in said:
        raise Unreadable("no reference in the text")
    named = re.fullmatch(r"(\S+) \((.*)\)", said["Reference ID"])
    leap = said.get("Leap status")
    if leap not in LEAPS:
        yield Trouble(Kind.CUT, "no leap status: the text was cut", "chrony")
    held = leap in LEAPS and leap != "Not synchronised"
    bound = None
    if held and {"Root delay", "Root dispersion"} <= said.keys():
        bound = seconds(said["Root dispersion"]) + seconds(said["Root delay"]) / 2
    yield Clock(
        "chrony",
        synchronised=held if leap in LEAPS else None,
        offset_s=offset(said["System time"]) if held and "System time" in said else None,
        uncertainty_s=bound,
        stratum=count(said["Stratum"]) if "Stratum" in said else None,
        source=visible(named[2] or named[1] if named else said["Reference ID"], 80),
    )


def seconds(text: str) -> float:
    """Raises Unreadable."""
    digits, _, unit = text.partition(" ")
    if unit != "seconds":
        raise Unreadable(f"not seconds: {visible(text, 40)!r}")
    return some(digits)


def offset(text: str) -> float:
    """`0.000020390 seconds fast of NTP time`: as chronyc's CSV, positive is slow."""
    digits, _, words = text.partition(" ")
    sign = {"seconds fast of NTP time": -1, "seconds slow of NTP time": 1}.get(words)
    if sign is None:
        raise Unreadable(f"not an offset: {visible(text, 60)!r}")
    return sign * some(digits)


def selected(sources: list[re.Match[str]]) -> Iterator[Fact]:
    """`chronyc -c sources`: the one with * is followed; without one the clock runs free."""
    if not sources:
        return
    best = next((one for one in sources if one[2] == "*"), None)
    yield Clock(
        "chrony",
        synchronised=best is not None,
        offset_s=some(best[8]) if best else None,
        source=visible(best[3], 80) if best else None,
    )


READS = {"chronyc": parse}
