"""Processes by a mark in their environment, whatever group, session or parent they have."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path


def alive(mark: str) -> dict[int, int]:
    """Process id -> parent, of all that were started with FAMILY=mark, and their children.

    Some, such as stress-ng, write their title over their environment.  Zombies are not alive.
    """
    parents, marked = {}, set()
    for place in Path("/proc").glob("[0-9]*"):
        try:
            state, parent = (place / "stat").read_text().rpartition(")")[2].split()[:2]
            if state != "Z":
                parents[int(place.name)] = int(parent)
            if f"FAMILY={mark}" in (place / "environ").read_text(errors="replace"):
                marked.add(int(place.name))
        except OSError:
            continue
    marked.discard(os.getpid())
    found: set[int] = set()
    while marked:
        found |= marked
        marked = {pid for pid, parent in parents.items() if parent in found} - found
    return {pid: parents[pid] for pid in found & set(parents)}


def generation(mark: str, depth: int) -> list[int]:
    """Below the shell that guards a conversation (0): 1 the runner, 2 its scripts, 3 …"""
    family = alive(mark)
    found = {pid for pid in family if command(pid).startswith(b"sh\0-c\0n=")}
    for _ in range(depth):
        found = {pid for pid, parent in family.items() if parent in found}
    return sorted(found)


def command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def wait_for(what: Callable[[], object], seconds: float = 15.0) -> bool:
    end = time.monotonic() + seconds
    while not what():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def ended(pids: Iterable[int], seconds: float) -> bool:
    """Whether these, seen before, are dead, whoever their parent is now."""

    def states() -> set[str]:
        found = set()
        for pid in pids:
            with suppress(OSError):
                text = Path(f"/proc/{pid}/stat").read_text()
                found.add(text.rpartition(")")[2].split()[0])
        return found

    return wait_for(lambda: states() <= {"Z"}, seconds)


def gone(mark: str, seconds: float) -> bool:
    return wait_for(lambda: not alive(mark), seconds)
