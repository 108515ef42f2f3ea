"""What localisation reads: who hangs on which leaf, and what each path carried."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

UNKNOWN = -1
OK, FAILED, MISSING = 0, 1, 2
STATUSES = ("ok", "failed", "missing")


@dataclass(frozen=True, slots=True)
class Topology:
    """A two-level fabric of rails; components are written with these names and numbers.

    `leaf[node, rail]` is the number of the leaf within its rail, UNKNOWN where nobody said.
    """

    nodes: tuple[str, ...]
    leaf: NDArray[np.int32]  # (nodes, rails)
    uplinks: int = 0  # spines that every leaf reaches; 0: not known
    origin: str = ""  # file, tool or guess that it comes from, for the reader


@dataclass(frozen=True, slots=True)
class Measured:
    """One directed measurement a row, columns of equal length; `src` and `dst` index the nodes."""

    round: NDArray[np.int32]
    src: NDArray[np.int32]
    dst: NDArray[np.int32]
    rail: NDArray[np.int32]
    via: NDArray[np.int32]  # the spine taken; UNKNOWN: hashed, sprayed or not said
    gbit_s: NDArray[np.float64]  # nan unless status is OK
    status: NDArray[np.int8]  # OK, FAILED: ran and gave nothing; MISSING: did not run
