"""What a run of `bandwidth` found, for a terminal, a program and a spreadsheet."""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from clusterctl.bandwidth.findings import CHECK, node_of, sure
from clusterctl.bandwidth.paths import Row
from clusterctl.localise.classes import GUESSED
from clusterctl.localise.columns import FAILED, MISSING, OK, STATUSES, UNKNOWN, Topology
from clusterctl.localise.located import Located, Suspect, Test
from clusterctl.model import Finding, Run, Status
from clusterctl.report import heatmap
from clusterctl.report.accounts import EXIT_FAIL, EXIT_UNKNOWN, account
from clusterctl.report.tables import STYLE, cell, findings_table, plural, table, theirs
from clusterctl.spelling import visible

QUOTED = 3  # tests named for and against
REPRODUCED = 2  # tests that a command to reproduce repeats, of either kind
SHOWN = 20  # rows of a table
MAP_CELLS, MAP_ROWS = 128, 64  # most across and down


@dataclass(frozen=True, slots=True)
class Answer:
    """A run, and what it says of the network."""

    run: Run
    located: Located
    rows: Sequence[Row]
    topology: Topology

    @property
    def exit_code(self) -> int:
        """A slow spine belongs to no node and still fails."""
        statuses = {one.verdict.status for one in self.run.findings}
        if Status.FAIL in statuses:
            return EXIT_FAIL
        return account(self.run).exit_code or (EXIT_UNKNOWN if Status.UNKNOWN in statuses else 0)


def summary(answer: Answer, width: int) -> RenderableType:
    parts: list[RenderableType] = [verdict(answer)]
    located = answer.located
    if located.suspects:
        parts.append(suspects_table(answer, width))
        parts += [
            Text.assemble(
                (f"reproduce {one.component}: ", "dim"), theirs(reproduce(answer, one), limit=1000)
            )
            for one in located.suspects[:SHOWN]
        ]
    parts += [
        cell(f"POPULATION: {line}", STYLE[Status.FAIL], limit=1000) for line in population(located)
    ]
    if located.inconclusive:
        parts.append(doubts_table(located))
    if located.suspects and (muddle := unclear(answer)):
        parts.append(cell(f"NOT CLEAR: {muddle}", STYLE[Status.UNKNOWN], limit=500))
    others = [one for one in answer.run.findings if one.check != CHECK]
    if any(is_open(one) for one in others):
        parts.append(findings_table(others))
    parts += maps(answer, width)
    parts += [cell(line, "magenta", limit=500) for line in failures(answer)]
    parts += [Text(visible(line, 1000), style="bold") for line in (accounts(answer),)]
    return Group(*parts)


def maps(answer: Answer, width: int) -> list[RenderableType]:
    """Ports of nodes, then node by node, folded to what the terminal holds."""
    rows, topology = answer.rows, answer.topology
    most = min(max(20, width - heatmap.LABEL - 2), MAP_CELLS)
    square = heatmap.pairs(rows, topology, min(most, MAP_ROWS))
    wide = heatmap.ports(rows, topology, most)
    return [heatmap.drawn(wide, width), heatmap.drawn(square, width), heatmap.legend()]


def is_open(finding: Finding) -> bool:
    return finding.verdict.status in {Status.FAIL, Status.UNKNOWN, Status.WARN}


# ----------------------------------------------------------------------------- the verdict


def verdict(answer: Answer) -> Text:
    """One line for whoever reads no further."""
    located = answer.located
    if located.suspects:
        first = located.suspects[0]
        more = len(located.suspects) - 1
        said = f"SLOW: {in_words(first.component)} at {first.rate:.0%} of the healthy rate "
        said += f"({first.component}, posterior {sure(first.posterior)})"
        said += f"; and {more} more" if more else ""
        return cell(said, STYLE[Status.FAIL])
    if located.population:
        said = "SLOW AS A WHOLE: no single part stands out, and all stay under the floor"
        return cell(said, STYLE[Status.FAIL])
    if not located.measured:
        return cell("UNKNOWN: no path gave a rate", STYLE[Status.UNKNOWN])
    if located.inconclusive:
        count = plural(len(located.inconclusive), "part")
        return cell(f"UNKNOWN: nothing is convicted, {count} not cleared", STYLE[Status.UNKNOWN])
    if muddle := unclear(answer):
        return cell(f"UNKNOWN: {muddle}", STYLE[Status.UNKNOWN], limit=500)
    return cell("no path is slower than its peers", STYLE[Status.PASS])


