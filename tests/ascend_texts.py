"""Where texts of Ascend's tools are found, for tests."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from clusterctl.catalog import all_probes
from clusterctl.model import Fact, Trouble

MIB = 1 << 20
HERE = Path(__file__).parent
CAPTURES = HERE.parent.parent / "shared/captures"
OWN = HERE / "captured"


def read(probe: str, text: str) -> tuple[list[Fact], list[Trouble]]:
    found = list(all_probes()[probe].parse(text))
    troubles = [item for item in found if isinstance(item, Trouble)]
    return [item for item in found if not isinstance(item, Trouble)], troubles


def capture(name: str) -> Path:
    return CAPTURES / name


def here(name: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(
        not capture(name).exists(), reason=f"{name} is not among this checkout's captures"
    )


def each(table: Iterable[str]) -> list[object]:
    return [pytest.param(name, marks=here(name)) for name in table]
