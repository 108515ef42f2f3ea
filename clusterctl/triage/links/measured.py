"""What full rounds of bandwidth say of a job's nodes, as a triage reads it.  Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from clusterctl.localise.located import Located
from clusterctl.localise.located import Suspect as Part
from clusterctl.triage.links.known import Links
from clusterctl.triage.verdict import Suspect

HOW = "full rounds"
FEWEST = 3  # nodes, of which one can differ from the others
# As localise/verdict.py spells components that lie in one node.
OF_NODE = re.compile(r"(?P<kind>nic-tx|nic-rx|nic|host):(?P<node>[^/]+)(?:/(?P<rail>\d+))?")
WAYS = {"nic-tx": " sends", "nic-rx": " receives", "nic": " sends and receives", "host": ""}


def measured(
    located: Located, nodes: Iterable[str], run: str, reasons: Sequence[str] = ()
) -> Links:
    """`nodes`: of which a path gave a rate, in this run; `reasons`: why others did not."""
    suspects = tuple(suspect(one) for one in located.suspects)
    cleared = clears(located, frozenset(nodes))
    quiet = bool(cleared) and not located.inconclusive
    slow = "no path is slower than its peers" if quiet else "they do not clear all of it"
    figures = (
        f"{HOW}: {located.measured} paths measured, {located.failed} failed, {located.missing} did "
        f"not run: {'a slow part is named' if suspects else slow} (clusterctl show {run})"
    )
    unseen = [f"{HOW}: {one.component}: {one.why}" for one in located.inconclusive]
    unseen += [f"{HOW}: {one}" for one in reasons]
    if not located.measured:
        unseen.append(f"{HOW}: no path gave a rate (clusterctl show {run})")
    evidence = [
        f"{HOW}: {one.where}: {one.gbit_s:.4g} Gbit/s: {one.why}" for one in located.population
    ]
    evidence += [] if quiet else [figures]
    return Links(
        HOW,
        cleared,
        suspects,
        tuple(evidence) if located.measured else (),
        quiet=figures if quiet else "",
        unseen=tuple(unseen),
        rates=True,
    )


def clears(located: Located, nodes: frozenset[str]) -> frozenset[str]:
    """Of these the ones that lie open: none where all are slow, or what nodes share is in doubt."""
    doubts = [OF_NODE.fullmatch(one.component) for one in located.inconclusive]
    if not located.measured or located.population or len(nodes) < FEWEST:
        return frozenset()
    return nodes - {one["node"] for one in doubts if one} if all(doubts) else frozenset()


def suspect(part: Part) -> Suspect:
    """The likeliest place first, with its rivals."""
    found = OF_NODE.fullmatch(part.component)
    rail = f" on rail {found['rail']}" if found and found["rail"] not in {None, "0"} else ""
    what = f"{found['node']}{WAYS[found['kind']]}{rail}" if found else part.component
    rivals = ", ".join(f"{one.component} {one.posterior:.0%}" for one in part.rivals[:2])
    why = [
        (
            f"{HOW}: {part.component} lets {part.rate:.0%} of the healthy rate through "
            f"({part.low:.0%} to {part.high:.0%}), on {part.paths} paths in {part.rounds} rounds"
        )
    ]
    why += [f"it could be {rivals} instead"] if rivals else []
    why += list(part.counters)
    slowdown = 1 / part.rate if part.rate > 0 else None
    return Suspect(what, (), found["node"] if found else "", slowdown, part.posterior, tuple(why))
