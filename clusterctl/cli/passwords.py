"""Passwords of BMCs and switches: from the environment or a file that only its owner may read.

Never from the command line, which every process may read, nor from an inventory, which is kept.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from clusterctl.model import UserError


def given(variable: str) -> str:
    """The password in `variable`, or in the file that `variable`_FILE names; empty: neither.

    Raises UserError.
    """
    if secret := os.environ.get(variable):
        return secret
    path = os.environ.get(f"{variable}_FILE")
    return from_file(Path(path), f"{variable}_FILE") if path else ""


def from_file(path: Path, variable: str) -> str:
    try:
        mode = path.stat().st_mode
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{variable}: {path}: {error}") from None
    if stat.S_IMODE(mode) & 0o077:
        raise UserError(f"{variable}: {path}: others may read it: chmod 600 {path}")
    if not lines or not lines[0]:
        raise UserError(f"{variable}: {path}: its first line is empty")
    return lines[0]
