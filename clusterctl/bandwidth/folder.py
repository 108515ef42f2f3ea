"""What a run of `bandwidth` keeps beside the files of every run.

    topology.json     who hangs where
    settings.json     mode, rounds, confirm, floor, only
    plan.csv          every test, before it runs: round,src,dst,rail,via
    measured.csv      what came of them, a round at a time: rate, status, engine, why none
    hints.json        what ports counted meanwhile, and which part that points at
    located.json      what localisation made of it
    matrix.parquet    measured.csv with every sample

plan.csv and measured.csv are what `clusterctl localise` reads.  A round is in measured.csv whole or
not at all: it is the unit of resume.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from clusterctl.bandwidth.counters import Hint
from clusterctl.bandwidth.paths import Row
from clusterctl.localise.columns import STATUSES, UNKNOWN, Topology
from clusterctl.localise.located import Inconclusive, Located, Population, Rival, Suspect, Test
from clusterctl.model import UserError

PLAN = ("round", "src", "dst", "rail", "via")
MEASURED = (
    *("round", "src", "dst", "rail", "gbit_s", "via", "status"),
    *("engine", "retransmits", "samples_gbit_s", "why"),
)


@dataclass(frozen=True, slots=True)
class Settings:
    """`rounds` 0: as many as the mode says.  `confirm`: rounds that may follow to make sure.

    `only`: the paths that were wanted, "n03>n07/1@0 …"; empty: all nodes, by the mode.
    """

    mode: str = "default"
    rounds: int = 0
    confirm: int = 3
    floor_gbit_s: float | None = None
    only: str = ""


def is_bandwidth(path: Path) -> bool:
    return (path / "plan.csv").is_file()


def write_text(path: Path, text: str) -> None:
    """Whole or not at all."""
    draft = path.with_name(f"{path.name}.new")
    with draft.open("w", encoding="utf-8", newline="") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def write_topology(folder: Path, topology: Topology) -> None:
    told = {
        "nodes": list(topology.nodes),
        "leaf": topology.leaf.tolist(),
        "uplinks": topology.uplinks,
        "origin": topology.origin,
    }
    write_text(folder / "topology.json", json.dumps(told))


def topology(folder: Path) -> Topology:
    told = read_json(folder / "topology.json")
    leaf = np.array(told["leaf"], dtype=np.int32).reshape(len(told["nodes"]), -1)
    return Topology(tuple(told["nodes"]), leaf, told["uplinks"], told["origin"])


def write_settings(folder: Path, settings: Settings) -> None:
    write_text(folder / "settings.json", json.dumps(asdict(settings)))


def settings(folder: Path) -> Settings:
    return Settings(**read_json(folder / "settings.json"))


def read_json(path: Path) -> Any:
    """Raises UserError."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read: {error}; was this run begun?") from None


# ----------------------------------------------------------------------------- rows


def write_plan(folder: Path, rows: Sequence[Row], nodes: Sequence[str]) -> None:
    text = io.StringIO()
    made = csv.writer(text, lineterminator="\n")
    made.writerow(PLAN)
    made.writerows([cells[name] for name in PLAN] for cells in told(rows, nodes))
    write_text(folder / "plan.csv", text.getvalue())


def append(folder: Path, rows: Sequence[Row], nodes: Sequence[str]) -> None:
    """A round that has ended, in one write."""
    path = folder / "measured.csv"
    text = measured_text(rows, nodes, header=not path.exists())
    with path.open("a", encoding="utf-8", newline="") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def measured_text(rows: Iterable[Row], nodes: Sequence[str], *, header: bool) -> str:
    text = io.StringIO()
    made = csv.DictWriter(text, MEASURED, lineterminator="\n")
    if header:
        made.writeheader()
    made.writerows(told(rows, nodes))
    return text.getvalue()


def told(rows: Iterable[Row], nodes: Sequence[str]) -> Iterable[dict[str, Any]]:
    for row in rows:
        yield {
            "round": row.round,
            "src": nodes[row.src],
            "dst": nodes[row.dst],
            "rail": row.rail,
            "via": "" if row.via == UNKNOWN else row.via,
            "gbit_s": "" if row.gbit_s is None else f"{row.gbit_s:.9g}",
            "status": STATUSES[row.status],
            "engine": row.engine,
            "retransmits": "" if row.retransmits is None else row.retransmits,
            "samples_gbit_s": " ".join(f"{sample:.6g}" for sample in row.samples_gbit_s),
            "why": " ".join(row.why.split()),
        }


