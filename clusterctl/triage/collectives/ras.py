"""What NCCL's RAS says of a running job: text of 2.24 and later, JSON of 2.28.7 and later.

Formats: NCCL user guide, Troubleshooting, RAS; src/ras/client_support.cc.  The text lists single
ranks only where they are few; the JSON lists all of them.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from clusterctl.model import Kind, Trouble
from clusterctl.spelling import visible
from clusterctl.triage.collectives.ras_seen import Communicator, Level, Place, Snapshot
from clusterctl.triage.counts import whole

COMM = re.compile(r"#(\d{1,9})-\d{1,9} \(([0-9a-f]{1,16})\) (INCOMPLETE|ERROR|MISMATCH)")
PLACE = (
    r" -- GPUs? (?P<gpu>\S{1,80}) managed by process (?P<pid>\d{1,10}) on node (?P<node>\S{1,255})"
)
RANK = re.compile(
    r"\s+Rank (?P<rank>\d{1,9})(?P<said>.*?)(?:"
    + PLACE
    + r"| -- \[process information not found\])$"
)
PROCESS = re.compile(
    r"\s+Process (?P<pid>\d{1,10}) on node (?P<node>\S{1,255}) managing GPUs? (?P<gpu>.{1,80})"
)
LEVEL = re.compile(
    r"\s+(\d{1,9}) ranks have (?:launched up to operation (\d{1,20})|not launched any)"
)
OWN_LEVEL = re.compile(r" has (?:launched up to operation (\d{1,20})|not launched any operations)")
COUNTS = re.compile(r"\s+Communicator ranks have different (?:(\w+) |collective )?operation counts")
STATUS = re.compile(r"\s+Communicator ranks have different status")
MISSING = re.compile(r"\s+The missing ranks?: ([\d, ]{1,400})")
REPORTED = re.compile(r"\s+\d{1,9} ranks reported (.{1,60})")
OWN_REPORT = re.compile(r" reported (.{1,60})")
TIMEOUTS = re.compile(r"\s+Encountered (\d{1,9}) communication timeouts?")
# Group, communicators in it, nodes and ranks per node, ranks of each, ranks in all, status, errors.
SUMMARY = re.compile(
    r"\s*(\d{1,9})\s+\d{1,9}\s+\d{1,9}\s+\S{1,20}\s+(\d{1,9})\s+\d{1,9}\s+[A-Z,]{2,40}"
    r"\s+\S{2,40}"
)
# Nodes, processes per node, GPUs per process, processes, GPUs.
TOTALS = re.compile(r"\s*\d{1,9}\s+\S{1,20}\s+\S{1,20}\s+\d{1,9}\s+(\d{1,9})\s*")
SOMETHING = re.compile(r"\S")
MOST_ANSWERS = 200
TOO_MANY = Trouble(
    Kind.UNREADABLE, f"more than {MOST_ANSWERS} answers of RAS: the rest is not read"
)
HEADINGS = ("INCOMPLETE", "DEAD", "TIMEOUT")
# ncclResult_t, nccl.h; 0 is success and 7 in progress
ERRORS = {
    1: "Unhandled CUDA error",
    2: "System error",
    3: "Internal error",
    4: "Invalid argument",
    5: "Invalid usage",
    6: "Remote process error",
    8: "Timeout",
}
FINE = frozenset({0, 7})
# 2.28.7 and 2.28.9 leave out the comma before the status of a rank that is missing:
# `"nvml_dev": 1\n          "status": {`
NO_COMMA = re.compile(r'("nvml_dev": -?\d{1,9})(\s{1,40}"status")')


def snapshots(text: str) -> Iterator[Snapshot | Trouble]:
    """Each answer of a text that holds one or several, one after another."""
    if text.lstrip().startswith("{"):
        yield from from_json(text)
        return
    # Each answer opens with the version; an old one, or a piece, may lack it.
    parts = [part for part in re.split(r"(?m)^(?=NCCL version )", text) if part.strip()]
    if len(parts) > MOST_ANSWERS:
        yield TOO_MANY
        del parts[MOST_ANSWERS:]
    read = [one for part in parts if (one := from_text(part)) is not None]
    if not read:
        yield Trouble(
            Kind.UNREADABLE, f"not an answer of NCCL's RAS: {visible(text.strip(), 60)!r}"
        )
    for one in read:
        yield one
        if not one.whole:
            yield Trouble(Kind.CUT, "an answer of RAS ends before its table of communicators")


# ----------------------------------------------------------------------------- JSON


def from_json(said: str) -> Iterator[Snapshot | Trouble]:
    text = NO_COMMA.sub(r"\1,\2", said)
    decode, at, answers = json.JSONDecoder(), 0, 0
    while found := SOMETHING.search(text, at):
        answers += 1
        if answers > MOST_ANSWERS:
            yield TOO_MANY
            return
        try:
            told, at = decode.raw_decode(text, found.start())
        except (ValueError, RecursionError) as error:
            yield Trouble(Kind.CUT, f"JSON of RAS breaks off: {visible(str(error), 80)}")
            return
        if isinstance(told, dict) and isinstance(told.get("communicators"), list):
            yield from told_snapshot(told)
        else:
            yield Trouble(Kind.UNREADABLE, "JSON, but not of NCCL's RAS: it has no communicators")


def told_snapshot(told: Mapping[str, Any]) -> Iterator[Snapshot | Trouble]:
    found: list[Communicator] = []
    dead: list[Place] = []
    bad = 0
    for one in told["communicators"]:
        try:
            communicator, lost_for_good = told_communicator(one), told_dead(one)
        except (KeyError, TypeError, ValueError, AttributeError):
            bad += 1
        else:
            found.append(communicator)
            dead += lost_for_good
    try:
        timeouts = whole(told["ras"]["timeouts_count"])
    except (KeyError, TypeError, ValueError):
        timeouts = 0
        yield Trouble(Kind.UNREADABLE, "RAS does not tell its own timeouts")
    gpus = {(at.node, at.pid, at.gpu) for one in found for at in one.places}
    yield Snapshot(tuple(found), (), tuple(dead), timeouts, gpus=len(gpus))
    if bad:
        yield Trouble(Kind.UNREADABLE, f"{bad} communicators of RAS cannot be read")


def told_communicator(told: Mapping[str, Any]) -> Communicator:
    """Raises KeyError, TypeError, ValueError, AttributeError."""
    counts: defaultdict[str, defaultdict[int, list[Place]]] = defaultdict(lambda: defaultdict(list))
    errors = []
    for one in told["ranks"]:
        place = place_of(one)
        for name, value in one["collective_counts"].items():
            counts[short(name)][whole(value)].append(place)
        status = one["status"]
        for key in ("init_state", "async_error"):
            code = whole(status[key])
            if code not in FINE:
                errors.append((place, ERRORS.get(code, f"NCCL result {code}")))
    levels = {
        name: tuple(Level(value, len(each), tuple(each)) for value, each in sorted(by.items()))
        for name, by in counts.items()
    }
    missing = tuple(place_of(one) for one in told["missing_ranks"])
    name = short(told["hash"]).removeprefix("0x")
    return Communicator(name, whole(told["size"]), levels, missing, tuple(errors))


def told_dead(told: Mapping[str, Any]) -> list[Place]:
    """Of those that are missing, who never will answer.  Raises as `told_communicator`."""
    return [
        place_of(one)
        for one in told["missing_ranks"]
        if (one.get("status") or {}).get("considered_dead") is True
    ]


def place_of(told: Mapping[str, Any]) -> Place:
    """Of whom RAS knows no process it says host "unknown" and pid -1."""
    pid = told.get("pid", 0)
    return Place(
        whole(told["rank"]),
        short(told.get("host", "")),
        0 if pid == -1 else whole(pid),
        short(told.get("cuda_dev", "")),
    )


def short(told: object) -> str:
    return str(told)[:255] if isinstance(told, str | int) else ""


# ----------------------------------------------------------------------------- text


def from_text(text: str) -> Snapshot | None:
    """None: nothing in it is RAS's."""
    reading = Reading()
    for line in text.splitlines():
        reading.line(line)
    return reading.snapshot()


