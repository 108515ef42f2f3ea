"""Print what mlxlink says of each NVIDIA (Mellanox) port, or mlxconfig of each device.

Arguments: link or config, seconds for all calls, seconds for each.  One call at a time, for each
holds the device's firmware for up to a second.  Each device's text stands below `== port mlx5_4/1`
(or `== device mlx5_4`) and above `== exit 0`, `== timeout` or `== skipped`; `== missing` names
tools that are not there; `== end` gives the number of headings.
"""

import glob
import os
import re
import subprocess
import sys
import time

RDMA = "/sys/class/infiniband"
STOP, CALL_S = time.time() + float(sys.argv[2]), float(sys.argv[3])
TOOLS = {"link": ("mlxlink", "mstlink"), "config": ("mlxconfig", "mstconfig")}[sys.argv[1]]
PLACES = (os.environ.get("PATH", "") + ":/usr/sbin:/sbin:/usr/local/bin").split(":")
BDF = re.compile(r"[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")
COUNT = [0]


def say(text):
    getattr(sys.stdout, "buffer", sys.stdout).write(text.encode("utf-8", "replace"))
    sys.stdout.flush()


def head(words):
    COUNT[0] += 1
    say("== %s\n" % words)


def text(path):
    try:
        with open(path, "rb") as file:
            return file.read(4096).decode("utf-8", "replace").strip()
    except (OSError, IOError):
        return ""


def places():
    return [p + "/" + name for name in TOOLS for p in PLACES if p]


def devices():
    """(RDMA device, PCI address) of Mellanox functions that are no virtual ones."""
    for name in sorted(os.listdir(RDMA) if os.path.isdir(RDMA) else ()):
        path = os.path.realpath(os.path.join(RDMA, name, "device"))
        if text(path + "/vendor") == "0x15b3" and not os.path.exists(path + "/physfn"):
            address = os.path.basename(path)
            yield name, address if BDF.match(address) else name


def ask(words):
    if time.time() > STOP:
        say("== skipped\n")
        return
    pipe, env = subprocess.PIPE, dict(os.environ, LC_ALL="C")
    tool = subprocess.Popen(words, stdout=pipe, stderr=subprocess.STDOUT, env=env)
    try:
        out = tool.communicate(timeout=CALL_S)[0].decode("utf-8", "replace")
    except subprocess.TimeoutExpired:
        tool.kill()
        say("== timeout\n")
        return
    say(re.sub("(?m)^== ", " == ", out).rstrip("\n") + "\n")
    say("== exit %d\n" % tool.returncode)


def questions(tool):
    for name, address in devices():
        if sys.argv[1] == "config":
            yield "device " + name, [tool, "-d", address, "-e", "query"]
            continue
        ports = sorted(map(os.path.basename, glob.glob(os.path.join(RDMA, name, "ports/[0-9]*"))))
        for port in ports:
            # A function of its own is asked of its own port: -p counts those of the whole card.
            which = ["-p", port] if len(ports) > 1 else []
            words = [tool, "-d", address, *which, "-m", "-c", "--rx_fec_histogram"]
            yield "port %s/%s" % (name, port), [*words, "--show_histogram", "--json"]


try:
    TOOL = next((path for path in places() if os.access(path, os.X_OK)), None)
    ASKED = list(questions(TOOL or ""))
    if ASKED and TOOL is None:
        head("missing " + " ".join(TOOLS))
    for HEADING, WORDS in ASKED if TOOL else ():
        head(HEADING)
        ask(WORDS)
except Exception as error:
    head("failed %r" % (error,))
say("== end %d\n" % COUNT[0])
