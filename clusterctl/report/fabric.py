"""A fabric as a folded tree, as JSON, and as the topology file that `localise` reads."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from clusterctl.fabric.tree import Cable, Fabric, natural
from clusterctl.inventory.ranges import fold
from clusterctl.model import Finding, Kind, Status
from clusterctl.probes.ib_rates import SPEEDS
from clusterctl.report.accounts import EXIT_BUG, EXIT_FAIL, EXIT_PASS, EXIT_UNKNOWN
from clusterctl.report.folding import rows, to_act_on
from clusterctl.report.records import inert, record
from clusterctl.report.tables import (
    STYLE,
    actual,
    cell,
    findings_table,
    implied,
    plural,
    table,
    to_do,
)
from clusterctl.store import COLUMNS

TABLE_COLUMNS = 120
WORDS = {speed: word for word, speed in SPEEDS.items()}


def screen(
    fabric: Fabric, findings: Sequence[Finding], *, columns: int, verbose: bool
) -> RenderableType:
    """The tree, what a person must act on, what was passed over, and the account of it all."""
    parts: list[RenderableType] = [head(fabric)]
    if any(cable.far.box for cable in fabric.at.values()):
        parts.append(tree(fabric))
    parts += [cell(line, "dim") for line in above(fabric)]
    if any(True for _ in to_act_on(findings)):
        wide = columns >= TABLE_COLUMNS
        parts += [findings_table(findings)] if wide else blocks(findings)
        parts += implied(findings)
    else:
        parts.append(Text("nothing to act on", style="green"))
    skipped = Counter(
        f"{one.check}: {one.verdict.why}"
        for one in findings
        if one.verdict.status is Status.SKIP and one.verdict.why
    )
    if verbose:
        parts += [cell(f"skipped {count}x: {why}", "dim") for why, count in skipped.items()]
    elif skipped:
        parts.append(cell(f"{plural(skipped.total(), 'question')} passed over: --verbose", "dim"))
    parts.append(cell(account(fabric, findings), "bold", limit=1000))
    return Group(*parts)


def blocks(findings: Sequence[Finding]) -> list[RenderableType]:
    """What a person must act on, for a screen on which seven columns are seven ribbons."""
    found: list[RenderableType] = []
    for row in rows(to_act_on(findings)):
        verdict = row.verdict
        where = row.parts if row.nodes in row.parts else f"{row.nodes} {row.parts}"
        found.append(cell(f"{verdict.status.upper()} {row.check}: {where}", STYLE[verdict.status]))
        found.append(
            Padding(
                Text.assemble(actual(verdict), cell(f"; expected {verdict.expected}", " ")),
                (0, 0, 0, 4),
                expand=False,
            )
        )
        found.append(Padding(cell(to_do(verdict)), (0, 0, 0, 4), expand=False))
    return found


def head(fabric: Fabric) -> Text:
    boxes = [
        plural(len(found), name).replace("leafs", "leaves")
        for level, name in enumerate(("leaf", "spine", "core"), 1)
        if (found := fabric.switches(level))
    ]
    size = (plural(len(fabric.nodes), "node"), " by ", plural(len(fabric.rails), "rail"))
    words = [*size, *(word for box in boxes for word in (", ", box)), ": ", fabric.origin]
    return Text.assemble(*(cell(word, "bold", 1000) for word in words))


def tree(fabric: Fabric) -> Table:
    """A line for each leaf; those that differ only by rail are one."""
    ups: defaultdict[str, list[Cable]] = defaultdict(list)
    for cable in fabric.between():
        ups[cable.near.box].append(cable)
    hung: defaultdict[tuple[int, str], list[Cable]] = defaultdict(list)
    for (_, rail), one in sorted(fabric.at.items(), key=lambda item: item[0][1]):
        if one.far.box:
            hung[rail, one.far.box].append(one)
    alike: defaultdict[tuple[str, str, str], list[tuple[int, str]]] = defaultdict(list)
    for (rail, leaf), cables in hung.items():
        key = (fold(c.near.box for c in cables), rates(cables), upward(ups[leaf]))
        alike[key].append((rail, leaf))
    made = table("rail", "leaf", "nodes", "cables", "up to")
    for (nodes, down, up), places in sorted(alike.items(), key=lambda item: first(item[1])):
        rails = sorted({rail for rail, _ in places})
        leaves = fold(dict.fromkeys(leaf for _, leaf in places))
        made.add_row(*map(cell, (spans(rails), leaves, nodes, down, up)))
    return made


def first(places: Sequence[tuple[int, str]]) -> tuple[int, list[tuple[int, int, str]]]:
    rail, leaf = places[0]
    return rail, natural(leaf)


def spans(numbers: Sequence[int]) -> str:
    """0-3,7"""
    found: list[str] = []
    first = last = None
    for number in [*numbers, None]:
        if last is not None and number != last + 1:
            found.append(f"{first}-{last}" if first != last else f"{last}")
            first = number
        first = number if first is None else first
        last = number
    return ",".join(found)


def rates(cables: Iterable[Cable]) -> str:
    counted = Counter(rate(cable) for cable in cables)
    return ", ".join(
        f"{count} × {word}" if word else f"{count}"  # noqa: RUF001 - no word, so in any language
        for word, count in counted.items()
    )


def rate(cable: Cable) -> str:
    """4x NDR; empty where nothing tells."""
    width = f"{cable.width}x" if cable.width else ""
    speed = cable.speed_gbit_s
    return f"{width} {WORDS.get(speed, f'{speed:g}') if speed else ''}".strip()


def upward(cables: Sequence[Cable]) -> str:
    if not cables:
        return ""
    return f"{fold(cable.far.box for cable in cables)}: {rates(cables)}"


def above(fabric: Fabric) -> list[str]:
    """What the table leaves out."""
    others = {cable.near.box for cable in fabric.cables if cable.near.kind == "host"}
    lone = [
        node
        for node in fabric.nodes
        if not any((node, rail) in fabric.at for rail in range(len(fabric.rails)))
    ]
    devices = f"rails by device: {', '.join(fabric.rails)}" if fabric.rails else ""
    return [
        line
        for line in (
            devices,
            f"other hosts: {fold(others)}" if others else "",
            f"nodes without a cable in it: {fold(lone)}" if lone else "",
        )
        if line
    ]


def account(fabric: Fabric, findings: Sequence[Finding]) -> str:
    counted = Counter(one.verdict.status for one in findings)
    shown = [f"{counted[one]} {one}" for one in Status if counted[one] or one is Status.PASS]
    seen = sum(bool(fabric.leaf(node, rail)) for node, rail in fabric.at)
    whole = len(fabric.nodes) * len(fabric.rails)
    return f"{' · '.join(shown)} of {len(findings)} findings; {seen} of {whole} rails traced"


def exit_code(findings: Sequence[Finding]) -> int:
    """As of a sweep.  Switches count here, though no inventory has them."""
    statuses = {one.verdict.status for one in findings}
    if any(one.verdict.actual == Kind.BUG for one in findings):
        return EXIT_BUG
    if Status.FAIL in statuses:
        return EXIT_FAIL
    return EXIT_UNKNOWN if Status.UNKNOWN in statuses else EXIT_PASS


def document(fabric: Fabric, findings: Sequence[Finding]) -> dict[str, Any]:
    return {
        "schema": 1,
        "source": fabric.source,
        "origin": fabric.origin,
        "exit_code": exit_code(findings),
        "rails": list(fabric.rails),
        "switches": {
            box: {"level": level} for box, level in sorted(fabric.levels.items(), key=by_name)
        },
        "nodes": {
            node: [fabric.leaf(node, rail) or None for rail in range(len(fabric.rails))]
            for node in fabric.nodes
        },
        "cables": [asdict(cable) for cable in fabric.cables],
        "findings": [record(one) for one in findings],
    }


def by_name(item: tuple[str, int]) -> tuple[int, list[tuple[int, int, str]]]:
    return item[1], natural(item[0])


def as_json(fabric: Fabric, findings: Sequence[Finding]) -> str:
    return json.dumps(document(fabric, findings), ensure_ascii=False, indent=1) + "\n"


def as_csv(findings: Iterable[Finding]) -> str:
    """Every finding, one a row, in the columns of a sweep's."""
    text = io.StringIO()
    writer = csv.DictWriter(text, ["check", *COLUMNS, "shared"], lineterminator="\n")
    writer.writeheader()
    for one in findings:
        writer.writerow({name: inert(value) for name, value in record(one).items()})
    return text.getvalue()


