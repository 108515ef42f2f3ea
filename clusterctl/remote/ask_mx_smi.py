"""Ask MetaX's mx-smi, or the ht-smi of its OEM, about every GPU; reading only.

Arguments: seconds for each call and for all.  See tool_calls.py for the answer.
"""

import sys

import tool_calls

PLACES = ("/opt/mxdriver/bin", "/opt/maca/bin", "/opt/mxn100/bin", "/opt/hpcc/bin", "/usr/bin")
CALLS = ((), ("-L",), ("--count-ecc",), ("topo", "-n"))

found = tool_calls.find("mx-smi", PLACES) or tool_calls.find("ht-smi", PLACES)
if not found:
    sys.stderr.write("mx-smi: not found in PATH, /opt/mxdriver/bin and /opt/maca/bin\n")
    sys.exit(127)
tool_calls.ask(found, CALLS, float(sys.argv[1]), float(sys.argv[2]))
