"""Ask NVML about every GPU, a JSON object a line: a call that hangs costs only what comes after it.

{"nvml": {"devices": 8, "driver": "550.54.15"}}      first
{"asking": 3}                                        before each GPU: who hung, if this is the last
{"gpu": 3, "v": {field: value}, "none": [field], "e": {field: error}}; links are {"link", "v", "e"}
{"gpu": 4, "error": "GpuIsLost"}                     no handle to be had
{"end": {"devices": 8, "seen": 7}}                   last; without it the answer was cut

Values are NVML's own, in its units.  "none" is what this GPU, driver or binding does not report.
Only getters that read what the driver already knows.  Left out on purpose: PCIe throughput (sleeps
20 ms a call), samples and accounting (state of other tools), inforom validation (reads the flash),
supported clocks (long), NVLink counter control, everything that sets, resets or clears.
"""

import _ctypes
import sys

try:  # before all else: on a node without the driver, compiling the rest is 50 ms for nothing
    _ctypes.dlopen("libnvidia-ml.so.1", 0)
except OSError:
    print("libnvidia-ml.so.1 not found", file=sys.stderr)
    sys.exit(127)

import nvml_gpus

nvml_gpus.main()
