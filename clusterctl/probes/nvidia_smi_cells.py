"""Reading the cells of nvidia-smi's XML; each is Unreadable at worst.  No probe of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from clusterctl.spelling import Unreadable, count, measure, pci_address, reported

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

MIB = 1 << 20

# Element names without clocks_event_reason_ (clocks_throttle_reason_ before driver 535)
THROTTLE = {
    "gpu_idle": "idle",
    "applications_clocks_setting": "clocks_setting",
    "sw_power_cap": "sw_power_cap",
    "hw_slowdown": "hw_slowdown",
    "sync_boost": "sync_boost",
    "sw_thermal_slowdown": "sw_thermal",
    "hw_thermal_slowdown": "hw_thermal",
    "hw_power_brake_slowdown": "hw_power_brake",
    "display_clocks_setting": "display",
}
COUNTER = "clocks_event_reasons_counters/clocks_event_reasons_counters_"
# Driver 590's words under fabric/health; "N/A" and what means no are not listed
FABRIC_TROUBLES = {
    "bandwidth": "degraded_bandwidth",
    "route_recovery_in_progress": "route_recovery",
    "route_unhealthy": "route_unhealthy",
    "access_timeout_recovery": "access_timeout_recovery",
}


def cell(gpu: Element, *paths: str) -> str | None:
    """The first of these elements that has something to say."""
    for path in paths:
        text = (gpu.findtext(path) or "").strip()
        if text and reported(text):
            return text
    return None


def unspoilt(text: str) -> str:
    """Any text but an error's."""
    if "ERR!" in text or "Error" in text or text.startswith("["):  # [Insufficient Permissions]
        raise Unreadable(f"an error: {text!r}")
    return text


def label(path: str) -> Callable[[Element], str]:
    return lambda gpu: unspoilt(cell(gpu, path) or "")


def amount(unit: str, *paths: str) -> Callable[[Element], float | None]:
    def read(gpu: Element) -> float | None:
        text = cell(gpu, *paths)
        return None if text is None else measure(text, unit)

    return read


def counter(*paths: str) -> Callable[[Element], int | None]:
    def read(gpu: Element) -> int | None:
        text = cell(gpu, *paths)
        return None if text is None else count(text)

    return read


def flag(yes: str, no: str, *paths: str) -> Callable[[Element], bool | None]:
    def read(gpu: Element) -> bool | None:
        text = cell(gpu, *paths)
        if text not in {None, yes, no}:
            raise Unreadable(f"neither {yes} nor {no}: {text!r}")
        return None if text is None else text == yes

    return read


def size(path: str) -> Callable[[Element], int | None]:
    def read(gpu: Element) -> int | None:
        value = amount("MiB", path)(gpu)
        return None if value is None else int(value * MIB)

    return read


def added(unit: str, *paths: str) -> Callable[[Element], int | None]:
    """The sum of these; None where one of them is not reported."""

    def read(gpu: Element) -> int | None:
        values = [amount(unit, path)(gpu) if unit else counter(path)(gpu) for path in paths]
        return None if None in values else int(sum(value for value in values if value is not None))

    return read


def lanes(path: str) -> Callable[[Element], int | None]:
    def read(gpu: Element) -> int | None:
        text = cell(gpu, path)
        return None if text is None else count(text.removesuffix("x"))

    return read


def address(gpu: Element) -> str:
    return pci_address(cell(gpu, "pci/pci_bus_id") or gpu.get("id") or "")


def throttle(gpu: Element) -> tuple[str, ...] | None:
    section = gpu.find("clocks_event_reasons")
    if section is None:
        section = gpu.find("clocks_throttle_reasons")
    if section is None or not len(section):
        return None
    states = {item.tag.partition("_reason_")[2]: (item.text or "").strip() for item in section}
    for name, state in states.items():
        if reported(state) and state not in {"Active", "Not Active"}:
            raise Unreadable(f"{name} is neither Active nor Not Active: {state!r}")
    if not any(reported(state) for state in states.values()):
        return None
    known = [ours for name, ours in THROTTLE.items() if states.get(name) == "Active"]
    new = [name for name, state in states.items() if state == "Active" and name not in THROTTLE]
    return (*known, *new)


