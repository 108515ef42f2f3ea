"""Ask AMD's rocm-smi about every GPU; reading only.  Hygon's DTK has a tool of this name: not that.

Arguments: seconds for each call and for all.  See tool_calls.py for the answer.
"""

import sys

import tool_calls

PLACES = ("/opt/rocm/bin", "/opt/rocm-*/bin")
CALLS = (
    (
        *("--showproductname", "--showuniqueid", "--showserial", "--showbus", "--showvbios"),
        *("--showtemp", "--showpower", "--showmaxpower", "--showuse", "--showclocks"),
        *("--showreplaycount", "--showdriverversion", "--showmeminfo", "vram", "--json"),
    ),
    ("--showrasinfo", "all"),  # has no JSON
    ("--showpagesinfo",),  # the same
)


def of_amd(path):
    return "/dtk" not in path and "/hyhal" not in path


found = tool_calls.find("rocm-smi", PLACES, of_amd)
if not found:
    sys.stderr.write("rocm-smi: not found in PATH and /opt/rocm*/bin\n")
    sys.exit(127)
tool_calls.ask(found, CALLS, float(sys.argv[1]), float(sys.argv[2]))
