"""A campaign on one node as a controller without a memory of its own would lead it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from clusterctl.campaign.journal import Corrupt, Record, records
from clusterctl.campaign.supervision import Reply, collect, fetch, reply, start, stop, tell
from clusterctl.model import Answer, Node, Question
from clusterctl.transport import Transport

PATIENCE_S = 20.0


def sleeper(seconds: float = 60, **more: Any) -> dict[str, Any]:
    return {"name": "sleeper", "argv": ["sleep", str(seconds)], "timeout_s": 90, **more}


class Campaign:
    """Owns what is on the node until `clear`; `got` is what was fetched of its journal."""

    def __init__(self, transport: Transport, node: Node, name: str, places: tuple[str, ...]):
        self.transport, self.node, self.name, self.places = transport, node, name, places
        self.got = b""
        self.leader: Mapping[str, Any] = {}

    def ask(self, question: Question) -> Answer:
        with self.transport.open(self.node) as shell:
            (answer,) = shell.ask([question])
        return answer

    def say(self, question: Question) -> Reply:
        answer = self.ask(question)
        told = reply(answer)
        assert isinstance(told, Reply), (told, answer)
        return told

    def start(self, plan: Mapping[str, Any]) -> Reply:
        return self.say(start(self.name, plan, self.places, leader=self.leader))

    def tell(self, do: str, identity: str = "", **words: Any) -> Reply:
        order = {"do": do, "id": identity or f"{do}-{time.monotonic_ns()}", **words}
        return self.say(tell(self.name, order, self.places, leader=self.leader))

    def fetch(self, most_bytes: int = 1 << 20) -> Reply:
        asked = fetch(
            self.name, len(self.got), most_bytes=most_bytes, places=self.places, leader=self.leader
        )
        told = self.say(asked)
        self.got += told.journal
        return told

    def stop(self, *, now: bool = False) -> Reply:
        return self.say(stop(self.name, now=now, places=self.places, leader=self.leader))

    def collect(self, size: int | None = None) -> Reply:
        size = self.fetch().words["size"] if size is None else size
        return self.say(collect(self.name, size, self.places))

    def records(self) -> list[Record]:
        """What was fetched until now; nothing of it may be corrupt."""
        found = list(records(self.got))
        assert not (bad := [one for one in found if isinstance(one, Corrupt)]), bad
        return [one for one in found if isinstance(one, Record)]

    def of(self, kind: str) -> list[Mapping[str, Any]]:
        return [one.cells for one in self.records() if one.kind == kind]

    def until(self, kind: str, count: int = 1, seconds: float = PATIENCE_S) -> Mapping[str, Any]:
        """The latest record of a kind, once there are so many."""
        end = time.monotonic() + seconds
        while True:
            self.fetch()
            if len(found := self.of(kind)) >= count:
                return found[-1]
            assert time.monotonic() < end, (kind, [one.kind for one in self.records()])
            time.sleep(0.1)

    def clear(self) -> None:
        self.ask(stop(self.name, now=True, places=self.places))
        told = reply(self.ask(fetch(self.name, 0, places=self.places)))
        size = told.words.get("size", 0) if isinstance(told, Reply) else 0
        self.ask(collect(self.name, size, self.places))


def processes(campaign: str) -> dict[int, str]:
    """Those of this machine that name the campaign in their command line or environment."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            known = command + (entry / "environ").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if campaign in known and int(entry.name) != os.getpid():
            found[int(entry.name)] = command
    return found


def soon(true: Callable[[], object], seconds: float = 10.0) -> bool:
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True
