"""The makers' own tools for loading an accelerator, run as they are; what they print is passed on.

Rows: `tool`, its name, exit code, seconds; then `report`, its name, JSON on one line, or `line`,
its name, a line of its output, for each.  It travels beside burn_gpu.py.
"""

import json
import os
import re
import shutil
import subprocess
import tempfile
import threading
import time

from trial import say, trouble

# Where they lie when nobody has set the PATH for them.
PLACES = {
    "dcgmi": ("dcgmi",),
    "rvs": ("rvs", "/opt/rocm/bin/rvs", "/opt/rocm/extras-7/bin/rvs"),
    "agfhc": ("agfhc", "/opt/amd/agfhc/agfhc"),
    "ascend-dmi": ("ascend-dmi", "/usr/local/Ascend/toolbox/latest/Ascend-DMI/bin/ascend-dmi"),
}
# What the toolbox's set_env.sh would set.
ASCEND_LIBRARIES = (
    "/usr/local/Ascend/driver/lib64",
    "/usr/local/Ascend/driver/lib64/common",
    "/usr/local/Ascend/driver/lib64/driver",
    "/usr/local/dcmi",
    "/usr/local/Ascend/toolbox/latest/Ascend-DMI/lib64",
)
ASCEND_TIMES = "80"  # the most that -et takes
ASCEND_ROUND_S = 300.0  # for one measurement
DEVICES = "/dev"
MOST_LINES = 4000


def path_of(tool):
    return next(filter(None, map(shutil.which, PLACES[tool])), None)


def run(tool, words, most_s, **more):
    """(exit code, seconds, what it said); no code where it had to be stopped."""
    began = time.monotonic()
    process = subprocess.Popen(
        [path_of(tool), *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        **more,
    )
    try:
        text = process.communicate(timeout=most_s)[0].decode("utf-8", "replace")
    except subprocess.TimeoutExpired:
        # DCGM #136, #247: the PCIe test hangs on some machines.
        process.kill()
        process.wait()
        return None, time.monotonic() - began, ""
    return process.returncode, time.monotonic() - began, text


def told(tool, result, words, most_s):
    """False where it had to be stopped: that was said."""
    code, seconds, _ = result
    if code is None:
        trouble("exit", "%s %s did not end within %d s" % (tool, " ".join(words), most_s))
        return False
    say("tool", tool, code, "%.1f" % seconds)
    return True


def lines(tool, text):
    """Every line that is not blank, as many as a report may have."""
    found = [line for line in text.splitlines() if line.strip()]
    for line in found[:MOST_LINES]:
        say("line", tool, line[:1000])
    if len(found) > MOST_LINES:
        trouble("exit", "%s: %d lines more than are read" % (tool, len(found) - MOST_LINES))


def dcgmi(level, most_s):
    words = ("diag", "-r", str(level), "-j")
    result = run("dcgmi", words, most_s)
    if told("dcgmi", result, words, most_s):
        # Lines of the libraries may stand before it.
        found = re.search(r"^\{.*\}", result[2], re.DOTALL | re.MULTILINE)
        if found:
            say("report", "dcgmi", found.group())
        else:
            trouble("exit", "dcgmi exit %s: %s" % (result[0], result[2].strip()[:300]))


def rvs(level, most_s):
    """AMD's own configuration and targets of this model, by level."""
    words = ("-r", str(level))
    result = run("rvs", words, most_s)
    if told("rvs", result, words, most_s):
        lines("rvs", result[2])


def agfhc(level, most_s):
    """Its logs go where we take them away from."""
    folder = tempfile.mkdtemp(prefix="clusterctl-agfhc-")
    try:
        words = ("-r", "all_lvl%d" % level, "--simple-output", "-o", folder)
        result = run("agfhc", words, most_s, cwd=folder)
        if told("agfhc", result, words, most_s):
            report = results_in(folder)
            if report is None:
                trouble("exit", "agfhc exit %s, no results.json: %s" % (result[0], tail(result[2])))
            else:
                say("report", "agfhc", report)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def tail(text):
    return " ".join(text.split())[-300:]


def results_in(folder):
    """results.json of the only run there, on one line; None: there is none that is JSON."""
    for place, _, names in os.walk(folder):
        if "results.json" in names:
            try:
                with open(os.path.join(place, "results.json"), encoding="utf-8") as file:
                    return json.dumps(json.load(file))
            except (OSError, ValueError):
                return None
    return None


def ascend_dmi(seconds, precision, most_s):
    """Every device again and again until `seconds` are over; then its test of the cores."""
    numbers = [re.match(r"davinci(\d+)$", name) for name in os.listdir(DEVICES)]
    devices = sorted(int(one.group(1)) for one in numbers if one)
    if not devices:
        trouble("missing", "no device: there is no /dev/davinci0")
        return
    environment = ascend_environment()
    until = time.monotonic() + seconds
    results = {}

    def measure(device):
        words = ("-f", "-t", precision, "-d", str(device), "-et", ASCEND_TIMES, "-q")
        while not results.get(device) or time.monotonic() < until:
            result = run("ascend-dmi", words, ASCEND_ROUND_S, env=environment)
            results.setdefault(device, []).append((words, result))
            if result[0] != 0:
                return

    workers = [threading.Thread(target=measure, args=(device,)) for device in devices]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for device in devices:
        for words, result in results.get(device, ()):
            if told("ascend-dmi", result, words, ASCEND_ROUND_S):
                lines("ascend-dmi", result[2])
    words = ("--dg", "-i", "aicore", "-s", "-q")
    result = run("ascend-dmi", words, most_s, env=environment)
    if told("ascend-dmi", result, words, most_s):
        lines("ascend-dmi", result[2])


def ascend_environment():
    found = dict(os.environ)
    places = filter(None, [*ASCEND_LIBRARIES, found.get("LD_LIBRARY_PATH", "")])
    found["LD_LIBRARY_PATH"] = ":".join(places)
    return found
