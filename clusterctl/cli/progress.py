"""How far a run is: a live line on a terminal, plain lines in cron.  Always on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self

from clusterctl.cli.screen import said
from clusterctl.model import Observation

if TYPE_CHECKING:
    from rich.live import Live

PLAIN_EVERY_S = 10.0
SHOWN_OUT = 4


class Progress:
    """Owns the live line.  `failing` says whether what a node just said already fails."""

    def __init__(self, failing: Callable[[list[Observation]], bool], *, terminal: bool) -> None:
        self.failing = failing
        self.terminal = terminal
        self.live: Live | None = None
        self.reading = ""
        self.began = self.spoke = time.monotonic()
        self.answered = self.bad = 0

    def __enter__(self) -> Self:
        if self.terminal:
            from rich.console import Console
            from rich.live import Live

            self.live = Live("", console=Console(stderr=True), transient=True, refresh_per_second=8)
            self.live.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.live is not None:
            self.live.__exit__(kind, error, trace)

    def tell(self, reading: str, out: frozenset[str], seen: list[Observation]) -> None:
        now = time.monotonic()
        if reading != self.reading:
            self.reading, self.began, self.answered, self.bad = reading, now, 0, 0
            self.spoke = now
        self.answered += 1
        self.bad += self.failing(seen)
        line = self.line(out, now - self.began)
        if self.live is not None:
            from rich.text import Text

            self.live.update(Text(line))
        elif not out or now - self.spoke >= PLAIN_EVERY_S:
            self.spoke = now
            sys.stderr.write(line + "\n")

    def line(self, out: frozenset[str], seconds: float) -> str:
        total = self.answered + len(out)
        line = f"{self.reading}: {self.answered} of {total} nodes, {self.bad} failing so far"
        if out:
            from clusterctl.inventory.ranges import fold

            slow = sorted(out)[:SHOWN_OUT]
            more = f" and {len(out) - SHOWN_OUT} more" if len(out) > SHOWN_OUT else ""
            line += f"; still out: {fold(slow)}{more}"
        return said(f"{line} ({seconds:.0f} s)")
