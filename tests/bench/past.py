#!/usr/bin/env python3
"""How often a part's own past cries without cause, and how soon it notices a part that decays.

    tests/bench/past.py --nodes 1250 --nights 60

Cards of racks whose readings share a season, a rack's own weather, nights that resemble the night
before, heavy tails (Student, 3 degrees of freedom), and one night in a hundred that is far off.
Nothing is wrong with any of them, so every finding is false; then faults are planted.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd

from clusterctl.memory.past import worse
from clusterctl.memory.quantities import Quantity, quantities
from clusterctl.memory.series import Series

# noise: of a night, of what nights have in common with the one before (AR(1), 0.7), of the outlier
NOISE = {
    "gpu_temperature": (55.0, 1.0, 1.0, 8.0),
    "gpu_memory_temperature": (62.0, 1.2, 1.0, 8.0),
    "burn_rate": (640.0, 4.0, 2.0, 40.0),
    "burn_clock": (1700.0, 12.0, 5.0, 120.0),
    "burn_power": (690.0, 6.0, 3.0, 60.0),
    "h2d": (55.0, 0.3, 0.15, 5.0),
    "d2h": (54.0, 0.3, 0.15, 5.0),
    "optic_rx": (0.5, 0.2, 0.2, 1.5),
}
PER_RACK = 16


def names(nodes: int) -> tuple[pd.DataFrame, dict[str, dict[str, str]]]:
    parts = pd.DataFrame(
        {
            "node": [f"n{node:04}" for node in range(nodes) for _ in range(8)],
            "part": [f"gpu{gpu}" for _ in range(nodes) for gpu in range(8)],
        }
    )
    labels = {f"n{node:04}": {"rack": f"r{node // PER_RACK:02}"} for node in range(nodes)}
    return parts.assign(mark="", model="H100", variant="", probe="x", slot=""), labels


def readings(quantity: Quantity, nodes: int, nights: int, rng: np.random.Generator) -> np.ndarray:
    level, noise, kept, far = NOISE[quantity.name]
    cards, racks = nodes * 8, -(-nodes // PER_RACK)
    made = rng.normal(level, noise * 2, (cards, 1)) + noise / 1.7 * rng.standard_t(
        3, (cards, nights)
    )
    made += walk(cards, nights, kept, rng)
    made += np.repeat(walk(racks, nights, noise, rng), PER_RACK * 8, axis=0)[:cards]
    made += noise * 2 * np.sin(np.arange(nights) / 9)
    return made + far * rng.standard_normal((cards, nights)) * (rng.random((cards, nights)) < 0.01)


def walk(rows: int, nights: int, sigma: float, rng: np.random.Generator) -> np.ndarray:
    steps = rng.normal(0, sigma * np.sqrt(1 - 0.7**2), (rows, nights))
    steps[:, 0] = rng.normal(0, sigma, rows)
    for night in range(1, nights):
        steps[:, night] += 0.7 * steps[:, night - 1]
    return steps


def told(quantity: Quantity, parts: pd.DataFrame, numbers: np.ndarray) -> Series:
    start = datetime(2026, 1, 1, 2, tzinfo=UTC)
    nights = tuple(start + timedelta(days=one) for one in range(numbers.shape[1]))
    plain = replace(quantity, load="")
    return Series(plain, parts, nights, numbers)


def false_alarms(given: argparse.Namespace, table: dict[str, Quantity]) -> None:
    parts, labels = names(given.nodes)
    total, judged, began = 0, 0, time.monotonic()
    for name, quantity in table.items():
        rng = np.random.default_rng(len(name))
        numbers = readings(quantity, given.nodes, given.nights + given.judged, rng)
        found = 0
        for last in range(given.nights, given.nights + given.judged):
            window = told(quantity, parts, numbers[:, last - given.nights : last])
            found += len(worse(window, labels, quantities=len(quantities())))
        judged += given.judged * len(parts)
        total += found
        print(f"  {name:24} {found} false on {given.judged} nights of {len(parts)} parts")
    print(
        f"{total} false findings in {judged} comparisons on {given.judged} nights: "
        f"{total / given.judged:.3f} a night ({time.monotonic() - began:.0f} s)"
    )


def noticed(given: argparse.Namespace, quantity: Quantity) -> None:
    """Nights from the day a decay begins until it is named, and what it has cost by then."""
    parts, labels = names(given.nodes)
    sign = -1 if quantity.bad == "down" else 1
    for share, days, width in ((0.06, 1, 1), (0.10, 1, 1), (0.12, 21, 1), (0.12, 21, 128)):
        rng = np.random.default_rng(days)
        numbers = readings(quantity, given.nodes, given.nights + 40, rng)
        start = given.nights - 1
        fall = np.clip((np.arange(numbers.shape[1]) - start + 1) / days, 0, 1) * share
        victims = slice(1280, 1280 + width)
        numbers[victims] *= 1 + sign * fall
        for last in range(start + 1, numbers.shape[1]):
            window = told(quantity, parts, numbers[:, last - given.nights : last])
            found = worse(window, labels, quantities=len(quantities()))
            if found:
                one = found[0]
                print(
                    f"  {quantity.name} -{share:.0%} in {days} days of {width} parts: after "
                    f"{last - start} nights at -{fall[last - 1]:.1%}, {len(found)} finding: "
                    f"{one.level} of {len(one.nodes)} nodes, since {one.since:%m-%d}, "
                    f"began {window.nights[-1] - timedelta(days=last - 1 - start):%m-%d}"
                )
                break
        else:
            print(f"  {quantity.name} -{share:.0%} in {days} days: never")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--nodes", type=int, default=1250)
    parser.add_argument("--nights", type=int, default=60)
    parser.add_argument("--judged", type=int, default=30, help="nights that are judged")
    given = parser.parse_args()
    table = {one.name: one for one in quantities() if one.name in NOISE}
    false_alarms(given, table)
    noticed(given, table["h2d"])


if __name__ == "__main__":
    main()
