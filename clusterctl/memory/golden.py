"""What nodes of a kind should run, in a file that people keep: saved from a run, held against one.

kinds:
  NVIDIA H100 80GB HBM3:
    driver/nvidia: 550.54.15
    kernel: [5.15.0-105-generic, 5.15.0-107-generic]    # a list: any of these
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from clusterctl.checks.drift import NOT_THERE, OF_A_DEVICE, values
from clusterctl.inventory.ranges import fold
from clusterctl.judge import by_node
from clusterctl.model import (
    Accelerator,
    Cpu,
    Evidence,
    Filesystem,
    Finding,
    Run,
    Severity,
    Status,
    UserError,
    Verdict,
    Version,
)
from clusterctl.peers import majority
from clusterctl.sources import believe
from clusterctl.spelling import visible
from clusterctl.verdicts import make
from clusterctl.yaml_files import kind as spelled_kind
from clusterctl.yaml_files import read_mapping, refuse_unknown

CHECK = "golden"
NO_KIND = "any"  # nodes that tell neither an accelerator nor a CPU
TELLING = (Version, Filesystem)
KINDS = (*TELLING, Accelerator, Cpu)
LONGEST = 400  # characters of a value in the file

Golden = Mapping[str, Mapping[str, tuple[str, ...]]]  # kind -> part -> what it may be


@dataclass(frozen=True, slots=True)
class Seen:
    """What a node runs; `kind` as peers are told apart; empty `values`: nobody could see.

    `blind`: why some of it was not seen, for all that is known; empty: all was.
    """

    node: str
    kind: str
    values: Mapping[str, str]
    blind: str = ""


def seen(run: Run) -> list[Seen]:
    probes = {probe.name: probe for probe in run.playbook.probes}
    heard = by_node(one for one in run.observations if one.probe in probes)
    found = []
    for node in run.nodes:
        known = believe(heard.get(node.name, ()), probes)
        facts = known.facts(KINDS)
        told = values(facts, node.name)
        asked = [one for kind in TELLING for one in known.feeding(kind)]
        blind = [f"{one.probe}: {why}" for one in asked for why in one.troubles]
        kind = make(Evidence(node, facts)) or NO_KIND
        found.append(Seen(node.name, kind, told, next(iter(blind), "")))
    return found


# --------------------------------------------------------------------------- saving


def text(nodes: Sequence[Seen], run: Run) -> str:
    """What most nodes of each kind run; where no value has a majority, a comment says so.

    Raises UserError where no node told anything: such a file would be none.
    """
    if not any(one.values for one in nodes):
        raise UserError(f"{run.id}: no node told what it runs: nothing to save")
    lines = [
        f"# What nodes should run, as most of each kind did in {run.id}.",
        "# Delete what may differ; a list allows each of its values.",
        "kinds:",
    ]
    for kind, members in sorted(kinds(nodes).items()):
        said = list(spelt(members))
        empty = "" if any(not line.lstrip().startswith("#") for line in said) else " {}"
        count = f"{len(members)} node{'' if len(members) == 1 else 's'}"
        lines += [f"  {quoted(kind)}:{empty}  # {count}", *said]
    return "\n".join(lines) + "\n"


def spelt(members: Sequence[Seen]) -> Iterator[str]:
    """A line for each part of a kind of node."""
    for part in sorted({part for one in members for part in one.values}):
        told = [one.values.get(part, NOT_THERE) for one in members]
        wanted = told[0] if len(set(told)) == 1 else majority(told)
        if wanted is None:
            shares = ", ".join(f"{n}x {v[:40]}" for v, n in Counter(told).most_common(3))
            yield f"    # {visible(part, 100)}: not the same on most: {visible(shares)}"
        elif wanted != NOT_THERE:
            yield f"    {quoted(part)}: {quoted(wanted[:LONGEST])}"


def kinds(nodes: Sequence[Seen]) -> dict[str, list[Seen]]:
    found: defaultdict[str, list[Seen]] = defaultdict(list)
    for one in nodes:
        if one.values:
            found[one.kind].append(one)
    return found


def quoted(word: str) -> str:
    """As a YAML text, whatever it looks like: 5.15 is a version and no number."""
    return str(yaml.safe_dump(word, width=10_000, default_style='"', allow_unicode=True)).strip()


# --------------------------------------------------------------------------- comparing


def load(path: Path) -> Golden:
    """Raises UserError naming file and key."""
    given = read_mapping(path)
    refuse_unknown(str(path), given, ("kinds",))
    found: dict[str, dict[str, tuple[str, ...]]] = {}
    for kind, parts in table(f"{path}: kinds", given.get("kinds")).items():
        where = f"{path}: kinds: {kind}"
        found[str(kind)] = {
            str(part): allowed(f"{where}: {part}", value)
            for part, value in table(where, parts).items()
        }
    if not found:
        raise UserError(f"{path}: has no kinds; `clusterctl golden save FILE` writes such a file")
    return found


def table(where: str, given: object) -> Mapping[Any, Any]:
    if not isinstance(given, dict):
        raise UserError(f"{where}: expected keys and values, found {spelled_kind(given)}")
    return given


def allowed(where: str, given: object) -> tuple[str, ...]:
    several = given if isinstance(given, list) else [given]
    for one in several:
        if not isinstance(one, str):
            raise UserError(f'{where}: put {one!r} between quotes: "{one}"')
    if not several:
        raise UserError(f"{where}: an empty list allows nothing: delete the line")
    return tuple(several)


def compared(nodes: Sequence[Seen], golden: Golden, source: str) -> list[Finding]:
    """One finding a difference, with everybody who has it; one a kind and node where none is."""
    odd: defaultdict[tuple[str, str, str, str], list[str]] = defaultdict(list)
    well: list[Finding] = []
    for one in nodes:
        wanted = golden.get(one.kind, {})
        gaps = gap(one, golden)
        differing = list(differences(one, wanted)) if one.values else []
        for part, expected, actual in differing:
            odd[one.kind, part, expected, actual].append(one.node)
        if gaps:
            odd[one.kind, "", "", gaps].append(one.node)
        elif not differing:
            agree = Verdict(one.node, "golden", Status.PASS, actual=f"{len(wanted)} agree")
            well.append(Finding(CHECK, agree))
    return [*(finding(key, names, nodes, source) for key, names in odd.items()), *well]


def gap(one: Seen, golden: Golden) -> str:
    """Why a node cannot be compared, or not in all; empty: it can."""
    if not one.values:
        return "nobody could see what it runs"
    if not golden.get(one.kind):
        return "the file has nothing about this kind"
    unseen = golden[one.kind].keys() - one.values.keys() if one.blind else ()
    return f"{len(unseen)} values were not seen: {one.blind}" if unseen else ""


def differences(one: Seen, wanted: Mapping[str, tuple[str, ...]]) -> Iterator[tuple[str, str, str]]:
    for part, any_of in wanted.items():
        value = one.values.get(part, NOT_THERE)
        # Who counts devices says what is gone; what was not seen has a line of its own.
        lost = value == NOT_THERE and (one.blind or part.startswith(OF_A_DEVICE))
        if not lost and value[:LONGEST] not in any_of:
            yield part, " or ".join(any_of), value


def finding(
    key: tuple[str, str, str, str], names: Sequence[str], nodes: Sequence[Seen], source: str
) -> Finding:
    kind, part, expected, actual = key
    total = sum(one.kind == kind for one in nodes)
    joined = ",".join(names)
    if not part:
        return Finding(
            CHECK,
            Verdict(
                joined,
                "versions",
                Status.UNKNOWN,
                expected="values to compare with",
                actual=kind if kind != NO_KIND else "none",
                why=actual,
                remedy="see why versions were not seen, or save this kind: golden save",
                severity=Severity.OBSERVE,
                source=source,
            ),
        )
    return Finding(
        CHECK,
        Verdict(
            joined,
            part,
            Status.FAIL,
            expected=expected[:200],
            actual=actual[:200],
            why=f"{len(names)} of {total} {kind}: {fold(names)[:200]}",
            remedy="bring it to what the file says, or change the file",
            severity=Severity.OBSERVE,
            source=source,
        ),
    )
