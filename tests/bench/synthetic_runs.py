#!/usr/bin/env python3
"""Runs of any size that no hardware gave, with planted faults: for pages, tests and timings.

    tests/bench/synthetic_runs.py 1 16 500 --out /tmp/pages

Facts are made up and judged by the real checks, so every number on the page was reckoned, none
painted.  Prints the size of each page and how long it took.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from math import sin
from pathlib import Path
from random import Random

from clusterctl import acceptance, playbook
from clusterctl.judge import Past, judge
from clusterctl.model import (
    WHOLE_NODE,
    Accelerator,
    Bandwidth,
    Burn,
    Drive,
    Fact,
    Kind,
    Node,
    Observation,
    PcieDevice,
    Port,
    Run,
    Stage,
    Trouble,
    Version,
)
from clusterctl.report import html
from clusterctl.report.accounts import account
from clusterctl.report.histories import Series
from clusterctl.report.standings import Standing, decided
from clusterctl.run import as_probe

START = datetime(2026, 3, 1, 8, tzinfo=UTC)
HOSTILE = '<script>alert(1)</script>"><img src=x onerror=alert(2)>\x1b[31mred\u202egnp.exe\x00&amp;'
PER_RACK = 16
MODEL = "NVIDIA H100 80GB HBM3"
# fault -> which node of every hundred has it; small runs have those that fit.
FAULTS = {
    "slow_gpu": 2,
    "uncorrectable": 4,
    "remap_failed": 7,
    "hostile": 9,
    "off": 11,
    "hot": 13,
    "slow_path": 14,
    "gpu_missing": 23,
    "drive_worn": 41,
}


def nodes(count: int, *, racks: bool = True) -> tuple[Node, ...]:
    wide = max(2, len(str(count)))
    return tuple(
        Node(
            f"n{number:0{wide}}",
            labels={
                "rack": rack_name(number),
                "unit": str(2 * ((number - 1) % PER_RACK) + 1),
                "serial": f"CHS{number:06}",
            }
            if racks
            else {},
            origin=f"inventory.yml:{number + 3}",
        )
        for number in range(1, count + 1)
    )


def rack_name(number: int) -> str:
    rack = (number - 1) // PER_RACK + 1
    return "机柜-03" if rack == 3 else f"r{rack:02}"


def fault(number: int) -> str:
    return next((name for name, at in FAULTS.items() if number % 100 == at), "")


def looks(node: Node, number: int, rng: Random) -> Iterator[tuple[str, list[Fact]]]:
    wrong = fault(number)
    hostile = HOSTILE if wrong == "hostile" else ""
    cards = [card(gpu, number, wrong, rng) for gpu in range(8)]
    yield (
        "nvml",
        [
            *(cards[:7] if wrong == "gpu_missing" else cards),
            Version("driver/nvidia", hostile or "550.90.07"),
        ],
    )
    yield (
        "pci",
        [PcieDevice(f"0000:{0x1B + 8 * gpu:02x}:00.0", "accelerator", "10de", "2330", "030200",
                    "nvidia", "nvidia", 5, 5, 16, 16) for gpu in range(8)],
    )  # fmt: skip
    yield "sysfs_rdma", [port(index, number) for index in range(8)]
    yield "drives", [drive(index, number, wrong) for index in range(2)]
    yield (
        "versions",
        [Version("kernel", "5.15.0-105" if number % 50 else "5.15.0-91"),
         Version("firmware/bios", "1.4.2"), Version("os", hostile or "Ubuntu 22.04.4 LTS")],
    )  # fmt: skip


def card(gpu: int, number: int, wrong: str, rng: Random) -> Accelerator:
    odd = gpu == 3
    return Accelerator(
        f"gpu{gpu}",
        "nvidia",
        gpu,
        uuid=f"GPU-{number:08x}-0000-4000-8000-{gpu:012x}",
        serial=HOSTILE if wrong == "hostile" and odd else f"16530{number:06}{gpu}",
        model=MODEL,
        pci=f"0000:{0x1B + 8 * gpu:02x}:00.0",
        temp_c=91.0 if wrong == "hot" and odd else rng.uniform(31, 37),
        temp_slowdown_c=89.0,
        power_w=rng.uniform(68, 80),
        power_limit_w=700.0,
        power_limit_default_w=700.0,
        throttle=("hw_slowdown", "hw_thermal") if wrong == "hot" and odd else ("idle",),
        ecc_on=True,
        ecc_corrected_volatile=0,
        ecc_uncorrected_volatile=2 if wrong == "uncorrectable" and odd else 0,
        remapped_corrected=0,
        remapped_uncorrected=3 if wrong == "remap_failed" and odd else 0,
        remap_pending=False,
        remap_failed=wrong == "remap_failed" and odd,
        pcie_gen=5,
        pcie_gen_max=5,
        pcie_width=16,
        pcie_width_max=16,
        fabric_state="completed",
        fabric_status="success",
        recovery_action="none",
        persistence=True,
        mig=False,
    )


def port(index: int, number: int) -> Port:
    return Port(
        f"mlx5_{index}/1",
        f"mlx5_{index}",
        "active",
        "infiniband",
        "linkup",
        rate_gbit_s=400.0,
        driver="mlx5_core",
        guid=f"0xa088c203{number:05x}{index:03x}",
        enabled=True,
        counters={"symbol_error": 0, "link_downed": 0},
    )


def drive(index: int, number: int, wrong: str) -> Drive:
    worn = wrong == "drive_worn" and index == 1
    return Drive(
        f"nvme{index}",
        "SAMSUNG MZQL23T8HCLS-00A07",
        f"S64HNE0R{number:05}{index}",
        state="live",
        critical_warning=1 if worn else 0,
        spare_percent=4.0 if worn else 100.0,
        spare_threshold_percent=10.0,
        used_percent=1.0,
        media_errors=0,
        temp_c=38.0,
    )


def loads(node: Node, number: int, peer: Node, rng: Random) -> Iterator[tuple[str, list[Fact]]]:
    wrong = fault(number)
    yield "cpu_burn", [
        Burn("cpu", "stress-ng 0.15", 600, rate=rng.gauss(2100, 15), rate_unit="op_s", errors=0,
             covered=1, asked=1)
    ]  # fmt: skip
    yield (
        "gpu_burn",
        [
            Burn(f"gpu{gpu}", "built-in CUDA", 3600, rate=rate(gpu, wrong, rng),
                 rate_unit="tflop_s", errors=1 if wrong == "uncorrectable" and gpu == 3 else 0,
                 covered=0.97, asked=0.9)
            for gpu in range(8)
        ],
    )  # fmt: skip
    slow = 0.55 if wrong == "slow_path" else 1.0
    path = Bandwidth(f"{peer.name}>{node.name}", "built-in TCP", slow * rng.gauss(378, 2), 1 << 20)
    yield "pair_bandwidth", [path]


def rate(gpu: int, wrong: str, rng: Random) -> float:
    if wrong == "slow_gpu" and gpu in {2, 5}:
        return rng.gauss(540, 4)
    return rng.gauss(641, 4) * (0.93 if wrong == "hot" and gpu == 3 else 1)


def made(count: int, *, seed: int = 7, racks: bool = True) -> Run:
    """A burn-in of so many nodes, judged."""
    rng = Random(seed)
    fleet = nodes(count, racks=racks)
    given = playbook.build(
        "synthetic",
        {
            "name": "burnin-72h",
            "about": "72 hours of load, made up",
            "probes": ["nvml", "pci", "sysfs_rdma", "drives", "versions"],
            "stages": ["cpu_burn", {"cpu_burn": {"seconds": 600.0}}, "pair_bandwidth"],
        },
    )
    cpu, other, pair = given.stages
    gpu = Stage(
        replace(other.trial, name="gpu_burn", about="matrix products, checked"), other.params
    )
    book = replace(given, stages=(cpu, gpu, pair))
    seen: list[Observation] = []
    for number, node in enumerate(fleet, 1):
        at = START + timedelta(hours=72)
        peer = fleet[number % count]
        said = [*looks(node, number, rng), *loads(node, number, peer, rng)]
        for probe, facts in said:
            if fault(number) == "off":
                off = Trouble(Kind.UNREACHABLE, f"{node.name}: no route to host", WHOLE_NODE)
                seen.append(Observation(node.name, probe, at, (), (off,)))
            elif fault(number) == "hostile" and probe == "sysfs_rdma":
                bad = Trouble(Kind.UNREADABLE, f"not a port: {HOSTILE}")
                seen.append(Observation(node.name, probe, at, (), (bad,)))
            elif probe == "pair_bandwidth" and count == 1:
                seen.append(Observation(node.name, probe, at, skip="needs 2 nodes, found 1"))
            else:
                seen.append(Observation(node.name, probe, at, tuple(facts)))
    probes = {probe.name: probe for probe in book.probes} | {
        stage.trial.name: as_probe(stage.trial) for stage in book.stages
    }
    past = Past([one for one in seen if one.probe in {p.name for p in book.probes}], 259_200.0)
    findings = judge(book, fleet, seen, probes=probes, skus=playbook.skus(), past=past)
    return Run(
        "20260301T080000-burnin-72h-5eed",
        book,
        fleet,
        seed,
        START,
        START + timedelta(hours=72, minutes=6),
        tuple(seen),
        tuple(findings),
        verb="burnin",
        past_s=259_200.0,
    )


def soak(run: Run, *, every_s: float = 60.0, hours: float = 72.0) -> Series:
    """Temperature, power and a counter of every node that has a fault; one gap in the middle."""
    series: dict[tuple[str, str, str], list[tuple[float, float]]] = {}
    for number, node in enumerate(run.nodes, 1):
        wrong = fault(number)
        if not wrong or wrong == "off":
            continue
        rng = Random(number)
        times = [at * every_s for at in range(int(hours * 3600 / every_s))]
        times = [at for at in times if not 30 * 3600 < at < 33.5 * 3600]
        for gpu in range(8):
            odd = wrong == "hot" and gpu == 3
            part = f"gpu{gpu}"
            series[node.name, part, "temp_c"] = [
                (at, 58 + gpu + 3 * sin(at / 14_000) + rng.gauss(0, 0.5) + (22 if odd else 0))
                for at in times
            ]
            series[node.name, part, "power_w"] = [
                (at, 690 + rng.gauss(0, 4) - (90 if odd and at % 7200 < 2400 else 0))
                for at in times
            ]
            jump = wrong == "uncorrectable" and gpu == 3
            series[node.name, part, "ecc_uncorrected_per_h"] = [
                (at, 2.0 if jump and 50 * 3600 < at < 50 * 3600 + 300 else 0.0) for at in times
            ]
    return series


def verdicts(run: Run) -> list[Standing]:
    return decided(acceptance.decide(run, acceptance.shipped_rules()), account(run))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("counts", nargs="*", type=int, default=[1, 16, 500])
    parser.add_argument("--out", type=Path, default=Path())
    given = parser.parse_args()
    for count in given.counts:
        run = made(count)
        series = soak(run)
        began = time.perf_counter()
        text = html.page(run, skus=playbook.skus(), standings=verdicts(run), series=series)
        seconds = time.perf_counter() - began
        path = given.out / f"burnin-{count}.html"
        path.write_text(text, encoding="utf-8")
        print(f"{path}: {len(text.encode()) / 1e6:.2f} MB in {seconds:.1f} s")


if __name__ == "__main__":
    main()
