"""Sample every NVIDIA GPU for some seconds: argument: seconds, seconds between samples.

Prints a JSON object a line: gpu (uuid, power limit), then sample: index, W, MHz, °C, mask of the
reasons that slow it, utilisation in percent, bytes over NVLink (tx, rx) since the driver was
loaded, PCIe replays; each null where it cannot be had.  Last end, with their number.
"""

import ctypes
import json
import sys
import time

import nvml_meter
from sample_nvml import Field

TX, RX = 138, 139  # NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_TX and _RX, nvml.h: KiB
ALL_LINKS = 0xFFFFFFFF


class Use(ctypes.Structure):
    """nvmlUtilization_t."""

    _fields_ = (("gpu", ctypes.c_uint), ("memory", ctypes.c_uint))


def use(meter, handle):
    found = Use()
    call = getattr(meter.library, "nvmlDeviceGetUtilizationRates", None)
    return None if call is None or call(handle, ctypes.byref(found)) else found.gpu


def carried(meter, handle):
    fields = (Field * 2)()
    for field, number in zip(fields, (TX, RX)):
        field.id, field.scope = number, ALL_LINKS
    call = getattr(meter.library, "nvmlDeviceGetFieldValues", None)
    if call is None or call(handle, 2, fields):
        return [None, None]
    return [None if field.error else field.value << 10 for field in fields]


def main(seconds, every):
    try:
        meter = nvml_meter.Meter()
    except (OSError, AttributeError) as error:
        print("%s" % error, file=sys.stderr)
        # The loader's error has no number, NVML's has: a driver that is there and does not answer.
        sys.exit(127 if getattr(error, "errno", 0) is None else 1)
    rows = 0
    for told in meter.gpus():
        rows += 1
        print(json.dumps(dict(told, k="gpu")))
    finish = time.monotonic() + seconds
    while True:
        for index in sorted(meter.handles):
            handle = meter.handles[index]
            rows += 1
            one = meter.sample(index)
            one += [use(meter, handle), *carried(meter, handle)]
            one.append(meter.number("nvmlDeviceGetPcieReplayCounter", handle))
            print(json.dumps({"k": "sample", "v": one}))
        if time.monotonic() + every > finish:
            break
        time.sleep(every)
    print(json.dumps({"k": "end", "rows": rows}))


main(*map(float, sys.argv[1:3]))
