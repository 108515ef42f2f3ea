"""Reading what our script for collective operations prints."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from clusterctl.model import Collective, Fact, Kind, Trouble
from clusterctl.spelling import Unreadable, count, visible
from clusterctl.sysfs import rows
from clusterctl.trials.nccl_tests import Ran, factor, tables
from clusterctl.trials.rows import measured, name, tally, word

OPERATIONS = (
    "all_reduce", "all_gather", "reduce_scatter", "all_to_all", "broadcast", "send_recv",
)  # fmt: skip


def operation(text: str) -> str:
    if text not in OPERATIONS:
        raise Unreadable(f"no operation: {text!r}")
    return text


def nodes(text: str) -> tuple[str, ...]:
    if not text.split():
        raise Unreadable("no nodes")
    return tuple(map(word, text.split()))


def times(text: str) -> tuple[float, ...]:
    found = tuple(measured(cell) for cell in text.split())
    if not found or min(found) <= 0:
        raise Unreadable(f"no times: {text!r}")
    return found


CELLS: dict[str, Callable[[str], object]] = {
    "part": name,
    "operation": operation,
    "engine": name,
    "nodes": nodes,
    "ranks": count,
    "size_bytes": count,
    "times_s": times,
    "wrong": tally,
    "version": word,
    "algorithm": word,
    "offload": word,
}


def parse(stdout: str) -> Iterator[Fact | Trouble]:
    """Rows `collective` are ours; `tool` says which maker's test ran, `line` is one of its own."""
    ran: Ran | None = None
    lines: list[str] = []
    for row in rows(stdout):
        if isinstance(row, Trouble):
            yield row
        elif row[0] == "line":
            lines.append("\t".join(row[1:]))
        elif row[0] == "tool" and ran is None:
            try:
                ran = ran_of(row)
            except Unreadable as problem:
                yield Trouble(Kind.UNREADABLE, visible(f"{problem} in {' '.join(row)!r}", 300))
        elif row[0] == "trouble" and len(row) in (3, 4):
            kind = Kind.MISSING if row[1] == "missing" else Kind.EXIT
            yield Trouble(kind, visible(row[2]), *map(visible, row[3:]))
        else:
            yield fact(row)
    if ran is not None:
        yield from tables(ran, lines)
    elif lines:
        yield Trouble(Kind.UNREADABLE, "lines of a tool that is not named")


def ran_of(row: Sequence[str]) -> Ran:
    if len(row) != 9:
        raise Unreadable(f"{len(row)} cells where a row has 9")
    _, engine, code, _, part, op, names, ranks, algorithm = row
    return Ran(
        name(engine), name(part), operation(op), nodes(names), count(ranks), word(algorithm), code
    )


def fact(row: Sequence[str]) -> Fact | Trouble:
    shown = visible(" ".join(row), 200)
    if row[0] != "collective":
        return Trouble(Kind.UNREADABLE, f"not a row of ours: {shown!r}")
    cells = [cell.partition("=") for cell in row[1:]]
    if sorted(key for key, _, _ in cells) != sorted(CELLS):
        return Trouble(Kind.UNREADABLE, f"other cells than a row has: {shown!r}")
    try:
        return made({key: CELLS[key](text) for key, _, text in cells})
    except Unreadable as problem:
        return Trouble(Kind.UNREADABLE, f"{visible(str(problem))} in the row {shown!r}")


def made(cells: dict[str, Any]) -> Collective:
    spent = cells.pop("times_s")
    size, ranks = cells["size_bytes"], cells["ranks"]
    if not size or ranks < 2:
        raise Unreadable(f"{size} bytes between {ranks} ranks")
    ratio = factor(cells["operation"], ranks)
    mean = sum(spent) / len(spent)
    return Collective(
        **cells,
        algbw_gbyte_s=size / mean / 1e9,
        busbw_gbyte_s=size / mean / 1e9 * ratio,
        time_us=mean * 1e6,
        samples_gbyte_s=tuple(size / one / 1e9 * ratio for one in spent),
    )
