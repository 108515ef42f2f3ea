"""A program of this machine that is told something on its standard input."""

from __future__ import annotations

import os
import selectors
import subprocess
import tempfile
import time
from pathlib import Path

from clusterctl.model import Answer, Kind, Trouble
from clusterctl.transport.killed import kill_group

CAP_BYTES = 1 << 16
READ_BYTES = 1 << 14
LEAVE_S = 4.0


def run_script(path: Path, words: tuple[str, ...], told: str, timeout_s: float) -> Answer | Trouble:
    """What it said, stderr among it, capped; at its deadline its whole process group is killed."""
    with tempfile.TemporaryFile() as given:  # not a pipe: it need not read it
        given.write(told.encode())
        given.seek(0)
        try:
            process = subprocess.Popen(
                [str(path), *words],
                stdin=given,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                bufsize=0,
                start_new_session=True,
            )
        except OSError as error:
            return Trouble(Kind.MISSING, f"{path}: {error.strerror}")
    began = time.monotonic()
    said = bytearray()
    truncated, code = False, None
    try:
        truncated = listen(process, began + timeout_s, said)
        code = process.wait(max(0.0, began + timeout_s - time.monotonic()))
    except subprocess.TimeoutExpired:
        pass
    finally:
        kill_group(process, LEAVE_S)  # also what it left in the background
        if process.stdout is not None:
            process.stdout.close()
    spent_s = time.monotonic() - began
    return Answer(path.name, code, said.decode("utf-8", "replace"), "", spent_s, truncated)


def listen(process: subprocess.Popen[bytes], deadline: float, said: bytearray) -> bool:
    """Reads until it closes its output, or ends, or the deadline; whether the cap was passed."""
    truncated = False
    with selectors.DefaultSelector() as ready:
        if process.stdout is not None:
            ready.register(process.stdout, selectors.EVENT_READ)
        while (left := deadline - time.monotonic()) > 0:
            for key, _ in ready.select(min(left, 0.2)):
                chunk = os.read(key.fd, READ_BYTES)
                if not chunk:
                    return truncated
                said += chunk[: CAP_BYTES - len(said)]
                truncated |= len(said) >= CAP_BYTES
            if process.poll() is not None and not ready.select(0):
                return truncated  # what it left behind holds the pipe open
    return truncated
