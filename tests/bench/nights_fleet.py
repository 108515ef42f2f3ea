"""A fleet that lives for many nights: what its nodes say each night, and what was planted in it.

Model facts, as the parsers of nvml, sysfs_rdma, ethtool, versions, drives, … give them, with noise
as fleets have it; nothing here knows how a fault is found.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import numpy as np

from clusterctl.model import (
    WHOLE_NODE,
    Accelerator,
    Boot,
    Clock,
    Copy,
    Drive,
    Fact,
    Filesystem,
    KernelEvent,
    Kind,
    LogWindow,
    Memory,
    Node,
    Observation,
    Optic,
    PcieDevice,
    Port,
    Trouble,
    Version,
)

START = datetime(2026, 9, 1, 2, tzinfo=UTC)
GPUS = PORTS = 8
PER_RACK, PER_LEAF = 8, 32
MODEL = "NVIDIA H100 80GB HBM3"
OLD_DRIVER, NEW_DRIVER = "550.54.15", "550.90.07"
PROBES = (
    *("nvml", "pci", "sysfs_rdma", "ethtool", "kernel_log", "versions", "drives", "mounts"),
    *("memory", "clock"),
)
DAY_S = 86400.0
LOW_ALARM_MW = 0.1445  # Huawei hccn_tool: low alarm of received light
BUSY = 0.85  # of the nodes have a job at two in the morning
ROLLOUT, REBOOTED_LEAF = "rollout", "leaf reboot"


@dataclass(frozen=True)
class Planted:
    """`first` to `last`, the night before which it was mended.  `part` is a GPU's or port's number.

    `kind`: fault, decay, swap, flap, edge, rollout, leaf.
    """

    name: str
    kind: str
    nodes: frozenset[int]
    first: int
    last: int
    part: int = 0


# name, kind, first night as a share of all, nights it lasts
STORY = (
    ("ecc", "fault", 0.10, 6),
    ("port_down", "fault", 0.14, 3),
    ("gpu_lost", "fault", 0.20, 9),
    ("half_rate", "fault", 0.27, 5),
    ("xid79", "fault", 0.32, 4),
    ("worn_drive", "fault", 0.40, 12),
    ("read_only", "fault", 0.57, 3),
    ("narrow_pcie", "fault", 0.62, 7),
    ("no_time", "fault", 0.70, 4),
    ("silent_node", "fault", 0.85, 4),
    ("warmer", "decay", 0.20, 99),
    ("slower_h2d", "decay", 0.25, 99),
    ("dimmer", "decay", 0.30, 99),
    ("swap", "swap", 0.24, 99),
    ("swap", "swap", 0.78, 99),
    ("flap", "flap", 0.50, 12),
    ("edge", "edge", 0.05, 99),
    (ROLLOUT, "rollout", 0.45, 5),
    (REBOOTED_LEAF, "leaf", 0.68, 1),
)
LONG = ("decay",)  # kinds that need more nights than a short story has
DECAY_NIGHTS = 20


def planted(nights: int, nodes: int) -> list[Planted]:
    """The story, spread over these nights; nodes far apart, one story each."""
    found = []
    leaf = range(PER_LEAF * (nodes // PER_LEAF // 2), PER_LEAF * (nodes // PER_LEAF // 2 + 1))
    free = [number for number in range(1, nodes) if number not in leaf]
    for number, (name, kind, share, usually) in enumerate(STORY):
        first = max(1, round(share * nights))
        lasts = min(usually, max(2, nights // 6)) if kind == "rollout" else usually
        if kind in LONG and nights - first < DECAY_NIGHTS:
            continue
        whole = {"rollout": range(nodes), "leaf": leaf}.get(kind)
        chosen = frozenset(whole if whole is not None else [free[number * len(free) // len(STORY)]])
        found.append(Planted(name, kind, chosen, first, min(first + lasts, nights), number % GPUS))
    return found


class Fleet:
    """What parts are like.  Arrays are of all GPUs or ports, node by node."""

    def __init__(
        self, nodes: int, nights: int, seed: int = 7, story: Sequence[Planted] | None = None
    ) -> None:
        self.rng = np.random.default_rng(seed)
        self.nights, self.count = nights, nodes
        self.story = planted(nights, nodes) if story is None else story
        wide = len(str(nodes))
        self.nodes = tuple(
            Node(
                f"n{number:0{wide}}",
                labels={
                    "rack": f"r{number // PER_RACK:03}",
                    "leaf": f"l{number // PER_LEAF:02}",
                    "unit": str(number % PER_RACK * 4 + 1),
                    "accelerators": str(GPUS),
                },
            )
            for number in range(nodes)
        )
        shape = (nodes, GPUS)
        racks = self.rng.normal(0, 1.2, nodes // PER_RACK + 1)
        slots = self.rng.normal(0, 1.5, GPUS)
        self.warm = 60 + racks[np.arange(nodes) // PER_RACK, None] + slots
        self.warm = self.warm + self.rng.normal(0, 1.5, shape)
        self.h2d = 55.0 * (1 + self.rng.normal(0, 0.006, shape))
        self.light_dbm = self.rng.normal(0.5, 0.7, (*shape, 1)) + self.rng.normal(
            0, 0.2, (*shape, 4)
        )
        self.corrected = self.rng.poisson(0.3, shape)
        self.corrects = np.where(self.rng.random(shape) < 0.01, 1.5, 0.0)  # a day
        self.symbols = self.rng.poisson(2, shape)
        self.downed = self.rng.poisson(1, shape)
        self.boots = np.zeros(nodes, dtype=int)
        self.full = self.rng.uniform(0.3, 0.6, nodes)

    def active(self, night: int, node: int) -> list[Planted]:
        return [one for one in self.by_node.get(node, ()) if one.first <= night < one.last]

    @property
    def by_node(self) -> dict[int, list[Planted]]:
        found: dict[int, list[Planted]] = {}
        for one in self.story:
            for node in one.nodes if one.kind not in {"rollout", "leaf"} else ():
                found.setdefault(node, []).append(one)
        return found

    def moved(self, night: int) -> int:
        """How many nodes, from the first on, run the new driver by now."""
        for one in self.story:
            if one.kind == "rollout":
                gone = min(max(night - one.first + 1, 0), one.last - one.first)
                return -(-self.count * gone // (one.last - one.first))
        return 0

    def night(self, night: int) -> list[Observation]:
        """One observation a node and probe.  Nights are asked for once each, in order."""
        rng, shape = self.rng, (self.count, GPUS)
        at = START + timedelta(days=night)
        by_node = self.by_node
        before, now = self.moved(night - 1), self.moved(night)
        self.boots[before:now] += 1
        for one in self.story:
            if one.kind == "leaf" and one.first == night:
                self.downed[sorted(one.nodes)] += 1
        busy = rng.random(self.count) < BUSY
        room = rng.normal(0, 0.8)
        heat = np.where(busy[:, None], self.warm, self.warm * 0.4 + 12) + room
        heat = np.round(heat + rng.normal(0, 0.8, shape))
        load = np.where(busy[:, None], np.round(rng.uniform(88, 100, shape)), 0.0)
        copied = self.h2d * (1 + rng.normal(0, 0.004, shape))
        self.corrected += rng.poisson(self.corrects)
        self.symbols += rng.poisson(0.05, shape)
        lit = 10 ** ((self.light_dbm + rng.normal(0, 0.1, self.light_dbm.shape)) / 10)
        self.full = np.clip(self.full + rng.normal(0, 0.01, self.count), 0.2, 0.75)
        seen: list[Observation] = []
        for place, node in enumerate(self.nodes):
            wrong = {
                one.name: one for one in by_node.get(place, ()) if one.first <= night < one.last
            }
            if "silent_node" in wrong:
                seen += silent(node, at)
                continue
            looks = Looks(place, night, wrong, self.nights)
            gpus = looks.cards(heat[place], load[place], self.corrected[place])
            rates = looks.copies(copied[place])
            ports = looks.ports(self.symbols[place], self.downed[place])
            optics = looks.optics(lit[place])
            driver = NEW_DRIVER if place < now else OLD_DRIVER
            facts: dict[str, Sequence[Fact]] = {
                "nvml": [*gpus, Version("driver/nvidia", driver)],
                "pci": looks.slots(),
                "sysfs_rdma": ports,
                "ethtool": optics,
                "kernel_log": looks.log(int(self.boots[place])),
                "versions": VERSIONS,
                "drives": looks.drives(),
                "mounts": looks.mounts(float(self.full[place])),
                "memory": [Memory("memory", 2 << 40, 1 << 40)],
                "clock": [looks.clock()],
                "gpu_bandwidth": rates,
            }
            seen += [Observation(node.name, name, at, tuple(f)) for name, f in facts.items()]
        return seen


SLOTS = [
    PcieDevice(
        *(f"0000:{0x1B + 8 * gpu:02x}:00.0", "accelerator", "10de", "2330", "030200"),
        *("nvidia", "nvidia", 5, 5, 16, 16),
    )
    for gpu in range(GPUS)
]
VERSIONS: list[Fact] = [
    Version("kernel", "5.15.0-105-generic"),
    Version("os", "Ubuntu 22.04.4 LTS"),
    Version("firmware/bios", "1.4.2"),
    Version("sysctl/vm.swappiness", "10"),
]


def silent(node: Node, at: datetime) -> list[Observation]:
    trouble = Trouble(Kind.UNREACHABLE, "port 22 does not answer within 5 s", WHOLE_NODE)
    return [Observation(node.name, name, at, troubles=(trouble,)) for name in PROBES]


@dataclass(frozen=True)
class Looks:
    """One node on one night; `wrong`: what is planted here and on, by name."""

    place: int
    night: int
    wrong: dict[str, Planted]
    nights: int

    def age(self, name: str) -> int:
        """Nights since it began; -1: it is not here."""
        return self.night - self.wrong[name].first if name in self.wrong else -1

    def hit(self, name: str, part: int) -> bool:
        return name in self.wrong and self.wrong[name].part == part

    def cards(
        self, heat: Sequence[float], load: Sequence[float], corrected: Sequence[int]
    ) -> list[Fact]:
        return [
            self.card(gpu, float(heat[gpu]), float(load[gpu]), int(corrected[gpu]))
            for gpu in range(GPUS)
            if not self.hit("gpu_lost", gpu)
        ]

    def card(self, gpu: int, temp_c: float, load: float, corrected: int) -> Accelerator:
        swapped = self.hit("swap", gpu)
        if self.hit("warmer", gpu):  # paste dries, dust gathers: under load 0.6 degrees a night
            temp_c += 0.6 * self.age("warmer") * (1 if load else 0.4)
        if self.hit("edge", gpu):  # at its limit, sometimes above, sometimes below
            temp_c = 84.0 + (self.night * 7 % 5 - 2) if load else temp_c
        lost = 3 if self.hit("ecc", gpu) else 0
        return Accelerator(
            f"gpu{gpu}",
            "nvidia",
            gpu,
            uuid=f"GPU-{self.place:06x}{gpu}{'b' if swapped else 'a'}",
            serial=f"16530{self.place:06}{gpu}{1 if swapped else 0}",
            model=MODEL,
            pci=f"0000:{0x1B + 8 * gpu:02x}:00.0",
            temp_c=temp_c,
            temp_slowdown_c=96.0,
            power_w=620.0 if load else 75.0,
            power_limit_w=700.0,
            power_limit_default_w=700.0,
            utilisation_percent=load,
            throttle=() if load else ("idle",),
            ecc_on=True,
            ecc_corrected_volatile=corrected,
            ecc_corrected_aggregate=corrected,
            ecc_uncorrected_volatile=lost,
            ecc_uncorrected_aggregate=lost,
            remap_pending=False,
            remap_failed=False,
            pcie_gen=5,
            pcie_gen_max=5,
            pcie_width=8 if self.hit("narrow_pcie", gpu) else 16,
            pcie_width_max=16,
            recovery_action="none",
        )

    def slots(self) -> list[PcieDevice]:
        if "narrow_pcie" not in self.wrong:
            return SLOTS
        part = self.wrong["narrow_pcie"].part
        return [replace(one, width=8) if n == part else one for n, one in enumerate(SLOTS)]

    def copies(self, rates: Sequence[float]) -> list[Fact]:
        fallen = 1 - 0.004 * max(self.age("slower_h2d"), 0)  # 8 % in three weeks
        return [
            Copy(
                f"host>gpu{gpu}",
                "built-in CUDA",
                float(rates[gpu]) * (fallen if self.hit("slower_h2d", gpu) else 1),
                size_bytes=1 << 28,
                wrong=0,
                way="pinned",
            )
            for gpu in range(GPUS)
            if not self.hit("gpu_lost", gpu)
        ]

    def ports(self, symbols: Sequence[int], downed: Sequence[int]) -> list[Fact]:
        found: list[Fact] = []
        for port in range(PORTS):
            down = self.hit("port_down", port)
            flaps = 0
            if self.hit("flap", port):  # every third night it goes down and comes back
                flaps = self.age("flap") // 3 + 1
            found.append(
                Port(
                    f"mlx5_{port}/1",
                    f"mlx5_{port}",
                    "down" if down else "active",
                    "infiniband",
                    "polling" if down else "linkup",
                    rate_gbit_s=200.0 if self.hit("half_rate", port) else 400.0,
                    rate_max_gbit_s=400.0,
                    driver="mlx5_core",
                    guid=f"0xa088c203{self.place:05x}{port:03x}",
                    enabled=True,
                    counters={
                        "symbol_error": int(symbols[port]),
                        "link_downed": int(downed[port]) + flaps,
                        "link_error_recovery": 0,
                        "port_rcv_errors": 0,
                    },
                )
            )
        return found

    def optics(self, lit: Sequence[Sequence[float]]) -> list[Fact]:
        return [self.optic(port, lit[port]) for port in range(PORTS)]

    def optic(self, port: int, lit: Sequence[float]) -> Optic:
        """Dust on the fibre's end dims all lanes until the module itself raises an alarm."""
        dimmed = self.hit("dimmer", port)
        faded = 10 ** (-0.02 * max(self.age("dimmer"), 0)) if dimmed else 1.0  # 0.2 dB a night
        powers = tuple(float(power) * faded for power in lit)
        return Optic(
            f"mlx5_{port}/1",
            "NVIDIA",
            "MMA4Z00-NS",
            f"MT{self.place:06}{port}",
            temp_c=48.0,
            rx_mw=powers,
            alarms=("rx power low alarm",) if min(powers) < LOW_ALARM_MW else (),
        )

    def log(self, boots: int) -> list[Fact]:
        events = []
        if "xid79" in self.wrong and self.age("xid79") == 0:
            line = "NVRM: Xid (PCI:0000:1b:00): 79, GPU has fallen off the bus."
            events = [KernelEvent("0000:1b:00.0", "xid", "79", line, seconds_ago=3000.0)]
        return [
            Boot(f"{self.place:08x}-0000-4000-8000-{boots:012x}", 9e5),
            LogWindow("kmsg", DAY_S, 900 + len(events)),
            *events,
        ]

    def drives(self) -> list[Fact]:
        worn = "worn_drive" in self.wrong
        return [
            Drive(
                f"nvme{drive}",
                "SAMSUNG MZQL23T8HCLS-00A07",
                f"S64HNE0R{self.place:05}{drive}",
                state="live",
                critical_warning=1 if worn and drive else 0,
                spare_percent=4.0 if worn and drive else 100.0,
                spare_threshold_percent=10.0,
                used_percent=2.0,
                media_errors=0,
                temp_c=38.0,
            )
            for drive in range(2)
        ]

    def mounts(self, full: float) -> list[Fact]:
        size = 1 << 40
        return [
            Filesystem(
                *("/", "/dev/nvme0n1p2", "ext4", "read_only" in self.wrong, False),
                size_bytes=size,
                available_bytes=int(size * (1 - full)),
            )
        ]

    def clock(self) -> Clock:
        return Clock("chrony", "no_time" not in self.wrong, 1e-4, 1e-3, 3, "10.0.0.1")


def attributed(
    story: Sequence[Planted], nodes: Sequence[Node]
) -> Iterator[tuple[Planted, set[str]]]:
    """What was planted and the names of its nodes."""
    for one in story:
        yield one, {nodes[place].name for place in one.nodes}
