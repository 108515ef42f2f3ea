"""A run is a directory: written once, never edited, readable with pandas.

    run.json               who, when, with which playbook and limits
    observations.parquet   one row a fact, trouble, skip or empty look; a column a field
    findings.parquet       every verdict, PASS too
    answers-*.jsonl.gz     what the nodes said, word for word, in the order heard, a file a reading
    life.json.gz           of a sweep: what it told and what it remembers (memory/nights.py)

While it is written the directory is called `<id>.partial`; answers reach the disk as they are
heard, so a run that dies keeps all it measured and can be judged again.
"""

from __future__ import annotations

import gzip
import json
import logging
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path
from threading import Lock
from typing import Any, TextIO

from clusterctl import codec, playbook
from clusterctl.model import (
    Fact,
    Finding,
    Kind,
    Node,
    Observation,
    Run,
    Severity,
    Status,
    Trouble,
    UserError,
    Verdict,
)
from clusterctl.spelling import visible
from clusterctl.transport.replay import Heard, heard, line

log = logging.getLogger(__name__)

SCHEMA = 1
PARTIAL = ".partial"
ANSWERS = "answers-{}.jsonl.gz"
SQUEEZE = 4  # of gzip's nine: 9 takes four times the time to save a seventh
LOOK_BACK = 100  # runs; of these only run.json is read
ARROW = {"int": "int64", "float": "float64", "bool": "bool_", "str": "string", "json": "string"}


def default_runs_dir(environ: dict[str, str]) -> Path:
    """`runs/` under the XDG state home."""
    state = environ.get("XDG_STATE_HOME") or str(Path(environ.get("HOME", "/")) / ".local/state")
    return Path(state) / "clusterctl" / "runs"


class Recorder:
    """The one writer of a run's directory.  Raises UserError where it cannot be made."""

    def __init__(self, runs_dir: Path, run_id: str) -> None:
        self.final = runs_dir / run_id
        self.path = runs_dir / (run_id + PARTIAL)
        self.files: dict[str, TextIO] = {}
        self.lock = Lock()
        self.lost = 0  # answers that could not be written: a full disk
        self.ended = False
        # Resumed: a campaign, or a run of `bandwidth`.
        led = any((self.path / name).is_file() for name in ("decisions.jsonl", "plan.csv"))
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=led)
        except OSError as error:
            raise UserError(f"{self.path}: {error.strerror}; choose another --runs-dir") from None

    def begin(self, about: dict[str, Any]) -> None:
        """What the run is, before its first answer: enough to judge it if it never ends.

        Raises UserError where there is no room even for that.
        """
        try:
            write_json(self.path / "run.json", {"schema": SCHEMA, **about, "complete": False})
        except OSError as error:
            raise UserError(f"{self.path}: {error.strerror}; choose another --runs-dir") from None

    def hear(self, reading: str, said: Heard) -> None:
        """Keep one answer, from any thread.  Never raises: a full disk must not end a sweep."""
        text = line(said) + "\n"
        with self.lock:
            if self.ended:  # a node that nobody waited for
                return
            try:
                if reading not in self.files:
                    path = self.path / ANSWERS.format(reading)
                    self.files[reading] = gzip.open(  # noqa: SIM115 - finish() closes it
                        path, "wt", SQUEEZE, encoding="utf-8"
                    )
                self.files[reading].write(text)
                self.files[reading].flush()
            except OSError as error:
                if not self.lost:
                    log.warning("%s: %s; answers are no longer kept", self.path, error.strerror)
                self.lost += 1

    def finish(self, run: Run) -> Path:
        """Write the rest and give the directory its name.  Raises OSError; what was heard stays."""
        self.close()
        write_observations(self.path / "observations.parquet", run)
        write_findings(self.path / "findings.parquet", run.findings)
        write_json(
            self.path / "run.json",
            {**describe(run), "complete": run.complete and not self.lost},
        )
        self.path.rename(self.final)
        sync(self.final.parent)
        return self.final

    def close(self) -> None:
        """Leave what was heard as it is: an interrupted run stays `.partial`."""
        with self.lock:
            self.ended = True
            for file in self.files.values():
                file.close()


