"""Runs as one dataset: what was found, read and judged over nights, as pandas frames."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clusterctl.memory.folder import VERBS, Ended, ended, open_folder
from clusterctl.model import UserError
from clusterctl.store import COLUMNS

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

FINDING = ("check", *COLUMNS, "shared")
KEY = ("node", "check", "part")
QUIET = ("pass", "skip")
UNREADABLE = (OSError, ValueError, KeyError)  # as pyarrow says it of a file that is no table


def findings(
    where: Path | str,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    nodes: Collection[str] | None = None,
    checks: Collection[str] | None = None,
) -> pd.DataFrame:
    """Verdicts of every sweep and burn-in that ended, oldest run first.

    The columns of findings.parquet, `run`, and `started` (UTC).  Whatever is neither PASS nor SKIP
    has its row.  PASS and SKIP have theirs only of a (node, check, part) that was otherwise in at
    least one of these runs: what was always well has no row, and 65 million such would not help.
    A night without any row of such a part is a night on which it was not judged.
    A finding that explains others (`rack=r7`) names many nodes in `node`, comma between them; with
    `nodes`, it is there where it names one of them.
    Runs that cannot be read are left out, with a line in the log for each.
    Raises UserError where there is no such folder.
    """
    import pandas as pd  # noqa: PLC0415 - half a second that only memory pays

    kept: list[pd.DataFrame] = []
    quiet: list[pd.DataFrame] = []
    for run, started in readable(where, since, until):
        try:
            frame = verdicts(run, nodes, checks)
        except UNREADABLE as error:
            log.warning("%s: cannot be read: %s: left out", run.table("findings"), error)
            continue
        frame["run"], frame["started"] = run.id, started
        well = frame.status.isin(QUIET)
        kept.append(frame[~well])
        quiet.append(frame[well][[*KEY, "status", "actual", "why", "run", "started"]])
    if not kept:
        return pd.DataFrame(columns=[*FINDING, "run", "started"])
    bad = pd.concat(kept, ignore_index=True)
    good = pd.concat(quiet, ignore_index=True).merge(bad[[*KEY]].drop_duplicates(), on=[*KEY])
    both: pd.DataFrame = pd.concat([bad, good], ignore_index=True)
    texts = [name for name in FINDING if name in both]
    both[texts] = both[texts].fillna("")
    return both.sort_values(["started", "run", *KEY], ignore_index=True)


def readable(
    where: Path | str, since: datetime | None, until: datetime | None
) -> Iterator[tuple[Ended, Any]]:
    import pandas as pd  # noqa: PLC0415 - see findings

    for run in ended(open_folder(where), since=since, until=until):
        try:
            about = run.about()
        except UserError as error:
            log.warning("%s: left out", error)
            continue
        started = pd.Timestamp(about["started"]).tz_convert("UTC")
        late = until is not None and started > until
        if about["verb"] in VERBS and not late and (since is None or started >= since):
            yield run, started


def verdicts(
    run: Ended, nodes: Collection[str] | None, checks: Collection[str] | None
) -> pd.DataFrame:
    import pyarrow.parquet as pq  # noqa: PLC0415 - see findings

    frame: pd.DataFrame = pq.read_table(
        run.table("findings"), filesystem=run.folder.files, columns=list(FINDING)
    ).to_pandas()
    if nodes is not None:
        wanted = set(nodes)
        names = [one for one in frame.node.unique() if wanted & set(one.split(","))]
        frame = frame[frame.node.isin(names)]
    return frame if checks is None else frame[frame["check"].isin(set(checks))]
