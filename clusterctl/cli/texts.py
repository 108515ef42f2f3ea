"""Captured texts in, facts as plain data out."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from clusterctl import codec
from clusterctl.model import Fact, Trouble, UserError


def read_text(file: Path | None) -> str:
    """Any bytes are text here, as they are when a node sends them.  Raises UserError."""
    if file is None or str(file) == "-":
        return sys.stdin.buffer.read().decode("utf-8", "replace")
    try:
        return file.read_bytes().decode("utf-8", "replace")
    except OSError as error:
        raise UserError(f"{file}: {error.strerror}") from None


def spell(found: Iterable[Fact | Trouble]) -> dict[str, list[dict[str, object]]]:
    """`{"facts": [{"type": …}], "troubles": [{"kind", "detail", "part"}]}`"""
    facts: list[dict[str, object]] = []
    troubles: list[dict[str, object]] = []
    for item in found:
        if isinstance(item, Trouble):
            troubles.append({"kind": str(item.kind), "detail": item.detail, "part": item.part})
        else:
            facts.append(codec.spell(item))
    return {"facts": facts, "troubles": troubles}
