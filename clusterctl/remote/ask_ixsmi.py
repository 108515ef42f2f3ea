"""Ask Iluvatar's ixsmi about every GPU; reading only.

Arguments: seconds for each call and for all.  See tool_calls.py for the answer.
"""

import os
import sys

import tool_calls

HOME = "/usr/local/corex"
LIBRARIES = (HOME + "/lib64", HOME + "/lib", os.environ.get("LD_LIBRARY_PATH", ""))
FIELDS = (
    *("index", "name", "uuid", "serial", "pci.bus_id", "temperature.memory"),
    *("pcie.link.gen.current", "pcie.link.gen.max"),
    *("pcie.link.width.current", "pcie.link.width.max"),
    *("clocks.max.sm", "clocks.max.memory", "ecc.mode.current"),
)
CALLS = (
    (),
    ("-q",),
    ("--query-gpu=" + ",".join(FIELDS), "--format=csv"),
    ("--query-gpu=index,uuid,gpu_bus_id,gpu_serial", "--format=csv"),  # of versions that know less
)

found = tool_calls.find("ixsmi", (HOME + "/bin", HOME + "-*/bin"))
if not found:
    sys.stderr.write("ixsmi: not found in PATH and %s/bin\n" % HOME)
    sys.exit(127)
os.environ["LD_LIBRARY_PATH"] = ":".join(filter(None, LIBRARIES))
tool_calls.ask(found, CALLS, float(sys.argv[1]), float(sys.argv[2]))
