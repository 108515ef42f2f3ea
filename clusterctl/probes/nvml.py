"""NVIDIA GPUs by the driver's own library: https://docs.nvidia.com/deploy/nvml-api/

`remote/ask_nvml.py` says what a line of the answer looks like, and which calls it leaves out.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn

from clusterctl.model import (
    Accelerator,
    Applies,
    DeviceProcess,
    Fact,
    Kind,
    Link,
    Partition,
    Probe,
    Question,
    Trouble,
    Version,
)
from clusterctl.probes.device_files import NVIDIA, NVIDIA_ASLEEP
from clusterctl.probes.nvml_values import FIELDS, LINK_FIELDS, bounded, count, partitions
from clusterctl.spelling import Unreadable, visible

DEVICES_AT_MOST = 256

# nvmlDeviceGpuRecoveryAction_t, drivers from 560 on
RECOVERY = {
    0: "none",
    1: "reset",
    2: "reboot",
    3: "drain_p2p",
    4: "drain_and_reset",
    5: "recover_imex_domain",
    6: "bus_reset",
    7: "system_reboot",
}
KINDS = {"NoPermission": Kind.DENIED, "Timeout": Kind.TIMEOUT}


def parse(stdout: str) -> Iterator[Fact | Trouble]:
    """Every GPU that NVML counts comes out as an Accelerator or as a Trouble of that part."""
    said, troubles = records(stdout)
    yield from troubles
    devices = [told for told in said if "nvml" in told]
    if not devices:
        yield Trouble(Kind.UNREADABLE, "NVML's answer has no beginning")
    for told in devices[:1]:
        yield Version("driver/nvidia", told["nvml"]["driver"])
    gpus = {told["gpu"]: told for told in reversed(said) if "gpu" in told}  # the first of two
    for index in sorted(gpus):
        yield from gpu(index, gpus[index])
    total = devices[0]["nvml"]["devices"] if devices else 0
    if not any(told.get("end") == total for told in said if devices):
        asked = [told["asking"] for told in said if "asking" in told]
        last = f"; the last GPU asked was gpu{asked[-1]}" if asked else ""
        yield Trouble(Kind.CUT, f"NVML's answer has no end{last}")
    for index in range(total):
        if index not in gpus:
            yield Trouble(Kind.CUT, "no answer about this GPU", f"gpu{index}")


def records(stdout: str) -> tuple[list[dict[str, Any]], list[Trouble]]:
    """The lines that are ours.  The library, or what is preloaded, may print others."""
    said, troubles = [], []
    for line in stdout.split("\n"):
        if not line.startswith("{"):
            continue
        try:
            said.append(record(line))
        except Unreadable as error:
            troubles.append(Trouble(Kind.UNREADABLE, f"{error}: {visible(line, 80)}"))
    return said, troubles


def record(line: str) -> dict[str, Any]:
    try:
        told = json.loads(line, parse_constant=refuse)
    except (ValueError, RecursionError):
        raise Unreadable("not JSON") from None
    match told:
        case {"nvml": {"devices": devices, "driver": str(driver)}}:
            return {"nvml": {"devices": bounded(devices, DEVICES_AT_MOST), "driver": driver}}
        case {"asking": index}:
            return {"asking": bounded(index, DEVICES_AT_MOST)}
        case {"gpu": index}:
            return {**told, "gpu": bounded(index, DEVICES_AT_MOST)}
        case {"end": {"devices": devices}}:
            return {"end": bounded(devices, DEVICES_AT_MOST)}
    raise Unreadable("not a line of ours")


def refuse(text: str) -> NoReturn:
    raise Unreadable(f"not a number: {text}")  # NaN compares false with every limit


def gpu(index: int, said: Mapping[str, Any]) -> Iterator[Fact | Trouble]:
    """One line of the answer.  A GPU that is lost is trouble and no accelerator."""
    part = f"gpu{index}"
    errors = said.get("e", {})
    lost = isinstance(errors, dict) and "GpuIsLost" in errors.values()
    if lost or "error" in said:
        error = "GpuIsLost" if lost else said["error"]
        yield Trouble(kind_of(error), f"NVML: {visible(str(error), 80)}", part)
        return
    values, troubles = readings(said, FIELDS, part)
    yield from troubles
    if not values:
        return
    yield accelerator(part, index, values)
    for name in ("vbios", "inforom"):
        if values[name]:
            yield Version(f"{name}/{part}", values[name])
    for pid, name, used in values["processes"] or ():
        yield DeviceProcess(part, pid, name, used)
    yield from partitions(part, said)
    for told in values["links"] or ():
        yield from link(part, told)


def readings(
    said: Mapping[str, Any], readers: Mapping[str, Callable[[Any], Any]], part: str
) -> tuple[dict[str, Any], list[Trouble]]:
    """Every field's value, None where it is not reported or in trouble; and the troubles.

    Fields with the same error share one trouble: a dying GPU fails them all.
    """
    values, none, errors = said.get("v"), said.get("none"), said.get("e")
    if not (isinstance(values, dict) and isinstance(none, list) and isinstance(errors, dict)):
        return {}, [Trouble(Kind.UNREADABLE, "values, absences and errors expected", part)]
    found: dict[str, Any] = {}
    failed: defaultdict[tuple[Kind, str], list[str]] = defaultdict(list)
    for name, read in readers.items():
        found[name] = None
        if name in errors:
            failed[kind_of(errors[name]), f"NVML: {errors[name]}"].append(name)
        elif name in values:
            try:
                found[name] = read(values[name])
            except Unreadable as error:
                failed[Kind.UNREADABLE, str(error)].append(name)
        elif name not in none:
            failed[Kind.CUT, "not answered"].append(name)
    troubles = [
        Trouble(kind, f"{visible(why, 80)} ({', '.join(names)})", part)
        for (kind, why), names in failed.items()
    ]
    return found, troubles


def kind_of(error: object) -> Kind:
    return KINDS.get(str(error), Kind.EXIT)


def accelerator(part: str, index: int, v: Mapping[str, Any]) -> Accelerator:
    total, used = v["memory_bytes"] or (None, None)
    remapped = v["remapped"] or (None, None, None, None)
    state, status, cluster, clique = v["fabric"] or (None, None, None, None)
    return Accelerator(
        part,
        "nvidia",
        index,
        uuid=v["uuid"] or "",
        serial=v["serial"] or "",
        model=v["name"] or "",
        pci=v["pci"] or "",
        temp_c=v["temp_c"],
        temp_memory_c=v["temp_memory_c"],
        temp_slowdown_c=slowdown(v),
        temp_memory_max_c=v["temp_memory_max_c"],
        power_w=watts(v["power_mw"]),
        power_limit_w=watts(v["power_limit_mw"]),
        power_limit_default_w=watts(v["power_limit_default_mw"]),
        clock_sm_mhz=v["clock_sm_mhz"],
        clock_sm_max_mhz=v["clock_sm_max_mhz"],
        clock_memory_mhz=v["clock_memory_mhz"],
        clock_memory_max_mhz=v["clock_memory_max_mhz"],
        utilisation_percent=v["utilisation_percent"],
        memory_total_bytes=total,
        memory_used_bytes=used,
        throttle=v["throttle_mask"],
        throttle_thermal_us=micros(v, ("sw_thermal_ns", "hw_thermal_ns"), "thermal_violation_ns"),
        throttle_power_us=micros(v, ("sw_power_cap_ns", "hw_power_brake_ns"), "power_violation_ns"),
        ecc_on=v["ecc_mode"],
        ecc_corrected_volatile=v["ecc_corrected_volatile"],
        ecc_uncorrected_volatile=v["ecc_uncorrected_volatile"],
        ecc_corrected_aggregate=v["ecc_corrected_aggregate"],
        ecc_uncorrected_aggregate=v["ecc_uncorrected_aggregate"],
        retired_pages=both(v["retired_single"], v["retired_double"]),
        retired_pending=v["retired_pending"],
        remapped_corrected=remapped[0],
        remapped_uncorrected=remapped[1],
        remap_pending=known(remapped[2]),
        remap_failed=known(remapped[3]),
        pcie_gen=v["pcie_gen"],
        pcie_gen_max=v["pcie_gen_max"],
        pcie_width=v["pcie_width"],
        pcie_width_max=v["pcie_width_max"],
        pcie_replays=v["pcie_replays"],
        fabric_state=state,
        fabric_status=status,
        recovery_action=recovery(v),
        persistence=v["persistence"],
        mig=v["mig"],
        fabric_cluster=cluster,
        fabric_clique=clique,
    )


def slowdown(v: Mapping[str, Any]) -> int | None:
    """From Ada on thresholds are told as a distance from the limit, where margin is zero.

    H100 idle: 41 °C, margin 46, slowdown at -2: 89 °C.  H200: 28 + 59 + 2 idle, 52 + 35 + 2 loaded.
    """
    direct, now = v["temp_slowdown_c"], (v["temp_c"], v["temp_margin_c"], v["tlimit_slowdown_c"])
    if direct is not None or None in now:
        return None if direct is None else int(direct)
    return int(now[0] + now[1] - now[2])


def watts(milliwatts: int | None) -> float | None:
    return None if milliwatts is None else milliwatts / 1000


def micros(v: Mapping[str, Any], names: tuple[str, str], fallback: str) -> int | None:
    """The sum of both event counters; drivers before 560 have the one violation counter."""
    told = [v[name] for name in names]
    nanos = sum(told) if None not in told else v[fallback]
    return None if nanos is None else nanos // 1000


def both(one: int | None, two: int | None) -> int | None:
    return None if one is None or two is None else one + two


def known(value: int | None) -> bool | None:
    return None if value is None else value > 0


def recovery(v: Mapping[str, Any]) -> str | None:
    """The action; from drivers before 560, what their two flags come to."""
    if v["recovery_action"] is not None:
        return RECOVERY.get(v["recovery_action"], f"action_{v['recovery_action']}")
    if v["drain_and_reset_needed"]:
        return "drain_and_reset"
    return {None: None, 0: "none"}.get(v["reset_needed"], "reset")


def link(part: str, told: Mapping[str, Any]) -> Iterator[Fact | Trouble]:
    try:
        name = f"{part}/link{bounded(told.get('link'), 255)}"
    except Unreadable as error:
        yield Trouble(Kind.UNREADABLE, f"a link without its number: {error}", part)
        return
    asked = sorted({*keys(told.get("v")), *keys(told.get("e"))})
    readers = {key: LINK_FIELDS.get(key, count) for key in ("state", *asked)}
    values, troubles = readings({**told, "none": []}, readers, name)
    yield from troubles
    if values.get("state"):
        speed = values.get("speed_mbyte_s")
        yield Link(
            name,
            part,
            "nvlink",
            values["state"],
            None if speed is None else speed / 1000,
            {
                key: values[key]
                for key in asked
                if key not in LINK_FIELDS and values[key] is not None
            },
        )


def keys(value: object) -> list[str]:
    return list(value) if isinstance(value, dict) else []  # JSON's keys are text


PROBES = (
    Probe(
        Question(
            "nvml",
            script="ask_nvml",
            modules=("nvml_gpus", "pynvml"),
            timeout_s=30.0,
            spare=NVIDIA,
            asleep=NVIDIA_ASLEEP,
        ),
        parse,
        yields=(Accelerator, Link, Partition, DeviceProcess, Version),
        about="NVIDIA GPUs, NVLinks and the processes on them, from the driver's library",
        subject="nvidia",
        rank=0,
        applies=Applies(
            pci_vendors=("10de",),
            kinds=("accelerator",),
            why_not="no NVIDIA accelerator on the PCI bus",
        ),
        proven="documentation",
    ),
)
