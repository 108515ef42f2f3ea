"""clusterctl history: what earlier runs know of a node, of a check, of who keeps coming back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from clusterctl.cli import options, remembered
from clusterctl.cli.language import Lang
from clusterctl.model import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clusterctl.memory.cache import Memory, Night
    from clusterctl.memory.lemon import Repair, Score
    from clusterctl.report.sheets import Sheet

MOST = 40  # nodes with a score that a table shows


def history(
    node: Annotated[str, typer.Argument(help="A node, or several: n[001-016].")] = "",
    *,
    check: Annotated[str, typer.Option("--check", help="Of this check alone; all nodes.")] = "",
    lemons: Annotated[
        bool, typer.Option("--lemons", help="Nodes that keep coming back, the worst first.")
    ] = False,
    since: remembered.Since = "",
    until: remembered.Until = "",
    form: options.OutputFormat = options.Format.TABLE,
    runs_dir: remembered.RunsAt = None,
    _lang: Lang = None,
) -> None:
    """What happened to a node night after night; to a check on all nodes; who is a lemon."""
    if not (node or check or lemons):
        raise UserError("history of what?  A node, --check CHECK or --lemons")
    known = remembered.remember(runs_dir, since, until)
    if lemons:
        from clusterctl.memory.identity import swaps
        from clusterctl.memory.story import scores

        every = scores(known, swaps(known))
        scored = [one for one in every if one.score or form is not options.Format.TABLE]
        sheets, notes = lemon_sheets(scored, known, form)
    elif check:
        sheets, notes = of_check(known, check, node)
    else:
        sheets, notes = of_nodes(known, node)
    remembered.show(sheets, form, notes=notes)


def looked_at(known: Memory, given: str) -> dict[str, list[Night]]:
    """Of each node that is named its nights.  Raises UserError where none has any."""
    from clusterctl.inventory import names_of
    from clusterctl.memory.story import looked_at

    looked = looked_at(known, names_of(given))
    if not any(looked.values()):
        raise UserError(f"{given}: in none of {len(known.nights)} runs in {known.folder.name}")
    return looked


def of_nodes(known: Memory, given: str) -> tuple[list[Sheet], list[str]]:
    from clusterctl.memory import identity, story
    from clusterctl.memory.dataset import found
    from clusterctl.report import past_nights as sheets

    looked = looked_at(known, given)
    wanted = list(looked)
    frame = found(known, nodes=wanted)
    swaps = identity.swaps(known)
    every = story.scores(known, swaps)
    done = repairs(known, wanted) + drains(known, wanted)
    made = [sheets.nights_sheet(one, story.stretches(frame, one, looked[one])) for one in wanted]
    made += [
        sheets.findings_sheet("findings, those of now first", story.traces(frame)),
        sheets.swaps_sheet(one for one in swaps if one.node in wanted),
        sheets.repairs_sheet(sorted(done, key=lambda one: one.at)),
        sheets.lemons_sheet(one for one in every if one.node in wanted and one.score),
    ]
    return made, [lemon_words(every, one, looked[one]) for one in wanted]


def lemon_words(every: list[Score], node: str, looked: Sequence[Night]) -> str:
    rank, score = next(
        ((at, one) for at, one in enumerate(every, 1) if one.node == node), (0, None)
    )
    if not looked:
        return f"{node}: in none of these runs"
    if score is None:
        return f"{node}: no fault of its own and no repair in {len(looked)} nights"
    word = "a lemon: " if score.lemon else ""
    evidence = "; ".join(score.signals) or "nothing that other nodes have not as well"
    return f"{node}: {word}score {score.score}, place {rank} of {len(every)}: {evidence}"


def of_check(known: Memory, check: str, given: str) -> tuple[list[Sheet], list[str]]:
    """Raises UserError where none of these nights judged such a check."""
    from clusterctl.catalog import all_checks
    from clusterctl.inventory.ranges import fold
    from clusterctl.memory import story
    from clusterctl.memory.dataset import found
    from clusterctl.report import past_nights as sheets
    from clusterctl.yaml_files import nearest

    looked = looked_at(known, given) if given else {}
    frame = found(known, checks=[check], nodes=list(looked) or None)
    told = story.traces(frame) if len(frame) else []
    if not told and known.frame("well", ["node"], check=[check], node=list(looked) or None).empty:
        slip = "" if check in all_checks() else nearest(check, all_checks())
        nights = f"{len(known.nights)} nights in {known.folder.name}"
        raise UserError(f"--check {check}: judged on none of {nights}{slip}")
    first = f"{known.nights[0].started:%Y-%m-%d}"
    now = sum(one.now not in {"pass", "skip"} for one in told)
    note = f"{check}: {len(told)} parts had findings in {len(known.nights)} nights since {first}; "
    notes = [f"{note}{now} have them now"]
    if absent := [name for name, nights in looked.items() if not nights]:
        notes.append(f"{fold(absent)}: in none of these runs")
    return [sheets.findings_sheet(check, told)], notes


def lemon_sheets(
    scored: list[Score], known: Memory, form: options.Format
) -> tuple[list[Sheet], list[str]]:
    from clusterctl.memory.lemon import LEMON
    from clusterctl.report.past_nights import lemons_sheet

    shown = scored[:MOST] if form is options.Format.TABLE else scored
    lemons = sum(one.lemon for one in scored)
    more = f"; {len(scored) - len(shown)} more with --format csv" if len(scored) > MOST else ""
    note = f"{lemons} lemons ({LEMON} signals or more) in {len(known.nights)} nights{more}"
    return [lemons_sheet(shown)], [note]


def repairs(known: Memory, wanted: list[str]) -> list[Repair]:
    from clusterctl.memory.burns import burns
    from clusterctl.memory.lemon import Repair

    again = [
        Repair(node, night.started, "burnt again after repair")
        for night in known.nights
        for node in night.again
        if node in wanted
    ]
    return again + [Repair(one.node, one.at, one.words) for one in burns(known, wanted)]


def drains(known: Memory, wanted: list[str]) -> list[Repair]:
    """What we did to the nodes, by the journal of actions beside the runs."""
    from clusterctl.act import journal
    from clusterctl.memory.lemon import Repair

    actions = journal.beside(known.folder).actions.values()
    return [Repair(one.node, one.at, one.words) for one in actions if one.node in wanted]
