"""Runs as one dataset: what was found, read and judged over nights, as pandas frames."""

from __future__ import annotations

import json
from collections.abc import Collection
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from clusterctl.memory.cache import Memory, memory
from clusterctl.memory.digest import FINDING
from clusterctl.memory.folder import open_folder

if TYPE_CHECKING:
    import pandas as pd

KEY = ["node", "check", "part"]


def findings(
    where: Path | str,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    nodes: Collection[str] | None = None,
    checks: Collection[str] | None = None,
) -> pd.DataFrame:
    """Verdicts of every sweep and burn-in that ended, oldest run first; see `found`.

    Runs that cannot be read are left out, with a line in the log for each.
    Raises UserError where there is no such folder.
    """
    return found(memory(open_folder(where), since=since, until=until), nodes=nodes, checks=checks)


def found(
    remembered: Memory,
    *,
    nodes: Collection[str] | None = None,
    checks: Collection[str] | None = None,
) -> pd.DataFrame:
    """The columns of findings.parquet, `run`, and `started` (UTC); texts are categories.

    Whatever is neither PASS nor SKIP has its row, whole.  PASS and SKIP have theirs, without
    reasons, only of a (node, check, part) that was otherwise in one of these runs: what was always
    well has no row.  A night without a row of a part that has others is one on which it was not
    judged.  A finding that explains others (`rack=r7`) names many nodes in `node`, comma between
    them; with `nodes`, it is there where it names one of them.
    """
    import pandas as pd  # noqa: PLC0415 - half a second that only memory pays

    bad = of_nodes(remembered.frame("bad", FINDING, check=checks), nodes)
    if bad.empty:
        return pd.DataFrame(columns=["run", "started", *FINDING])
    quiet = well(remembered, bad)
    both = pd.DataFrame({"started": pd.concat([bad["started"], quiet["started"]])})
    for name in ("run", *FINDING):
        said = quiet[name].astype("str") if name in quiet else [""] * len(quiet)
        words = bad[name].cat.categories.astype("str")
        pieces = [
            pd.Categorical.from_codes(bad[name].cat.codes, words),
            pd.Categorical(pd.Series(said, dtype="str")),
        ]
        both[name] = pd.api.types.union_categoricals(pieces, sort_categories=True)
    return both.sort_values(["started", "run", *KEY], ignore_index=True)


def of_nodes(frame: pd.DataFrame, nodes: Collection[str] | None) -> pd.DataFrame:
    if nodes is None:
        return frame
    wanted = set(nodes)
    names = [one for one in frame["node"].unique() if wanted & set(one.split(","))]
    return frame[frame["node"].isin(names)]


def well(remembered: Memory, bad: pd.DataFrame) -> pd.DataFrame:
    """The nights on which what was ever bad was well, or not to be judged."""
    import pandas as pd  # noqa: PLC0415 - see found

    keys = bad[KEY].astype(str).drop_duplicates()
    pairs = set(keys["node"] + "\n" + keys["check"])
    quiet = remembered.frame(
        "well",
        ["node", "check", "status", "parts"],
        check=set(keys["check"]),
        node=set(keys["node"]),
    )
    quiet = quiet[(quiet["node"].astype(str) + "\n" + quiet["check"].astype(str)).isin(pairs)]
    rows = quiet.astype({"node": str, "check": str}).merge(keys, on=["node", "check"])
    # Few combinations of a part and a list of parts, many nights: each is looked at once.
    asked = rows[["part", "parts"]].drop_duplicates()
    there = [part in parts.split("\n") for part, parts in asked.itertuples(index=False)]
    good = asked[pd.Series(there, asked.index, dtype=bool)]
    return rows.merge(good, on=["part", "parts"]).drop(columns="parts")


def labels(remembered: Memory) -> dict[str, dict[str, str]]:
    """Of every node that was ever looked at, as its newest run knew them."""
    rows = remembered.frame("nodes", ["node", "labels"])
    rows = rows.sort_values("started").drop_duplicates("node", keep="last")
    read = {text: json.loads(text) for text in rows["labels"].unique()}
    return {node: read[text] for node, text in zip(rows["node"], rows["labels"], strict=True)}
