"""Ask amd-smi of everything it knows about every AMD GPU; reading only.

Arguments: seconds for each call and for all.  See tool_calls.py for the answer.  Where the node has
an older ROCm with rocm-smi alone, says so in one line: that tool is asked by its own script.
"""

import sys

import tool_calls

PLACES = ("/opt/rocm/bin", "/opt/rocm-*/bin", "/usr/local/bin")
CALLS = (
    ("version", "--json"),
    ("list", "--json"),
    ("static", "--json"),
    ("metric", "--json"),
    ("bad-pages", "--json"),
    ("xgmi", "--json"),
    ("topology", "--json"),
    ("firmware", "--json"),
    ("process", "--json"),
)


def of_amd(path):
    return "/dtk" not in path and "/hyhal" not in path


found = tool_calls.find("amd-smi", PLACES)
if found:
    tool_calls.ask(found, CALLS, float(sys.argv[1]), float(sys.argv[2]))
elif tool_calls.find("rocm-smi", PLACES, of_amd):
    tool_calls.write("== clusterctl calls 1\n== older rocm-smi\n== end 0\n")
else:
    sys.stderr.write("amd-smi: not found in PATH and /opt/rocm*/bin\n")
    sys.exit(127)
