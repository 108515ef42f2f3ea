"""Everything that is asked of NVML, GPU by GPU.  ask_nvml.py says what the lines mean."""

import binascii
import ctypes
import json
import sys

import pynvml

NOT_REPORTED = (
    "NotSupported",
    "FunctionNotFound",  # the driver is older than the binding
    "Deprecated",
    "ArgumentVersionMismatch",
    "VgpuEccNotSupported",
    "LibraryMismatch",
)
LINKS_AT_MOST = 36  # NVML_NVLINK_MAX_LINKS of today; old bindings still say 6

# nvml.h, "Field Identifiers"; numbers, because an old binding lacks the new names
FIELDS = {
    "temp_memory_c": 82,
    "link_count": 91,
    "tlimit_slowdown_c": 194,
    "recovery_action": 230,
    "reset_needed": 226,
    "drain_and_reset_needed": 227,
    "sw_power_cap_ns": 74,
    "sw_thermal_ns": 269,
    "hw_thermal_ns": 270,
    "hw_power_brake_ns": 271,
}
# Asked per link.  The error counters from 206 on exist since NVLink 5 (Blackwell).
LINK_FIELDS = {
    "speed_mbyte_s": 164,
    "malformed_packet_errors": 206,
    "buffer_overrun_errors": 207,
    "rcv_errors": 208,
    "local_link_integrity_errors": 211,
    "link_recovery_successful": 213,
    "link_recovery_failed": 214,
    "link_recovery_events": 215,
    "effective_errors": 219,
    "symbol_errors": 221,
    "plr_xmit_retry_blocks": 295,
}
# nvmlNvLinkErrorCounter_t
LINK_COUNTERS = (
    "replay_errors",
    "recovery_errors",
    "crc_flit_errors",
    "crc_data_errors",
    "ecc_data_errors",
)
FIELD_TYPES = ("dVal", "uiVal", "ulVal", "ullVal", "sllVal", "siVal", "usVal")  # nvmlValueType_t


def word(error):
    """GpuIsLost for NVMLError_GpuIsLost."""
    if isinstance(error, AttributeError):
        return "FunctionNotFound"  # the binding is older than we are
    if type(error).__name__ == "NVMLLibraryMismatchError":
        return "LibraryMismatch"
    if isinstance(error, pynvml.NVMLError):
        name = type(error).__name__.replace("NVMLError_", "")
        return name if name != "NVMLError" else "Error%s" % getattr(error, "value", "?")
    return "%s: %s" % (type(error).__name__, error)


def code_word(code):
    return "Success" if code == 0 else word(pynvml.NVMLError(code))


def plain(value):
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def say(line):
    print(json.dumps(line, separators=(",", ":")))
    sys.stdout.flush()


def memory(gpu):
    """Total and used bytes; version 2 keeps the driver's own reserve apart, as nvidia-smi does."""
    try:
        seen = pynvml.nvmlDeviceGetMemoryInfo(gpu, pynvml.nvmlMemory_v2)
    except (AttributeError, TypeError, pynvml.NVMLError) as error:
        if not isinstance(error, TypeError) and word(error) not in NOT_REPORTED:
            raise
        seen = pynvml.nvmlDeviceGetMemoryInfo(gpu)
    return [seen.total, seen.used]


def cluster(seen):
    """16 bytes as hexadecimal; as text some bindings end them at the first zero."""
    at = ctypes.addressof(seen) + type(seen).clusterUuid.offset
    return binascii.hexlify(ctypes.string_at(at, 16)).decode("ascii")


def fabric(gpu):
    """State, status, health mask, cluster and clique of the newest structure both sides know."""
    for name in ("c_nvmlGpuFabricInfo_v3_t", "c_nvmlGpuFabricInfo_v2_t"):
        try:
            seen = getattr(pynvml, name)()
            pynvml.nvmlDeviceGetGpuFabricInfoV(gpu, ctypes.byref(seen))
            mask = seen.healthMask
            return [seen.state, code_word(seen.status), mask, cluster(seen), seen.cliqueId]
        except (AttributeError, pynvml.NVMLError) as error:
            if word(error) not in NOT_REPORTED:
                raise
    seen = pynvml.c_nvmlGpuFabricInfo_t()
    pynvml.nvmlDeviceGetGpuFabricInfo(gpu, ctypes.byref(seen))
    return [seen.state, code_word(seen.status), 0, cluster(seen), seen.cliqueId]


def first_of(*attempts):
    """The answer of the first that this driver knows."""
    for attempt in attempts[:-1]:
        try:
            return attempt()
        except (AttributeError, pynvml.NVMLError) as error:
            if word(error) not in NOT_REPORTED:
                raise
    return attempts[-1]()


def running(gpu, kind):
    stem = "nvmlDeviceGet%sRunningProcesses" % kind
    return first_of(
        lambda: getattr(pynvml, stem + "_v3")(gpu),
        lambda: getattr(pynvml, stem + "_v2")(gpu),
        lambda: getattr(pynvml, stem)(gpu),
    )


