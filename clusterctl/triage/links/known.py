"""What probing paths showed, in nouns.  Pure data."""

from __future__ import annotations

from dataclasses import dataclass

from clusterctl.triage.verdict import Suspect


@dataclass(frozen=True, slots=True)
class Way:
    """One direction between two nodes on a rail, and what a few small messages met there.

    `sent` segments, of which `lost` never came; None: this kernel does not count them.  `wait_us`
    and `wait_90_us`: how much longer than the quickest of them the median message took and the
    one in ten that took longest; None: none came back.  `send_90_us`: what the sender itself took
    over one in ten of them, at least; how long they waited is not known better than that.
    """

    source: str
    target: str
    rail: int
    sent: int
    lost: int | None
    wait_us: float | None = None
    wait_90_us: float | None = None
    rtt_us: float | None = None  # there and back, of the median message
    rtt_least_us: float | None = None
    send_90_us: float = 0.0

    @property
    def called(self) -> str:
        return f"{self.source}>{self.target}/{self.rail}"


@dataclass(frozen=True, slots=True)
class Links:
    """What one way of probing found.

    `how`: in words.  `rates`: whether it measured what paths carry, so that a slow one that is
    not named is not there.  `nodes`: those whose paths it clears, where it names none of theirs.
    `quiet`: the figures that rule the network out.  `evidence`: what names no part.  `everybody`:
    that most NICs are the same way ill.
    """

    how: str
    nodes: frozenset[str]
    suspects: tuple[Suspect, ...] = ()
    evidence: tuple[str, ...] = ()
    everybody: str = ""
    quiet: str = ""
    unseen: tuple[str, ...] = ()
    rates: bool = False