def unclear(answer: Answer) -> str:
    """What keeps the paths as a whole from being cleared."""
    for one in answer.run.findings:
        if one.check == CHECK and one.verdict.node == "all paths":
            told = one.verdict
            return f"{told.actual} tests lie well below their like: {told.why}; {told.remedy}"
    return ""


WORDS = {
    "host": "{} carries, on all rails together,",
    "nic-tx": "{} rail {} sends",
    "nic-rx": "{} rail {} receives",
    "leaf": "leaf {} of rail {} carries",
    "uplink": "the uplink of leaf {}, rail {}, to spine {} carries",
    "downlink": "the downlink of spine {} to leaf {}, rail {}, carries",
    "spine": "spine {} carries",
    "uplinks": "one or more uplinks of leaf {}, rail {}, carry",
    "downlinks": "one or more downlinks to leaf {}, rail {}, carry",
}


def in_words(component: str) -> str:
    """For who does not know how components are spelled."""
    kind, _, rest = component.partition(":")
    names = re.split(r"[/>]", rest)
    said = WORDS.get(kind, "")
    return (
        said.format(*names) if said and said.count("{}") == len(names) else f"{component} carries"
    )


def population(located: Located) -> Iterator[str]:
    for one in located.population:
        expected = one.expected_gbit_s
        floor = "" if expected is None else f" where {speed(expected)} is the floor"
        source = f" [{one.source}]" if one.source else ""
        yield f"all of {one.where}: {speed(one.gbit_s)}{floor}: {one.why}{source}"


def speed(gbit_s: float) -> str:
    """In the unit that people use at this size."""
    return f"{gbit_s:.4g} Gbit/s" if gbit_s >= 1 else f"{gbit_s * 1000:.4g} Mbit/s"


def suspects_table(answer: Answer, width: int) -> Table:
    """Wide terminals get the evidence beside the verdict, narrow ones below each other."""
    located = answer.located
    made = table("component", "rate (95 %)", "posterior", "evidence", "what to touch next")
    for one in located.suspects[:SHOWN]:
        made.add_row(
            cell(one.component, STYLE[Status.FAIL]),
            cell(f"{one.rate:.0%} ({one.low:.0%} to {one.high:.0%})"),
            cell(sure(one.posterior)),
            cell(evidence(one, QUOTED if width >= 100 else 1), limit=1000),
            cell(one.advice, limit=600),
        )
    return made


def evidence(one: Suspect, quoted: int) -> str:
    slow = quote(one.evidence_for, quoted)
    clear = quote(one.evidence_against, quoted)
    rivals = ", ".join(f"{rival.component} {rival.posterior:.3f}" for rival in one.rivals[:2])
    said = f"{one.paths} tests across it in {plural(one.rounds, 'round')}; slow: {slow}"
    said += f"; the rest cleared by {clear}" if clear else ""
    said += f"; its port counted {', '.join(one.counters)}" if one.counters else ""
    return said + (f"; or: {rivals}" if rivals else "")


def quote(tests: Sequence[Test], count: int) -> str:
    words = [f"{spelled(test)} {test.rate or 0:.0%}" for test in tests[:count]]
    more = len(tests) - len(words)
    return ", ".join(words) + (f" and {more} more" if more > 0 else "")


def spelled(test: Test) -> str:
    via = "" if test.via is None else f"@{test.via}"
    return f"{test.src}>{test.dst}/{test.rail}{via}"


def reproduce(answer: Answer, one: Suspect) -> str:
    """A command that repeats a few of the tests for and against it."""
    tests = [*one.evidence_for[:REPRODUCED], *one.evidence_against[:REPRODUCED]]
    origins = Counter(node.origin.rsplit(":", 1)[0] for node in answer.run.nodes if node.origin)
    inventory = f"-i {origins.most_common(1)[0][0]} " if origins else ""
    words = " ".join(dict.fromkeys(spelled(test) for test in tests))
    return f'clusterctl bandwidth {inventory}--only "{words}"'


