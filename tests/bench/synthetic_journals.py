"""Journals as a node's supervisor writes them, of any length, that no node wrote: for timings.

Eight GPUs and eight ports, a sample every 10 s, a full one every hour, the load in steps of twenty
minutes; written by the journal's own code.  Numbers move as they do under load: power, clocks,
temperatures and traffic at nearly every sample, counters hardly ever.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

from clusterctl import remote

sys.path.insert(0, str(Path(remote.__file__).parent))

from journal import encode  # of remote/

sys.path.pop(0)

GPUS, PORTS = 8, 8
EVERY_S, FULL_S, STEP_S = 10.0, 3600.0, 1200.0
START_S = 1772352000.0  # 2026-03-01T08:00Z
HOT_C = 80  # from here on a new highest temperature is news, as in remote/sampler.py
QUICK = ("temp_c", "power_w", "clock_sm_mhz", "throttle_mask")
FIELDS = ("temp_memory_c", "sw_power_cap_ns", "sw_thermal_ns", "hw_thermal_ns",
          "hw_power_brake_ns", "nvlink_crc_flit_errors", "nvlink_crc_data_errors",
          "nvlink_replay_errors", "nvlink_recovery_errors")  # fmt: skip
SLOW = ("uuid", "power_limit_w", "clock_memory_mhz", "ecc_corrected_volatile",
        "ecc_uncorrected_volatile", "ecc_corrected_aggregate", "ecc_uncorrected_aggregate",
        "remapped", "pcie_replays", "pcie_gen", "pcie_width")  # fmt: skip
COUNTERS = ("link_downed", "port_rcv_data", "port_xmit_data", "symbol_error")
SLOW_COUNTERS = (
    "link_error_recovery",
    "local_link_integrity_errors",
    "port_rcv_errors",
    "port_rcv_remote_physical_errors",
    "port_xmit_discards",
    "port_rcv_constraint_errors",
    "excessive_buffer_overrun_errors",
    "port_rcv_switch_relay_errors",
)
HW = (
    "out_of_buffer",
    "out_of_sequence",
    "packet_seq_err",
    "roce_adp_retrans",
    "local_ack_timeout_err",
)


def named() -> list[tuple[str, str, Any]]:
    """(folder, name, first value) of all that is sampled, in the sampler's order."""
    found: list[tuple[str, str, Any]] = [("", "nvml", "ok"), ("", "kmsg", "ok")]
    for gpu in range(GPUS):
        first = {"handle": "ok", "uuid": f"GPU-{gpu:08x}-0000-4000-8000-000000000001",
                 "temp_c": 58 + gpu, "temp_memory_c": 66 + gpu, "power_w": 690,
                 "clock_sm_mhz": 1755, "throttle_mask": 4, "power_limit_w": 700,
                 "clock_memory_mhz": 2619, "remapped": "0 0 0 0", "pcie_gen": 5,
                 "pcie_width": 16}  # fmt: skip
        found += [(f"gpu{gpu}", name, first.get(name, 0))
                  for name in ("handle", *QUICK, *FIELDS, *SLOW)]  # fmt: skip
    for port in range(PORTS):
        ours = f"/sys/class/infiniband/mlx5_{port}/ports/1"
        found += [(f"{ours}/counters", name, 0) for name in COUNTERS]
        found.append((ours, "state", "4: ACTIVE"))
    found += [(f"/sys/class/net/ib{port}", "carrier_changes", 2) for port in range(PORTS)]
    found += [(f"/sys/class/thermal/thermal_zone{zone}", "temp", 48000) for zone in range(2)]
    for port in range(PORTS):
        ours = f"/sys/class/infiniband/mlx5_{port}/ports/1"
        found += [(f"{ours}/counters", name, 0) for name in SLOW_COUNTERS]
        found += [(f"{ours}/hw_counters", name, 0) for name in HW]
        found += [(ours, "phys_state", "5: LinkUp"), (ours, "rate", "400 Gb/sec (4X NDR)")]
    for device in range(16):
        folder = f"/sys/bus/pci/devices/0000:{device:02x}:00.0"
        found += [(folder, f"aer_dev_{kind}", "RxErr 0\nBadTLP 0\nTOTAL_ERR 0")
                  for kind in ("correctable", "fatal", "nonfatal")]  # fmt: skip
    return found


