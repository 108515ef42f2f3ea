"""What a run of `fabric` keeps beside the files of every run, so that it can be judged again.

fabric.json   who was chosen to walk, and the run whose error counters came before
plan.yml      the plan as it was, where one was given
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from clusterctl.fabric.plan import Plan, load
from clusterctl.model import UserError
from clusterctl.store import write_json

KEPT, PLAN = "fabric.json", "plan.yml"


@dataclass(frozen=True, slots=True)
class Kept:
    """`walkers` empty: nobody was chosen.  `before` empty: no such run.  `plan`: its file's name
    as it was given; empty: none.
    """

    walkers: Sequence[str] = ()
    before: str = ""
    plan: str = ""


def is_fabric(path: Path) -> bool:
    return (path / KEPT).is_file()


def write(folder: Path, kept: Kept) -> None:
    """With a copy of the plan.  Raises UserError."""
    try:
        if kept.plan:
            (folder / PLAN).write_bytes(Path(kept.plan).read_bytes())
        write_json(folder / KEPT, asdict(kept))
    except OSError as error:
        raise UserError(f"{folder}: {error.strerror}; choose another --runs-dir") from None


def read(folder: Path) -> Kept:
    """Raises UserError."""
    try:
        told = json.loads((folder / KEPT).read_text(encoding="utf-8"))
        return Kept([str(one) for one in told["walkers"]], str(told["before"]), str(told["plan"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{folder / KEPT}: cannot be read: {error!r}; was it edited?") from None


def plan(folder: Path, kept: Kept) -> Plan | None:
    """Under the name that it had.  Raises UserError."""
    return replace(load(folder / PLAN), origin=kept.plan) if kept.plan else None
