"""What looking at a stack costs the process that is looked at.  Run by hand:

python tests/bench/stack_cost.py [DUMPS]

A process that only counts knows from its schedstat how long it ran and how long it waited for a
processor; what is missing of the time that passed, it stood still.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time

from clusterctl.triage.stacks.spy import ours

MODES = {"as sent": ["--nonblocking"], "pausing": [], "--native": ["--native"]}
COUNTS = """
import json, sys, time
def spent():
    with open("/proc/self/schedstat") as file:
        return sum(map(int, file.read().split()[:2]))
def deep(left):
    if left:
        return deep(left - 1)
    print("ready", flush=True)
    begun, had = time.monotonic_ns(), spent()
    end = begun + int(float(sys.argv[1]) * 1e9)
    while time.monotonic_ns() < end:
        pass
    passed = time.monotonic_ns() - begun
    print(json.dumps((passed - (spent() - had)) / 1e6))
deep(60)
"""


def cpu_s():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def stood_ms(mode, dumps, seconds):
    """Milliseconds that one dump stops the process, its own CPU milliseconds, how many failed."""
    command = [sys.executable, "-c", COUNTS, str(seconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        process.stdout.readline()
        before, failed = cpu_s(), 0
        end = time.monotonic() + seconds - 1
        done = 0
        while done < dumps and time.monotonic() < end:
            spying = [ours()[0], "dump", "--json", *mode, "--pid", str(process.pid)]
            failed += subprocess.run(spying, capture_output=True, check=False).returncode != 0
            done += 1
        used = cpu_s() - before
        stood = json.loads(process.stdout.readline())
    return stood / done, 1000 * used / done, failed, done


def main(dumps):
    print("mode      stands ms a dump   CPU ms a dump   failed")
    for name, mode in MODES.items():
        stood, used, failed, done = stood_ms(mode, dumps, 10.0)
        print(f"{name:8}  {stood:16.2f}  {used:14.1f}   {failed} of {done}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 30)
