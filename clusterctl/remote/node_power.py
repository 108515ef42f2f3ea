"""What the whole node draws, by the best source it has itself.  Travels beside load scripts.

The ACPI power meter and the BMC see the whole node; NVML and RAPL see parts of it, and say less.
"""

import glob
import re
import shutil
import signal
import subprocess
import time

from nvml_meter import Meter
from sockets_power import sockets_uj, sockets_w

# Documentation/hwmon/acpi_power_meter.rst: name power_meter, power1_average in microwatts.
HWMON = "/sys/class/hwmon/hwmon*"
IPMI = "/dev/ipmi0"
DCMI = re.compile(r"Instantaneous power reading:\s+(\d+) Watts")
ACTIVATED = re.compile(r"Power reading state is:\s+activated")
IPMI_S = 10.0
SOURCES = ("ACPI power meter", "ipmitool dcmi", "NVML, GPUs only", "RAPL, sockets only")
WHOLE = 2  # so many of them see the whole node
EVERY_S = 1.0
LEAST = 3  # samples, for a median
NOBODY = (-1, 0, 0, 0, 0)


def text_of(path):
    try:
        with open(path) as file:
            return file.read().strip()
    except (OSError, ValueError):
        return ""


def by_acpi():
    meters = [place for place in glob.glob(HWMON) if text_of(place + "/name") == "power_meter"]

    def watts():
        cells = [text_of(place + "/power1_average") for place in meters]
        known = bool(cells) and all(cell.isdigit() for cell in cells)
        return sum(map(int, cells)) / 1e6 if known else None

    return watts


def by_bmc():
    tool = shutil.which("ipmitool")

    def watts():
        if tool is None or not glob.glob(IPMI):
            return None
        try:
            text = subprocess.check_output(
                [tool, "dcmi", "power", "reading"],
                stdin=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=IPMI_S,
            ).decode("utf-8", "replace")
        except (OSError, subprocess.SubprocessError):
            return None
        found = DCMI.search(text)
        return float(found.group(1)) if found and ACTIVATED.search(text) else None

    return watts


def by_nvml():
    try:
        meter = Meter()
        gpus = list(meter.gpus())
    except (OSError, AttributeError):
        return lambda: None

    def watts():
        powers = [meter.sample(index)[1] for index in sorted(meter.handles)]
        return sum(powers) if powers and len(powers) == len(gpus) and None not in powers else None

    return watts


def by_rapl():
    last = [sockets_uj()]

    def watts():
        before, last[0] = last[0], sockets_uj()
        return sockets_w(before, last[0])

    return watts


MAKERS = (by_acpi, by_bmc, by_nvml, by_rapl)


def best():
    """(number of the source, what gives watts or None); (-1, None): the node does not say."""
    for number, make in enumerate(MAKERS):
        watts = make()
        if watts() is None and make is by_rapl:
            time.sleep(0.1)  # it needs two readings
        if watts():  # 0 W is a meter that does not measure
            return number, watts
    return -1, None


def summary(number, seen, seconds):
    """Source, seconds, and milliwatts: least, median, most."""
    ordered = sorted(seen)
    if len(ordered) < LEAST:
        return list(NOBODY)
    watts = (ordered[0], ordered[len(ordered) // 2], ordered[-1])
    return [number, int(seconds), *(int(one * 1000) for one in watts)]


def measure(seconds, every_s=EVERY_S, over=lambda: False):
    """`summary` of what was seen in that time, or until `over()`; for a worker of its own."""
    began, seen = time.monotonic(), []
    number, watts = best()
    while watts and not over() and time.monotonic() < began + seconds:
        value = watts()
        seen += [value] if value else []
        time.sleep(every_s)
    return summary(number, seen, time.monotonic() - began)


def until_told(say):
    """For cuda_workers.Worker: measures until SIGTERM, then says the summary."""
    ended = []
    signal.signal(signal.SIGTERM, lambda *_: ended.append(1))
    say(measure(1e9, over=lambda: ended))


def row(found, in_step):
    """The cells of a row `power`; None: the node does not say."""
    number, seconds, least, middle, most = found
    if number < 0:
        return None
    return {
        "part": "node",
        "source": SOURCES[number],
        "power_w": (most if in_step else middle) / 1000.0,
        "least_w": least / 1000.0,
        "most_w": most / 1000.0,
        "seconds": float(seconds),
        "whole": int(number < WHOLE),
        "in_step": int(in_step),
    }
