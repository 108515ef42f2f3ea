"""What a sweep that nobody watches needs: its turn, its time, and its silence."""

from __future__ import annotations

import hashlib
import json
import os
import time
from contextlib import AbstractContextManager
from math import inf
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from clusterctl.cli.terms import Terms
from clusterctl.model import UserError

if TYPE_CHECKING:
    from clusterctl.cli.outlets import Outlets
    from clusterctl.cli.world import Flags
    from clusterctl.memory.acks import Page
    from clusterctl.model import Run


def span(flag: str, text: str) -> float:
    """Raises UserError that names the flag."""
    from clusterctl.spelling import Unreadable, seconds

    try:
        return seconds(text)
    except Unreadable as error:
        raise UserError(f"{flag}: {error}") from None


def terms(*, quiet: bool, budget: str, jitter: str) -> Terms:
    """Waits for the jitter first.  Raises UserError."""
    budget_s = span("--budget", budget) if budget else inf
    if budget and budget_s < 1:
        raise UserError(f"--budget: {budget}: leaves no time to ask anybody")
    if jitter:
        time.sleep(share_of_host(os.uname().nodename) * span("--jitter", jitter))
    return Terms(quiet, budget_s)


def share_of_host(name: str) -> float:
    """From 0 to 1, always the same for a host: many of them spread, and each keeps its rhythm."""
    return Random(name).random()  # noqa: S311 - it hides nothing


def turn(folder: Path, flags: Flags) -> AbstractContextManager[None]:
    """One sweep of the same nodes at a time.  Raises UserError that names who is at it."""
    from clusterctl.cli.world import holder
    from clusterctl.lock import held

    where = [str(path.resolve()) for path in flags.inventory or ()]
    which = json.dumps([where, flags.nodes, flags.select])
    name = f".sweep-{hashlib.sha256(which.encode()).hexdigest()[:12]}.lock"
    return held(folder / name, holder(), "a sweep of these nodes")


def unreached(run: Run) -> list[str]:
    """The nodes that the budget left no time for, or not enough."""
    from clusterctl.run import OUT_OF_TIME
    from clusterctl.transport.budget import CUT_SHORT, UNASKED

    ours = {OUT_OF_TIME.detail, UNASKED, CUT_SHORT}
    cut = {one.node for one in run.observations for why in one.troubles if why.detail in ours}
    return sorted(cut)


def tell(run: Run, night: Page | None, out: Outlets, budget: str, *, worth: bool) -> bool:
    """All that goes elsewhere than to the screen; what fails of it is said on stderr.

    `worth`: see worth_saying.  False where the budget ended before everybody was asked.
    """
    from clusterctl.cli.finish import accounted
    from clusterctl.cli.outlets import complain, pour

    if left := unreached(run):
        complain(spent(run, left, budget))
    whole = not left and kept_whole(out.runs_dir / run.id)
    pour(run, accounted(run, night), night, out, whole=whole, worth=worth)
    return not left


def kept_whole(folder: Path) -> bool:
    """Not where the disk was full: then it is `.partial`, or lacks answers."""
    from clusterctl.store import stored

    try:
        return stored(folder).complete
    except UserError:
        return False


def spent(run: Run, left: list[str], budget: str) -> str:
    from clusterctl.inventory.ranges import fold

    return (
        f"the budget of {budget} was spent: {len(left)} of {len(run.nodes)} nodes were not asked "
        f"to the end: {fold(left)}"
    )


def worth_saying(run: Run, night: Page | None) -> bool:
    """Whether anything is not as it was, or, where nobody remembers, must be acted on at all."""
    if night is not None:
        from clusterctl.memory.life import changed

        return changed(night.told)
    from clusterctl.report.folding import to_act_on

    return any(True for _ in to_act_on(run.findings))


def nobody(*_: object) -> None:
    """Hears how far a run is, and says nothing."""
