"""Digests on disk: made when a run is first seen, made again where they are lost or broken.

    .memory/1/TABLE/RUN.parquet     beside the runs; `about` is written last, when all is there

Each file is written under another name first, so two processes at once only do the work twice.
Delete the folder and nothing is lost but the time to make it again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from clusterctl.fanout import endless
from clusterctl.memory.digest import digest, sizes
from clusterctl.memory.folder import VERBS, Ended, Folder, ended
from clusterctl.model import UserError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

log = logging.getLogger(__name__)

PLACE = (".memory", "1")  # the number changes with what a digest holds
# How pyarrow and a run.json of another shape say that they are not what we read.
UNREADABLE = (OSError, ValueError, LookupError, TypeError, AttributeError, UserError)
Tell = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Night:
    """A sweep or burn-in that ended, and what is remembered of it.  `again`: nodes from repair."""

    id: str
    started: datetime
    verb: str
    playbook: str
    complete: bool
    tables: frozenset[str]
    again: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Memory:
    """Nights, oldest first, and where their digests lie."""

    folder: Folder
    nights: tuple[Night, ...]

    def table(self, name: str, columns: Sequence[str], **wanted: Iterable[str] | None) -> pa.Table:
        """These columns of all nights' tables of that name, texts dictionary-encoded.

        `wanted`: of a column, only these values.  A night whose table is broken is digested again,
        or left out with a line in the log.
        """
        files = self.files(name)
        filters = {column: list(values) for column, values in wanted.items() if values is not None}
        try:
            return read(self.folder, list(files.values()), columns, filters)
        except UNREADABLE:
            whole = [path for run, path in files.items() if self.mended(run, path)]
            return read(self.folder, whole, columns, filters)

    def each(
        self, name: str, columns: Sequence[str], **wanted: Iterable[str] | None
    ) -> Iterator[tuple[Night, pa.Table]]:
        """As `table`, one night at a time, for what does not fit at once."""
        import pyarrow as pa  # noqa: PLC0415 - see frame

        files = self.files(name)
        filters = {column: list(values) for column, values in wanted.items() if values is not None}
        told: set[str] = set()
        for _ in range(2):  # once more without those that turned out to be broken
            paths = [path for run, path in files.items() if run not in told]
            batches = scanned(self.folder, paths, ["run", *columns], filters).to_batches()
            try:
                for run, few in groupby(filter(len, batches), lambda one: str(one["run"][0])):
                    table = pa.Table.from_batches(list(few)).unify_dictionaries()
                    told.add(run)
                    yield self.night(run), table
            except UNREADABLE:
                files = {run: path for run, path in files.items() if self.mended(run, path)}
            else:
                return

    def night(self, run: str) -> Night:
        return next(one for one in self.nights if one.id == run)

    def files(self, name: str) -> dict[str, str]:
        return {
            night.id: path_of(self.folder, name, night.id)
            for night in self.nights
            if name in night.tables
        }

    def frame(
        self, name: str, columns: Sequence[str], **wanted: Iterable[str] | None
    ) -> pd.DataFrame:
        """As `table`, with `run` and `started` (UTC) in front."""
        import pandas as pd  # noqa: PLC0415 - half a second that only memory pays

        table = self.table(name, ["run", *columns], **wanted)
        found: pd.DataFrame = table.to_pandas(split_blocks=True, self_destruct=True)
        del table
        for column in found.columns[found.dtypes == "object"]:
            found[column] = found[column].astype("category")
        at = {night.id: night.started for night in self.nights}
        runs = found["run"].cat
        begun = pd.DatetimeIndex([at[run] for run in runs.categories], tz="UTC")
        found.insert(1, "started", begun.take(runs.codes.to_numpy()))
        return found

    def only(self, runs: Collection[str]) -> Memory:
        return Memory(self.folder, tuple(one for one in self.nights if one.id in runs))

    def mended(self, run: str, path: str) -> bool:
        import pyarrow.parquet as pq  # noqa: PLC0415 - see frame

        try:
            pq.read_table(path, filesystem=self.folder.files)
        except UNREADABLE:
            log.warning("%s: cannot be read: made again", path)
            again = next((one for one in ended(self.folder) if one.id == run), None)
            return again is not None and remember(again)  # somebody may just have deleted it
        return True


def path_of(folder: Folder, table: str, run: str) -> str:
    return folder.inside(*PLACE, table, f"{run}.parquet")


def read(
    folder: Folder, paths: Sequence[str], columns: Sequence[str], wanted: dict[str, list[str]]
) -> pa.Table:
    """One table of many files; a column that a file lacks is null there."""
    return scanned(folder, paths, columns, wanted).to_table().unify_dictionaries()


def scanned(
    folder: Folder, paths: Sequence[str], columns: Sequence[str], wanted: dict[str, list[str]]
) -> Any:
    import pyarrow as pa  # noqa: PLC0415 - see Memory.frame
    import pyarrow.compute as pc  # noqa: PLC0415
    import pyarrow.dataset as ds  # noqa: PLC0415

    schema = pa.schema([(name, type_of(name)) for name in dict.fromkeys((*columns, *wanted))])
    texts = {field.name for field in schema if pa.types.is_dictionary(field.type)}
    form = ds.ParquetFileFormat(read_options=ds.ParquetReadOptions(dictionary_columns=texts))
    every = ds.FileSystemDataset.from_paths(
        list(paths), schema=schema, format=form, filesystem=folder.files
    )
    keep = None
    for name, values in wanted.items():
        one = pc.is_in(pc.field(name).cast(pa.string()), value_set=pa.array(values, pa.string()))
        keep = one if keep is None else keep & one
    return every.scanner(columns=list(columns), filter=keep)


TEXTS = frozenset(
    {
        *("run", "node", "labels", "check", "part", "status", "severity", "expected", "actual"),
        *("why", "remedy", "source", "yardstick", "shared", "parts", "variant", "probe", "mark"),
        *("serial", "kind"),
        *("slot", "model", "verb", "started", "finished", "playbook", "again", "tables", "sizes"),
    }
)


def type_of(column: str) -> Any:
    import pyarrow as pa  # noqa: PLC0415 - see Memory.frame

    if column == "complete":
        return pa.bool_()
    return pa.dictionary(pa.int32(), pa.string()) if column in TEXTS else pa.float64()


# --------------------------------------------------------------------------- remembering


def memory(
    folder: Folder,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    tell: Tell = lambda _done, _all: None,
    left_s: Callable[[], float] = endless,
) -> Memory:
    """The nights of a folder, those digested that were not yet; `tell` hears how many of how many.

    Runs that cannot be read are left out, a line in the log for each.  The newest are digested
    first, and none is begun when no second is left: it is not among the nights.  Raises UserError
    where the folder is not there or a digest cannot be kept.
    """
    runs = {run.id: run for run in ended(folder, since=since, until=until)}
    known = {night.id: night for night in told(folder, list(runs.values()))}
    new = [run for run in reversed(runs.values()) if run.id not in known]
    for done, run in enumerate(new):
        if left_s() <= 0:
            break
        tell(done, len(new))
        remember(run)
    known |= {night.id: night for night in told(folder, new)}
    nights = sorted(known.values(), key=lambda night: (night.started, night.id))
    within = [
        night
        for night in nights
        if night.verb in VERBS
        and (since is None or night.started >= since)
        and (until is None or night.started <= until)
    ]
    return Memory(folder, tuple(within))


def told(folder: Folder, runs: Sequence[Ended]) -> list[Night]:
    """What `about` says of these runs, where it is there and of the tables as they are now."""
    there = digested(folder)
    paths = {run.id: path_of(folder, "about", run.id) for run in runs if run.id in there}
    columns = ["run", "verb", "started", "playbook", "complete", "again", "tables", "sizes"]
    try:
        rows = read(folder, list(paths.values()), columns, {}).to_pylist() if paths else []
    except UNREADABLE:
        rows = [row for path in paths.values() for row in one_by_one(folder, path, columns)]
    current = {run.id: sizes(run) for run in runs}
    return [night(row) for row in rows if row["sizes"] == current.get(row["run"])]


def digested(folder: Folder) -> set[str]:
    from pyarrow import fs  # noqa: PLC0415 - see Memory.frame

    where = fs.FileSelector(folder.inside(*PLACE, "about"), allow_not_found=True)
    return {entry.base_name.removesuffix(".parquet") for entry in folder.files.get_file_info(where)}


def one_by_one(folder: Folder, path: str, columns: Sequence[str]) -> list[dict[str, Any]]:
    try:
        found: list[dict[str, Any]] = read(folder, [path], columns, {}).to_pylist()
    except UNREADABLE:
        return []
    return found


def night(row: dict[str, Any]) -> Night:
    import json  # noqa: PLC0415 - a line of few runs

    return Night(
        row["run"],
        datetime.fromisoformat(row["started"]).astimezone(UTC),
        row["verb"],
        row["playbook"],
        row["complete"],
        frozenset(row["tables"].split()),
        tuple(json.loads(row["again"])),
    )


def remember(run: Ended) -> bool:
    """Digest a run and keep it; False where it cannot be read.  Raises UserError."""
    try:
        tables = digest(run)
    except UNREADABLE as error:
        log.warning("%s: cannot be read: %s: left out", run.folder.inside(run.id), error)
        return False
    try:
        for name in sorted(tables, key=lambda name: name == "about"):
            keep(run.folder, path_of(run.folder, name, run.id), tables[name])
    except OSError as error:
        where = run.folder.inside(*PLACE)
        raise UserError(
            f"{where}: {error}: what runs say is kept there in short, so make room or give the "
            "right to write; or copy the runs to where there is both"
        ) from None
    return True


def keep(folder: Folder, path: str, table: pa.Table) -> None:
    """Whole or not at all.  Raises OSError."""
    import pyarrow.parquet as pq  # noqa: PLC0415 - see Memory.frame

    draft = f"{path}.{uuid4().hex}.new"
    if "://" not in folder.name:  # as private as the runs are
        Path(folder.inside(PLACE[0])).mkdir(mode=0o700, exist_ok=True)
    folder.files.create_dir(path.rpartition("/")[0], recursive=True)
    try:
        pq.write_table(table, draft, filesystem=folder.files, compression="zstd")
        folder.files.move(draft, path)
    except OSError:
        if folder.files.get_file_info(draft).is_file:
            folder.files.delete_file(draft)
        raise
