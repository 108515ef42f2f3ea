"""What inventory tests share: a file written, then its nodes or its one-line refusal."""

from __future__ import annotations

from pathlib import Path

import pytest

from clusterctl.inventory import load
from clusterctl.model import Node, UserError


def nodes_of(folder: Path, name: str, text: str | bytes, **how: str) -> dict[str, Node]:
    file = folder / name
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return {node.name: node for node in load([file], **how)}


def nodes_or_one_line(folder: Path, name: str, text: str | bytes) -> bool:
    try:
        return bool(nodes_of(folder, name, text))
    except UserError as error:
        return "\n" not in str(error)


def refusal(folder: Path, name: str, text: str | bytes) -> str:
    with pytest.raises(UserError) as caught:
        nodes_of(folder, name, text)
    line = str(caught.value)
    assert "\n" not in line
    return line.removeprefix(f"{folder}/")