def grouped(rows: list[tuple[str, str, Any]], values: list[Any]) -> list[list[Any]]:
    groups: list[list[Any]] = []
    for (folder, name, _), value in zip(rows, values, strict=True):
        if not groups or groups[-1][0] != folder:
            groups.append([folder, [], []])
        groups[-1][1].append(name)
        groups[-1][2].append(value)
    return groups


class Moving:
    """The values of a node under load, and what changed with each sample.

    `hot`: so many degrees one GPU is too warm, and throttled for it.  `ecc_at`: the sample at
    which a GPU begins to count uncorrected errors.
    """

    def __init__(self, rng: Random, *, hot: float = 0.0, ecc_at: int | None = None) -> None:
        self.rng, self.hot, self.ecc_at = rng, hot, ecc_at
        self.rows = named()
        self.values = [value for _, _, value in self.rows]
        self.at = {f"{folder}/{name}" if folder.startswith("/") else f"{folder}.{name}": index
                   for index, (folder, name, _) in enumerate(self.rows)}  # fmt: skip
        self.number, self.hottest, self.news = 0, 0, False

    def sample(self) -> list[Any]:
        """[index, value, …]; `news` says whether a healthy node would not show it."""
        self.number += 1
        self.news = False
        now: dict[int, Any] = {}
        for gpu in range(GPUS):
            warm = self.hot if gpu == 3 else 0.0
            for name, value in (
                ("temp_c", round(58 + gpu + warm + self.rng.gauss(0, 0.7))),
                ("power_w", round(690 - 4 * warm + self.rng.gauss(0, 4))),
                ("clock_sm_mhz", 1755 - 15 * self.rng.randrange(3) - round(20 * warm)),
                ("temp_memory_c", round(66 + gpu + warm + self.rng.gauss(0, 0.6))),
                ("sw_power_cap_ns", self.number * 9_700_000_000 + self.rng.randrange(10**8)),
                ("sw_thermal_ns", self.number * 10**9 if warm else 0),
                ("throttle_mask", 0x20 if warm else 4),
            ):
                now[self.at[f"gpu{gpu}.{name}"]] = value
                if name == "temp_c" and value >= max(HOT_C, self.hottest + 1):
                    self.hottest, self.news = value, True
        if self.ecc_at is not None and self.number >= self.ecc_at:
            past = 1 + (self.number - self.ecc_at) // 100
            self.news = (
                now.setdefault(self.at["gpu5.ecc_uncorrected_volatile"], past)
                != (self.values[self.at["gpu5.ecc_uncorrected_volatile"]])
            )
        for port in range(PORTS):
            folder = f"/sys/class/infiniband/mlx5_{port}/ports/1/counters"
            for name in ("port_rcv_data", "port_xmit_data"):
                index = self.at[f"{folder}/{name}"]
                now[index] = self.values[index] + 10**10 + self.rng.randrange(10**8)
        for zone in range(2):
            now[self.at[f"/sys/class/thermal/thermal_zone{zone}/temp"]] = (
                48000 + self.rng.randrange(6) * 500
            )
        delta = []
        for index, value in sorted(now.items()):
            if value != self.values[index]:
                self.values[index] = value
                delta += [index, value]
        return delta


DIGEST = f"bf16-8192-7:{'5d1ge57a' * 4}".replace("g", "9") + f":{'a1b2' * 64}:{'c3d4' * 64}"


def gpu_burn(seconds: float, moving: Moving) -> str:
    """What a step of gpu_burn prints; see trials/rows.py."""
    rows = []
    for gpu in range(GPUS):
        cells = {
            "part": f"gpu{gpu}", "engine": "built-in CUDA", "seconds": f"{seconds:g}",
            "amount": "1e+18", "unit": "flop", "rate_unit": "tflop_s", "errors": 0,
            "rate": f"{moving.rng.gauss(641, 2) - (7 * moving.hot if gpu == 3 else 0):.2f}",
            "covered": 0.93, "asked": 0.9, "detail": "", "precision": "bf16", "power_w": 690,
            "power_limit_w": 700, "clock_sm_mhz": 1740, "temp_max_c": 66, "digest": DIGEST,
        }  # fmt: skip
        rows.append("\t".join(["gpu_burn", *(f"{name}={cells[name]}" for name in sorted(cells))]))
    return "\n".join([*rows, f"end\t{GPUS}\n"])


