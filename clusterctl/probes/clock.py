"""Is the node's clock disciplined, by whom, and how far off: chrony, ntpd and the kernel itself."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from clusterctl.model import Clock, Fact, Kind, Probe, Question, Trouble
from clusterctl.spelling import Unreadable, count, number, visible
from clusterctl.sysfs import rows

# <linux/timex.h>
STA_PLL, STA_UNSYNC, STA_NANO = 0x0001, 0x0040, 0x2000
TIME_ERROR = 5

LEAPS = frozenset({"Normal", "Insert second", "Delete second", "Not synchronised"})
# "leap_none, sync_ntp, 1 event, clock_sync," of `ntpq -c rv`; ntpq(8), system status word
NTP_FLAGS = re.compile(r"\b(leap_\w+), (sync_\w+)")
NTP_VALUE = re.compile(r"\b(stratum|refid|offset|rootdelay|rootdisp)=([^,\s]*)")


def parse(stdout: str) -> Iterator[Fact | Trouble]:
    for row in rows(stdout):
        match row:
            case Trouble():
                yield row
            case ("failed", part, why):
                yield Trouble(Kind.EXIT, visible(why), visible(part, 20))
            case (part, *cells) if part in READERS:
                try:
                    yield READERS[part](cells)
                except Unreadable as error:
                    yield Trouble(Kind.UNREADABLE, str(error), part)
            case _:
                yield Trouble(Kind.UNREADABLE, f"not a row: {visible(chr(9).join(row))}")


def timex(cells: list[str]) -> Clock:
    """The kernel's own view.

    Its offset means something only while its phase-locked loop is in use (ntpd, timesyncd); chrony
    leaves it at 0.  Raises Unreadable.
    """
    if len(cells) != 5:
        raise Unreadable(f"not five numbers of adjtimex: {visible(' '.join(cells))}")
    state, status, maximum = count(cells[0]), count(cells[1]), count(cells[3])
    offset = some(cells[2])
    synchronised = not status & STA_UNSYNC and state != TIME_ERROR
    in_use = synchronised and status & STA_PLL
    return Clock(
        "timex",
        synchronised,
        offset_s=offset / (1e9 if status & STA_NANO else 1e6) if in_use else None,
        uncertainty_s=maximum / 1e6 if synchronised else None,
    )


def chrony(cells: list[str]) -> Clock:
    """`chronyc -c tracking`: 14 cells, 13 before chrony 2.3, which had no name.  Raises Unreadable.

    Read from the right, where they agree: …, stratum, time, system offset, …, root delay,
    root dispersion, interval, leap.  chronyc's sign: positive is behind.
    """
    told = " ".join(cells).strip().split(",")
    if len(told) not in (13, 14) or told[-1] not in LEAPS:
        raise Unreadable(f"not chronyc's tracking: {visible(' '.join(cells), 200)}")
    if not re.fullmatch("[0-9A-F]{8}", told[0]):
        raise Unreadable(f"not chrony's reference: {visible(told[0], 40)}")
    offset, delay, dispersion = some(told[-10]), some(told[-4]), some(told[-3])
    synchronised = told[-1] != "Not synchronised" and told[0] != "00000000"
    return Clock(
        "chrony",
        synchronised,
        offset_s=offset if synchronised else None,
        uncertainty_s=dispersion + delay / 2 if synchronised else None,
        stratum=count(told[-12]) if synchronised else None,
        source=visible(told[1] if len(told) == 14 and told[1] else told[0], 80),
    )


def ntp(cells: list[str]) -> Clock:
    """`ntpq -c rv`, times in ms.  Raises Unreadable."""
    text = " ".join(cells)
    flags, values = NTP_FLAGS.search(text), dict(NTP_VALUE.findall(text))
    missing = {"stratum", "offset", "rootdelay", "rootdisp"} - values.keys()
    if not flags or missing:
        raise Unreadable(f"not ntpq's variables: {visible(text, 200)}")
    synchronised = flags[1] != "leap_alarm" and flags[2] not in ("sync_unspec", "sync_alarm")
    offset, delay, dispersion = (some(values[key]) for key in ("offset", "rootdelay", "rootdisp"))
    return Clock(
        "ntp",
        synchronised,
        offset_s=offset / 1e3 if synchronised else None,
        uncertainty_s=(dispersion + delay / 2) / 1e3 if synchronised else None,
        stratum=count(values["stratum"]) if synchronised else None,
        source=visible(values.get("refid", ""), 80) or None,
    )


def some(text: str) -> float:
    value = number(text)
    if value is None:
        raise Unreadable(f"not a number: {visible(text, 80)}")
    return value


READERS: dict[str, Callable[[list[str]], Clock]] = {"timex": timex, "chrony": chrony, "ntp": ntp}

# The kernel's own word needs adjtimex(2), which no tool of a bare node prints alike.
WITHOUT_PYTHON = r"""
if command -v chronyc >/dev/null; then
  if said=$(chronyc -n -c tracking 2>&1); then printf 'chrony\t%s\nend\t1\n' "$said"
  else printf 'failed\tchrony\texit %s: %s\nend\t1\n' $? "$said"; fi
else exit 127; fi
"""

PROBES = (
    Probe(
        Question(
            "clock",
            script="ask_clock",
            brief=True,
            without_python=("sh", "-c", WITHOUT_PYTHON),
            timeout_s=15.0,
        ),
        parse,
        yields=(Clock,),
        about="Whether the clock is disciplined and how far off: chrony, ntpd, the kernel's timex",
    ),
)
