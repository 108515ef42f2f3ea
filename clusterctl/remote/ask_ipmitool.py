"""Ask the node's own BMC through ipmitool; reading only.  A node without one answers no calls.

Arguments: where to look for the BMC's device.  See tool_calls.py for the answer.  A BMC answers
slowly, one question at a time.
"""

import glob
import os
import sys

import tool_calls

DEVICES = sys.argv[1:] or ("/dev/ipmi[0-9]*", "/dev/ipmi/[0-9]*", "/dev/ipmidev/[0-9]*")
PLACES = ("/usr/sbin", "/sbin", "/usr/local/bin", "/usr/local/sbin")
CALLS = (
    ("chassis", "status"),
    ("sel", "time", "get"),
    ("dcmi", "power", "reading"),
    ("sdr", "elist", "full"),
    ("sdr", "elist", "compact"),
    ("sel", "elist", "last", "200"),
)
CALL_S, ALL_S = 30.0, 55.0


def main():
    found = tool_calls.find("ipmitool", PLACES)
    if not any(glob.glob(pattern) for pattern in DEVICES):
        tool_calls.write("== clusterctl calls 1\n== end 0\n")
        return
    if not found:
        sys.stderr.write("ipmitool: not found, and this node has a BMC at /dev/ipmi0\n")
        sys.exit(127)
    os.environ["TZ"] = "UTC"  # the same clock for `sel time get` and for the records
    tool_calls.ask(found, CALLS, CALL_S, ALL_S)


main()
