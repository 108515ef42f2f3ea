"""Ask Moore Threads' mthreads-gmi about every GPU; reading only.

Arguments: seconds for each call and for all.  See tool_calls.py for the answer.
"""

import sys

import tool_calls

PLACES = ("/usr/bin", "/usr/local/bin", "/usr/local/musa/bin")
CALLS = ((), ("-q", "--json"))

found = tool_calls.find("mthreads-gmi", PLACES)
if not found:
    sys.stderr.write("mthreads-gmi: not found in PATH and /usr/local/musa/bin\n")
    sys.exit(127)
tool_calls.ask(found, CALLS, float(sys.argv[1]), float(sys.argv[2]))