def ecc(section: str, kind: str) -> Callable[[Element], int | None]:
    """Errors of one kind (correctable, uncorrectable) since driver load, or ever.

    Ampere and later tell SRAM and DRAM apart (SRAM once more by how it was seen); Volta and before
    have a total of single and one of double bit errors.
    """
    older = {"correctable": "single_bit", "uncorrectable": "double_bit"}[kind]

    def read(gpu: Element) -> int | None:
        found = gpu.find(f"ecc_errors/{section}")
        if found is None:
            return None
        texts = [item.text for item in found if f"_{kind}" in item.tag]
        return total((*texts, found.findtext(f"{older}/total")))

    return read


def total(texts: Iterable[str | None]) -> int | None:
    values = [count(text) for text in texts if text and reported(text)]
    return sum(values) if values else None


def slowdown(gpu: Element) -> float | None:
    """The threshold; where it is told as a distance from the limit (Ada and later), from that.

    An idle H100 says 41 °C, T.limit 46, slowdown at -2: 89 °C; an H200 28 + 59 + 2 idle and
    52 + 35 + 2 loaded.
    """
    direct = amount("C", "temperature/gpu_temp_slow_threshold")(gpu)
    if direct is not None:
        return direct
    now = amount("C", "temperature/gpu_temp")(gpu)
    margin = amount("C", "temperature/gpu_temp_tlimit")(gpu)
    threshold = amount("C", "temperature/gpu_temp_slow_tlimit_threshold")(gpu)
    if now is None or margin is None or threshold is None:
        return None
    return now + margin - threshold


def word(text: str | None) -> str | None:
    """Drain and Reset → drain_and_reset"""
    return None if text is None else unspoilt(text).lower().replace(" ", "_")


def fabric_state(gpu: Element) -> str | None:
    return word(cell(gpu, "fabric/state"))


def fabric_status(gpu: Element) -> str | None:
    """The status counts only once the state is completed (nvml.h)."""
    if fabric_state(gpu) != "completed":
        return None
    status = cell(gpu, "fabric/status")
    ills = [
        ours
        for name, ours in FABRIC_TROUBLES.items()
        if cell(gpu, f"fabric/health/{name}") in {"Degraded", "True", "Yes"}
    ]
    if cell(gpu, "fabric/health/incorrect_configuration") not in {None, "None", "False", "No"}:
        ills.append("incorrect_configuration")
    if not ills and cell(gpu, "fabric/health/summary") == "Unhealthy":
        ills.append("unhealthy")
    return ",".join(ills) if ills and status == "Success" else (status or "").lower() or None


def fabric_cluster(gpu: Element) -> str | None:
    """All zeros where the fabric is this node's own: no domain of several nodes."""
    text = cell(gpu, "fabric/clusterUuid")
    return None if text is None or not text.strip("0-") else unspoilt(text).lower()


def fabric_clique(gpu: Element) -> int | None:
    """A clique means something within a cluster only."""
    return counter("fabric/cliqueId")(gpu) if fabric_cluster(gpu) else None


def recovery_action(gpu: Element) -> str | None:
    """The action; from drivers before 560, what their two flags come to."""
    action = cell(gpu, "gpu_recovery_action")
    if action is not None:
        return word(action)
    if flag("Yes", "No", "gpu_reset_status/drain_and_reset_recommended")(gpu):
        return "drain_and_reset"
    reset = flag("Yes", "No", "gpu_reset_status/reset_required")(gpu)
    return {None: None, False: "none", True: "reset"}[reset]


def retired_pending(gpu: Element) -> bool | None:
    states = [
        flag("Yes", "No", f"retired_pages/{name}")(gpu)
        for name in ("pending_blacklist", "pending_retirement")
    ]
    told = [state for state in states if state is not None]
    return any(told) if told else None


def process(info: Element) -> tuple[int, str, int | None]:
    pid = cell(info, "pid")
    if pid is None:
        raise Unreadable("no pid")
    return count(pid), cell(info, "process_name") or "", size("used_memory")(info)


