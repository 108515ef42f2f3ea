"""Print the node's drives as sysfs has them, and what nvme-cli or smartctl says of their health.

A drive that sleeps is not woken (smartctl -n standby).  A controller that hangs costs its own
answer: every tool runs beside the others, is given up after a while, and is not waited for.
"""

import glob
import os
import select
import signal
import subprocess
import time

DEADLINE_S = 8.0
# Made of other drives or of nothing.
VIRTUAL = (
    *("loop", "ram", "dm-", "md", "zram", "nbd", "sr", "fd", "zd", "drbd", "rbd", "bcache", "mtd"),
    "nvme",  # among the controllers already
)
CONTROLLER = ("model", "serial", "firmware_rev", "state", "transport", "address")
DISK = ("device/model", "device/rev", "device/state", "size")
EINVAL, ENOENT = 22, 2
ROWS = []


def row(*cells):
    ROWS.append("\t".join(str(cell).replace("\t", " ").replace("\n", " ") for cell in cells))


def show(drive, folder, names):
    """One row a file: attr, drive, name, value."""
    for name in names:
        try:
            with open(folder + "/" + name, encoding="utf-8", errors="replace") as file:
                row("attr", drive, os.path.basename(name), file.read().strip())
        except (OSError, IOError) as error:
            if error.errno not in (ENOENT, EINVAL):
                row("failed", drive, "%s: %s" % (name, error.strerror))


def controllers():
    for folder in sorted(glob.glob("/sys/class/nvme/nvme[0-9]*")):
        drive = os.path.basename(folder)
        show(drive, folder, CONTROLLER)
        # nvme0n1, or with native multipath nvme0c0n1, which has no block device of its own
        for size in sorted(glob.glob(folder + "/nvme*n[0-9]*/size")):
            show(drive, os.path.dirname(size), ("size",))
        yield drive, folder


def disks():
    for folder in sorted(glob.glob("/sys/block/*")):
        drive = os.path.basename(folder)
        if not drive.startswith(VIRTUAL) and os.path.exists(folder + "/device"):
            show(drive, folder, DISK)
            yield drive, folder


def installed(tool):
    return any(os.access(path + "/" + tool, os.X_OK) for path in os.get_exec_path())


def local(folder):
    """Asking a drive on the other side of a network may hang for the network's sake."""
    try:
        with open(folder + "/transport") as file:
            return file.read().strip() == "pcie"
    except (OSError, IOError):
        return True  # kernels before 4.10 had no other


def commands():
    nvme, smartctl = installed("nvme"), installed("smartctl")
    for drive, folder in controllers():
        if nvme and local(folder):
            yield drive, ("nvme", "smart-log", "-o", "json", "/dev/" + drive)
        elif smartctl and local(folder):
            yield drive, ("smartctl", "-j", "-i", "-H", "-A", "/dev/" + drive)
    for drive, _ in disks():
        if smartctl and drive.startswith("sd"):
            yield drive, ("smartctl", "-j", "-i", "-H", "-A", "-n", "standby", "/dev/" + drive)


def begin(command):
    return subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def gather(asked):
    """Everything each tool printed, until it closed its output or the deadline came."""
    tools = {}
    for drive, command in asked:
        tool = begin(command)
        tools[tool.stdout] = (drive, command, tool, [])
    deadline = time.time() + DEADLINE_S
    while tools:
        ready, _, _ = select.select(list(tools), [], [], max(0.0, deadline - time.time()))
        for pipe in ready:
            drive, command, tool, chunks = tools[pipe]
            chunk = os.read(pipe.fileno(), 65536)
            chunks.append(chunk)
            if not chunk:
                del tools[pipe]
                text = b"".join(chunks).decode("utf-8", "replace").strip()
                row("health", drive, command[0], tool.wait(), text)
        if not ready:
            for drive, command, tool, _ in tools.values():
                os.kill(tool.pid, signal.SIGKILL)
                row("silent", drive, "%s said nothing in %g s" % (command[0], DEADLINE_S))
            return


gather(list(commands()))
print("\n".join([*ROWS, "end\t%d" % len(ROWS)]))
