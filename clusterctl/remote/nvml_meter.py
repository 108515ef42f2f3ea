"""NVML by ctypes: which GPUs there are, and what they draw while something loads them.

To be run in a process of its own: a call about a GPU that fell off may never come back.
"""

import ctypes
import time

LIBRARY = "libnvidia-ml.so.1"
SM_CLOCK, CORE_TEMPERATURE = 1, 0
GONE = 15  # NVML_ERROR_GPU_IS_LOST
# nvml.h, nvmlClocksEventReason…; idle and the power cap belong to a full load and its end
REASONS = {
    0x8: "hw_slowdown",
    0x10: "sync_boost",
    0x20: "sw_thermal",
    0x40: "hw_thermal",
    0x80: "hw_power_brake",
}


class Meter:
    """Raises OSError where the library is missing or does not start."""

    def __init__(self):
        self.library = ctypes.CDLL(LIBRARY)
        self.must("nvmlInit_v2")
        count = ctypes.c_uint()
        self.must("nvmlDeviceGetCount_v2", ctypes.byref(count))
        self.count = count.value
        self.handles = {}

    def must(self, name, *arguments):
        code = getattr(self.library, name)(*arguments)
        if code:
            raise OSError(code, "%s: NVML error %d" % (name, code))

    def gpus(self):
        """For each index: uuid, whether it is cut up (MIG), power limit; or what refused."""
        for index in range(self.count):
            handle = ctypes.c_void_p()
            try:
                self.must("nvmlDeviceGetHandleByIndex_v2", index, ctypes.byref(handle))
                uuid = ctypes.create_string_buffer(96)
                self.must("nvmlDeviceGetUUID", handle, uuid, 96)
            except OSError as error:
                lost = "GPU is lost" if error.errno == GONE else error.strerror
                yield {"index": index, "lost": lost}
                continue
            self.handles[index] = handle
            yield {
                "index": index,
                "uuid": uuid.value.decode("utf-8", "replace"),
                "mig": self.is_divided(handle),
                "limit_w": self.number("nvmlDeviceGetEnforcedPowerLimit", handle, share=1000.0),
            }

    def is_divided(self, handle):
        now, pending = ctypes.c_uint(), ctypes.c_uint()
        call = getattr(self.library, "nvmlDeviceGetMigMode", None)
        return (
            call is not None
            and call(handle, ctypes.byref(now), ctypes.byref(pending)) == 0
            and now.value == 1
        )

    def number(self, name, handle, *which, share=1.0, kind=ctypes.c_uint):
        """None where it cannot be had, for whatever reason."""
        found = kind()
        call = getattr(self.library, name, None)
        if call is None or call(handle, *which, ctypes.byref(found)):
            return None
        return found.value / share

    def sample(self, index):
        """[index, watts, MHz, °C, mask of reasons], each None where it cannot be had."""
        handle = self.handles[index]
        reasons = "nvmlDeviceGetCurrentClocksThrottleReasons"
        return [
            index,
            self.number("nvmlDeviceGetPowerUsage", handle, share=1000.0),
            self.number("nvmlDeviceGetClockInfo", handle, SM_CLOCK),
            self.number("nvmlDeviceGetTemperature", handle, CORE_TEMPERATURE),
            self.number(reasons, handle, kind=ctypes.c_ulonglong),
        ]


def watch(say, every_s):
    """Says what there is, then a sample of every GPU again and again.  Is ended from outside."""
    try:
        meter = Meter()
    except (OSError, AttributeError) as error:
        say({"missing": str(error)})
        return
    say({"gpus": list(meter.gpus())})
    while True:
        for index in sorted(meter.handles):
            say({"sample": meter.sample(index)})
        time.sleep(every_s)


class Load:
    """What one GPU drew between two moments."""

    def __init__(self):
        self.samples = []

    def add(self, sample):
        self.samples.append(sample)

    def cells(self):
        """Means of power and clock, the highest temperature; why it was slowed."""
        power, clock, hot, masks = (
            [sample[at] for sample in self.samples if sample[at] is not None] for at in (1, 2, 3, 4)
        )
        seen = 0
        for mask in masks:
            seen |= int(mask)
        why = [REASONS[bit] for bit in sorted(REASONS) if seen & bit]
        return {
            "power_w": sum(power) / len(power) if power else None,
            "clock_sm_mhz": sum(clock) / len(clock) if clock else None,
            "temp_max_c": max(hot) if hot else None,
        }, "; slowed by " + ", ".join(why) if why else ""