# As NVML's GetPowerUsage: the average where there is one.
DRAW = ("power_draw", "average_power_draw", "instant_power_draw")
POWER = tuple(
    f"{section}/{name}" for section in ("gpu_power_readings", "power_readings") for name in DRAW
)
LIMIT = (
    "gpu_power_readings/current_power_limit",
    "power_readings/enforced_power_limit",
    "power_readings/power_limit",
)
DEFAULT_LIMIT = tuple(
    f"{section}/default_power_limit" for section in ("gpu_power_readings", "power_readings")
)
RETIRED = tuple(
    f"retired_pages/{cause}/retired_count"
    for cause in ("multiple_single_bit_retirement", "double_bit_retirement")
)
LINK_INFO = "pci/pci_gpu_link_info"

# Accelerator's fields
FIELDS: dict[str, Callable[[Element], object]] = {
    "uuid": label("uuid"),
    "serial": label("serial"),
    "model": label("product_name"),
    "pci": address,
    "temp_c": amount("C", "temperature/gpu_temp"),
    "temp_memory_c": amount("C", "temperature/memory_temp"),
    "temp_slowdown_c": slowdown,
    "temp_memory_max_c": amount("C", "temperature/gpu_temp_max_mem_threshold"),
    "power_w": amount("W", *POWER),
    "power_limit_w": amount("W", *LIMIT),
    "power_limit_default_w": amount("W", *DEFAULT_LIMIT),
    "clock_sm_mhz": amount("MHz", "clocks/sm_clock"),
    "clock_sm_max_mhz": amount("MHz", "max_clocks/sm_clock"),
    "clock_memory_mhz": amount("MHz", "clocks/mem_clock"),
    "clock_memory_max_mhz": amount("MHz", "max_clocks/mem_clock"),
    "utilisation_percent": amount("%", "utilization/gpu_util"),
    "memory_total_bytes": size("fb_memory_usage/total"),
    "memory_used_bytes": size("fb_memory_usage/used"),
    "throttle": throttle,
    "throttle_thermal_us": added(
        "us", f"{COUNTER}sw_therm_slowdown", f"{COUNTER}hw_therm_slowdown"
    ),
    "throttle_power_us": added("us", f"{COUNTER}sw_power_cap", f"{COUNTER}hw_power_brake"),
    "ecc_on": flag("Enabled", "Disabled", "ecc_mode/current_ecc"),
    "ecc_corrected_volatile": ecc("volatile", "correctable"),
    "ecc_uncorrected_volatile": ecc("volatile", "uncorrectable"),
    "ecc_corrected_aggregate": ecc("aggregate", "correctable"),
    "ecc_uncorrected_aggregate": ecc("aggregate", "uncorrectable"),
    "retired_pages": added("", *RETIRED),
    "retired_pending": retired_pending,
    "remapped_corrected": counter("remapped_rows/remapped_row_corr"),
    "remapped_uncorrected": counter("remapped_rows/remapped_row_unc"),
    "remap_pending": flag("Yes", "No", "remapped_rows/remapped_row_pending"),
    "remap_failed": flag("Yes", "No", "remapped_rows/remapped_row_failure"),
    "pcie_gen": counter(f"{LINK_INFO}/pcie_gen/current_link_gen"),
    "pcie_gen_max": counter(f"{LINK_INFO}/pcie_gen/max_link_gen"),
    "pcie_width": lanes(f"{LINK_INFO}/link_widths/current_link_width"),
    "pcie_width_max": lanes(f"{LINK_INFO}/link_widths/max_link_width"),
    "pcie_replays": counter("pci/replay_counter"),
    "fabric_state": fabric_state,
    "fabric_status": fabric_status,
    "recovery_action": recovery_action,
    "persistence": flag("Enabled", "Disabled", "persistence_mode"),
    "mig": flag("Enabled", "Disabled", "mig_mode/current_mig"),
    "fabric_cluster": fabric_cluster,
    "fabric_clique": fabric_clique,
}