def doubts_table(located: Located) -> Table:
    made = table("not clear", "posterior", "why")
    for one in located.inconclusive[:SHOWN]:
        chance = "" if one.posterior is None else sure(one.posterior)
        made.add_row(cell(one.component, STYLE[Status.UNKNOWN]), cell(chance), cell(one.why))
    return made


def failures(answer: Answer) -> Iterator[str]:
    """Why tests gave no rate, or some of their runs none, equal reasons folded."""
    whys: Counter[tuple[int, str]] = Counter()
    for row in answer.rows:
        if row.status != OK or row.why:
            whys[row.status, row.why or "not run"] += 1
    for (status, why), count in whys.most_common(6):
        yield f"{plural(count, 'test')} {STATUSES[status]}: {why}"
    if len(whys) > 6:
        yield f"… and {len(whys) - 6} more reasons: --format csv"


def accounts(answer: Answer) -> str:
    """Accounts for every node and every test."""
    count = Counter(row.status for row in answer.rows)
    rounds = len({row.round for row in answer.rows})
    topology = answer.topology
    engines = sorted({row.engine for row in answer.rows if row.engine})
    missing = f" · {count[MISSING]} missing" if count[MISSING] else ""
    failed = f" · {count[FAILED]} failed" if count[FAILED] else ""
    nodes = {node.name for node in answer.run.nodes}
    apart = sum(node_of(one.component) not in nodes for one in answer.located.suspects)
    switches = f" · {plural(apart, 'part')} of the fabric fail" if apart else ""
    return (
        f"{answer.run.id}: {count[OK]} tests ok{failed}{missing} in {plural(rounds, 'round')} "
        f"over {plural(topology.leaf.shape[1], 'rail')}, {fabric(topology)}; "
        f"engine {', '.join(engines) or 'none'}; {account(answer.run).line.split(';')[0]}"
        f"{switches}"
    )


def fabric(topology: Topology) -> str:
    """What was known of the fabric; what could not be told for want of that."""
    known = int(topology.leaf.max(initial=UNKNOWN))
    if known == UNKNOWN:
        return "leaves not known: hosts and NICs can be told apart, switches and uplinks cannot"
    leaves = len({int(leaf) for leaf in topology.leaf.ravel() if leaf != UNKNOWN})
    spines = f"{plural(topology.uplinks, 'spine')}" if topology.uplinks else "spines not known"
    guessed = f" ({topology.origin})" if topology.origin.startswith(GUESSED) else ""
    return f"{plural(leaves, 'leaf').replace('leafs', 'leaves')} a rail{guessed}, {spines}"


# ----------------------------------------------------------------------------- for programs


def as_json(answer: Answer) -> str:
    """The record of localisation, the command that reproduces each suspect, and every finding."""
    suspects = [
        {**renamed(one), "reproduce": reproduce(answer, one)} for one in answer.located.suspects
    ]
    told = {
        "schema": 1,
        "run": answer.run.id,
        "verdict": verdict(answer).plain,
        "exit_code": answer.exit_code,
        **asdict(answer.located),
        "suspects": suspects,
        "fabric": fabric(answer.topology),
        "findings": [
            {"check": one.check, **asdict(one.verdict), "shared": one.shared}
            for one in answer.run.findings
        ],
    }
    return json.dumps(told, ensure_ascii=False, indent=1) + "\n"


def renamed(one: Suspect) -> dict[str, object]:
    told = asdict(one)
    return {**told, "for": told.pop("evidence_for"), "against": told.pop("evidence_against")}


def as_csv(answer: Answer) -> str:
    """Every test, as `clusterctl localise` reads it."""
    text = io.StringIO()
    made = csv.writer(text, lineterminator="\n")
    made.writerow(("round", "src", "dst", "rail", "gbit_s", "via", "status", "engine", "why"))
    made.writerows(lines(answer.rows, answer.topology.nodes))
    return text.getvalue()


def lines(rows: Iterable[Row], nodes: Sequence[str]) -> Iterator[tuple[object, ...]]:
    for row in rows:
        yield (
            row.round,
            nodes[row.src],
            nodes[row.dst],
            row.rail,
            "" if row.gbit_s is None else f"{row.gbit_s:.9g}",
            "" if row.via == UNKNOWN else row.via,
            STATUSES[row.status],
            row.engine,
            visible(row.why, 300),
        )
