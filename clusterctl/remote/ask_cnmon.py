"""Ask Cambricon's cnmon about every MLU; reading only.  Not `info -j`: that writes a file.

Arguments: seconds for each call and for all.  See tool_calls.py for the answer.
"""

import sys

import tool_calls

PLACES = ("/usr/bin", "/usr/local/bin", "/usr/local/neuware/bin")
CALLS = ((), ("info",), ("mlulink", "-s"))

found = tool_calls.find("cnmon", PLACES)
if not found:
    sys.stderr.write("cnmon: not found in PATH and /usr/local/neuware/bin\n")
    sys.exit(127)
tool_calls.ask(found, CALLS, float(sys.argv[1]), float(sys.argv[2]))
