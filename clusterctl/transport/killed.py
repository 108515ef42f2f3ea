"""The end of a process that we started in a session of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from contextlib import suppress
from typing import Any


def kill_group(process: subprocess.Popen[Any], patience_s: float) -> None:
    """SIGKILL to all of its group; what outlives that, root's or stuck in the kernel, is left.

    Waits no longer than `patience_s`; it is collected whenever it ends.
    """
    signal_group(process, signal.SIGKILL)
    try:
        process.wait(patience_s)
    except subprocess.TimeoutExpired:
        collect_later(process)


def signal_group(process: subprocess.Popen[Any], number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):  # the second: it became root, by sudo
        os.killpg(process.pid, number)


def collect_later(process: subprocess.Popen[Any]) -> None:
    threading.Thread(target=process.wait, daemon=True).start()
