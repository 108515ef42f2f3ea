"""What became of messages, from run to run: when they went out, what was kept back, what failed."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from clusterctl.spelling import visible

log = logging.getLogger(__name__)

NAME = ".notify.json"
MOST_KEPT = 1000


@dataclass(frozen=True, slots=True)
class Sent:
    """`at`: when messages went out, ISO 8601.  `held_back`: since the last of them.

    `failed`: whom the last message did not reach and why; empty: it reached all.
    `failed_run`: the run it was about.
    """

    at: tuple[str, ...] = ()
    held_back: int = 0
    failed: str = ""
    failed_run: str = ""

    @property
    def owes(self) -> bool:
        """Whether people have not been told something that they were to be told."""
        return bool(self.failed or self.held_back)

    def notes(self) -> Iterator[str]:
        """What the next message owes its reader."""
        if self.failed:
            yield f"the message about {self.failed_run} did not go out: {self.failed}"
        if self.held_back:
            yield f"{self.held_back} messages before this one were kept back by the rate limit"

    def full(self, now: datetime, at_most: int, per_s: float) -> bool:
        since = (now - timedelta(seconds=per_s)).isoformat()
        return sum(one > since for one in self.at) >= at_most

    def held(self) -> Sent:
        return replace(self, held_back=self.held_back + 1)

    def went(self, now: datetime, run: str, failed: str, *, anybody: bool) -> Sent:
        """After a message was tried; one that reached nobody does not count against the limit."""
        if not anybody:
            return replace(self, failed=failed, failed_run=run)
        return Sent((*self.at, now.isoformat())[-MOST_KEPT:], 0, failed, run if failed else "")


def load(runs_dir: Path) -> Sent:
    """Nothing was sent, as far as is known, where the file is not there or cannot be read."""
    path = runs_dir / NAME
    try:
        given = json.loads(path.read_text(encoding="utf-8"))
        return Sent(
            tuple(str(one) for one in given["at"]),
            int(given["held_back"]),
            visible(str(given["failed"])),
            visible(str(given["failed_run"])),
        )
    except FileNotFoundError:
        return Sent()
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("%s: cannot be read: %r; messages are counted afresh", path, error)
        return Sent()


def save(runs_dir: Path, sent: Sent) -> None:
    """Raises OSError."""
    path = runs_dir / NAME
    draft = path.with_suffix(".new")
    with draft.open("w", encoding="utf-8") as file:
        json.dump(asdict(sent), file)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
