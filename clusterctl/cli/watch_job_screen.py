"""The live screen of watch-job: a line a node, on stderr, where somebody looks."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Self

from clusterctl.cli.screen import said

if TYPE_CHECKING:
    from rich.live import Live

    from clusterctl.cli.watch_job_told import Outlet

DRAW_S, DRAW_SHARE = 1.0, 50.0


class Display:
    """Owns the live lines, where somebody looks at stderr."""

    def __init__(self, told: Outlet) -> None:
        self.told = told
        told.aside = self.aside
        self.live: Live | None = None
        self.due = 0.0

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            self.begin()
        return self

    def begin(self) -> None:
        from rich.console import Console
        from rich.live import Live

        console = Console(stderr=True)
        self.live = Live("", console=console, transient=True, auto_refresh=False)
        self.live.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.live is not None:
            self.live.stop()

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Out of the way of what is written meanwhile."""
        if self.live is None:
            yield
            return
        self.live.stop()
        try:
            yield
        finally:
            self.begin()

    def draw(self, at: float) -> None:
        began = time.monotonic()
        if self.live is None or began < self.due:
            return
        from rich.text import Text

        from clusterctl.report.watching import lines

        size = self.live.console.size
        job, covered = self.told.job, self.told.covered
        shown = lines(job, at, covered, room=size.height - 1, width=size.width, said=said)
        self.live.update(Text("\n".join(shown), no_wrap=True), refresh=True)
        now = time.monotonic()
        self.due = now + max(DRAW_S, DRAW_SHARE * (now - began))
