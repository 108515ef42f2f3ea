"""Time copies between every GPU, the host and the other GPUs.

Arguments: engine, seconds, seed, bytes, device (auto, or torch's name of it), the seconds that
nvbandwidth may take, then an interpreter that has torch or nothing.
Rows: `copy`; of nvbandwidth `tool`, exit code, seconds and `report`, JSON, or a `line` each.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import time

import burn_cuda
from other_python import go_on, python_with
from trial import end, say, trouble

FILE = "cuda/burn.ptx"
NVBANDWIDTH = "nvbandwidth"
# What its -l must list to be asked for: versions differ.
TESTCASES = (
    "host_to_device_memcpy_ce",
    "device_to_host_memcpy_ce",
    "device_to_device_memcpy_read_ce",
    "device_to_device_memcpy_write_ce",
    "device_local_copy",
)
LIST_S = 60.0
MODULES = ("trial", "nvml_meter", "torch_devices", "torch_copy")


def said_by(words, most_s):
    """(exit code, text); no code where it had to be stopped."""
    environment = dict(os.environ, CUDA_DEVICE_ORDER="PCI_BUS_ID")
    environment.pop("CUDA_VISIBLE_DEVICES", None)
    process = subprocess.Popen(
        words,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment,
    )
    try:
        text = process.communicate(timeout=most_s)[0]
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return None, ""
    return process.returncode, text.decode("utf-8", "replace")


def nvbandwidth(size, most_s):
    tool = shutil.which(NVBANDWIDTH)
    if tool is None:
        trouble("missing", "no engine: nvbandwidth is not installed")
        return
    _, listed = said_by([tool, "-l"], LIST_S)
    known = [name for name in TESTCASES if re.search(r"\b%s\b" % name, listed)]
    chosen = ["-t", *known] if known else []
    began = time.monotonic()
    mib = str(max(1, size >> 20))
    code, text = said_by([tool, "-j", "-b", mib, *chosen], most_s)
    if code is None:
        trouble("exit", "nvbandwidth did not end within %d s" % most_s)
        return
    say("tool", NVBANDWIDTH, code, "%.1f" % (time.monotonic() - began))
    # Lines may stand before it and after it.
    found = re.search(r"^\{.*^\}", text, re.DOTALL | re.MULTILINE)
    try:
        say("report", NVBANDWIDTH, json.dumps(json.loads(found.group())))
    except (AttributeError, ValueError):
        for line in [line for line in text.splitlines() if line.strip()][:2000]:
            say("line", NVBANDWIDTH, line[:1000])


def by_torch(seconds, seed, size, device, python):
    """Does not return where there is a PyTorch."""
    path = python_with("torch", python)
    if path is not None:
        go_on(path, MODULES, (seconds, seed, size, device))
    trouble("missing", "no engine: no Python that we know of has PyTorch; name one: `python`")


def main(engine, seconds, seed, size, device, most_s, python):
    if engine == "auto":
        engine = NVBANDWIDTH if shutil.which(NVBANDWIDTH) else "cuda"
        if engine == "cuda" and not burn_cuda.installed():
            engine = "torch"
    if engine == NVBANDWIDTH:
        nvbandwidth(int(size), float(most_s))
    elif engine == "torch":
        by_torch(seconds, seed, size, device, python)
    elif burn_cuda.installed():
        ptx = FILES[FILE]  # noqa: F821 - comes along with the question
        burn_cuda.copy(ptx, float(seconds), int(seed), int(size))
    else:
        trouble("missing", "no engine: libcuda.so.1 is not installed")
    end()


if __name__ == "__main__":
    main(*sys.argv[1:])
