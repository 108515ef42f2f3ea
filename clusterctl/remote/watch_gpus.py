"""Sample every NVIDIA GPU for some seconds: argument: seconds, seconds between samples.

Prints a JSON object a line: gpu (minor number, power limit), then sample: index, W, MHz, °C, mask
of the reasons that slow it, utilisation in percent, bytes over NVLink (tx, rx) since the driver was
loaded, PCIe replays; each null where it cannot be had.  Then link, one a GPU: what PCIe carried, in
bytes a second, its generation and width, and errors that it corrected, and those that NVLink had,
since the driver was loaded, before and after.  Last end, with their number.
"""

import ctypes
import json
import sys
import time

import nvml_meter
from sample_nvml import Field

TX, RX = 138, 139  # NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_TX and _RX, nvml.h: KiB
ALL_LINKS = 0xFFFFFFFF
# NVML_FI_DEV_PCIE_COUNT_TX_BYTES, _RX_BYTES, _CORRECTABLE_ERRORS
PCIE = (197, 198, 173)
# NVML_FI_DEV_NVLINK_CRC_FLIT_, _CRC_DATA_, _REPLAY_ and _RECOVERY_ERROR_COUNT_TOTAL: of all links
NVLINK = (38, 45, 52, 59)
PCIE_TX, PCIE_RX = 0, 1  # nvmlPcieUtilCounter_t


class Use(ctypes.Structure):
    """nvmlUtilization_t."""

    _fields_ = (("gpu", ctypes.c_uint), ("memory", ctypes.c_uint))


def use(meter, handle):
    found = Use()
    call = getattr(meter.library, "nvmlDeviceGetUtilizationRates", None)
    return None if call is None or call(handle, ctypes.byref(found)) else found.gpu


def asked(meter, handle, numbers, scope):
    """Values of fields; None of those that this driver or this GPU does not have."""
    fields = (Field * len(numbers))()
    for field, number in zip(fields, numbers):
        field.id, field.scope = number, scope
    call = getattr(meter.library, "nvmlDeviceGetFieldValues", None)
    if call is None or call(handle, len(numbers), fields):
        return [None] * len(numbers)
    return [None if field.error else field.value for field in fields]


def carried(meter, handle):
    told = asked(meter, handle, (TX, RX), ALL_LINKS)
    return [None if one is None else one << 10 for one in told]


def garbled(meter, handle):
    """What NVLink had to correct or send again; None where no counter is there."""
    told = [one for one in asked(meter, handle, NVLINK, 0) if one is not None]
    return sum(told) if told else None


class Links:
    """One GPU's links, from its first look to its last.

    Where the driver counts no bytes it measures for 20 ms a way: so only now and then.
    """

    def __init__(self, meter, handle):
        self.meter, self.handle = meter, handle
        self.began, self.first = time.monotonic(), asked(meter, handle, PCIE, 0)
        self.garbled = garbled(meter, handle)
        self.rates = []

    def sample(self):
        if None in self.first[:2]:
            name = "nvmlDeviceGetPcieThroughput"
            told = [self.meter.number(name, self.handle, way) for way in (PCIE_TX, PCIE_RX)]
            if None not in told:
                self.rates.append([one * 1000.0 for one in told])  # KB/s

    def cells(self):
        last, seconds = asked(self.meter, self.handle, PCIE, 0), time.monotonic() - self.began
        rates = [None, None]
        if None not in self.first[:2] + last[:2] and seconds > 0:
            grown = [after - before for before, after in zip(self.first, last[:2])]
            rates = [None if one < 0 else one / seconds for one in grown]  # it may wrap
        elif self.rates:
            rates = [sum(way) / len(way) for way in zip(*self.rates)]
        number = self.meter.number
        return {
            "tx_bytes_s": rates[0],
            "rx_bytes_s": rates[1],
            "errors": [self.first[2], last[2]],
            "nvlink_errors": [self.garbled, garbled(self.meter, self.handle)],
            "gen": number("nvmlDeviceGetCurrPcieLinkGeneration", self.handle),
            "width": number("nvmlDeviceGetCurrPcieLinkWidth", self.handle),
        }


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
        if told["index"] in meter.handles:
            handle = meter.handles[told["index"]]
            told["minor"] = meter.number("nvmlDeviceGetMinorNumber", handle)
        print(json.dumps(dict(told, k="gpu")))
    finish = time.monotonic() + seconds
    links = {index: Links(meter, handle) for index, handle in meter.handles.items()}
    turn = 0
    while True:
        for index in sorted(meter.handles):
            handle = meter.handles[index]
            rows += 1
            one = meter.sample(index)
            one += [use(meter, handle), *carried(meter, handle)]
            one.append(meter.number("nvmlDeviceGetPcieReplayCounter", handle))
            print(json.dumps({"k": "sample", "v": one}))
        if links:
            links[sorted(links)[turn % len(links)]].sample()
            turn += 1
        if time.monotonic() + every > finish:
            break
        time.sleep(every)
    for index in sorted(links):
        rows += 1
        print(json.dumps(dict(links[index].cells(), k="link", index=index)))
    print(json.dumps({"k": "end", "rows": rows}))


main(*map(float, sys.argv[1:3]))
