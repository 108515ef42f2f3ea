"""Ask a library that is NVML's in all but its name about every card; lines as ask_nvml.py's.

Argument: ixml (Iluvatar: NVML's own names), hgml (T-Head), brml (Biren: its own errors, and some
structures).  Calls and layouts by the bindings pyixml and pyhgml of gpustack/runtime 88026d6 and
by brml.h of BirenTechnology/go-brml 89daae7.  Only getters.  Left out: fabric, whose structure is
another in each; what Biren calls the memory's temperature, which is a range.
"""

import ctypes
import glob
import json
import os
import sys

UINT, WIDE = ctypes.c_uint, ctypes.c_ulonglong
LIBRARIES = {
    "ixml": ("nvml", "libixml.so", "/usr/local/corex"),
    "hgml": ("hgml", "libhgml.so", "/usr/local/PPU_SDK"),
    "brml": ("brml", "libbiren-ml.so.1", "/usr/local/birensupa"),
}
ERRORS = {  # nvmlReturn_t
    1: "Uninitialized", 2: "InvalidArgument", 3: "NotSupported", 4: "NoPermission", 6: "NotFound",
    7: "InsufficientSize", 9: "DriverNotLoaded", 10: "Timeout", 13: "FunctionNotFound",
    15: "GpuIsLost", 16: "ResetRequired", 18: "LibRmVersionMismatch", 999: "Unknown",
}  # fmt: skip
BIREN_ERRORS = {  # brmlReturn_t
    1: "Uninitialized", 2: "InvalidArgument", 3: "NotSupported", 4: "NoPermission", 5: "NotFound",
    6: "InsufficientSize", 7: "DriverNotLoaded", 8: "Timeout", 11: "NoData", 15: "Busy",
    16: "DriverVersionMismatch", 255: "Unknown",
}  # fmt: skip
ABSENT = ("NotSupported", "FunctionNotFound")
LINK_COUNTERS = ("replay_errors", "recovery_errors", "crc_flit_errors", "crc_data_errors")
LINKS_AT_MOST, PROCESSES_AT_MOST, CARDS_AT_MOST = 36, 512, 256
BIREN_HEALTH = ("ok", "warning", "critical warning", "error")


class Memory(ctypes.Structure):
    _fields_ = [("total", WIDE), ("free", WIDE), ("used", WIDE)]


class Utilization(ctypes.Structure):
    _fields_ = [("gpu", UINT), ("memory", UINT)]


class Pci(ctypes.Structure):
    _fields_ = [("old", ctypes.c_char * 16), ("numbers", UINT * 5), ("address", ctypes.c_char * 32)]


class BirenPci(ctypes.Structure):
    _fields_ = [("numbers", UINT * 6), ("address", ctypes.c_char * 32)]


class BirenCard(ctypes.Structure):
    _fields_ = [(name, ctypes.c_char * 96) for name in ("name", "id", "serial", "board")]


class Process(ctypes.Structure):
    _fields_ = [("pid", UINT), ("used", WIDE), ("instance", UINT), ("part", UINT)]


class BirenProcess(ctypes.Structure):
    _fields_ = [("pid", UINT), ("used", WIDE), ("host", WIDE)]


class Refused(Exception):
    """A call that failed, by its word."""


class Library:
    def __init__(self, family):
        self.biren = family == "brml"
        self.prefix, self.name, home = LIBRARIES[family]
        self.errors = BIREN_ERRORS if self.biren else ERRORS
        paths = [self.name]
        for folder in ("lib*", "*/lib*"):
            paths += sorted(glob.glob(os.path.join(home, folder, self.name)))
        for path in paths:
            try:
                self.loaded = ctypes.CDLL(path)
                return
            except OSError as error:
                told = str(error)
        sys.stderr.write("%s not found: %s\n" % (self.name, told))
        sys.exit(127)

    def call(self, stem, *arguments, whole=""):
        """`whole`: the name of a call that has another prefix."""
        function = getattr(self.loaded, whole or self.prefix + stem, None)
        if function is None:
            raise Refused("FunctionNotFound")
        code = function(*arguments)
        if code != 0:
            raise Refused(self.errors.get(code, "Error%d" % code))

    def first(self, stems, *arguments):
        """The first of these calls that this version has."""
        for stem in stems[:-1]:
            if hasattr(self.loaded, self.prefix + stem):
                return self.call(stem, *arguments)
        return self.call(stems[-1], *arguments)

    def number(self, stem, card, *arguments, kind=UINT):
        value = kind()
        self.call(stem, card, *(UINT(one) for one in arguments), ctypes.byref(value))
        return value.value

    def text(self, stem, *arguments):
        room = ctypes.create_string_buffer(128)
        self.call(stem, *arguments, room, UINT(128))
        return plain(room.value)

    def structure(self, stem, card, kind):
        value = kind()
        self.call(stem, card, ctypes.byref(value))
        return value


