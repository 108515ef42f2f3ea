"""NVIDIA's own diagnosis, as it prints it.  Arguments: level (-r), seconds it may take.

Rows: `dcgmi`, exit code, seconds; `report`, its JSON on one line.
"""

import re
import shutil
import subprocess
import sys
import time

from trial import end, say, trouble


def main(level, most_s):
    tool = shutil.which("dcgmi")
    if tool is None:
        trouble("missing", "dcgmi is not installed")
        return
    began = time.monotonic()
    run = subprocess.Popen(
        [tool, "diag", "-r", level, "-j"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    try:
        text = run.communicate(timeout=most_s)[0].decode("utf-8", "replace")
    except subprocess.TimeoutExpired:
        # DCGM #136, #247: the PCIe test hangs on some machines.
        run.kill()
        run.wait()
        trouble("exit", "dcgmi diag -r %s did not end within %d s" % (level, most_s))
        return
    say("dcgmi", run.returncode, "%.1f" % (time.monotonic() - began))
    # Lines of the libraries may stand before it.
    found = re.search(r"^\{.*\}", text, re.DOTALL | re.MULTILINE)
    if found:
        say("report", found.group())
    else:
        trouble("exit", "dcgmi exit %s: %s" % (run.returncode, text.strip()[:300]))


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
    end()
