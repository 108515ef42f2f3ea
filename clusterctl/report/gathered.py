"""What many nodes said to one command, equal answers together, as `clush -b` shows them."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from clusterctl.inventory.ranges import fold
from clusterctl.model import Answer, Trouble
from clusterctl.report.accounts import EXIT_FAIL, EXIT_PASS, EXIT_UNKNOWN
from clusterctl.spelling import visible


@dataclass(frozen=True, slots=True)
class Same:
    """`exit_code` None and `trouble` set: these nodes gave no answer, or were stopped."""

    nodes: tuple[str, ...]
    exit_code: int | None
    stdout: str
    stderr: str
    trouble: str


def gather(said: Iterable[tuple[str, Answer | Trouble]]) -> list[Same]:
    """Most nodes first."""
    alike: defaultdict[tuple[int | None, str, str, str], list[str]] = defaultdict(list)
    for node, one in said:
        if isinstance(one, Trouble):
            alike[None, "", "", str(one)].append(node)
            continue
        trouble = f"stopped after {one.seconds:.0f} s" if one.exit_code is None else ""
        trouble += " (output cut)" if one.truncated else ""
        alike[one.exit_code, one.stdout, one.stderr, trouble.strip()].append(node)
    found = [Same(tuple(sorted(nodes)), *key) for key, nodes in alike.items()]
    return sorted(found, key=lambda same: (-len(same.nodes), same.nodes))


def as_text(said: Iterable[Same], say: Callable[[str], str] = str) -> str:
    """`say`: our own words in the language of the reader."""
    return "".join(line + "\n" for same in said for line in spelled(same, say))


def spelled(same: Same, say: Callable[[str], str]) -> Iterator[str]:
    failed = f" exit {same.exit_code}" if same.exit_code else ""
    trouble = f" {say(visible(same.trouble))}" if same.trouble else ""
    yield f"== {fold(same.nodes)} ({len(same.nodes)}){failed}{trouble}"
    for prefix, text in (("", same.stdout), ("stderr: ", same.stderr)):
        for line in text.splitlines():
            yield prefix + visible(line, 10_000)


def as_json(said: Iterable[Same]) -> str:
    return (
        json.dumps(
            [
                {
                    "nodes": list(same.nodes),
                    "exit_code": same.exit_code,
                    "stdout": same.stdout,
                    "stderr": same.stderr,
                    "trouble": same.trouble,
                }
                for same in said
            ],
            ensure_ascii=False,
            indent=1,
        )
        + "\n"
    )


def exit_code(said: Iterable[Same]) -> int:
    """0: all exited 0; 1: one did not; 4: one gave no answer."""
    said = list(said)
    if any(same.exit_code for same in said):
        return EXIT_FAIL
    return EXIT_UNKNOWN if any(same.trouble for same in said) else EXIT_PASS
