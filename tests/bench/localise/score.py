"""One world, judged: what was named, what was planted, what cannot be told apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from world import Fault

from clusterctl.localise.columns import Measured, Topology


@dataclass(frozen=True, slots=True)
class Claim:
    component: str
    posterior: float
    rivals: tuple[str, ...] = ()
    rate: float = float("nan")


@dataclass(slots=True)
class Tally:
    planted: int = 0
    found: int = 0  # planted, and named exactly
    found_class: int = 0  # or by a name that the same measurements cannot tell from it
    found_top3: int = 0  # or among the rivals that the claim lists
    claims: int = 0
    right: int = 0
    right_class: int = 0
    runs: int = 0
    tests: int = 0  # asked for beyond the first rounds
    rate_errors: list[float] | None = None
    calibration: list[tuple[float, bool]] | None = None

    def add(
        self,
        faults: Sequence[Fault],
        claims: Sequence[Claim],
        topology: Topology,
        rows: Measured,
        extra: int,
    ) -> None:
        self.runs += 1
        self.tests += extra
        self.planted += len(faults)
        self.claims += len(claims)
        same = {fault.component: crossing(fault.component, topology, rows) for fault in faults}
        named = {claim.component: crossing(claim.component, topology, rows) for claim in claims}
        for fault in faults:
            exact = fault.component in named
            alike = exact or any(np.array_equal(same[fault.component], at) for at in named.values())
            self.found += exact
            self.found_class += alike
            self.found_top3 += alike or any(fault.component in claim.rivals[:3] for claim in claims)
        for claim in claims:
            exact = claim.component in same
            alike = exact or any(np.array_equal(named[claim.component], at) for at in same.values())
            self.right += exact
            self.right_class += alike
            if self.calibration is None:
                self.calibration, self.rate_errors = [], []
            self.calibration.append((claim.posterior, alike))
            for fault in faults:
                if fault.component == claim.component:
                    self.rate_errors.append(claim.rate - fault.rate)

    def row(self) -> dict[str, float]:
        share = lambda a, b: a / b if b else float("nan")  # noqa: E731
        return {
            "precision": share(self.right, self.claims),
            "recall": share(self.found, self.planted),
            "class_precision": share(self.right_class, self.claims),
            "class_recall": share(self.found_class, self.planted),
            "top3": share(self.found_top3, self.planted),
            "false_per_run": (self.claims - self.right_class) / max(self.runs, 1),
            "tests_per_run": self.tests / max(self.runs, 1),
            "faults": self.planted,
        }


def crossing(component: str, topology: Topology, rows: Measured) -> np.ndarray:  # noqa: PLR0911 - one a kind
    """Which measurements that ran cross it: two components with the same answer are one class."""
    kind, _, rest = component.partition(":")
    index = {name: i for i, name in enumerate(topology.nodes)}
    src, dst, rail, via = rows.src, rows.dst, rows.rail, rows.via
    one, two = topology.leaf[src, rail], topology.leaf[dst, rail]
    cross = one != two
    ran = rows.status != 2
    match kind:
        case "host":
            return ran & ((src == index[rest]) | (dst == index[rest]))
        case "nic-tx" | "nic-rx":
            node, _, r = rest.rpartition("/")
            return ran & (rail == int(r)) & ((src if kind == "nic-tx" else dst) == index[node])
        case "leaf":
            leaf, r = map(int, rest.split("/"))
            return ran & (rail == r) & ((one == leaf) | (two == leaf))
        case "uplinks" | "downlinks":
            leaf, r = map(int, rest.split("/"))
            return ran & cross & (rail == r) & ((one if kind == "uplinks" else two) == leaf)
        case "uplink":
            (leaf, _, tail) = rest.partition("/")
            r, _, spine = tail.partition(">")
            return ran & cross & (rail == int(r)) & (one == int(leaf)) & (via == int(spine))
        case "downlink":
            spine, _, tail = rest.partition(">")
            leaf, _, r = tail.partition("/")
            return ran & cross & (rail == int(r)) & (two == int(leaf)) & (via == int(spine))
        case "spine":
            return ran & cross & (via == int(rest))
    raise ValueError(component)


def joined(one: Measured, two: Measured) -> Measured:
    return Measured(
        *(np.concatenate([getattr(one, name), getattr(two, name)]) for name in Measured.__slots__)
    )