def plain(value):
    return value.decode("utf-8", "replace")


# Field of ask_nvml.py: call, its arguments before the result, the result's kind.
NUMBERS = {
    "temp_c": ("DeviceGetTemperature", (0,), UINT),
    "temp_slowdown_c": ("DeviceGetTemperatureThreshold", (1,), UINT),
    "power_mw": ("DeviceGetPowerUsage", (), UINT),
    "power_limit_mw": ("DeviceGetEnforcedPowerLimit", (), UINT),
    "power_limit_default_mw": ("DeviceGetPowerManagementDefaultLimit", (), UINT),
    "clock_sm_mhz": ("DeviceGetClockInfo", (1,), UINT),
    "clock_sm_max_mhz": ("DeviceGetMaxClockInfo", (1,), UINT),
    "clock_memory_mhz": ("DeviceGetClockInfo", (2,), UINT),
    "clock_memory_max_mhz": ("DeviceGetMaxClockInfo", (2,), UINT),
    "ecc_corrected_volatile": ("DeviceGetTotalEccErrors", (0, 0), WIDE),
    "ecc_uncorrected_volatile": ("DeviceGetTotalEccErrors", (1, 0), WIDE),
    "ecc_corrected_aggregate": ("DeviceGetTotalEccErrors", (0, 1), WIDE),
    "ecc_uncorrected_aggregate": ("DeviceGetTotalEccErrors", (1, 1), WIDE),
    "retired_pending": ("DeviceGetRetiredPagesPendingStatus", (), UINT),
    "pcie_gen": ("DeviceGetCurrPcieLinkGeneration", (), UINT),
    "pcie_gen_max": ("DeviceGetMaxPcieLinkGeneration", (), UINT),
    "pcie_width": ("DeviceGetCurrPcieLinkWidth", (), UINT),
    "pcie_width_max": ("DeviceGetMaxPcieLinkWidth", (), UINT),
    "pcie_replays": ("DeviceGetPcieReplayCounter", (), UINT),
    "persistence": ("DeviceGetPersistenceMode", (), UINT),
    "throttle_mask": ("DeviceGetCurrentClocksThrottleReasons", (), WIDE),
}
# Biren counts since the driver was loaded alone, and nowhere says which bit is which reason.
NO_BIREN = ("ecc_corrected_aggregate", "ecc_uncorrected_aggregate", "throttle_mask")


def shaped(library, card):
    """The other fields: how each is had."""
    biren = library.biren

    def memory():
        seen = library.structure("DeviceGetMemoryInfo", card, Memory)
        return [seen.total, seen.used]

    def pci():
        stems = ("DeviceGetPciInfo",) if biren else ("DeviceGetPciInfo_v3",)
        return plain(library.structure(stems[0], card, BirenPci if biren else Pci).address)

    def ecc_mode():
        now, later = UINT(), UINT()
        more = () if biren else (ctypes.byref(later),)
        library.call("DeviceGetEccMode", card, ctypes.byref(now), *more)
        return now.value

    def remapped():
        found = [UINT() for _ in range(4)]
        library.call("DeviceGetRemappedRows", card, *(ctypes.byref(one) for one in found))
        return [one.value for one in found]

    def running():
        kind = BirenProcess if biren else Process
        room, count = (kind * PROCESSES_AT_MOST)(), UINT(PROCESSES_AT_MOST)
        stem = "DeviceGetComputeRunningProcesses" + ("" if biren else "_v3")
        library.call(stem, card, ctypes.byref(count), room)
        return [[one.pid, process(one.pid), one.used] for one in room[: count.value]]

    def health():
        """Biren's word; the bits of Iluvatar's."""
        if biren:
            value = library.number("DeviceGetHealthStatus", card)
            return BIREN_HEALTH[value] if value < len(BIREN_HEALTH) else "health %d" % value
        bits = WIDE()
        library.call("", card, ctypes.byref(bits), whole="ixmlDeviceGetHealth")
        return bits.value

    def named(field):
        return plain(getattr(library.structure("DeviceGetGpuInfo", card, BirenCard), field))

    found = {
        "uuid": lambda: library.text("DeviceGetUUID", card),
        "memory_bytes": memory,
        "pci": pci,
        "utilisation_percent": lambda: (
            library.structure("DeviceGetUtilizationRates", card, Utilization).gpu
        ),
        "ecc_mode": ecc_mode,
        "remapped": remapped,
        "processes": running,
        "health": health,
    }
    if biren:
        found["name"], found["serial"] = lambda: named("name"), lambda: named("serial")
    else:
        found["name"] = lambda: library.text("DeviceGetName", card)
        found["serial"] = lambda: library.text("DeviceGetSerial", card)
        found["vbios"] = lambda: library.text("DeviceGetVbiosVersion", card)
    return found


