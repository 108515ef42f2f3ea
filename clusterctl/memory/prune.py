"""Old runs made small: what nodes said word for word goes, what was made of it stays.

Tables and run.json stay as they are (packed again, they would lose a twelfth), so `show`,
`history`, `trend` and `diff` answer the same.  `judge` cannot judge such a run again and says so.
A run keeps its answers while somebody may ask for them: an open finding that it began or told
last, an ack in force, a drain that was not undone.  Whatever never ended is left alone.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from clusterctl import store
from clusterctl.campaign.folder import is_campaign, is_led
from clusterctl.memory.cache import Memory
from clusterctl.model import UserError

if TYPE_CHECKING:
    import pandas as pd

PRUNED = "pruned.json"
ANSWERS = store.ANSWERS.format("*")
JOURNALS = ("journals", "readings")  # of a campaign


@dataclass(frozen=True, slots=True)
class Old:
    """A run that ended before the time: what can go of it, and why it is kept whole, if it is."""

    run: str
    path: Path
    started: datetime
    files: tuple[Path, ...]
    size_bytes: int
    cited: str = ""


def plan(runs_dir: Path, known: Memory, before: datetime, cited: Mapping[str, str]) -> list[Old]:
    """Every run from before that still has its answers, oldest first."""
    found = []
    for night in known.nights:
        path = runs_dir / night.id
        files = tuple(words(path))
        if night.started < before and files:
            why = cited.get(night.id, "")
            if is_campaign(path) and is_led(path):
                why = "a campaign that somebody leads"
            found.append(Old(night.id, path, night.started, files, sum(map(size, files)), why))
    return found


def words(path: Path) -> Iterator[Path]:
    """Where it says what nodes said."""
    yield from sorted(path.glob(ANSWERS))
    yield from (path / name for name in JOURNALS if (path / name).is_dir())


def size(path: Path) -> int:
    if path.is_dir():
        return sum(one.stat().st_size for one in path.rglob("*") if one.is_file())
    return path.stat().st_size


def prune(old: Old, now: datetime) -> None:
    """First the note, then the files: stopped in between, the rest goes next time.

    Raises UserError where something cannot be deleted.
    """
    try:
        store.write_json(old.path / PRUNED, {"at": now.isoformat(), "bytes": old.size_bytes})
        for file in old.files:
            if file.is_dir():
                shutil.rmtree(file)
            else:
                file.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"{old.path}: {error.strerror}: {error.filename}") from None


# --------------------------------------------------------------------------- who cites a run


@dataclass(frozen=True, slots=True)
class Claim:
    """Findings that somebody has not done with: of these nodes and check; `all` of any."""

    nodes: frozenset[str]
    check: str
    why: str

    def covers(self, node: str, check: str) -> bool:
        return self.check in {"all", check} and bool(self.nodes & set(node.split(",")))


def citations(findings: pd.DataFrame, claims: Sequence[Claim]) -> dict[str, str]:
    """Run -> why it is kept: it began a finding that is open or claimed, or told it last.

    `findings`: as `dataset.found` gives them, of all nights.  A night on which a part was not
    judged, or UNKNOWN, closes nothing.
    """
    cited: dict[str, str] = {}
    last = str(findings["run"].iloc[-1]) if len(findings) else ""
    columns = ["node", "check", "part", "run", "status"]
    for _, rows in findings[columns].astype("str").groupby(columns[:3], sort=False):
        node, check, part = (rows[name].iloc[0] for name in columns[:3])
        status = rows["status"].tolist()
        claim = next((one.why for one in claims if one.covers(node, check)), "")
        bad = [at for at, one in enumerate(status) if one not in {"pass", "skip"}]
        open_ = bool(bad) and bad[-1] == len(status) - 1
        if "," in node:  # of what many share: nobody says that it is well, it is not told any more
            open_ = rows["run"].iloc[-1] == last
        if not bad or not (open_ or claim):
            continue
        began = bad[-1]
        while began - 1 in bad:
            began -= 1
        why = claim or f"{check} of {node} {part} is not resolved"
        for at in (began, bad[-1]):
            cited.setdefault(rows["run"].iloc[at], why)
    return cited


def refuse_pruned(path: Path) -> None:
    """Raises UserError where the words of a run are gone."""
    if (path / PRUNED).is_file():
        raise UserError(
            f"{path}: what its nodes said was pruned; `show`, `history` and `trend` still answer"
        )
