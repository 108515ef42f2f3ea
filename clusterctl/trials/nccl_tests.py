"""Reading the tables of nccl-tests, rccl-tests and hccl_test."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from clusterctl.model import Collective, Fact, Kind, Trouble
from clusterctl.spelling import Unreadable, count, number, visible, whole

# What mpirun and srun put before a line: "[1,0]<stdout>:" and "0: ".
PREFIX = re.compile(r"^(?:\[\d+,\d+\]<std(?:out|err)>:|\d+: )")
# "#       size         count      type   redop    root     time   algbw   busbw #wrong     time …"
HEADER = re.compile(r"#\s+size\s+count\s+type\s")
UNITS = re.compile(r"#\s+\(B\)\s+\(elements\)\s+\(us\)\s+\(GB/s\)\s+\(GB/s\)\s+\(us\)")
BOUNDS = re.compile(r"# Out of bounds values\s*:\s*([0-9]{1,20})\s+(OK|FAILED)")
RANK = re.compile(r"#\s+Rank\s+([0-9]{1,7}) ")
AVERAGE = re.compile(r"# Avg bus bandwidth\s*:\s*([0-9]{1,20}(?:\.[0-9]{1,20})?)")
VERSION = re.compile(r"\b(NCCL|RCCL|HCCL) version\s*:?\s*(\S+)")
BAD = re.compile(
    r"Test (?:NCCL )?failure|NCCL WARN|(?:[Uu]nhandled|internal) (?:cuda|system|error)|retcode: \d+"
    r"|not enough slots|error while loading shared|[Cc]ommand not found|Aborted"
)
HCCL_HEADER = re.compile(r"data_size\(Bytes\):?\s*\|")
LEFTOVER = "retcode: 7"  # documented: a process of an earlier run still holds the devices
ROUNDING = 0.02  # of the stated average, which is of unrounded rates


def factor(operation: str, ranks: int) -> float:
    """Busbw over algbw: nccl-tests, doc/PERFORMANCE.md."""
    if operation == "all_reduce":
        return 2 * (ranks - 1) / ranks
    if operation in {"all_gather", "reduce_scatter", "all_to_all"}:
        return (ranks - 1) / ranks
    return 1.0


@dataclass(frozen=True, slots=True)
class Ran:
    """What was run: the fields of its facts that no table says, and how it ended."""

    engine: str
    part: str
    operation: str
    nodes: tuple[str, ...]
    ranks: int
    algorithm: str = "auto"
    code: str = "0"


def tables(ran: Ran, lines: Sequence[str]) -> Iterator[Fact | Trouble]:
    plain = [PREFIX.sub("", line) for line in lines]
    found = list(hccl(ran, plain) if ran.engine == "hccl_test" else nccl(ran, plain))
    yield from found
    facts = any(isinstance(one, Collective) for one in found)
    bad = [line for line in plain if BAD.search(line)]
    if bad:
        hint = "; a process of an earlier run may hold the devices" if LEFTOVER in bad[0] else ""
        yield Trouble(Kind.EXIT, f"{ran.engine}: {visible(bad[0].strip(), 200)}{hint}", ran.part)
    elif ran.code != "0":
        said = next((line for line in reversed(plain) if line.strip()), "it said nothing")
        kind = Kind.TIMEOUT if ran.code == "none" else Kind.EXIT
        how = "did not end in time" if ran.code == "none" else f"exit {visible(ran.code, 20)}"
        yield Trouble(kind, f"{ran.engine}: {how}: {visible(said.strip(), 200)}", ran.part)
    elif not facts and all(not isinstance(one, Trouble) for one in found):
        yield Trouble(Kind.UNREADABLE, f"{ran.engine}: no table in its output", ran.part)


def version_of(lines: Sequence[str]) -> str:
    for line in lines:
        found = VERSION.search(line)
        if found:
            return visible(f"{found[1]} {found[2].partition('+')[0]}", 60)
    return ""


def offload_of(lines: Sequence[str]) -> str:
    """NVLS or SHARP where the library says that it uses them; only its INFO lines do."""
    told = [line for line in lines if "NCCL INFO" in line]
    connected = any("Connected all" in line for line in told)
    used = [
        word
        for word, pattern in (("NVLS", r"Connected NVLS"), ("SHARP", r"SHARP|CollNet.*connected"))
        if any(re.search(pattern, line) for line in told)
    ]
    return "+".join(used) or ("none" if connected else "")


# --------------------------------------------------------------------------- nccl-tests


def nccl(ran: Ran, lines: Sequence[str]) -> Iterator[Fact | Trouble]:
    """Two facts a row, out of place and in place.  Counts of ranks in the output are believed."""
    told = [int(seen[1]) + 1 for seen in map(RANK.match, lines) if seen]
    found = list(rows_of(replace(ran, ranks=max(told, default=ran.ranks)), lines))
    version, offload = version_of(lines), offload_of(lines)
    facts = [one for one in found if isinstance(one, Collective)]
    for one in found:
        if isinstance(one, Collective):
            yield replace(one, version=version, offload=offload)
        else:
            yield one
    yield from end_of(ran, lines, [one.busbw_gbyte_s for one in facts], len(found) == len(facts))


def rows_of(ran: Ran, lines: Sequence[str]) -> Iterator[Collective | Trouble]:
    columns: list[str] = []
    for line in lines:
        words = line.split()
        if HEADER.match(line):
            columns = words[1:]
        elif line.startswith("#") and "(elements)" in line and not UNITS.match(line):
            yield Trouble(Kind.UNREADABLE, f"units we do not know: {visible(line, 120)}", ran.part)
            columns = []
        elif len(words) > 5 and words[0].isdigit() and words[1].isdigit():
            try:
                yield from list(row(ran, columns, words))
            except Unreadable as problem:
                shown = visible(" ".join(words), 160)
                yield Trouble(Kind.UNREADABLE, f"{problem} in the row {shown!r}", ran.part)


def end_of(
    ran: Ran, lines: Sequence[str], rates: Sequence[float], whole: bool
) -> Iterator[Trouble]:
    """What the lines behind the table say of it."""
    bounds = next(filter(None, map(BOUNDS.match, lines)), None)
    average = next(filter(None, map(AVERAGE.match, lines)), None)
    if rates and not bounds:
        yield Trouble(Kind.CUT, "the table has no line 'Out of bounds values'", ran.part)
    if bounds and (int(bounds[1]) or bounds[2] == "FAILED"):
        why = f"{bounds[1]} values out of bounds: wrong data"
        yield Trouble(Kind.EXIT, why, ran.part)
    if average and rates and whole:
        yield from average_agrees(ran, float(average[1]), rates)


def row(ran: Ran, columns: Sequence[str], words: Sequence[str]) -> Iterator[Collective]:
    if not columns:
        raise Unreadable("no header before it")
    if len(words) != len(columns):
        raise Unreadable(f"{len(words)} cells under {len(columns)} columns")
    starts = [at for at, name in enumerate(columns) if name == "time"]
    for place, start in enumerate(starts):
        cells = dict(zip(columns[start : start + 4], words[start : start + 4], strict=True))
        if [*cells][1:3] != ["algbw", "busbw"]:
            raise Unreadable("columns in another order")
        wrong, unchecked = verdict_of(cells)
        yield Collective(
            part=ran.part,
            operation=ran.operation,
            engine=ran.engine,
            nodes=ran.nodes,
            ranks=ran.ranks,
            size_bytes=count(words[0]),
            algbw_gbyte_s=positive(cells["algbw"]),
            busbw_gbyte_s=positive(cells["busbw"]),
            time_us=positive(cells["time"]),
            wrong=wrong,
            unchecked=unchecked,
            in_place=place == 1,
            algorithm=ran.algorithm,
        )


def verdict_of(cells: dict[str, str]) -> tuple[int | None, str]:
    """Wrong elements.  Before 2.13 the column was `error`: a difference, 0 in sums that are exact.

    A difference above zero may be rounding; "Out of bounds values" decides.
    """
    if "#wrong" in cells:
        wrong = whole(cells["#wrong"])
        if wrong is not None and wrong < 0:
            raise Unreadable(f"wrong: {wrong}")
        return wrong, "" if wrong is not None else "its check was off (-c 0)"
    if "error" in cells:
        differs = number(cells["error"])
        if differs is None:
            return None, "its check was off (-c 0)"
        return (0, "") if differs == 0 else (None, f"it tells a difference of {differs:g} only")
    return None, "it has no column for wrong results"


def positive(text: str) -> float:
    value = number(text)
    if value is None or value < 0:
        raise Unreadable(f"no rate or time: {text!r}")
    return value


def average_agrees(ran: Ran, stated: float, rates: Sequence[float]) -> Iterator[Trouble]:
    mean = sum(rates) / len(rates)
    if abs(mean - stated) > max(ROUNDING * stated, 0.02):
        yield Trouble(
            Kind.CUT,
            f"it states an average of {stated:g} GB/s and its rows give {mean:.5g}: rows are lost",
            ran.part,
        )


# --------------------------------------------------------------------------- hccl_test


def hccl(ran: Ran, lines: Sequence[str]) -> Iterator[Fact | Trouble]:
    """data_size | avg_time(us) | alg_bandwidth(GB/s) | check_result: success, failed or NULL."""
    headed = False
    for line in lines:
        if HCCL_HEADER.search(line):
            headed = "(us)" in line and "(GB/s)" in line
            if not headed:
                yield Trouble(Kind.UNREADABLE, f"units we do not know: {visible(line, 120)}")
            continue
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) < 2 or not cells[0].isdigit():
            continue
        try:
            if not headed:
                raise Unreadable("no header before it")  # noqa: TRY301 - one place says which row
            yield hccl_row(ran, cells)
        except Unreadable as problem:
            shown = visible(" ".join(cells), 160)
            yield Trouble(Kind.UNREADABLE, f"{problem} in the row {shown!r}", ran.part)


def hccl_row(ran: Ran, cells: Sequence[str]) -> Collective:
    if len(cells) != 4:
        raise Unreadable(f"{len(cells)} cells where a row has 4")
    wrong = {"success": 0, "failed": 1, "null": None}.get(cells[3].lower(), -1)
    if wrong == -1:
        raise Unreadable(f"a check result we do not know: {cells[3]!r}")
    rate = positive(cells[2])
    return Collective(
        part=ran.part,
        operation=ran.operation,
        engine=ran.engine,
        nodes=ran.nodes,
        ranks=ran.ranks,
        size_bytes=count(cells[0]),
        algbw_gbyte_s=rate,
        busbw_gbyte_s=rate * factor(ran.operation, ran.ranks),
        time_us=positive(cells[1]),
        wrong=wrong,
        unchecked="" if wrong is not None else "HCCL compared nothing (check_result NULL)",
        algorithm=ran.algorithm,
    )
