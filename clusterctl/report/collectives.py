"""Collective operations as nccl-tests prints them: a row a size, rates in GB/s."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from rich.table import Table
from rich.text import Text

from clusterctl.model import Collective, Observation
from clusterctl.report.tables import cell, table

Key = tuple[str, str, str, int]


def collective_tables(observations: Iterable[Observation]) -> list[Table]:
    """One table for each group, operation and engine, in the order they were seen; none: []."""
    groups: defaultdict[Key, list[Collective]] = defaultdict(list)
    for seen in observations:
        for fact in seen.facts:
            if isinstance(fact, Collective):
                groups[fact.part, fact.operation, fact.engine, fact.ranks].append(fact)
    return [one_table(rows) for rows in groups.values()]


def one_table(rows: list[Collective]) -> Table:
    both = any(row.in_place for row in rows)
    made = table(*headings(both), title=title(rows[0]))
    for column in made.columns:
        column.justify = "right"
    sizes: defaultdict[int, list[Collective]] = defaultdict(list)
    for row in rows:
        sizes[row.size_bytes].append(row)
    for size, alike in sizes.items():
        made.add_row(cell(str(size)), *(one for row in in_order(alike) for one in cells(row)))
    return made


def headings(both: bool) -> tuple[str, ...]:
    each = ("time (us)", "algbw (GB/s)", "busbw (GB/s)", "#wrong")
    return ("size (B)", *each, *(f"in place: {word}" for word in each if both))


def title(row: Collective) -> str:
    how = (f"{row.ranks} ranks", row.engine, row.version, row.offload)
    forced = "ring forced" if row.algorithm == "forced" else ""
    words = ", ".join(word for word in (*how, forced) if word)
    return f"{row.operation} among {row.part}: {words}"


def in_order(rows: list[Collective]) -> Iterator[Collective]:
    yield from sorted(rows, key=lambda row: bool(row.in_place))


def cells(row: Collective) -> Iterator[Text]:
    yield cell("N/A" if row.time_us is None else microseconds(row.time_us))
    yield cell(f"{row.algbw_gbyte_s:.3f}")
    yield cell(f"{row.busbw_gbyte_s:.3f}")
    yield cell("N/A" if row.wrong is None else str(row.wrong), "bold red" if row.wrong else "")


def microseconds(value: float) -> str:
    digits = 2 if value < 100 else 1 if value < 10000 else 0
    return f"{value:.{digits}f}"