def process(pid):
    try:
        with open("/proc/%d/comm" % pid, "rb") as file:
            return plain(file.read()).strip()
    except (OSError, IOError):
        return ""  # gone by now, or another container's


def links(library, card):
    """Biren's and T-Head's; Iluvatar's cards have none that its library tells of."""
    word = {"brml": "Br", "hgml": "Icn"}[library.prefix]
    found = []
    count = library.number("DeviceGetBrLinkNumber", card) if library.biren else LINKS_AT_MOST
    for index in range(min(count, LINKS_AT_MOST)):
        told = {"link": index, "v": {}, "e": {}}
        try:
            state = library.number("DeviceGet%sLinkState" % word, card, index)
        except Refused as refused:
            if str(refused) in ABSENT or not library.biren:  # one beyond the last
                break
            told["e"]["state"] = str(refused)
            found.append(told)
            continue
        told["v"]["state"] = state
        for kind, name in enumerate(LINK_COUNTERS if state else ()):
            stem = "DeviceGet%sLinkErrorCounter" % word
            try:
                told["v"][name] = library.number(stem, card, index, kind, kind=WIDE)
            except Refused as refused:
                if str(refused) not in (*ABSENT, "InvalidArgument"):
                    told["e"][name] = str(refused)
        found.append(told)
    return found


def ask(library, index, every):
    """Say all about one card.  False where there is no handle to it."""
    card = ctypes.c_void_p()
    try:
        stems = ("DeviceGetHandleByIndex_v2", "DeviceGetHandleByIndex")
        library.first(stems, UINT(index), ctypes.byref(card))
    except Refused as refused:
        say({"gpu": index, "error": str(refused)})
        return False
    values, none, errors = {}, [], {}
    getters = shaped(library, card)
    for name, (stem, before, kind) in NUMBERS.items():
        if not (library.biren and name in NO_BIREN):
            getters[name] = lambda s=stem, b=before, k=kind: library.number(s, card, *b, kind=k)
    if library.biren:
        limit = "DeviceGetPowerManagementLimit"
        getters["power_limit_mw"] = lambda: library.number(limit, card)
    if library.prefix != "nvml":
        getters["links"] = lambda: links(library, card)
    for name, get in getters.items():
        try:
            values[name] = get()
        except Refused as refused:
            if str(refused) in ABSENT:
                none.append(name)
            else:
                errors[name] = str(refused)
    none += [name for name in every if name not in getters]
    say({"gpu": index, "v": values, "none": none, "e": errors})
    return True


def say(line):
    print(json.dumps(line, separators=(",", ":")))
    sys.stdout.flush()


def main(family, every):
    library = Library(family)
    count = UINT()
    try:
        library.first(("Init_v2", "Init") if not library.biren else ("Init",))
        library.first(("DeviceGetCount_v2", "DeviceGetCount"), ctypes.byref(count))
        driver = library.text("SystemGetDriverVersion")
    except Refused as refused:
        sys.exit("%s: %s" % (library.name, refused))
    say({"nvml": {"devices": count.value, "driver": driver}})
    seen = 0
    for index in range(min(count.value, CARDS_AT_MOST)):
        say({"asking": index})
        seen += ask(library, index, every)
    say({"end": {"devices": count.value, "seen": seen}})


main(sys.argv[1], sys.argv[2:])