def describe(run: Run) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "id": run.id,
        "verb": run.verb,
        "forced": run.forced,
        "why": run.why,
        "playbook": playbook.spell(run.playbook),
        "nodes": [{**asdict(node), "labels": dict(node.labels)} for node in run.nodes],
        "seed": run.seed,
        "started": run.started.isoformat(),
        "finished": run.finished.isoformat(),
        "earlier_run": run.earlier_run,
        "past_s": run.past_s,
    }


# What `describe` says of every run.
DESCRIBED = frozenset(
    {
        *("id", "verb", "forced", "playbook", "nodes", "seed", "started", "finished"),
        *("earlier_run", "past_s"),
    }
)


def write_json(path: Path, content: object) -> None:
    """Whole or not at all."""
    draft = path.with_suffix(".new")
    with draft.open("w", encoding="utf-8") as file:
        json.dump(content, file, ensure_ascii=False, indent=1)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


# --------------------------------------------------------------------------- tables


def write_observations(path: Path, run: Run) -> None:
    import pyarrow as pa  # noqa: PLC0415 - half a second that only writing a run pays
    import pyarrow.parquet as pq  # noqa: PLC0415

    schema = pa.schema(
        [
            *((name, pa.string()) for name in HEADER),
            *((name, getattr(pa, ARROW[kind])()) for name, kind in codec.columns().items()),
        ]
    )
    readings = (("now", run.observations), ("before", run.earlier))
    rows = (row for reading, seen in readings for one in seen for row in flat(reading, one))
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        while few := list(islice(rows, ROWS)):
            writer.write_table(pa.table(filled(few, schema.names), schema=schema))


ROWS = 1 << 15  # at a time, so that memory does not grow with the fleet


def filled(rows: Sequence[Mapping[str, Any]], names: Iterable[str]) -> dict[str, list[Any]]:
    """Columns by name; most cells of most rows are empty, so only the others are touched."""
    columns: dict[str, list[Any]] = {name: [None] * len(rows) for name in names}
    for place, row in enumerate(rows):
        for name, value in row.items():
            columns[name][place] = value
    return columns


HEADER = ("reading", "node", "probe", "seen_at", "what", "type", "trouble", "about")


def flat(reading: str, seen: Observation) -> Iterator[dict[str, Any]]:
    """One row a fact or trouble; one to say that a look found nothing or did not apply."""
    head = {
        "reading": reading,
        "node": seen.node,
        "probe": seen.probe,
        "seen_at": seen.at.isoformat(),
    }
    for fact in seen.facts:
        kind = type(fact).__name__
        cells = {name: codec.cell(getattr(fact, name)) for name in codec.FIELDS[kind]}
        yield {**head, "what": "fact", "type": kind, **cells}
    for found in seen.troubles:
        yield {
            **head,
            "what": "trouble",
            "trouble": str(found.kind),
            "about": found.detail,
            "part": found.part,
        }
    if seen.skip or not (seen.facts or seen.troubles):
        yield {**head, "what": "skip" if seen.skip else "nothing", "about": seen.skip}


def write_findings(path: Path, findings: Sequence[Finding]) -> None:
    import pyarrow as pa  # noqa: PLC0415 - see write_observations
    import pyarrow.parquet as pq  # noqa: PLC0415

    names = ("check", *COLUMNS, "shared")
    columns = {
        "check": [one.check for one in findings],
        **{name: [str(getattr(one.verdict, name)) for one in findings] for name in COLUMNS},
        "shared": [one.shared for one in findings],
    }
    schema = pa.schema([(name, pa.string()) for name in names])
    pq.write_table(pa.table(columns, schema=schema), path, compression="zstd")


COLUMNS = (
    "node",
    "part",
    "status",
    "severity",
    "expected",
    "actual",
    "why",
    "remedy",
    "source",
    "yardstick",
)


# --------------------------------------------------------------------------- reading back


