"""Where all ranks are, as a tree for a terminal: the fewest first."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text
from rich.tree import Tree

from clusterctl.report.tables import theirs
from clusterctl.report.triage import cell
from clusterctl.triage.stacks.places import Stay
from clusterctl.triage.stacks.stack_tree import (
    Branch,
    below,
    chain,
    ends,
    minority_first,
    tree,
    who,
)

SHOWN = 12  # branches of one frame: more are told by their number
FRAMES = 4  # of a chain that all share: its ends tell where it is
DEEPEST = 40


def as_tree(stays: Sequence[Stay]) -> Tree:
    """`ranks 3 · step (train.py:40) …`, one branch where ranks part."""
    looks = max((len(one.places) for one in stays), default=0)
    root = tree(stays)
    shown = Tree(cell(f"{len(stays)} ranks, {looks} looks, the fewest first", "bold"))
    grow(shown, minority_first(root), stays, 0)
    return shown


def grow(shown: Tree, branches: Sequence[Branch], stays: Sequence[Stay], depth: int) -> None:
    for one in branches[:SHOWN]:
        under = shown.add(line(one, stays))
        for said in ends(chain(one)[-1], stays):
            under.add(cell(said, "yellow"))
        if depth < DEEPEST:
            grow(under, below(one), stays, depth + 1)
    if len(branches) > SHOWN:
        shown.add(cell(f"… and {len(branches) - SHOWN} more branches"))


def line(branch: Branch, stays: Sequence[Stay]) -> Text:
    """The chain that these ranks share, and in how many looks they were at its end."""
    links = chain(branch)
    words = [frame(one) for one in links]
    if len(words) > FRAMES:
        words = [*words[:1], f"… {len(words) - FRAMES + 1} frames …", *words[-(FRAMES - 1) :]]
    end = links[-1]
    there = who(stays[index].who for index in end.ranks)
    if end.steady == end.ranks:
        time = ""
    elif end.steady:
        time = f" ({who(stays[index].who for index in end.steady)} in every look)"
    else:
        time = " (in some looks)"
    return Text.assemble(
        cell(f"{there}", "bold"), cell(time), cell(" · "), theirs(" > ".join(words), "cyan", 1000)
    )


def frame(branch: Branch) -> str:
    """`step (train.py:40-41)`"""
    file = branch.file.rpartition("/")[2]
    lines = sorted(branch.lines - {0})
    span = "" if not lines else f":{lines[0]}" if len(lines) == 1 else f":{lines[0]}-{lines[-1]}"
    return f"{branch.name} ({file}{span})" if file else branch.name
