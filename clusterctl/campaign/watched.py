"""What the samples of a node say that those of a healthy one do not, learned as they come.

Counters are added up over samples, so that a reset, a wrap or a reboot costs what was counted since
the last sample and no more.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import Any

from clusterctl.campaign.journal import (
    LAYOUTS_AT_MOST,
    Corrupt,
    Names,
    Record,
    Stretch,
    Value,
    decoded,
    fitting,
    laid_out,
)
from clusterctl.counters import risen

GPU = re.compile(r"(gpu\d+)\.(.+)")
COUNTED = re.compile(
    r"gpu\d+\.(?:ecc_.*|pcie_replays|.*_errors|.*_thermal_ns|hw_power_brake_ns)"
    r"|/sys/class/infiniband/.*counters/(?!port_[a-z]+_data).*"
    r"|/sys/class/net/.*"
    r"|/sys/devices/system/edac/.*"
)
AER = re.compile(r"/sys/bus/pci/devices/.*/aer_dev_[a-z]+")
AER_TOTAL = re.compile(r"TOTAL_ERR_[A-Z]+ (\d{1,20})")
HIGHEST = re.compile(r"(?:gpu\d+|optic\..+)\.(?:temp_c|temp_memory_c)")
LOWEST = re.compile(r"(psu\..+\.in_v|optic\..+\.rx\d+_nw)")
STATE = re.compile(
    r"gpu\d+\.remapped"
    r"|/sys/.*/(?:state|phys_state|rate|current_link_width|current_link_speed)"
    r"|/sys/class/hwmon/.*_(?:alarm|fault)"
)
HWMON = re.compile(r"/sys/class/hwmon/.*_(?:alarm|fault)")
HOT_C = {"gpu": 80, "opt": 70}  # by how names begin; and OUT, SLOWED: as in remote/sampler.py
OUT = {"psu": 0, "opt": 100}
SLOWED = 0x8 | 0x20 | 0x40 | 0x80
OK, BLIND = "ok", "blind"
# Errors after which NVML has no more to say of a GPU (nvmlReturn_t).
GONE = frozenset({"!GpuIsLost", "!ResetRequired", "!NotFound"})
LINES_AT_MOST = 1000


@dataclass(slots=True)
class Watched:
    """`news`: something was learned that has not been judged; whoever judges takes it away.

    `rose`: counter -> by how much, at least, since the first sample; not there: it did not.
    `lowest`: of what should not go out, the least; only of what was not out at first.
    `gone`: GPU -> why NVML has no more to say of it.  `masks`: GPU -> every throttle reason of any
    sample.  `blind`: samples without NVML after it had answered.  `jumps_s`: of the wall clock.
    `latest`: states, by name; `changed`: those that were otherwise before.
    """

    last: dict[str, int] = field(default_factory=dict)
    rose: dict[str, int] = field(default_factory=dict)
    older: set[str] = field(default_factory=set)  # counters whose `last` is of another boot
    highest: dict[str, int] = field(default_factory=dict)
    lowest: dict[str, int] = field(default_factory=dict)
    masks: dict[str, int] = field(default_factory=dict)
    gone: dict[str, str] = field(default_factory=dict)
    uuids: dict[str, str] = field(default_factory=dict)  # of the first time
    moved: set[str] = field(default_factory=set)  # names that are now another card's
    latest: dict[str, Value] = field(default_factory=dict)
    changed: set[str] = field(default_factory=set)
    lines: dict[tuple[float, str], None] = field(default_factory=dict)
    jumps_s: list[float] = field(default_factory=list)
    news: bool = False
    names: Names | None = None  # None: indices mean nothing until a full sample
    known: Names | None = None  # the last that there were
    now: list[Value] = field(default_factory=list)  # as far as it was looked at, by index
    swapped: bool = False  # cards, since the last full sample: all of the next one is looked at
    nvml: str = ""
    boot: object = None
    answered: bool = False  # NVML, ever
    blind: int = 0

    def learn(self, one: Record | Corrupt | Stretch) -> None:
        match one:
            case Corrupt():
                self.names = None
            case Record(_, "start", _, cells):
                self.names, self.nvml = None, ""
                if cells.get("boot") != self.boot:
                    self.boot, self.older = cells.get("boot"), set(self.last)
            case Stretch(_, times):
                self.follow(one)
                self.blind += len(times) if self.nvml == BLIND else 0
            case Record(_, "full", _, cells):
                self.whole(*laid_out(cells.get("groups"), self.known))
            case Record(_, "kernel", _, cells):
                self.hear(cells.get("lines"))
            case Record(_, "clock", _, cells):
                self.jumps_s.append(float(cells.get("jump_s", 0.0)))

    def whole(self, names: Names, values: Sequence[Value]) -> None:
        """A full sample.  Of what says the same as when it was looked at, nothing is to be learned:
        of a thousand values a few dozen are looked at.
        """
        fresh = self.swapped or names is not self.names or len(values) != len(self.now)
        pairs = enumerate(zip(values, self.now, strict=False))
        chosen = [at for at, (new, old) in pairs if fresh or new != old]
        if fresh or not uuids_of(names).isdisjoint(chosen):
            chosen = list(range(len(values)))
        self.take({names.every[at]: values[at] for at in chosen})
        self.miss(names, values)
        self.names, self.known, self.now = names if values else None, names, list(values)
        self.swapped = False
        self.blind += self.nvml == BLIND

    def follow(self, one: Stretch) -> None:
        names = self.names
        for text in one.deltas if one.news and names else ():
            delta = fitting(decoded(text), len(self.now))
            if delta is None or names is None:
                self.names = None
                return
            changes = dict(zip(delta[::2], delta[1::2], strict=True))
            for index, value in changes.items():
                self.now[index] = value
            self.swapped |= not uuids_of(names).isdisjoint(changes)
            self.take({names.every[index]: value for index, value in changes.items()})

    def take(self, values: Mapping[str, Value]) -> None:
        self.place(values)
        for name, value in values.items():
            if self.moved and name.partition(".")[0] in self.moved:
                continue
            if isinstance(value, str):
                self.hear_word(name, value)
            elif isinstance(value, int) and value >= 0:  # who knows what a damaged node writes
                self.hear_number(name, value)

    def place(self, values: Mapping[str, Value]) -> None:
        """NVML counts anew when it comes back without a card: the others have other numbers."""
        for name, value in values.items():
            if name.endswith(".uuid") and isinstance(value, str) and value[:1] != "!":
                part = name.removesuffix(".uuid")
                same = self.uuids.setdefault(part, value) == value
                (self.moved.discard if same else self.moved.add)(part)

    def miss(self, names: Names, values: Sequence[Value]) -> None:
        """Cards of which all values say nothing any more, though NVML answers."""
        there = {values[at] for at in uuids_of(names)}
        answers = "nvml" in names.every and values[names.every.index("nvml")] == OK
        for part, uuid in self.uuids.items():
            if answers and uuid not in there and part not in self.gone:
                self.gone[part], self.news = "not counted any more", True

    def hear_number(self, name: str, value: int) -> None:
        match sort(name):
            case "counter":
                self.count(name, value)
            case "highest" if value > self.highest.get(name, -1):
                self.highest[name], self.news = value, True
            case "lowest":
                self.sink(name, value)
            case "mask":
                mask = self.masks.get(name, 0) | value
                self.news |= mask != self.masks.get(name)
                self.masks[name] = mask
            case "state":
                self.stand(name, value)

    def hear_word(self, name: str, value: str) -> None:
        match sort(name):
            case "aer" if found := AER_TOTAL.search(value):
                self.count(name, int(found[1]))
            case "state":
                self.stand(name, value)
            case "nvml":
                self.nvml = OK if value == OK else BLIND if self.nvml else ""
                self.answered |= value == OK
        if value in GONE and (found := GPU.fullmatch(name)):
            self.news |= found[1] not in self.gone
            self.gone.setdefault(found[1], value[1:])

    def count(self, name: str, value: int) -> None:
        name = sys.intern(name)
        last = self.last.get(name, value)
        rose = value if value < last and name in self.older else risen(value, last)[0]
        self.last[name] = value
        self.older.discard(name)
        if rose:
            self.rose[name] = self.rose.get(name, 0) + rose
            self.news = True

    def sink(self, name: str, value: int) -> None:
        """A port without a cable and a supply without a cord were so before the load."""
        if value > OUT[name[:3]] or name in self.lowest:
            least = min(value, self.lowest.get(name, value))
            self.news |= least <= OUT[name[:3]] and least != self.lowest.get(name)
            self.lowest[sys.intern(name)] = least

    def stand(self, name: str, value: Value) -> None:
        name = sys.intern(name)
        value = worse(name, self.latest.get(name), value)
        if self.latest.get(name) != value:
            self.news = True
            self.changed |= {name} & self.latest.keys()
            self.latest[name] = value

    @property
    def is_quiet(self) -> bool:
        """Nothing in it that a check could mind, so that a thousand healthy nodes cost nothing."""
        hot = any(value >= HOT_C[name[:3]] for name, value in self.highest.items())
        out = any(value <= OUT[name[:3]] for name, value in self.lowest.items())
        slow = any(mask & SLOWED for mask in self.masks.values())
        alarms = any(value and HWMON.fullmatch(name) for name, value in self.latest.items())
        ailing = hot or out or slow or alarms
        return not (self.rose or self.gone or self.lines or self.changed or ailing)

    def hear(self, lines: Any) -> None:
        """They may come again after a start."""
        for line in lines if isinstance(lines, list) else ():
            match line:
                case [int() | float() as at_s, str(text)] if len(self.lines) < LINES_AT_MOST:
                    self.news |= (at_s, text) not in self.lines
                    self.lines[at_s, text] = None


def worse(name: str, old: Value, new: Value) -> Value:
    """What was said once stays said; a port that came back is for the counters of flaps."""
    if name.endswith(".remapped"):
        cells = zip(str(old or new).split(), str(new).split(), strict=False)
        return " ".join(max(pair, key=lambda cell: (len(cell), cell)) for pair in cells)
    if HWMON.fullmatch(name):
        return old or new
    if name.startswith("/sys/class/nvme/"):
        return old if old not in {None, "live"} else new
    return new


@lru_cache(LAYOUTS_AT_MOST)
def uuids_of(names: Names) -> frozenset[int]:
    return frozenset(at for at, name in enumerate(names.every) if name.endswith(".uuid"))


@cache
def sort(name: str) -> str:
    if AER.fullmatch(name):
        return "aer"
    if HIGHEST.fullmatch(name):
        return "highest"
    if LOWEST.fullmatch(name):
        return "lowest"
    if name.endswith(".throttle_mask"):
        return "mask"
    if name == "nvml":
        return "nvml"
    return "counter" if COUNTED.fullmatch(name) else "state" if STATE.fullmatch(name) else ""
