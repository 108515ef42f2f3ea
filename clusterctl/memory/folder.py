"""Where runs lie: a local directory, or what fsspec reaches (s3://bucket/runs, memory://runs)."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from clusterctl import store
from clusterctl.model import UserError

log = logging.getLogger(__name__)

TABLES = ("findings", "observations")
VERBS = ("sweep", "burnin")
MEASURED = "plan.csv"  # `bandwidth` keeps rounds, not nights


@dataclass(frozen=True, slots=True)
class Folder:
    """`files`: a pyarrow file system; `path`: the folder's in it; `name`: as it was given."""

    files: Any
    path: str
    name: str

    def inside(self, *parts: str) -> str:
        return "/".join((self.path, *parts))


@dataclass(frozen=True, slots=True)
class Ended:
    """A run that ended.  `sizes`: bytes of its tables, by name: another size is another table."""

    id: str
    folder: Folder
    sizes: tuple[tuple[str, int], ...]

    def table(self, name: str) -> str:
        return self.folder.inside(self.id, f"{name}.parquet")

    def about(self) -> dict[str, Any]:
        """What run.json says.  Raises UserError as `store.stored` does."""
        where = self.folder.inside(self.id, "run.json")
        try:
            with self.folder.files.open_input_stream(where) as file:
                return store.described(json.loads(file.read()), where)
        except (OSError, ValueError) as error:
            raise UserError(f"{where}: cannot be read: {error}") from None


def open_folder(where: Path | str) -> Folder:
    """Raises UserError where there is no such folder, or nothing here that can reach it."""
    from pyarrow import fs  # noqa: PLC0415 - a quarter of a second that only memory pays

    name = str(where)
    if "://" not in name:
        return Folder(fs.LocalFileSystem(), str(Path(name).absolute()), name)
    try:
        import fsspec  # noqa: PLC0415 - an extra

        files, path = fsspec.core.url_to_fs(name)
    except ImportError as error:  # of s3fs and its like fsspec only says in words what to install
        why = f"{error.name}: pip install 'clusterctl[remote]'" if error.name else str(error)
        raise UserError(f"{name}: needs {why}") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{name}: {error}") from None
    return Folder(fs.PyFileSystem(fs.FSSpecHandler(files)), path.rstrip("/"), name)


def ended(
    folder: Folder, *, since: datetime | None = None, until: datetime | None = None
) -> Iterator[Ended]:
    """Sweeps and burn-ins with tables, oldest first, by the time in their names.

    `since` and `until` leave out what cannot have started between them.
    """
    from pyarrow import fs  # noqa: PLC0415 - see open_folder

    seen: dict[str, dict[str, int]] = {}
    try:
        entries = folder.files.get_file_info(fs.FileSelector(folder.path, recursive=True))
    except OSError as error:
        raise UserError(f"{folder.name}: {error}; choose another --runs-dir") from None
    for entry in entries:
        run, _, file = entry.path.removeprefix(folder.path).lstrip("/").partition("/")
        if entry.is_file and file and not run.startswith(".") and not run.endswith(store.PARTIAL):
            seen.setdefault(run, {})[file] = entry.size
    for run in sorted(seen):
        if "run.json" not in seen[run] or outside(run, since, until):
            continue
        if MEASURED in seen[run]:
            continue
        if lacking := [name for name in TABLES if f"{name}.parquet" not in seen[run]]:
            log.warning("%s: has no %s: left out", folder.inside(run), " and no ".join(lacking))
            continue
        sizes = tuple((name, seen[run][f"{name}.parquet"]) for name in TABLES)
        yield Ended(run, folder, sizes)


def outside(run: str, since: datetime | None, until: datetime | None) -> bool:
    """Known from its name, 20260101T120000-nightly-ab12, to be of another time."""
    at = begun(run)
    if at is None:
        return False
    return (since is not None and at < since.replace(microsecond=0)) or (
        until is not None and at > until
    )


def begun(run: str) -> datetime | None:
    """When, by its name to the second; None: its name does not say."""
    try:
        return datetime.strptime(run[:15], "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return None
