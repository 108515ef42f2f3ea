"""Load every core and check every result.  Arguments: seconds, seed, digest, engine."""

import hashlib
import math
import os
import re
import shutil
import struct
import subprocess
import sys
import time

from trial import crew, end, tell, trouble


def chunk(seed):
    """The same arithmetic as trials/cpu_burn.py, whose digest came with the question."""
    state, value, big = struct.pack("<Q", seed), 1.0 + seed % 97, 3 + seed % 89
    for step in range(2000):
        state = hashlib.sha256(state).digest()
        value = (value * 1.000000119 + step) % 1048576.0
        if step % 100 == 0:
            big = pow(big, 65537, (1 << 521) - 1)
    return hashlib.sha256(state + struct.pack("<d", value) + str(big).encode()).hexdigest()


def burn(cpu, seconds, seed, wanted):
    """One core until the time is over: how many chunks it did, and how many were wrong."""
    os.sched_setaffinity(0, {cpu})  # a core that went away is one that was not tested
    done = wrong = 0
    finish = time.monotonic() + seconds
    while not done or time.monotonic() < finish:
        wrong += chunk(seed) != wanted
        done += 1
    return done, wrong


def built_in(seconds, seed, wanted):
    cpus = sorted(os.sched_getaffinity(0))
    began = time.monotonic()
    told = crew(lambda cpu: burn(cpu, seconds, seed, wanted), cpus)
    spent = time.monotonic() - began
    silent = [cpu for cpu in cpus if cpu not in told]
    if silent:
        trouble("exit", "no result from " + names(silent))
    chunks = sum(done for done, _ in told.values())
    wrong = {cpu: bad for cpu, (_, bad) in told.items() if bad}
    detail = "; wrong on " + names(sorted(wrong)) if wrong else ""
    row("built-in", spent, chunks, chunks / spent, sum(wrong.values()), len(told), detail)


def names(cpus):
    return " ".join("cpu%d" % cpu for cpu in cpus[:16]) + (" …" if len(cpus) > 16 else "")


def stress_ng(tool, seconds):
    """`--verify` makes stress-ng compare its own results; failures are lines with `fail:`."""
    version = subprocess.check_output([tool, "--version"]).decode("utf-8", "replace")
    number = re.search(r"\d+(?:\.\d+)+", version)
    whole_s = "%ds" % max(1, math.ceil(seconds))  # 0 would be for ever
    began = time.monotonic()
    run = subprocess.Popen(
        # 0 workers are one for each online core.
        [tool, "--cpu", "0", "--verify", "--metrics-brief", "--timeout", whole_s],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    text = run.communicate()[0].decode("utf-8", "replace")
    spent = time.monotonic() - began
    # stress-ng: fail:  [123] cpu: int64 error detected, …  But a killed worker is no wrong result:
    # stress-ng: fail:  [123] cpu instance 0 corrupted bogo-ops counter, 1780 vs 0
    wrong = re.findall(r"fail: +(?!.*(?:bogo-ops counter|metrics-check)).*", text)
    # stress-ng: metrc: [123] cpu   8234   10.00   79.50   0.01   823.23   103.57
    found = re.search(r"\]\s+cpu\s+(\d+)\s+[\d.]+\s+[\d.]+\s+[\d.]+\s+([\d.]+)", text)
    # stress-ng: info:  [123] dispatching hogs: 2 cpu
    hogs = re.search(r"dispatching hogs: (\d+) cpu", text)
    whole = run.returncode == 0 and found and hogs
    if not whole and not wrong:
        trouble("exit", "stress-ng ended with %d: %s" % (run.returncode, text.strip()[-300:]))
    row(
        "stress-ng " + (number.group() if number else "?"),
        spent,
        int(found.group(1)) if found else None,
        float(found.group(2)) if found else None,
        len(wrong) if whole or wrong else None,
        min(int(hogs.group(1)), len(os.sched_getaffinity(0))) if whole else None,
        "; " + wrong[0] if wrong else "",
    )


def row(engine, seconds, amount, rate, errors, cores, detail):
    """`cores`: how many certainly computed; None: the engine does not say."""
    online = os.cpu_count()
    tell(
        "burn",
        part="cpu",
        engine=engine,
        seconds=seconds,
        amount=amount,
        unit="operations",
        rate=rate,
        rate_unit="op_s",
        errors=errors,
        covered=None if cores is None else cores / float(online),
        asked=1.0,
        detail="%s of %d cores%s" % ("?" if cores is None else cores, online, detail),
    )


def main(seconds, seed, wanted, engine):
    tool = shutil.which("stress-ng")
    if engine == "stress-ng" and not tool:
        trouble("missing", "stress-ng is not installed")
    elif tool and engine in ("auto", "stress-ng"):
        stress_ng(tool, float(seconds))
    else:
        built_in(float(seconds), int(seed), wanted)
    end()


if __name__ == "__main__":
    main(*sys.argv[1:])
