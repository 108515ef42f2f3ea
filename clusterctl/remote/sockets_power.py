"""Power, clock and temperature while something burns, where reading them is cheap.

NVML through its library, which comes with NVIDIA's driver; the sockets' energy counters for cores.
Nothing is raised: what cannot be read is None.  It travels beside scripts that name it.
"""

import ctypes
import os
import time

NVML_SM_CLOCK, NVML_CORE_TEMPERATURE = 1, 0  # nvmlClockType_t NVML_CLOCK_SM; NVML_TEMPERATURE_GPU
ZONES = "/sys/class/powercap"


def nvml():
    """NVIDIA's library, started; None where there is none."""
    try:
        library = ctypes.CDLL("libnvidia-ml.so.1")
        return None if library.nvmlInit_v2() else library
    except (OSError, AttributeError):
        return None


def handle_of(library, index):
    """A device by the order of PCI addresses, as nvidia-smi counts."""
    handle = ctypes.c_void_p()
    if library is None or library.nvmlDeviceGetHandleByIndex_v2(index, ctypes.byref(handle)):
        return None
    return handle


def read(library, call, handle, *words):
    if handle is None:
        return None
    value = ctypes.c_uint()
    try:
        failed = getattr(library, call)(handle, *words, ctypes.byref(value))
    except AttributeError:
        return None
    return None if failed else value.value


def watts(library, handle):
    value = read(library, "nvmlDeviceGetPowerUsage", handle)
    return None if value is None else value / 1000.0


def limit_w(library, handle):
    value = read(library, "nvmlDeviceGetEnforcedPowerLimit", handle)
    return None if value is None else value / 1000.0


def clock_mhz(library, handle):
    return read(library, "nvmlDeviceGetClockInfo", handle, NVML_SM_CLOCK)


def temp_c(library, handle):
    return read(library, "nvmlDeviceGetTemperature", handle, NVML_CORE_TEMPERATURE)


def sockets_uj():
    """(seconds, microjoules) of each socket's counter by its name; empty where none is readable."""
    found = {}
    try:
        names = os.listdir(ZONES)
    except OSError:
        return found
    for name in names:
        if name.count(":") == 1:  # intel-rapl:0 is a socket, intel-rapl:0:1 a part of it
            try:
                with open("%s/%s/energy_uj" % (ZONES, name)) as file:
                    found[name] = (time.monotonic(), int(file.read()))
            except (OSError, ValueError):
                pass
    return found


def sockets_w(before, after):
    """Watts of all sockets between two readings; None where one is missing or has wrapped."""
    total = 0.0
    for name, (then, energy) in before.items():
        if name not in after or after[name][1] < energy or after[name][0] <= then:
            return None
        total += (after[name][1] - energy) / 1e6 / (after[name][0] - then)
    return total if before else None