def cpu_burn(seconds: float, moving: Moving) -> str:
    cells = {
        "part": "cpu", "engine": "stress-ng 0.15", "seconds": f"{seconds:g}", "amount": 1000,
        "unit": "op", "rate": f"{moving.rng.gauss(2100, 15):.1f}", "rate_unit": "op_s",
        "errors": 0, "covered": 1, "asked": 1, "detail": "",
    }  # fmt: skip
    row = "\t".join(["burn", *(f"{name}={cells[name]}" for name in sorted(cells))])
    return f"{row}\nend\t1\n"


def journal(
    *,
    hours: float = 72.0,
    seed: int = 7,
    hot: float = 0.0,
    ecc_at: int | None = None,
    reboot_at: int | None = None,
    stages: Sequence[tuple[str, str]] = (("cpu_burn", "s0.1"), ("gpu_burn", "s1.1")),
) -> Iterator[bytes]:
    """Its lines.  `stages`: (trial, id of its step), one step each before the soak of gpu_burn.

    `ecc_at`: the sample from which on a GPU counts errors, with a line of the kernel.
    `reboot_at`: the sample before which the node boots anew, a quarter of an hour long.
    """
    moving = Moving(Random(seed), hot=hot, ecc_at=ecc_at)
    says = {"cpu_burn": cpu_burn, "gpu_burn": gpu_burn}
    number, at_s, full_s, soak = 0, 1000.0, -FULL_S, "soak1"
    ends_s, steps = at_s, 0
    todo = list(stages)
    running: dict[str, Any] = {}

    def told(kind: str, **cells: Any) -> bytes:
        nonlocal number
        number += 1
        return encode(number - 1, {"k": kind, "m": round(at_s, 3), **cells})

    def started(boot: str) -> bytes:
        return told("start", version=1, campaign="bench", boot=boot, uptime_s=at_s,
                    w=START_S + at_s, every_s=EVERY_S, lease_s=3600, hard_s=1e6,
                    policy="stop")  # fmt: skip

    yield started(f"boot-{seed}")
    for _, identity in todo:
        yield told("command", do="run", id=identity)
    yield told("command", do="soak", id=soak, on=True)
    count = round(hours * 3600 / EVERY_S)
    for sample in range(count + 1):
        if sample == reboot_at:
            at_s, soak, running = at_s + 900, "soak2", {}
            ends_s, full_s = at_s, -FULL_S
            yield started("boot-anew")
            yield told("command", do="soak", id=soak, on=True)
        if at_s >= ends_s or sample == count:
            if running:
                said = says[running["name"]](STEP_S, moving)
                yield told("end", **running, code=0, why="exit", s=STEP_S, out=said, err="")
            running, ends_s = following(todo, f"{soak}/{steps}"), at_s + STEP_S
            steps += 1
            if sample < count:
                yield told("begin", **running, load=True, timeout_s=STEP_S + 60)
        if sample == ecc_at:
            xid = "NVRM: Xid (PCI:0000:5d:00): 48, pid=0, An uncorrectable double bit error"
            yield told("kernel", lines=[[at_s, xid]], more=0)
        delta = moving.sample()
        if at_s - full_s >= FULL_S:
            full_s = at_s
            yield told("full", groups=grouped(moving.rows, moving.values), w=START_S + at_s)
        else:
            yield told("sample", d=delta, **({"news": 1} if moving.news else {}))
        at_s += EVERY_S


def following(todo: list[tuple[str, str]], soak: str) -> dict[str, Any]:
    if todo:
        name, identity = todo.pop(0)
        return {"step": identity, "name": name, "soak": False}
    return {"step": soak, "name": "gpu_burn", "soak": True}


if __name__ == "__main__":
    sys.stdout.buffer.writelines(journal(hours=float(sys.argv[1]) if sys.argv[1:] else 72.0))
