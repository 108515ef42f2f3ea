"""What localisation answers: parts under suspicion, what could not be said, what to test next."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Test:
    """One directed measurement, done or to be done.

    `rail` counts from 0.  `via` is the spine to take, None where it does not matter or cannot be
    chosen.  `rate` is the fraction of the healthy rate that it gave: 0.0 for one that failed, None
    for one not yet run.  `round` of a test to be run counts from 0: tests of equal round may run
    side by side.
    """

    round: int
    src: str
    dst: str
    rail: int
    via: int | None = None
    rate: float | None = None


@dataclass(frozen=True, slots=True)
class Rival:
    """Another component that would explain the same evidence."""

    component: str
    posterior: float


@dataclass(frozen=True, slots=True)
class Suspect:
    """A component that slows what crosses it.

    `rate` is the fraction of the healthy rate that it lets through, 0.48: slows to 48 %, with its
    95 % interval `low` to `high`.  `posterior` is the probability that this component is at fault.
    `rivals` are those it could be instead, likeliest first.  `evidence_for` holds tests that were
    slow across it, `evidence_against` tests that clear its rivals; `rounds` says in how many
    rounds it was seen slow.
    """

    component: str
    rate: float
    low: float
    high: float
    posterior: float
    rivals: tuple[Rival, ...] = ()
    evidence_for: tuple[Test, ...] = ()
    evidence_against: tuple[Test, ...] = ()
    paths: int = 0  # tests that crossed it
    rounds: int = 0
    advice: str = ""
    counters: tuple[str, ...] = ()  # what its own port counted meanwhile: symbol_error +12


@dataclass(frozen=True, slots=True)
class Inconclusive:
    """Something that the measurements neither clear nor convict, and why."""

    component: str
    why: str
    posterior: float | None = None


@dataclass(frozen=True, slots=True)
class Population:
    """What a whole group of paths or nodes shares: not so many single faults but one cause."""

    where: str
    gbit_s: float
    expected_gbit_s: float | None
    why: str
    source: str = ""


@dataclass(frozen=True, slots=True)
class Floor:
    """What a healthy path carries at least; `rail` and `tier` None: all of them.

    `tier` is "intra" within a leaf, "cross" between leaves.
    """

    gbit_s: float
    source: str
    rail: int | None = None
    tier: str | None = None


@dataclass(frozen=True, slots=True)
class Located:
    """The whole answer; `confirm` is empty when nothing more is worth asking."""

    suspects: tuple[Suspect, ...] = ()
    inconclusive: tuple[Inconclusive, ...] = ()
    population: tuple[Population, ...] = ()
    confirm: tuple[Test, ...] = ()
    measured: int = 0  # paths that gave a rate
    failed: int = 0
    missing: int = 0
