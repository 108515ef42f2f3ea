"""What NCCL's RAS knew of a job at one moment.  Pure data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Place:
    """`rank` is of the communicator; -1 where only the process is known."""

    rank: int
    node: str = ""
    pid: int = 0
    gpu: str = ""


@dataclass(frozen=True, slots=True)
class Level:
    """How many ranks have launched `value` operations; `places`: those that are named."""

    value: int
    count: int
    places: tuple[Place, ...] = ()


@dataclass(frozen=True, slots=True)
class Communicator:
    """`levels`: by operation, only where ranks differ (text) or all (JSON); "" is any operation."""

    name: str
    size: int | None = None
    levels: Mapping[str, tuple[Level, ...]] = field(default_factory=dict)
    missing: tuple[Place, ...] = ()
    errors: tuple[tuple[Place, str], ...] = ()
    status_differs: bool = False

    @property
    def places(self) -> Iterator[Place]:
        """All that are named, some several times."""
        for levels in self.levels.values():
            for level in levels:
                yield from level.places
        yield from self.missing
        yield from (place for place, _ in self.errors)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One answer.  `lost`: processes that gave no data, and `dead` those that never will.

    `gpus`: of the job, as far as RAS knows it.
    """

    communicators: tuple[Communicator, ...] = ()
    lost: tuple[Place, ...] = ()
    dead: tuple[Place, ...] = ()
    timeouts: int = 0
    whole: bool = True
    gpus: int | None = None
