"""Sample what moves in NVIDIA GPUs, for as long as lines come in.

A process of its own, so that a call that hangs costs nobody else anything.
Argument: the descriptor on which requests come, a line each.  `f` is answered with every name and
value, {"names": […], "values": […]}, `s` with what changed since, [index, value, …].  Names are
gpu3.temp_c; values are whole numbers, text, or "!" and NVML's error.  The first answer comes
unasked: {"gpus": 8}, or {"absent": why}.

A call is 10 to 100 us of the driver's time.  So what moves by the second is asked of every GPU each
time, and counters and settings of one GPU after the other: each within as many samples as there are
GPUs.  NVML is called directly: pynvml is 50 ms and 6 MB of a node for thirteen functions.
"""

import ctypes
import json
import os
import sys

ERRORS = {
    1: "Uninitialized",
    2: "InvalidArgument",
    3: "NotSupported",
    4: "NoPermission",
    6: "NotFound",
    9: "DriverNotLoaded",
    10: "Timeout",
    11: "IrqIssue",
    13: "FunctionNotFound",
    15: "GpuIsLost",
    16: "ResetRequired",
    17: "OperatingSystem",
    18: "LibRmVersionMismatch",
    20: "Memory",
    25: "ArgumentVersionMismatch",
    999: "Unknown",
}
NOT_REPORTED = ("!NotSupported", "!FunctionNotFound", "!ArgumentVersionMismatch")
# nvml.h, "Field Identifiers".  The NVLink totals are over all links of the GPU.
FIELDS = (
    ("temp_memory_c", 82),
    ("sw_power_cap_ns", 74),
    ("sw_thermal_ns", 269),
    ("hw_thermal_ns", 270),
    ("hw_power_brake_ns", 271),
    ("nvlink_crc_flit_errors", 38),
    ("nvlink_crc_data_errors", 45),
    ("nvlink_replay_errors", 52),
    ("nvlink_recovery_errors", 59),
)
LINK_KINDS = ("replay", "recovery", "crc_flit", "crc_data", "ecc_data")  # nvmlNvLinkErrorCounter_t
LINKS_AT_MOST = 36


class Field(ctypes.Structure):
    """nvmlFieldValue_t."""

    _fields_ = (
        ("id", ctypes.c_uint),
        ("scope", ctypes.c_uint),
        ("timestamp", ctypes.c_longlong),
        ("latency", ctypes.c_longlong),
        ("kind", ctypes.c_uint),
        ("error", ctypes.c_int),
        ("value", ctypes.c_ulonglong),
    )


# nvmlValueType_t -> how to read the union; little-endian machines only, as NVML's are
KINDS = {
    0: ctypes.c_double,
    1: ctypes.c_uint,
    2: ctypes.c_ulong,
    3: ctypes.c_ulonglong,
    4: ctypes.c_longlong,
    5: ctypes.c_int,
    6: ctypes.c_ushort,
}


def wrong(code):
    return "!" + ERRORS.get(code, "Error%d" % code)


def caller(lib, name, *before, kind=ctypes.c_uint, scale=1):
    """A function of a handle: the value that NVML writes behind the arguments `before`."""
    function = getattr(lib, name, None)
    if function is None:
        return None
    cell = kind()
    reference = ctypes.byref(cell)
    arguments = [ctypes.c_uint(number) for number in before]

    def call(gpu):
        code = function(gpu, *arguments, reference)
        if code:
            return wrong(code)
        return cell.value // scale

    return call


def remapped(lib):
    """Corrected, uncorrected, pending, failed."""
    function = getattr(lib, "nvmlDeviceGetRemappedRows", None)
    if function is None:
        return None
    cells = [ctypes.c_uint() for _ in range(4)]
    references = [ctypes.byref(cell) for cell in cells]

    def call(gpu):
        code = function(gpu, *references)
        return wrong(code) if code else " ".join(str(cell.value) for cell in cells)

    return call


def text(lib, name):
    function = getattr(lib, name, None)
    room = ctypes.create_string_buffer(96)

    def call(gpu):
        code = function(gpu, room, ctypes.c_uint(96))
        return wrong(code) if code else room.value.decode("ascii", "replace")

    return function and call


def quick(lib):
    """By name, how to ask; None where this library lacks it.  Arguments as in ask_nvml.py."""
    reasons = "nvmlDeviceGetCurrentClocksEventReasons"
    if not hasattr(lib, reasons):
        reasons = "nvmlDeviceGetCurrentClocksThrottleReasons"
    return {
        "temp_c": caller(lib, "nvmlDeviceGetTemperature", 0),
        "power_w": caller(lib, "nvmlDeviceGetPowerUsage", scale=1000),
        "clock_sm_mhz": caller(lib, "nvmlDeviceGetClockInfo", 1),
        "throttle_mask": caller(lib, reasons, kind=ctypes.c_ulonglong),
    }


