"""One of a kind at a time: a lock that names its holder, and that no crash leaves behind."""

from __future__ import annotations

import fcntl
import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from clusterctl.model import UserError
from clusterctl.spelling import visible

log = logging.getLogger(__name__)

MOST_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a lock.  `since`: as people read it, with its time zone."""

    pid: int
    host: str
    since: str
    command: str


@contextmanager
def held(path: Path, me: Holder, what: str) -> Iterator[None]:
    """Hold `path` until the end.  The kernel lets go of it when we die, however we die.

    Raises UserError where somebody else holds it, who is named, or where there is no room for it.
    Where the file system knows no locks that is logged, and nobody is kept out.
    """
    handle = taken(path, what)
    with suppress(OSError):  # a full disk costs the name of the holder, not the lock
        os.ftruncate(handle, 0)
        os.pwrite(handle, json.dumps(asdict(me)).encode(), 0)
    try:
        yield
    finally:
        with suppress(OSError):
            path.unlink()  # while it is held: whoever waits for this very file looks again
        os.close(handle)


def taken(path: Path, what: str) -> int:
    """The open file of a lock that is ours now."""
    while True:
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise UserError(f"{path}: {error.strerror}; choose another --runs-dir") from None
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            said = os.pread(handle, MOST_BYTES, 0)
            os.close(handle)
            raise UserError(f"{what} is running already, {named(said)}; nothing was run") from None
        except OSError as error:
            log.warning("%s: %s: two at once would not be noticed", path, error.strerror)
            return handle
        if is_still(handle, path):
            return handle
        os.close(handle)


def is_still(handle: int, path: Path) -> bool:
    """Whether the file that we locked is the one that others will find there."""
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


def named(said: bytes) -> str:
    try:
        holder = Holder(**json.loads(said))
    except (ValueError, TypeError):
        return "by somebody who has just begun"
    return (
        f"by process {holder.pid} on {visible(str(holder.host), 80)} since "
        f"{visible(str(holder.since), 40)} ({visible(str(holder.command), 200)})"
    )
