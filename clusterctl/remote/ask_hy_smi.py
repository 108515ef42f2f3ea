"""Ask Hygon's hy-smi, or the rocm-smi of its DTK, about every DCU; reading only.

Arguments: seconds for each call and for all.  See tool_calls.py for the answer.
"""

import sys

import tool_calls

PLACES = (
    *("/opt/hyhal/bin", "/usr/local/hyhal/bin", "/opt/dtk/bin", "/opt/dtk-*/bin", "/opt/dtk*/bin"),
)
CALLS = (
    (),  # the table alone has the column Mode
    (
        *("--showid", "--showproductname", "--showuniqueid", "--showserial", "--showbus"),
        *("--showvbios", "--showtemp", "--showpower", "--showmaxpower", "--showuse"),
        *("--showdriverversion", "--showmeminfo", "vram", "--json"),
    ),
)


def of_hygon(path):
    return "/dtk" in path or "/hyhal" in path


found = tool_calls.find("hy-smi", PLACES) or tool_calls.find("rocm-smi", PLACES, of_hygon)
if not found:
    sys.stderr.write("hy-smi: not found in PATH, /opt/hyhal/bin and /opt/dtk*/bin\n")
    sys.exit(127)
tool_calls.ask(found, CALLS, float(sys.argv[1]), float(sys.argv[2]))