@dataclass(frozen=True, slots=True)
class Stored:
    """A run on disk.  `about` is run.json."""

    path: Path
    about: dict[str, Any]

    @property
    def id(self) -> str:
        return str(self.about.get("id", self.path.name))

    @property
    def started(self) -> datetime:
        return datetime.fromisoformat(self.about["started"])

    @property
    def complete(self) -> bool:
        return bool(self.about.get("complete"))

    def nodes(self) -> tuple[Node, ...]:
        return tuple(Node(**node) for node in self.about["nodes"])

    def readings(self) -> list[str]:
        """The names of the readings, in the order in which they were taken."""
        head, tail = ANSWERS.split("{}")
        files = sorted(self.path.glob(ANSWERS.format("*")), key=lambda file: file.stat().st_mtime)
        return [file.name.removeprefix(head).removesuffix(tail) for file in files]

    def heard(self, reading: str) -> Iterator[Heard]:
        """What the nodes said; a torn end, as a killed run leaves it, ends the story.

        So does what cannot be read, and that is logged.
        """
        path = self.path / ANSWERS.format(reading)
        if not path.exists():  # the run was stopped before anybody had answered
            return
        try:
            with gzip.open(path, "rt", encoding="utf-8") as file:
                for text in file:
                    yield heard(text)
        except (OSError, EOFError, ValueError, KeyError, TypeError, zlib.error) as error:
            log.warning("%s: the recording ends in the middle of an answer: %s", path, error)


def find(runs_dir: Path, reference: str) -> Stored:
    """A run by directory, id, the start of an id, or "last".  Raises UserError."""
    given = Path(reference)
    if (given / "run.json").is_file():
        return stored(given)
    folders = sorted(run.parent for run in runs_dir.glob("*/run.json"))
    ended = [folder for folder in folders if folder.suffix != PARTIAL]  # others may be going on
    hits = (ended or folders)[-1:] if reference == "last" else []
    hits = hits or [folder for folder in folders if folder.name.startswith(reference)]
    if len(hits) == 1:
        return stored(hits[0])
    known = ", ".join(folder.name for folder in folders[-3:]) or "none yet"
    which = "several runs start like that" if hits else "no such run"
    raise UserError(f"{reference}: {which} in {runs_dir}; the newest are {known}")