def partitions(gpu):
    """[index, UUID, total and used bytes, uncorrected errors or None] of every MIG device."""
    found = []
    if not pynvml.nvmlDeviceGetMigMode(gpu)[0]:
        return found
    for index in range(pynvml.nvmlDeviceGetMaxMigDeviceCount(gpu)):
        try:
            device = pynvml.nvmlDeviceGetMigDeviceHandleByIndex(gpu, index)
        except pynvml.NVMLError as error:
            if word(error) != "NotFound":  # a slot that nobody has filled
                raise
            continue
        uuid = plain(pynvml.nvmlDeviceGetUUID(device))
        found.append([index, uuid, *memory(device), sram_errors(device)])
    return found


def sram_errors(device):
    """All that a MIG device counts: uncorrected 1, volatile 0, SRAM 7."""
    try:
        return pynvml.nvmlDeviceGetMemoryErrorCounter(device, 1, 0, 7)
    except (AttributeError, pynvml.NVMLError) as error:
        if word(error) not in NOT_REPORTED:
            raise
        return None


def process_name(pid):
    try:
        return plain(pynvml.nvmlSystemGetProcessName(pid))
    except (AttributeError, pynvml.NVMLError):
        pass
    try:
        with open("/proc/%d/comm" % pid, "rb") as file:
            return plain(file.read()).strip()
    except (OSError, IOError):
        return ""  # gone by now, or another container's


def processes(gpu):
    """[pid, name, bytes or None]; one that computes and draws is listed once."""
    found = {}
    for kind in ("Compute", "Graphics"):
        for seen in running(gpu, kind):
            found.setdefault(seen.pid, [seen.pid, process_name(seen.pid), seen.usedGpuMemory])
    return [found[pid] for pid in sorted(found)]


# By name, because an old binding lacks some.  nvmlTemperatureThresholds_t 1 is slowdown, 2 memory
# maximum; nvmlClockType_t 1 is SM, 2 memory; ECC: corrected 0, uncorrected 1, then volatile 0,
# aggregate 1.
PLAIN = {
    "name": ("nvmlDeviceGetName",),
    "uuid": ("nvmlDeviceGetUUID",),
    "serial": ("nvmlDeviceGetSerial",),
    "vbios": ("nvmlDeviceGetVbiosVersion",),
    "inforom": ("nvmlDeviceGetInforomImageVersion",),
    "temp_c": ("nvmlDeviceGetTemperature", 0),
    "temp_slowdown_c": ("nvmlDeviceGetTemperatureThreshold", 1),
    "temp_memory_max_c": ("nvmlDeviceGetTemperatureThreshold", 2),
    "temp_margin_c": ("nvmlDeviceGetMarginTemperature",),
    "power_mw": ("nvmlDeviceGetPowerUsage",),
    "power_limit_mw": ("nvmlDeviceGetEnforcedPowerLimit",),
    "power_limit_default_mw": ("nvmlDeviceGetPowerManagementDefaultLimit",),
    "clock_sm_mhz": ("nvmlDeviceGetClockInfo", 1),
    "clock_sm_max_mhz": ("nvmlDeviceGetMaxClockInfo", 1),
    "clock_memory_mhz": ("nvmlDeviceGetClockInfo", 2),
    "clock_memory_max_mhz": ("nvmlDeviceGetMaxClockInfo", 2),
    "ecc_corrected_volatile": ("nvmlDeviceGetTotalEccErrors", 0, 0),
    "ecc_uncorrected_volatile": ("nvmlDeviceGetTotalEccErrors", 1, 0),
    "ecc_corrected_aggregate": ("nvmlDeviceGetTotalEccErrors", 0, 1),
    "ecc_uncorrected_aggregate": ("nvmlDeviceGetTotalEccErrors", 1, 1),
    "retired_pending": ("nvmlDeviceGetRetiredPagesPendingStatus",),
    "remapped": ("nvmlDeviceGetRemappedRows",),
    "pcie_gen": ("nvmlDeviceGetCurrPcieLinkGeneration",),
    "pcie_gen_max": ("nvmlDeviceGetMaxPcieLinkGeneration",),
    "pcie_width": ("nvmlDeviceGetCurrPcieLinkWidth",),
    "pcie_width_max": ("nvmlDeviceGetMaxPcieLinkWidth",),
    "pcie_replays": ("nvmlDeviceGetPcieReplayCounter",),
    "persistence": ("nvmlDeviceGetPersistenceMode",),
}
SHAPED = {
    "pci": lambda gpu: plain(pynvml.nvmlDeviceGetPciInfo(gpu).busId),
    "throttle_mask": lambda gpu: first_of(
        lambda: pynvml.nvmlDeviceGetCurrentClocksEventReasons(gpu),
        lambda: pynvml.nvmlDeviceGetCurrentClocksThrottleReasons(gpu),
    ),
    "power_violation_ns": lambda gpu: pynvml.nvmlDeviceGetViolationStatus(gpu, 0).violationTime,
    "thermal_violation_ns": lambda gpu: pynvml.nvmlDeviceGetViolationStatus(gpu, 1).violationTime,
    "utilisation_percent": lambda gpu: pynvml.nvmlDeviceGetUtilizationRates(gpu).gpu,
    "memory_bytes": memory,
    "ecc_mode": lambda gpu: pynvml.nvmlDeviceGetEccMode(gpu)[0],
    "retired_single": lambda gpu: len(pynvml.nvmlDeviceGetRetiredPages(gpu, 0)),
    "retired_double": lambda gpu: len(pynvml.nvmlDeviceGetRetiredPages(gpu, 1)),
    "fabric": fabric,
    "mig": lambda gpu: pynvml.nvmlDeviceGetMigMode(gpu)[0],
    "processes": processes,
    "partitions": partitions,
}


