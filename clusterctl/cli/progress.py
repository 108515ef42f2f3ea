"""How far a run is: a live line on a terminal, plain lines in cron.  Always on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from heapq import nsmallest
from types import TracebackType
from typing import TYPE_CHECKING, Self

from clusterctl.cli.language import spoken
from clusterctl.cli.screen import said
from clusterctl.model import Observation

if TYPE_CHECKING:
    from rich.live import Live
    from rich.text import Text

PLAIN_EVERY_S = 10.0
LOOKS = frozenset({"now", "before", "after"})  # that take seconds; all others are loads
SHOWN_OUT = 4


class Progress:
    """Owns the live line.  `failing` says whether what a node just said already fails."""

    def __init__(self, failing: Callable[[list[Observation]], bool], *, terminal: bool) -> None:
        self.failing = failing
        self.terminal = terminal
        self.live: Live | None = None
        self.lang = spoken()  # as the thread that draws cannot tell
        self.clear("", frozenset())

    def __enter__(self) -> Self:
        if self.terminal:
            from rich.console import Console
            from rich.live import Live

            console = Console(stderr=True)
            self.live = Live(get_renderable=self.drawn, console=console, transient=True)
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

    def clear(self, reading: str, out: frozenset[str], most_s: float | None = None) -> None:
        self.reading, self.out, self.most_s = reading, out, most_s
        self.began = self.spoke = time.monotonic()
        self.answered = self.bad = 0

    def begin(self, reading: str, asked: frozenset[str], most_s: float) -> None:
        """`most_s`: after so long a node is not waited for."""
        self.clear(reading, asked, most_s)
        if self.live is None and reading not in LOOKS:
            sys.stderr.write(self.line() + "\n")

    def tell(self, reading: str, out: frozenset[str], seen: list[Observation]) -> None:
        if reading != self.reading:
            self.clear(reading, out)
        self.out = out
        self.answered += 1
        self.bad += self.failing(seen)
        now = time.monotonic()
        if self.live is None and (not out or now - self.spoke >= PLAIN_EVERY_S):
            self.spoke = now
            sys.stderr.write(self.line() + "\n")

    def drawn(self) -> Text:
        from rich.text import Text

        return Text(self.line() if self.reading else "")

    def line(self) -> str:
        out, seconds = self.out, f"{time.monotonic() - self.began:.0f}"
        total = self.answered + len(out)
        line = f"{self.reading}: {self.answered} of {total} nodes, {self.bad} failing so far"
        if not out:
            return said(f"{line} ({seconds} s)", self.lang)
        from clusterctl.inventory.ranges import fold

        slow = fold(nsmallest(SHOWN_OUT, out))
        more = f" and {len(out) - SHOWN_OUT} more" if len(out) > SHOWN_OUT else ""
        line += f"; still out: {slow}{more}"
        if self.most_s is None:
            return said(f"{line} ({seconds} s)", self.lang)
        return said(f"{line} ({seconds} of at most {self.most_s:.0f} s)", self.lang)
