"""Everything that nodes said while a job was watched, in files, the oldest given up for the newest.

ring-000001.jsonl   [wall clock, node, question, line] each, in the order in which it was heard
"""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

FILES = 8  # of a full ring
NAME = "ring-{:06d}.jsonl"


@dataclass(slots=True)
class Ring:
    """Owns the files of `folder` that are called so; not more than `most_bytes` of them.

    `lost`: lines that could not be written, a full disk say; `why`: of the last of them.
    """

    folder: Path
    most_bytes: int
    number: int = 0
    file: TextIO | None = None
    files: deque[tuple[Path, float, int]] = field(default_factory=deque)  # name, first, bytes
    last: float = 0.0
    lost: int = 0
    why: str = ""

    def keep(self, at: float, node: str, question: str, line: str) -> None:
        """At once, whatever becomes of us; never raises."""
        text = json.dumps([round(at, 2), node, question, line], separators=(",", ":")) + "\n"
        try:
            if self.file is None or self.files[-1][2] + len(text) > self.most_bytes // FILES:
                self.turn(at)
            if self.file is not None:
                self.file.write(text)
                self.file.flush()
        except OSError as error:
            self.lost += 1
            self.why = error.strerror or "cannot be written"
            return
        path, first, size = self.files.pop()
        self.files.append((path, first, size + len(text)))
        self.last = at

    def turn(self, at: float) -> None:
        """The next file; the oldest goes where there are too many.  Raises OSError."""
        self.close()
        self.number += 1
        path = self.folder / NAME.format(self.number)
        self.file = path.open("w", encoding="utf-8")
        self.files.append((path, at, 0))
        while len(self.files) > FILES:
            self.files.popleft()[0].unlink(missing_ok=True)

    def close(self) -> None:
        """Never raises: what a full disk did not take is lost."""
        file, self.file = self.file, None
        try:
            if file is not None:
                file.close()
        except OSError as error:
            self.lost += 1
            self.why = error.strerror or "cannot be written"

    @property
    def size(self) -> int:
        return sum(size for _, _, size in self.files)

    @property
    def covers(self) -> tuple[datetime, datetime] | None:
        """From when to when; None: nothing yet."""
        if not self.files:
            return None
        first, last = (datetime.fromtimestamp(one, UTC) for one in (self.files[0][1], self.last))
        return first, last
