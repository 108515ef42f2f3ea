"""What is remembered of one run: its bad findings whole, its good ones folded, its numbers by kind.

A digest is derived: it can be made again from the run's own tables, and is never the only copy.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from math import log10
from typing import TYPE_CHECKING, Any

from clusterctl import codec
from clusterctl.memory.folder import Ended
from clusterctl.memory.marks import MARKS, carried, marked, of_card, who_is
from clusterctl.memory.quantities import LANES, counters, quantities
from clusterctl.model import Observation
from clusterctl.store import COLUMNS, ROWS

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

FINDING = ("check", *COLUMNS, "shared")
QUIET = ("pass", "skip")
# Beside the numbers of a reading; `who` is equal on all nights for the same part, see `who_is`.
PLACE = ("who", "node", "part", "variant", "mark", "serial", "slot", "model")
# Of facts of which a part may have many: what makes two of them comparable.
VARIANTS: Mapping[str, tuple[str, ...]] = {
    "Burn": ("engine", "precision", "rate_unit"),
    "Copy": ("engine", "way", "size_bytes", "both_ways"),
    "Bandwidth": ("engine", "size_bytes", "both_ways", "crossed"),
    "Collective": ("operation", "engine", "size_bytes", "in_place", "algorithm"),
    "Latency": ("engine", "size_bytes"),
    "Power": ("source", "in_step"),
    "Sensor": ("kind", "unit"),
}
MODEL = {"Port": "driver", "Sensor": "kind"}
SITTING = frozenset({"Accelerator", "Drive", "Optic", "Psu"})  # what is swapped
EXACT = 13  # hexadecimal digits that a float holds
SERIES = {
    name: tuple(
        field
        for field in codec.FIELDS[name]
        if codec.columns()[field] in {"int", "float"}
        and field not in {"index", *VARIANTS.get(name, ())}
    )
    for name in codec.TYPES
    if "part" in codec.FIELDS[name] and name not in {"KernelEvent", "DeviceProcess", "SelEvent"}
}
JSON = {"Port": "counters", "Optic": "rx_mw"}


def digest(run: Ended) -> dict[str, pa.Table]:
    """Tables by name: about, nodes, bad, well, and one a kind of fact that has numbers.

    Raises UserError, and what pyarrow raises, where the run cannot be read.
    """
    import pyarrow as pa  # noqa: PLC0415 - half a second that only memory pays

    about = run.about()
    tables = judged(run)
    frames = numbers(run)
    tables |= {kind: pa.table(frame) for kind, frame in frames.items()}
    tables["identity"] = pa.table(fingerprints(frames))
    tables["nodes"] = pa.table(
        {
            "node": [node["name"] for node in about["nodes"]],
            "labels": [json.dumps(node["labels"], sort_keys=True) for node in about["nodes"]],
        }
    )
    named = {name: table for name, table in tables.items() if len(table)}
    tables["about"] = pa.table({name: [value] for name, value in summary(run, about, named)})
    return {
        name: table.append_column("run", pa.array([run.id] * len(table)))
        for name, table in tables.items()
    }


def summary(run: Ended, about: Mapping[str, Any], tables: Mapping[str, Any]) -> Iterator[Any]:
    yield from ((name, about[name]) for name in ("verb", "started", "finished"))
    yield "playbook", about["playbook"]["name"]
    yield "complete", bool(about.get("complete"))
    yield "again", json.dumps(about.get("campaign", {}).get("again", []))
    yield "tables", " ".join(sorted(tables))
    yield "sizes", sizes(run)


def sizes(run: Ended) -> str:
    """Tables of another size are other tables: a digest of them is out of date."""
    return " ".join(f"{name}:{size}" for name, size in run.sizes)


# --------------------------------------------------------------------------- findings


def judged(run: Ended) -> dict[str, pa.Table]:
    import pyarrow as pa  # noqa: PLC0415 - see digest
    import pyarrow.compute as pc  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    bad, folded = [], []
    schema = pa.schema([(name, pa.string()) for name in FINDING])
    with pq.ParquetFile(run.table("findings"), filesystem=run.folder.files) as file:
        for batch in file.iter_batches(ROWS, columns=list(FINDING)):
            table = pa.Table.from_batches([batch]).select(list(FINDING)).cast(schema)
            quiet = pc.is_in(table["status"], value_set=pa.array(QUIET))
            bad.append(table.filter(pc.invert(quiet)))
            folded.append(table.filter(quiet).select(["node", "check", "status", "part"]))
    return {
        "bad": pa.concat_tables([schema.empty_table(), *bad]),
        "well": well(pa.concat_tables(folded)) if folded else well(schema.empty_table()),
    }


def well(rows: pa.Table) -> pa.Table:
    """A row a node, check and status; `parts`: all that were so, a line each."""
    import pandas as pd  # noqa: PLC0415 - see digest
    import pyarrow as pa  # noqa: PLC0415

    names = ["check", "node", "status"]
    frame = rows.select([*names, "part"]).to_pandas()
    joined = frame.groupby(names, sort=True, observed=True)["part"]
    made = joined.agg(list).reset_index(name="part") if len(frame) else frame
    parts = ["\n".join(sorted(set(one))) for one in made["part"]]
    made = pd.DataFrame({**{name: made[name] for name in names}, "parts": parts})
    texts = pa.schema([(name, pa.string()) for name in (*names, "parts")])
    return pa.Table.from_pandas(made, schema=texts, preserve_index=False)


# --------------------------------------------------------------------------- numbers


def numbers(run: Ended) -> dict[str, pd.DataFrame]:
    """A row a reading of a part, a column a number that anybody reports; by table."""
    return tables_of(facts(run))


def tonight(seen: Iterable[Observation]) -> dict[str, pd.DataFrame]:
    """As `numbers`, of a run that is not on disk yet."""
    import pandas as pd  # noqa: PLC0415 - see digest

    rows: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for one in seen:
        for fact in one.facts:
            kind = type(fact).__name__
            if kind in SERIES:
                names = [name for name in asked(kind) if name not in {"node", "probe"}]
                cells = {name: codec.cell(getattr(fact, name)) for name in names}
                rows[kind].append({"node": one.node, "probe": one.probe, **cells})
    return tables_of((kind, pd.DataFrame(told)) for kind, told in rows.items())


def tables_of(told: Iterable[tuple[str, pd.DataFrame]]) -> dict[str, pd.DataFrame]:
    import pandas as pd  # noqa: PLC0415 - see digest

    pieces: defaultdict[str, list[pd.DataFrame]] = defaultdict(list)
    for kind, rows in told:
        pieces[kind].append(rows)
    kinds = {kind: pd.concat(rows, ignore_index=True) for kind, rows in pieces.items()}
    cards = carried(kinds.get("Accelerator"))
    found = {kind: placed(kind, rows, cards) for kind, rows in kinds.items()}
    kept = {kind: rows for kind, rows in found.items() if len(rows.columns) > len(PLACE)}
    return {name: rows for kind, every in kept.items() for name, rows in apart(kind, every)}


def apart(kind: str, rows: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """By table: what a quantity has to itself lies in one of its own, so that few rows are read."""
    for one in quantities():
        if one.kind == kind and one.parts:
            names = [part for part in rows["part"].unique() if re.fullmatch(one.parts, part)]
            hit = rows["part"].isin(names)
            yield one.table, rows[hit]
            rows = rows[~hit]
    yield kind, rows


def facts(run: Ended) -> Iterator[tuple[str, pd.DataFrame]]:
    import pyarrow as pa  # noqa: PLC0415 - see digest
    import pyarrow.compute as pc  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    with pq.ParquetFile(run.table("observations"), filesystem=run.folder.files) as file:
        there = set(file.schema_arrow.names)
        wanted = {kind: [name for name in asked(kind) if name in there] for kind in SERIES}
        every = sorted({name for names in wanted.values() for name in names})
        for batch in file.iter_batches(ROWS, columns=["reading", "type", *every]):
            now = batch.filter(pc.equal(batch["reading"], "now"))
            for kind in pc.unique(now["type"]).to_pylist():
                if kind in SERIES:
                    rows = now.filter(pc.equal(now["type"], kind)).select(wanted[kind])
                    yield kind, pa.Table.from_batches([rows]).to_pandas()


def asked(kind: str) -> list[str]:
    """The columns of observations.parquet that tell of this kind what is kept."""
    texts = ("node", "part", "probe", "pci", *MARKS, "model", "driver", *VARIANTS.get(kind, ()))
    own = {"node", "probe", *codec.FIELDS[kind]}
    named = (*texts, *SERIES[kind], *((JSON[kind],) if kind in JSON else ()))
    return [name for name in dict.fromkeys(named) if name in own]


def placed(
    kind: str, rows: pd.DataFrame, cards: Mapping[tuple[str, str], tuple[str, str]]
) -> pd.DataFrame:
    """One row a part and variant: of two tools that tell the same, the one that tells it most."""
    import pandas as pd  # noqa: PLC0415 - see digest

    often = rows["probe"].map(rows["probe"].value_counts())
    rows = rows.iloc[(-often.to_numpy()).argsort(kind="stable")].reset_index(drop=True)
    nothing = pd.Series([""] * len(rows))
    model = rows.get(MODEL.get(kind, "model"), nothing).fillna("").astype("str")
    own = marked(rows)
    lent = [("", "")] * len(rows)
    if kind != "Accelerator":
        seats = zip(rows["node"], rows["part"].fillna(""), strict=True)
        lent = [of_card(node, part, cards) for node, part in seats]
        model = pd.Series([m or make for m, (_, make) in zip(model, lent, strict=True)])
    shape = [name for name in VARIANTS.get(kind, ()) if name in rows]
    words = [rows[name].astype("str").where(rows[name].notna(), "") for name in shape]
    found = pd.DataFrame(
        {
            "node": rows["node"],
            "part": rows["part"].fillna(""),
            "variant": [" ".join(filter(None, one)) for one in zip(*words, strict=True)] or "",
            "mark": own,
            "serial": rows["serial"].fillna("") if "serial" in rows else "",
            "slot": rows["pci"].fillna("") if "pci" in rows else "",
            "model": model,
        }
    )
    marks = [mine or theirs for mine, (theirs, _) in zip(own, lent, strict=True)]
    found.insert(0, "who", who_is(found, marks))
    told = [name for name in SERIES[kind] if name in rows and rows[name].notna().any()]
    values: dict[str, Any] = {name: rows[name] for name in told}
    values.update(unpacked(kind, rows))
    numbered = pd.DataFrame(values, index=found.index).astype("float64")
    whole = pd.concat([found, numbered], axis=1)
    order = ["node", "part", "variant"]  # the same every night, and a node's rows lie together
    return whole.drop_duplicates("who").sort_values(order, ignore_index=True)


def fingerprints(frames: Mapping[str, pd.DataFrame]) -> dict[str, list[Any]]:
    """A number for what sits where in each node, by kind: who looks for swaps reads no more."""
    found: dict[str, list[Any]] = {"node": [], "kind": [], "print": []}
    for kind, rows in frames.items():
        marked_rows = rows[rows["mark"] != ""] if kind in SITTING else rows[:0]
        cells = marked_rows[["node", "part", "mark", "slot"]].sort_values(["node", "part", "mark"])
        for node, group in cells.groupby("node", sort=False):
            text = group.to_csv(index=False, header=False)
            found["node"].append(node)
            found["kind"].append(kind)
            found["print"].append(float(int(sha256(text.encode()).hexdigest()[:EXACT], 16)))
    return found


def unpacked(kind: str, rows: pd.DataFrame) -> dict[str, Any]:
    """Numbers that lie in a cell together: counters of a port, light of a module's lanes."""
    if JSON.get(kind) not in rows:
        return {}
    cells = [json.loads(text) if text else None for text in rows[JSON[kind]].fillna("")]
    if kind == "Optic":
        return {LANES: [weakest_dbm(lanes) for lanes in cells]}
    told = {name: [(one or {}).get(name) for one in cells] for name in counters()}
    return {name: values for name, values in told.items() if any(v is not None for v in values)}


def weakest_dbm(lanes: Sequence[float] | None) -> float | None:
    lit = [one for one in lanes or () if one > 0]
    return 10 * log10(min(lit)) if lit else None
