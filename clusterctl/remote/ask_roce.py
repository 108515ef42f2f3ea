"""Print how each RoCE port treats priorities: mlnx_qos, else dcb.  Changes nothing.

Argument: seconds for each call.  Rows, tab-separated: port (RDMA device, network device), qos or
pfc or app (RDMA device, a line of mlnx_qos, dcb pfc or dcb app), failed (RDMA device, tool, exit
status or timeout, what it said), missing (the tools), end (number of rows).
"""

import glob
import os
import re
import subprocess
import sys

PLACES = (os.environ.get("PATH", "") + ":/usr/sbin:/sbin").split(":")
COUNT = [0]


def tool(name):
    return next((p + "/" + name for p in PLACES if p and os.access(p + "/" + name, os.X_OK)), None)


def row(*cells):
    text = "\t".join(re.sub(r"[\t\r\n]+", " ", str(cell)).rstrip() for cell in cells) + "\n"
    COUNT[0] += 1
    getattr(sys.stdout, "buffer", sys.stdout).write(text.encode("utf-8", "replace"))
    sys.stdout.flush()


def text(path):
    try:
        with open(path, "rb") as file:
            return file.read(4096).decode("utf-8", "replace").strip()
    except (OSError, IOError):
        return ""


def ports():
    """(RDMA device, network device) of each Ethernet port; of software devices, too."""
    for layer in sorted(glob.glob("/sys/class/infiniband/*/ports/*/link_layer")):
        if text(layer).lower() == "ethernet":
            port = os.path.dirname(layer)
            netdev = text(os.path.join(port, "gid_attrs/ndevs/0"))
            if netdev:
                yield port.split("/")[4], netdev


def ask(kind, device, command):
    pipe = subprocess.PIPE
    asked = subprocess.Popen(command, stdout=pipe, stderr=pipe, env=dict(os.environ, LC_ALL="C"))
    name = os.path.basename(command[0])
    try:
        out, said = asked.communicate(timeout=float(sys.argv[1]))
    except subprocess.TimeoutExpired:
        asked.kill()
        row("failed", device, name, "timeout", "")
        return
    if asked.returncode:
        row("failed", device, name, asked.returncode, said.decode("utf-8", "replace")[:300])
        return
    for line in out.decode("utf-8", "replace").split("\n"):
        if line.strip():
            row(kind, device, line)


row("clusterctl", "roce", 1)
try:
    FOUND = list(ports())
    QOS, DCB = tool("mlnx_qos"), tool("dcb")
    if FOUND and not (QOS or DCB):
        row("missing", "mlnx_qos and dcb")
    for DEVICE, NETDEV in FOUND if QOS or DCB else ():
        row("port", DEVICE, NETDEV)
        if QOS:
            ask("qos", DEVICE, [QOS, "-i", NETDEV])
        else:
            ask("pfc", DEVICE, [DCB, "-N", "pfc", "show", "dev", NETDEV])
            ask("app", DEVICE, [DCB, "-N", "app", "show", "dev", NETDEV])
except Exception as error:
    row("failed", "", "ask_roce", "error", repr(error))
sys.stdout.write("end\t%d\n" % COUNT[0])