def whole_rounds(folder: Path, planned: Sequence[Row], nodes: Sequence[str]) -> list[Row]:
    """What was measured, without a round that a killed run left half written; it is forgotten.

    Raises UserError, and what was measured stays as it is.
    """
    path = folder / "measured.csv"
    rows = read_rows(path, nodes)
    wanted = Counter(row.round for row in planned)
    have = Counter(row.round for row in rows)
    kept = [row for row in rows if have[row.round] == wanted[row.round]]
    try:
        if not kept:
            path.unlink(missing_ok=True)
        elif kept != rows or not path.read_bytes().endswith(b"\n"):
            write_text(path, measured_text(kept, nodes, header=True))
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None
    return kept


def read_rows(path: Path, nodes: Sequence[str]) -> list[Row]:
    """Of plan.csv or measured.csv, up to a line that was cut.

    Raises UserError; none where there is no such file yet.
    """
    place = {name: at for at, name in enumerate(nodes)}
    try:
        text = path.read_text(encoding="utf-8")
        lines = text[: text.rfind("\n") + 1].splitlines()
        return [read_row(cells, place) for cells in csv.DictReader(lines)]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: cannot be read: {error!r}; was it edited?") from None


def read_row(cells: Mapping[str, str], place: Mapping[str, int]) -> Row:
    samples = cells.get("samples_gbit_s") or ""
    return Row(
        int(cells["round"]),
        place[cells["src"]],
        place[cells["dst"]],
        int(cells["rail"]),
        int(cells["via"] or UNKNOWN),
        STATUSES.index(cells.get("status") or "missing"),
        float(cells["gbit_s"]) if cells.get("gbit_s") else None,
        cells.get("engine") or "",
        tuple(float(sample) for sample in samples.split()),
        int(cells["retransmits"]) if cells.get("retransmits") else None,
        cells.get("why") or "",
    )


def write_matrix(folder: Path, rows: Sequence[Row], nodes: Sequence[str]) -> None:
    """matrix.parquet.  Raises OSError."""
    import pyarrow as pa  # noqa: PLC0415 - half a second that only writing a run pays
    import pyarrow.parquet as pq  # noqa: PLC0415

    whole = {
        "round": pa.int32(),
        "src": pa.string(),
        "dst": pa.string(),
        "rail": pa.int32(),
        "via": pa.int32(),
        "gbit_s": pa.float64(),
        "status": pa.string(),
        "engine": pa.string(),
        "retransmits": pa.int64(),
        "samples_gbit_s": pa.list_(pa.float64()),
        "why": pa.string(),
    }
    columns: dict[str, list[Any]] = {name: [] for name in whole}
    for row in rows:
        cells = {
            **asdict(row),
            "src": nodes[row.src],
            "dst": nodes[row.dst],
            "via": None if row.via == UNKNOWN else row.via,
            "status": STATUSES[row.status],
        }
        for name, column in columns.items():
            column.append(cells[name])
    table = pa.table(columns, schema=pa.schema(list(whole.items())))
    pq.write_table(table, folder / "matrix.parquet", compression="zstd")


# ----------------------------------------------------------------------------- the answer


def write_located(folder: Path, located: Located) -> None:
    write_text(folder / "located.json", json.dumps({"schema": 1, **asdict(located)}, indent=1))


def write_hints(folder: Path, found: Sequence[Hint]) -> None:
    write_text(folder / "hints.json", json.dumps([asdict(one) for one in found]))


def hints(folder: Path) -> list[Hint]:
    """None where nobody counted, as in runs from before there were any."""
    path = folder / "hints.json"
    return [Hint(**one) for one in read_json(path)] if path.is_file() else []


def located(folder: Path) -> Located:
    """Raises UserError."""
    given = read_json(folder / "located.json")
    return Located(
        tuple(suspect(one) for one in given["suspects"]),
        tuple(Inconclusive(**one) for one in given["inconclusive"]),
        tuple(Population(**one) for one in given["population"]),
        tuple(Test(**one) for one in given["confirm"]),
        given["measured"],
        given["failed"],
        given["missing"],
    )


def suspect(given: dict[str, Any]) -> Suspect:
    return Suspect(
        **{
            **given,
            "rivals": tuple(Rival(**one) for one in given["rivals"]),
            "evidence_for": tuple(Test(**one) for one in given["evidence_for"]),
            "evidence_against": tuple(Test(**one) for one in given["evidence_against"]),
            "counters": tuple(given.get("counters", ())),
        }
    )