def topology(fabric: Fabric, expected: Mapping[tuple[str, int], str]) -> str:
    """YAML for `clusterctl localise --topology`.

    Leaves are numbered within their rail, in natural order.  A port that is not cabled is put where
    `expected` has it, for nothing will be measured there; a node with a port that nobody can place
    is left out of `leaf`, so that it is known to be unknown.
    """
    order = [numbers(fabric, expected, rail) for rail in range(len(fabric.rails))]
    alike: defaultdict[tuple[int, ...], list[str]] = defaultdict(list)
    for node in fabric.nodes:
        hung = [place(fabric, expected, node, rail) for rail in range(len(order))]
        if hung and all(hung):
            alike[tuple(order[rail][leaf] for rail, leaf in enumerate(hung))].append(node)
    lines = [f"# From {' '.join(fabric.origin.split())}.  Leaves by number:"]
    for rail, leaves in enumerate(order):
        named = " ".join(f"{number}={leaf}" for leaf, number in leaves.items())
        lines.append(f"#   rail {rail} ({fabric.rails[rail]}): {named}")
    lines += [f"rails: {max(len(order), 1)}", f"uplinks: {uplinks(fabric)}"]
    lines += [f"nodes: {json.dumps(fold(fabric.nodes))}"]
    if alike:
        lines.append("leaf:")
        lines += [f"  {json.dumps(fold(nodes))}: {list(hung)}" for hung, nodes in alike.items()]
    return "\n".join(lines) + "\n"


def place(fabric: Fabric, expected: Mapping[tuple[str, int], str], node: str, rail: int) -> str:
    return fabric.leaf(node, rail) or expected.get((node, rail), "")


def numbers(fabric: Fabric, expected: Mapping[tuple[str, int], str], rail: int) -> dict[str, int]:
    found = {place(fabric, expected, node, rail) for node in fabric.nodes} - {""}
    return {leaf: number for number, leaf in enumerate(sorted(found, key=natural))}


def uplinks(fabric: Fabric) -> int:
    """Spines that most leaves reach; 0: not known."""
    reached: defaultdict[str, set[str]] = defaultdict(set)
    for cable in fabric.between():
        if fabric.levels.get(cable.near.box) == 1 and fabric.levels.get(cable.far.box) == 2:
            reached[cable.near.box].add(cable.far.box)
    counted = Counter(len(reached[leaf]) for leaf in fabric.switches(1))
    return counted.most_common(1)[0][0] if counted else 0
