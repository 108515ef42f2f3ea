"""Print what shows that Slurm has given this node to a job: its processes, its cgroups, squeue.

squeue knows of allocations in which nothing runs yet; the others need no controller.
"""

import glob
import os
import re
import subprocess

TOOL_S = 8.0
STATES = "RUNNING,SUSPENDED,STOPPED,CONFIGURING,COMPLETING"
# cgroup v2 and v1, as Slurm's cgroup plugins make them
JOBS = (
    "/sys/fs/cgroup/system.slice/*slurmstepd.scope/job_*",
    "/sys/fs/cgroup/slurm*/uid_*/job_*",
    "/sys/fs/cgroup/*/slurm*/uid_*/job_*",
)
STEP = re.compile(r"^slurmstepd: \[[0-9]")  # and not `slurmstepd infinity`, which serves all jobs
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
ROWS = []


def row(*cells):
    ROWS.append("\t".join(str(cell).replace("\t", " ").replace("\n", " ") for cell in cells))


def words(pid):
    try:
        with open("/proc/%s/cmdline" % pid, "rb") as file:
            return file.read(65536).decode("utf-8", "replace").rstrip("\0").split("\0")
    except (OSError, IOError):
        return []  # it ended while we looked


def comm(pid):
    try:
        with open("/proc/%s/comm" % pid) as file:
            return file.read().strip()
    except (OSError, IOError):
        return ""


def named(argv):
    """The node's name by slurmd's -N, or None."""
    for place, word in enumerate(argv):
        if word == "-N" and place + 1 < len(argv):
            return argv[place + 1]
        if word.startswith("-N") and len(word) > 2:
            return word[2:]
    return None


def processes():
    """The name under which slurmd runs here, or None where it does not."""
    name = None
    for pid in sorted((entry for entry in os.listdir("/proc") if entry.isdigit()), key=int):
        called = comm(pid)
        if called == "slurmd":
            name = named(words(pid)) or name or os.uname()[1].split(".")[0]
        elif called == "slurmstepd":
            text = " ".join(words(pid))
            if STEP.match(text):
                row("step", pid, text)
    if name:
        row("slurmd", name)
    return name


def installed(tool):
    return any(os.access(path + "/" + tool, os.X_OK) for path in os.get_exec_path())


def squeue(name):
    command = ("squeue", "-h", "-w", name, "-t", STATES, "-o", "%i|%u|%T|%j")
    tool = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        said, errors = tool.communicate(timeout=TOOL_S)
    except subprocess.TimeoutExpired:
        tool.kill()
        tool.communicate()
        row("failed", "squeue", "it said nothing in %g s" % TOOL_S)
        return
    if tool.returncode:
        why = errors.decode("utf-8", "replace").strip()[-300:]
        row("failed", "squeue", "exit %d: %s" % (tool.returncode, why))
        return
    for line in said.decode("utf-8", "replace").splitlines():
        row("job", line)
    row("asked", name)


def main():
    name = processes()
    for pattern in JOBS:
        for path in sorted(glob.glob(pattern)):
            row("cgroup", path)
    if not installed("squeue"):
        row("lacking", "squeue")
    else:
        name = name or os.uname()[1].split(".")[0]
        if NAME.match(name):
            squeue(name)
    print("\n".join([*ROWS, "end\t%d" % len(ROWS)]))


main()