class Reading:
    """A state machine over the lines of one answer: each section has lines of its own."""

    def __init__(self) -> None:
        self.known = False
        self.whole = False
        self.section = ""  # INCOMPLETE, DEAD, TIMEOUT, or a communicator's hash
        self.operation = ""
        self.error = ""
        self.level: tuple[int, int] | None = None
        self.levels: defaultdict[tuple[str, str], dict[int, Level]] = defaultdict(dict)
        self.communicators: dict[str, Communicator] = {}
        self.processes: dict[str, list[Place]] = {"INCOMPLETE": [], "DEAD": []}
        self.timeouts = 0
        self.sizes: dict[int, int] = {}  # of the communicators of a group
        self.gpus: int | None = None

    def line(self, line: str) -> None:
        if line.startswith(("Job summary", "NCCL version", "Communicators...")):
            self.known = True
        elif found := SUMMARY.fullmatch(line):
            self.whole = True
            self.sizes[int(found[1])] = int(found[2])
        elif found := TOTALS.fullmatch(line):
            self.gpus = int(found[1])
        elif found := COMM.match(line):
            self.open(found[2], self.sizes.get(int(found[1])))
        elif line.strip() in HEADINGS:
            self.open(line.strip())
        elif found := TIMEOUTS.match(line):
            self.timeouts = int(found[1])
        elif (found := PROCESS.match(line)) and self.section in self.processes:
            place = Place(-1, found["node"], int(found["pid"]), found["gpu"])
            self.processes[self.section].append(place)
        elif self.section in self.communicators:
            self.inside(line)

    def open(self, section: str, size: int | None = None) -> None:
        self.known = True
        self.section, self.operation, self.error, self.level = section, "", "", None
        if section not in HEADINGS:
            self.communicators.setdefault(section, Communicator(section, size))

    def inside(self, line: str) -> None:
        here = self.communicators[self.section]
        if found := COUNTS.match(line):
            self.operation, self.level, self.error = found[1] or "", None, "counts"
        elif STATUS.match(line):
            self.error = "status"
            self.communicators[self.section] = replace(here, status_differs=True)
        elif (found := LEVEL.match(line)) and self.error == "counts":
            self.level = (int(found[2] or 0), int(found[1]))
            self.add(Level(*self.level))
        elif found := MISSING.match(line):
            ranks = (int(one) for one in re.findall(r"\d{1,9}", found[1]))
            more = tuple(Place(rank) for rank in ranks)
            self.communicators[self.section] = replace(here, missing=here.missing + more)
        elif found := REPORTED.match(line):
            self.error = f"reported {found[1].strip()}"
        elif found := RANK.match(line):
            self.rank(here, found)

    def rank(self, here: Communicator, found: re.Match[str]) -> None:
        place = Place(
            int(found["rank"]), found["node"] or "", int(found["pid"] or 0), found["gpu"] or ""
        )
        said = found["said"]
        if own := OWN_LEVEL.match(said):
            self.level = None
            self.add(Level(int(own[1] or 0), 1, (place,)))
        elif own := OWN_REPORT.match(said):
            errors = (*here.errors, (place, own[1].strip()))
            self.communicators[self.section] = replace(here, errors=errors)
        elif self.error.startswith("reported "):
            errors = (*here.errors, (place, self.error.removeprefix("reported ")))
            self.communicators[self.section] = replace(here, errors=errors)
        elif self.error == "counts" and self.level:
            self.add(Level(*self.level, (place,)))
        elif not self.error:
            missing = (*here.missing, place)
            self.communicators[self.section] = replace(here, missing=missing)

    def add(self, level: Level) -> None:
        known = self.levels[self.section, self.operation]
        old = known.get(level.value, Level(level.value, level.count))
        known[level.value] = replace(old, places=old.places + level.places)

    def snapshot(self) -> Snapshot | None:
        if not self.known:
            return None
        found = dict(self.communicators)
        for (name, operation), levels in self.levels.items():
            ordered = tuple(levels[value] for value in sorted(levels))
            found[name] = replace(found[name], levels={**found[name].levels, operation: ordered})
        lost, dead = (tuple(self.processes[key]) for key in ("INCOMPLETE", "DEAD"))
        return Snapshot(tuple(found.values()), lost, dead, self.timeouts, self.whole, self.gpus)