def slow(lib):
    wide = ctypes.c_ulonglong
    return {
        "uuid": text(lib, "nvmlDeviceGetUUID"),
        "power_limit_w": caller(lib, "nvmlDeviceGetEnforcedPowerLimit", scale=1000),
        "clock_memory_mhz": caller(lib, "nvmlDeviceGetClockInfo", 2),
        "ecc_corrected_volatile": caller(lib, "nvmlDeviceGetTotalEccErrors", 0, 0, kind=wide),
        "ecc_uncorrected_volatile": caller(lib, "nvmlDeviceGetTotalEccErrors", 1, 0, kind=wide),
        "ecc_corrected_aggregate": caller(lib, "nvmlDeviceGetTotalEccErrors", 0, 1, kind=wide),
        "ecc_uncorrected_aggregate": caller(lib, "nvmlDeviceGetTotalEccErrors", 1, 1, kind=wide),
        "remapped": remapped(lib),
        "pcie_replays": caller(lib, "nvmlDeviceGetPcieReplayCounter"),
        "pcie_gen": caller(lib, "nvmlDeviceGetCurrPcieLinkGeneration"),
        "pcie_width": caller(lib, "nvmlDeviceGetCurrPcieLinkWidth"),
    }


class Gpu:
    """One handle and the questions it does not refuse for good."""

    def __init__(self, lib, index):
        self.lib, self.prefix = lib, "gpu%d." % index
        self.handle = ctypes.c_void_p()
        self.error = lib.nvmlDeviceGetHandleByIndex_v2(
            ctypes.c_uint(index), ctypes.byref(self.handle)
        )
        self.quick, self.slow, self.fields, self.names = [], [], None, ["handle"]
        if self.error:
            return
        self.quick = self.choose(quick(lib))
        self.choose_fields()
        self.slow = self.choose(slow(lib))
        self.choose_links()
        self.last = self.ask(self.slow)

    def choose(self, every):
        chosen = [
            (n, ask) for n, ask in every.items() if ask and ask(self.handle) not in NOT_REPORTED
        ]
        self.names += [name for name, _ in chosen]
        return [ask for _, ask in chosen]

    def choose_fields(self):
        if not hasattr(self.lib, "nvmlDeviceGetFieldValues"):
            return
        every = (Field * len(FIELDS))(*((number,) for _, number in FIELDS))
        if self.lib.nvmlDeviceGetFieldValues(self.handle, len(FIELDS), every):
            return
        # An id that this driver is too old for is an InvalidArgument.
        known = [at for at, field in enumerate(every) if field.error not in (2, 3, 13, 25)]
        if known:
            self.fields = (Field * len(known))(*((FIELDS[at][1],) for at in known))
            self.names += [FIELDS[at][0] for at in known]

    def choose_links(self):
        """Link by link where the driver gives no totals; five calls a link cost more than all."""
        if any(name.startswith("nvlink_") for name in self.names):
            return
        for link in range(LINKS_AT_MOST):
            found = False
            for kind, name in enumerate(LINK_KINDS):
                ask = caller(
                    self.lib, "nvmlDeviceGetNvLinkErrorCounter", link, kind, kind=ctypes.c_ulonglong
                )
                if ask and ask(self.handle) not in (*NOT_REPORTED, "!InvalidArgument"):
                    found = True
                    self.slow.append(ask)
                    self.names.append("link%d.%s_errors" % (link, name))
            if not found:
                return

    def ask(self, questions):
        return [ask(self.handle) for ask in questions]

    def values(self, *, whole):
        """In the order of `names`; `whole`: what is slow is asked too."""
        if self.error:
            return [wrong(self.error)]
        found = ["ok", *self.ask(self.quick)]
        if self.fields is not None:
            code = self.lib.nvmlDeviceGetFieldValues(self.handle, len(self.fields), self.fields)
            found += [wrong(code) if code else field_value(field) for field in self.fields]
        if whole:
            self.last = self.ask(self.slow)
        return found + self.last


def field_value(field):
    if field.error:
        return wrong(field.error)
    kind = KINDS.get(field.kind)
    if kind is None:
        return "!ValueType%d" % field.kind
    raw = ctypes.c_ulonglong(field.value)
    return ctypes.cast(ctypes.byref(raw), ctypes.POINTER(kind)).contents.value


def say(line):
    os.write(1, (json.dumps(line, separators=(",", ":")) + "\n").encode())


def main(descriptor):
    try:
        lib = ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        say({"absent": "libnvidia-ml.so.1 not found"})
        return
    code = lib.nvmlInit_v2()
    count = ctypes.c_uint()
    code = code or lib.nvmlDeviceGetCount_v2(ctypes.byref(count))
    if code:
        say({"absent": wrong(code)})
        return
    gpus = [Gpu(lib, index) for index in range(count.value)]
    names = [gpu.prefix + name for gpu in gpus for name in gpu.names]
    say({"gpus": count.value})
    before = [None] * len(names)
    turn = 0
    while True:
        request = os.read(int(descriptor), 64)
        if not request:
            return
        whole = b"f" in request
        turn += 1
        values = []
        for index, gpu in enumerate(gpus):
            values += gpu.values(whole=whole or index == turn % len(gpus))
        if whole:
            say({"names": names, "values": values})
        else:
            changes = []
            for index, value in enumerate(values):
                if value != before[index]:
                    changes += [index, value]
            say(changes)
        before = values


if __name__ == "__main__":
    main(*sys.argv[1:])
