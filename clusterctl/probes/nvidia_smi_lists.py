"""What `nvidia-smi -L`, `nvlink`, `dmon`, `topo -m` and `--version` print.  No probe of its own."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from clusterctl.model import Accelerator, Fact, Kind, Link, Partition, Trouble, Version
from clusterctl.spelling import Unreadable, number, visible

LISTED = re.compile(r"GPU (\d{1,3}): (.+) \(UUID: (GPU-[0-9A-Fa-f-]{8,60})\)\s*")
#   MIG 3g.40gb     Device  0: (UUID: MIG-…)
MIG = re.compile(r" +MIG (\S{1,40}) +Device +(\d{1,3}): \(UUID: (MIG-[\w/-]{8,100})\)\s*")
LINK_GPU = re.compile(r"GPU (\d{1,3}): .*\(UUID: [^)]*\)\s*")
LINK_STATE = re.compile(r"\s+Link (\d{1,3}): (?:<inactive>|(\d+(?:\.\d+)?) GB/s)\s*", re.IGNORECASE)
LINK_ERRORS = re.compile(r"\s+Link (\d{1,3}): (\w[\w ]*?): (\d{1,20})\s*")
SHAPE = re.compile(
    r"(?mi)^\s+Link \d{1,3}: |^NVLink queries are not|^Device does not have or support NVLink"
    r"|NVLink information as all links are inactive"
)
# Nothing is wrong where these stand.
NO_LINKS = ("not supported for devices in mig mode", "does not have or support nvlink")
VERSION = re.compile(r"(?mi)^DRIVER version *: *(\d[\d.]{0,30})\n")
# Column of dmon -> field, unit
DMON = {
    "pwr": ("power_w", "W"),
    "gtemp": ("temp_c", "C"),
    "mtemp": ("temp_memory_c", "C"),
    "sm": ("utilisation_percent", "%"),
    "mclk": ("clock_memory_mhz", "MHz"),
    "pclk": ("clock_sm_mhz", "MHz"),
}
GPU_NAME = re.compile(r"GPU(\d{1,3})")
BOND = re.compile(r"NV\d{1,3}")  # NV12: a bonded set of 12 NVLinks
PATH = re.compile(r"X|SYS|NODE|PHB|PXB|PIX|N/A|NV\d{1,3}|C2C|OK|NS|CNS|GNS|TNS|DR")


def nvlinks(text: str) -> Iterator[Link]:
    """What `nvlink -s` says of every link, with the counters of `nvlink -e`."""
    states, counters = link_lines(text)
    for (card, name), rate in states.items():
        state = "inactive" if rate is None else "up"
        part = f"{card}/{name}"
        yield Link(part, card, "nvlink", state, rate, counters.get(part, {}))


def link_lines(
    text: str,
) -> tuple[dict[tuple[str, str], float | None], dict[str, dict[str, int]]]:
    """{(gpu, link): GB/s or None} and {gpu/link: {counter: value}}."""
    states: dict[tuple[str, str], float | None] = {}
    counters: defaultdict[str, dict[str, int]] = defaultdict(dict)
    card = ""
    for line in text.split("\n"):
        if header := LINK_GPU.fullmatch(line):
            card = f"gpu{int(header[1])}"
        elif card and (state := LINK_STATE.fullmatch(line)):
            states[card, f"link{int(state[1])}"] = float(state[2]) if state[2] else None
        elif card and (errors := LINK_ERRORS.fullmatch(line)):
            name = errors[2].lower().replace(" ", "_")
            counters[f"{card}/link{int(errors[1])}"][name] = int(errors[3])
        elif card and "all links are inactive" in line.lower():
            states[card, "links"] = None  # how many there are, it does not say
    return states, counters


def only_links(text: str) -> Iterator[Fact | Trouble]:
    """A listing by itself.  Of `nvlink -e` alone the state is unknown."""
    card = ""
    for line in text.split("\n"):
        if header := LINK_GPU.fullmatch(line):
            card = f"gpu{int(header[1])}"
        elif (said := line.strip()) and not linked(card, line):
            kind = Kind.CUT if said == "[...]" else Kind.EXIT
            yield Trouble(kind, f"nvlink: {visible(said, 160)}", card)
    yield from nvlinks(text)
    states, counters = link_lines(text)
    told = {f"{card}/{name}" for card, name in states}
    for part, errors in counters.items():
        if part not in told:
            yield Link(part, part.partition("/")[0], "nvlink", "unknown", None, errors)


def linked(card: str, line: str) -> bool:
    """Whether this line of a listing is understood."""
    words = line.lower()
    if any(known in words for known in NO_LINKS):
        return True
    if "all links are inactive" in words:
        return bool(card)
    return bool(card and (LINK_STATE.fullmatch(line) or LINK_ERRORS.fullmatch(line)))


def listing(text: str) -> Iterator[Fact | Trouble]:
    """`nvidia-smi -L`, whose last line may be cut: its parenthesis shows that."""
    card = ""
    for line in text.split("\n"):
        if found := LISTED.fullmatch(line):
            card = f"gpu{int(found[1])}"
            yield Accelerator(
                card, "nvidia", int(found[1]), uuid=found[3], model=visible(found[2], 120)
            )
        elif card and (found := MIG.fullmatch(line)):
            part = f"{card}/mig{int(found[2])}"
            yield Partition(part, card, uuid=found[3], profile=found[1])
        elif line.strip():
            said, part = visible(line.strip(), 160), card if line[0].isspace() else ""
            yield Trouble(Kind.UNREADABLE, f"not a line of -L: {said!r}", part)


def version(text: str) -> Iterator[Fact | Trouble]:
    if found := VERSION.search(text):
        yield Version("driver/nvidia", found[1])
    else:
        yield Trouble(Kind.UNREADABLE, "no driver version in it")


def dmon(text: str) -> Iterator[Fact | Trouble]:
    """The last sample of every GPU.  `-` is nothing to report, under MIG for one."""
    names: list[str] = []
    units: list[str] = []
    last: dict[str, Mapping[str, object]] = {}
    lines = text.split("\n")
    if lines.pop():
        yield Trouble(Kind.CUT, "the text ends within a line")
    for line in lines:
        cells = line.split()
        if cells[:2] == ["#", "gpu"]:
            names = cells[1:]
        elif cells[:2] == ["#", "Idx"]:
            units = cells[1:]
        elif cells and (len(cells) != len(names) or len(units) != len(names)):
            yield Trouble(Kind.UNREADABLE, f"not a row: {visible(line.strip(), 120)!r}")
        elif cells:
            try:
                last[cells[0]] = sample(cells, names, units)
            except Unreadable as error:
                yield Trouble(Kind.UNREADABLE, visible(str(error), 120), gpu_of(cells[0]))
    for index, values in last.items():
        yield Accelerator(gpu_of(index), "nvidia", int(index), **values)  # type: ignore[arg-type]


def gpu_of(index: str) -> str:
    return f"gpu{int(index)}" if re.fullmatch(r"[0-9]{1,3}", index) else ""


def sample(cells: Sequence[str], names: Sequence[str], units: Sequence[str]) -> dict[str, object]:
    """Raises Unreadable."""
    if not gpu_of(cells[0]):
        raise Unreadable(f"not a GPU's number: {cells[0]!r}")
    found: dict[str, object] = {}
    for name, unit, cell in zip(names, units, cells, strict=True):
        field, wanted = DMON.get(name, ("", unit))
        if unit != wanted:
            raise Unreadable(f"{name} in {unit!r} and not in {wanted}")
        if field:
            found[field] = number(cell)
    return found


def topology(text: str) -> Iterator[Fact | Trouble]:
    """Every GPU that has a row, and a Link for each other GPU that it reaches by NVLinks.

    NICs are told apart by place only: some machines give eight of them one name.
    """
    lines = text.partition("Legend:")[0].split("\n")
    head = [name.strip() for name in lines[0].split("\t")]
    wanted = [name for name in head if GPU_NAME.fullmatch(name)]
    found: set[str] = set()
    for line in lines[1:]:
        name, *cells = [cell.strip() for cell in line.split("\t")]
        row = GPU_NAME.fullmatch(name)
        if not row:
            continue
        card = f"gpu{int(row[1])}"
        paths = dict(zip(head[1:], cells, strict=False))
        bad = [
            cell for other, cell in paths.items() if other in wanted and not PATH.fullmatch(cell)
        ]
        if len(cells) < len(wanted) or bad:
            yield Trouble(Kind.UNREADABLE, f"not a row: {visible(line.strip(), 120)!r}", card)
            continue
        found.add(name)
        yield Accelerator(card, "nvidia", int(row[1]))
        for other in wanted:
            if BOND.fullmatch(paths[other]):
                yield Link(f"{card}/gpu{int(other[3:])}", card, "nvlink", "up")
    for name in wanted:
        if name not in found:
            yield Trouble(Kind.CUT, "the matrix names this GPU and has no row of it", name.lower())
