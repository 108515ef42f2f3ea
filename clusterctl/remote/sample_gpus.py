"""Sample what this node's GPUs draw and how busy they say they are, until nobody listens.

Arguments: seconds between looks, seconds between lines.  NVIDIA's by NVML, AMD's by sysfs; exit 127
where there are none.  Prints a JSON object a line: k part, n, at (seconds: when the first step
began), dt (tenths of a millisecond), power (millijoules of all GPUs in each step), use (their mean
utilisation in percent, null where none says it), spent_s (of a processor, until now).
"""

import ctypes
import glob
import json
import os
import sys
import time

import nvml_meter

# Linux, Documentation/gpu/amdgpu/thermal.rst: percent of time, and microwatts
AMD = "/sys/class/drm/card[0-9]*/device/gpu_busy_percent"
AMD_POWER = ("/hwmon/hwmon*/power1_average", "/hwmon/hwmon*/power1_input")


class Use(ctypes.Structure):
    """nvmlUtilization_t; `value`: of the GPU."""

    _fields_ = (("value", ctypes.c_uint), ("memory", ctypes.c_uint))


class Nvidia:
    """Raises OSError where there is none."""

    def __init__(self):
        self.meter = nvml_meter.Meter()
        list(self.meter.gpus())

    def look(self):
        """(watts, percent) of each, None where it cannot be had."""
        number = self.meter.number
        for handle in self.meter.handles.values():
            watts = number("nvmlDeviceGetPowerUsage", handle, share=1000.0)
            yield watts, number("nvmlDeviceGetUtilizationRates", handle, kind=Use)


class Amd:
    """Files that stay open."""

    def __init__(self):
        self.cards = []
        for path in sorted(glob.glob(AMD)):
            meters = [one for form in AMD_POWER for one in glob.glob(os.path.dirname(path) + form)]
            self.cards.append([self.opened(one) for one in (*(meters[:1] or [""]), path)])

    def opened(self, path):
        try:
            return os.open(path, os.O_RDONLY)
        except OSError:
            return None

    def read(self, file):
        try:
            return float(os.pread(file, 64, 0))
        except (OSError, ValueError, TypeError):
            return None

    def look(self):
        for meter, busy in self.cards:
            watts = self.read(meter)
            yield None if watts is None else watts / 1e6, self.read(busy)


def there():
    """Whatever has GPUs here."""
    if glob.glob(AMD):
        return Amd()
    try:
        return Nvidia()
    except (OSError, AttributeError) as error:
        print("%s" % error, file=sys.stderr)
        # The loader's error has no number, NVML's has: a driver that is there and does not answer.
        sys.exit(127 if getattr(error, "errno", 0) is None else 1)


def main(every, say_every):
    gpus = there()
    last = began = time.monotonic()
    steps, power, use, count = [], [], [], 0
    while True:
        time.sleep(max(0.0, last + every - time.monotonic()))
        now, told = time.monotonic(), list(gpus.look())
        watts = [one for one, _ in told if one is not None]
        use += [one for _, one in told if one is not None]
        steps.append(int((now - last) * 10000 + 0.5))
        power.append(int(sum(watts) * steps[-1] / 10.0))
        last += steps[-1] / 10000.0
        if last - began >= say_every:
            count += 1
            row = {"k": "part", "n": count, "at": round(began, 4), "dt": steps}
            row["use"] = round(sum(use) / len(use), 1) if use else None
            row["spent_s"] = round(time.process_time(), 4)
            if watts:
                row["power"] = power
            sys.stdout.write(json.dumps(row, separators=(",", ":")) + "\n")
            sys.stdout.flush()
            steps, power, use, began = [], [], [], last


main(*map(float, sys.argv[1:3]))