class Answers:
    """What one GPU, or one of its links, said: values, fields it has not, errors."""

    def __init__(self):
        self.values, self.none, self.errors = {}, [], {}

    def take(self, name, get):
        try:
            self.values[name] = get()
        except Exception as error:
            self.refuse(name, word(error))

    def refuse(self, name, error, also=()):
        if error in NOT_REPORTED or error in also:
            self.none.append(name)
        else:
            self.errors[name] = error

    def take_fields(self, gpu, ids):
        """Many field values in one call, each with its own error.  An id may be (id, link)."""
        names = sorted(ids)
        try:
            seen = pynvml.nvmlDeviceGetFieldValues(gpu, [ids[name] for name in names])
        except Exception as error:
            for name in names:
                self.refuse(name, word(error))
            return
        for at, name in enumerate(names):
            item = seen[at]
            if item.nvmlReturn != 0:
                # An id that this driver is too old for is an InvalidArgument.
                self.refuse(name, code_word(item.nvmlReturn), ("InvalidArgument",))
            elif item.valueType < len(FIELD_TYPES):
                self.values[name] = getattr(item.value, FIELD_TYPES[item.valueType])
            else:
                self.errors[name] = "value type %d" % item.valueType

    def told(self):
        return {"v": self.values, "none": self.none, "e": self.errors}


def link(gpu, index, count):
    """One NVLink, or None where the GPU has no such link."""
    answers = Answers()
    answers.take("state", lambda: pynvml.nvmlDeviceGetNvLinkState(gpu, index))
    if "state" in answers.none or (count is None and "state" in answers.errors):
        return None
    if answers.values.get("state"):  # an inactive one has nothing to count
        for kind, name in enumerate(LINK_COUNTERS):
            answers.take(name, lambda k=kind: pynvml.nvmlDeviceGetNvLinkErrorCounter(gpu, index, k))
        for name in LINK_COUNTERS:  # a kind this generation lacks is an InvalidArgument
            if answers.errors.get(name) == "InvalidArgument":
                answers.none.append(name)
                del answers.errors[name]
        answers.take_fields(gpu, {name: (field, index) for name, field in LINK_FIELDS.items()})
    return {"link": index, "v": answers.values, "e": answers.errors}


def links(gpu, count):
    """`count` None: the driver does not say how many; they are asked until there is none."""
    found = []
    for index in range(LINKS_AT_MOST if count is None else min(count, LINKS_AT_MOST)):
        seen = link(gpu, index, count)
        if seen is None and count is None:
            break
        if seen is not None:
            found.append(seen)
    return found


def ask(index):
    """Say all about one GPU.  False where there is no handle to it."""
    try:
        gpu = pynvml.nvmlDeviceGetHandleByIndex(index)
    except Exception as error:
        say({"gpu": index, "error": word(error)})
        return False
    answers = Answers()
    for name, (call, *arguments) in PLAIN.items():
        answers.take(name, lambda c=call, a=arguments: plain(getattr(pynvml, c)(gpu, *a)))
    for name, get in SHAPED.items():
        answers.take(name, lambda get=get: get(gpu))
    answers.take_fields(gpu, FIELDS)
    answers.take("links", lambda: links(gpu, answers.values.get("link_count")))
    say(dict(answers.told(), gpu=index))
    return True


def fail(error):
    """As nvidia-smi does, the exit status is NVML's error: 9 for a driver that is not loaded."""
    code = getattr(error, "value", 1)
    missing = word(error) == "LibraryNotFound"
    print("libnvidia-ml.so.1 not found" if missing else "NVML: %s" % error, file=sys.stderr)
    sys.exit(127 if missing else code if 0 < code < 126 else 1)


def main():
    try:
        pynvml.nvmlInit()
        devices = pynvml.nvmlDeviceGetCount()
        driver = plain(pynvml.nvmlSystemGetDriverVersion())
    except pynvml.NVMLError as error:
        fail(error)
    say({"nvml": {"devices": devices, "driver": driver}})
    seen = 0
    for index in range(devices):
        say({"asking": index})
        seen += ask(index)
    say({"end": {"devices": devices, "seen": seen}})
