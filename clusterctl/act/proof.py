"""Burns after a repair: has the check that took a node out passed under load since?"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from clusterctl import store
from clusterctl.acceptance import Decision, Rule, decide, shipped_rules
from clusterctl.campaign.verdict import AGAIN
from clusterctl.model import Run, Status, UserError

log = logging.getLogger(__name__)


def proof(runs_dir: Path, node: str, check: str, since: datetime) -> tuple[str, str]:
    """See release.Proof: of the newest `burnin --again` that speaks of the node.

    A newer burn that failed, or that cannot be read, takes back what an older one proved.
    """
    how = f"`clusterctl burnin --again {node} -p burnin-72h`, with a check of {check}"
    for found in burns(runs_dir, node, since):
        try:
            if not came_back(found, node):
                continue
            why = wanting(store.load(found), node, check, shipped_rules())
        except UserError as error:
            why = f"it cannot be read: {error}"
        if why:
            return "", f"{found.id} after it does not clear that: {why}; burn it again: {how}"
        return found.id, f"{check} passed under load in {found.id}"
    return "", f"no burn since then has cleared it: {how}"


def burns(runs_dir: Path, node: str, since: datetime) -> Iterator[store.Stored]:
    """Ended ones that began after that moment, the newest first."""
    found = []
    for file in runs_dir.glob("*/run.json"):
        if file.parent.suffix == store.PARTIAL:
            continue
        try:
            one = store.stored(file.parent)
            if one.about["verb"] == "burnin" and one.complete and one.started > since:
                found.append(one)
        except (UserError, ValueError, TypeError) as error:
            log.warning("%s; it proves nothing", error)
    for one in sorted(found, key=lambda one: one.started, reverse=True):
        if any(named["name"] == node for named in one.about["nodes"]):
            yield one


def came_back(found: store.Stored, node: str) -> bool:
    """Whether it was burnt as one that returns from repair.  Raises UserError.

    Its findings are gone through, and only where it was is the whole run read.
    """
    for rows in store.batches(found, "findings"):
        checks, names = rows["check"].to_pylist(), rows["node"].to_pylist()
        if (AGAIN, node) in zip(checks, names, strict=True):
            return True
    return False


def wanting(run: Run, node: str, check: str, rules: Sequence[Rule]) -> str:
    """What the burn lacks to clear the node of that check; empty: nothing."""
    (outcome,) = (one for one in decide(run, rules) if one.node == node)
    if outcome.decision is not Decision.ACCEPT:
        return f"{outcome.decision} ({outcome.rule})"
    told = [one.verdict for one in run.findings if (one.check, one.verdict.node) == (check, node)]
    bad = [one for one in told if one.status not in {Status.PASS, Status.SKIP}]
    if bad:
        return f"{check} of {bad[0].part} is {bad[0].status}"
    if not any(one.status is Status.PASS for one in told):
        return f"{check} passed nowhere in it"
    return ""
