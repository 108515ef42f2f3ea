"""Who is to be visited when."""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Iterator


class Agenda:
    """Who is to be visited when; iterating blocks until somebody is.  Owns no thread."""

    def __init__(self) -> None:
        self.due: dict[str, float] = {}
        self.away: set[str] = set()  # being visited; put again when they are back
        self.heap: list[tuple[float, str]] = []
        self.changed = threading.Condition()
        self.closed = False

    def put(self, name: str, at_s: float) -> None:
        with self.changed:
            known = name in self.due and at_s >= self.due[name]
            if name not in self.away and not known:
                self.due[name] = at_s
                heapq.heappush(self.heap, (at_s, name))
                self.changed.notify()

    def back(self, name: str) -> None:
        with self.changed:
            self.away.discard(name)

    def close(self) -> None:
        with self.changed:
            self.closed = True
            self.changed.notify_all()

    def __iter__(self) -> Iterator[str]:
        while (name := self.next()) is not None:
            yield name

    def next(self) -> str | None:
        with self.changed:
            while not self.closed:
                at_s, name = self.heap[0] if self.heap else (time.monotonic() + 3600, "")
                wait_s = at_s - time.monotonic()
                if wait_s <= 0:
                    heapq.heappop(self.heap)
                    if self.due.get(name) == at_s:
                        del self.due[name]
                        self.away.add(name)
                        return name
                else:
                    self.changed.wait(wait_s)
            return None
