"""All ranks' stacks as one tree, as STAT does it: equal frames once, with who is there.

Arnold, Ahn, de Supinski and others, "Stack trace analysis for large scale debugging", IPDPS 2007.
Time is a second dimension, as in STAT's 3D trees: a frame holds where it is in every look.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from clusterctl.knowledge.frames import said
from clusterctl.triage.ranks import folded
from clusterctl.triage.stacks.places import Stay
from clusterctl.triage.stacks.stacks import Stacked

NOT_PYTHON = "no Python frames"


@dataclass(slots=True)
class Branch:
    """One frame.  `ranks` were in it in some look, `steady` in every one; `lines` of the file."""

    name: str
    file: str
    ranks: set[int] = field(default_factory=set)
    steady: set[int] = field(default_factory=set)
    lines: set[int] = field(default_factory=set)
    kinds: dict[str, set[int]] = field(default_factory=dict)  # of those whose stack ends here
    branches: dict[tuple[str, str], Branch] = field(default_factory=dict)


def tree(stays: Sequence[Stay]) -> Branch:
    """`ranks` are places in `stays`: not every process has a rank."""
    root = Branch("", "")
    for index, one in enumerate(stays):
        root.ranks.add(index)
        walked: list[dict[int, Branch]] = []
        for place, look in zip(one.places, one.who.looks, strict=True):
            steps = [(frame.name, frame.file, frame.line) for frame in reversed(look.frames)]
            passed: dict[int, Branch] = {}
            here = root
            for name, file, line in steps or [(NOT_PYTHON, "", 0)]:
                here = here.branches.setdefault((name, file), Branch(name, file))
                here.ranks.add(index)
                here.lines.add(line)
                passed[id(here)] = here
            here.kinds.setdefault(place.kind, set()).add(index)
            walked.append(passed)
        for branch in set.intersection(*map(set, walked)):
            walked[0][branch].steady.add(index)
    return root


def minority_first(branch: Branch) -> list[Branch]:
    """Few are the odd ones, and the odd ones are what is looked for."""
    return sorted(branch.branches.values(), key=lambda one: (len(one.ranks), one.name))


def chain(branch: Branch) -> list[Branch]:
    """Frames that all of the same ranks share, down to where ranks part or end."""
    found = [branch]
    while len(branch.branches) == 1 and not branch.kinds:
        (branch,) = branch.branches.values()
        if branch.ranks != found[-1].ranks:
            break
        found.append(branch)
    return found


def below(branch: Branch) -> list[Branch]:
    """The branches under the last frame of its chain, minority first."""
    return minority_first(chain(branch)[-1])


def ends(branch: Branch, stays: Sequence[Stay]) -> Iterator[str]:
    """What those whose stacks end here do: `0-2: waits in a collective`."""
    for kind, indices in sorted(branch.kinds.items(), key=lambda item: len(item[1])):
        yield f"{who(stays[index].who for index in indices)}: {said(kind)}"


def who(some: Iterable[Stacked]) -> str:
    """`0-6,8`, and after them processes without a rank."""
    listed = list(some)
    ranks = [one.rank for one in listed if one.rank is not None]
    others = sorted(one.called for one in listed if one.rank is None)
    return ", ".join([*([folded(ranks)] if ranks else []), *others])