def stored(path: Path) -> Stored:
    try:
        about = json.loads((path / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}/run.json: cannot be read: {error}") from None
    return Stored(path, described(about, f"{path}/run.json"))


def described(about: Any, where: str) -> dict[str, Any]:
    """What run.json says, if it is one of ours.  Raises UserError."""
    if not isinstance(about, dict) or about.get("schema") != SCHEMA:
        raise UserError(f"{where}: not a run of schema {SCHEMA}")
    if lacking := ", ".join(sorted(DESCRIBED - about.keys())):
        raise UserError(f"{where}: lacks {lacking}")
    return about


def load(found: Stored) -> Run:
    """The run as it was recorded.  Raises UserError where it has no tables: judge it first."""
    about = found.about
    return Run(
        id=found.id,
        playbook=playbook.build(str(found.path / "run.json"), about["playbook"]),
        nodes=found.nodes(),
        seed=about["seed"],
        started=found.started,
        finished=datetime.fromisoformat(about["finished"]),
        observations=observed(found),
        findings=tuple(
            finding(row) for rows in batches(found, "findings") for row in rows.to_pylist()
        ),
        verb=about["verb"],
        forced=about["forced"],
        why=about.get("why", ""),
        earlier=observed(found, "before"),
        earlier_run=about["earlier_run"],
        past_s=about["past_s"],
        complete=found.complete,
    )


def batches(found: Stored, name: str) -> Iterator[Any]:
    """A table of the run, some rows at a time.  Raises UserError where there is none."""
    import pyarrow.parquet as pq  # noqa: PLC0415 - see write_observations

    try:
        with pq.ParquetFile(found.path / f"{name}.parquet") as file:
            yield from file.iter_batches(ROWS)
    except FileNotFoundError:
        raise UserError(
            f"{found.path}: was never finished; `clusterctl judge {found.id}` judges what was heard"
        ) from None
    except (OSError, ValueError) as error:
        raise UserError(
            f"{found.path}: its {name} cannot be read ({visible(str(error), 100)}); "
            f"`clusterctl judge {found.id}` judges what was heard"
        ) from None


def marks(found: Stored, nodes: Sequence[str], columns: Sequence[str]) -> dict[str, frozenset[str]]:
    """Every value of these columns of the nodes' facts, by node.  Raises UserError as `load`."""
    import pyarrow.parquet as pq  # noqa: PLC0415 - see write_observations

    file = found.path / "observations.parquet"
    try:
        there = [name for name in columns if name in pq.read_schema(file).names]
        few = [("node", "in", list(nodes))]
        rows = pq.read_table(file, columns=["node", *there], filters=few).to_pylist()
    except (OSError, ValueError) as error:
        raise UserError(f"{found.path}: cannot be read: {error}") from None
    kept: dict[str, set[str]] = {}
    for row in rows:
        kept.setdefault(row["node"], set()).update(row[name] for name in there if row[name])
    return {node: frozenset(values) for node, values in kept.items()}


def observed(found: Stored, reading: str = "now") -> tuple[Observation, ...]:
    """What the nodes said in a reading.  Raises UserError as `load` does."""
    grouped: dict[tuple[str, str, str], list[Fact | Trouble | str | None]] = {}
    for batch in batches(found, "observations"):
        for key, one in told(batch, reading):
            grouped.setdefault(key, []).append(one)
    return tuple(
        Observation(
            node,
            probe,
            datetime.fromisoformat(at),
            tuple(one for one in items if one is not None and not isinstance(one, (Trouble, str))),
            tuple(one for one in items if isinstance(one, Trouble)),
            next((one for one in items if isinstance(one, str)), ""),
        )
        for (node, probe, at), items in grouped.items()
    )


def told(
    batch: Any, reading: str
) -> Iterator[tuple[tuple[str, str, str], Fact | Trouble | str | None]]:
    """Of each row: node, probe, time; and its item.

    Facts are built a type at a time, from that type's columns alone: most are another's.
    """
    import pyarrow.compute as pc  # noqa: PLC0415 - see write_observations

    batch = batch.filter(pc.equal(batch["reading"], reading))
    items: list[Fact | Trouble | str | None] = [None] * len(batch)
    for kind in pc.unique(batch["type"]).to_pylist():
        # A field that is younger than the run is not in it.
        names = [name for name in codec.FIELDS.get(kind, ("part",)) if name in batch.schema.names]
        places = pc.indices_nonzero(
            pc.equal(batch["type"], kind) if kind else pc.is_null(batch["type"])
        )
        rows = batch.take(places).select(list(dict.fromkeys((*HEADER, *names)))).to_pylist()
        for place, row in zip(places.to_pylist(), rows, strict=True):
            items[place] = item(row)
    keys = zip(*(batch[name].to_pylist() for name in ("node", "probe", "seen_at")), strict=True)
    return zip(keys, items, strict=True)


def item(row: dict[str, Any]) -> Fact | Trouble | str | None:
    """What one row is: a fact, a trouble, the reason of a skip, or nothing."""
    match row["what"]:
        case "fact":
            fields = codec.FIELDS[row["type"]]
            given = {name: codec.uncell(name, row[name]) for name in fields if name in row}
            return codec.read({"type": row["type"], **given})
        case "trouble":
            return Trouble(Kind(row["trouble"]), row["about"], row["part"] or "")
        case "skip":
            return str(row["about"])
    return None


def finding(row: dict[str, str]) -> Finding:
    cells = {name: row[name] for name in COLUMNS}
    cells |= {"status": Status(row["status"]), "severity": Severity(row["severity"])}
    return Finding(row["check"], Verdict(**cells), row["shared"])  # type: ignore[arg-type]


def newest(runs_dir: Path, name: str, nodes: Iterable[str]) -> Stored | None:
    """The newest complete run of a playbook that has all these nodes, else most of them.

    So a run of one node in the afternoon costs the others' next reading nothing to compare with.
    """
    wanted = set(nodes)
    best, most = None, 0
    paths = sorted(runs_dir.glob(f"*-{name}-*/run.json"), reverse=True)
    for path in paths[:LOOK_BACK]:
        try:
            found = stored(path.parent)
        except UserError as error:
            log.warning("%s", error)
            continue
        if not found.complete or found.about["playbook"]["name"] != name:
            continue
        shared = len(wanted & {node["name"] for node in found.about["nodes"]})
        if shared > most:
            best, most = found, shared
        if most == len(wanted):
            break
    return best
