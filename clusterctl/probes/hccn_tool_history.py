"""The history of an NPU's link, `hccn_tool -link_stat -g`.  No probe of its own."""

from __future__ import annotations

import re
from datetime import datetime

from clusterctl.spelling import Unreadable, count

NOW = re.compile(r"\[dev(?:id|ice) \d+\]\s*current time\s*: (.*)")
COUNT = re.compile(r"\[dev(?:id|ice) \d+\]\s*link (up|down) count\s*: (.*)")
RECORD = re.compile(r"\[dev(?:id|ice) \d+\]\s+(\w.*\S)\s{2,}LINK (UP|DOWN)\s*")
RECORDS = re.compile(r"\[dev(?:id|ice) \d+\]\s*link change records\s*:\s*")
DATE = re.compile(r"\w{3} +(\w{3}) +(\d{1,2}) +(\d{1,2}):(\d{2}):(\d{2}) +(\d{4})")
MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]


def history(text: str) -> tuple[dict[str, int], tuple[float, ...] | None, str]:
    """Counters, seconds since its link went down each time, and the first line that is strange.

    The NPU's own clock dates the records, and ages are told against that clock.  None for the ages:
    the history is not whole.
    """
    now: datetime | None = None
    listed = False
    downs: list[float] = []
    counters: dict[str, int] = {}
    odd = ""
    for line in text.split("\n"):
        if match := NOW.fullmatch(line):
            now = moment(match[1])
        elif match := COUNT.fullmatch(line):
            counters[f"link_{match[1]}_count"] = count(match[2])
        elif RECORDS.fullmatch(line):
            listed = True
        elif match := RECORD.fullmatch(line):
            then = moment(match[1])
            if match[2] == "DOWN" and now:
                downs.append(max((now - then).total_seconds(), 0.0))
        elif line.strip():
            odd = odd or line.strip()
    whole = listed and now and not odd
    return counters, tuple(sorted(downs)) if whole else None, odd


def moment(text: str) -> datetime:
    """Not strptime: it wants the controller's own names of the months."""
    match = DATE.fullmatch(text.strip())
    if not match or match[1] not in MONTHS:
        raise Unreadable(f"not a date: {text.strip()!r}")
    day, hour, minute, second, year = (int(match[index]) for index in (2, 3, 4, 5, 6))
    try:
        return datetime(year, MONTHS.index(match[1]) + 1, day, hour, minute, second)  # noqa: DTZ001
    except ValueError:
        raise Unreadable(f"not a date: {text.strip()!r}") from None
