"""Files and links by a list of them."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from pathlib import Path

LINK = ">"  # a text that starts so is a symbolic link to what follows

Entry = tuple[str, str | bytes]  # path below the root, content


def write(root: Path, entries: Iterable[Entry]) -> None:
    """Put them below `root`.  A file that is there is replaced, never written into."""
    for name, content in entries:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        elif content.startswith(LINK):
            path.symlink_to(content[len(LINK) :])
        else:
            path.write_text(f"{content}\n")


def clone(template: Path, target: Path) -> None:
    """A copy that shares its files with the template: only what is replaced costs memory."""
    subprocess.run(["cp", "-al", str(template), str(target)], check=True)
