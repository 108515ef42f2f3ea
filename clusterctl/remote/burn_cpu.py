"""Load every core and check every result.  Arguments: seconds, seed, digest, engine."""

import hashlib
import os
import re
import shutil
import struct
import subprocess
import sys
import time


def chunk(seed):
    """The same arithmetic as trials/cpu_burn.py, whose digest came with the question."""
    state, value, big = struct.pack("<Q", seed), 1.0 + seed % 97, 3 + seed % 89
    for step in range(2000):
        state = hashlib.sha256(state).digest()
        value = (value * 1.000000119 + step) % 1048576.0
        if step % 100 == 0:
            big = pow(big, 65537, (1 << 521) - 1)
    return hashlib.sha256(state + struct.pack("<d", value) + str(big).encode()).hexdigest()


def burn(cpu, seconds, seed, wanted, pipe):
    """One core until the time is over; writes how many chunks it did and how many were wrong."""
    try:
        os.sched_setaffinity(0, {cpu})
    except OSError:
        pass  # the core went away or is not ours; the scheduler places us then
    done = wrong = 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        wrong += chunk(seed) != wanted
        done += 1
    os.write(pipe, ("%d %d %d\n" % (cpu, done, wrong)).encode())


def built_in(seconds, seed, wanted):
    cpus = sorted(os.sched_getaffinity(0))
    reader, writer = os.pipe()
    children = {}
    began = time.monotonic()
    for cpu in cpus:
        child = os.fork()
        if child == 0:
            try:
                burn(cpu, seconds, seed, wanted, writer)
            finally:
                os._exit(0)
        children[child] = cpu
    os.close(writer)
    with os.fdopen(reader) as lines:
        told = [[int(cell) for cell in line.split()] for line in lines]
    died = []
    for child, cpu in children.items():
        if os.waitpid(child, 0)[1]:
            died.append(cpu)
    spent = time.monotonic() - began
    chunks = sum(row[1] for row in told)
    wrong = sum(row[2] for row in told)
    silent = sorted(set(cpus) - {row[0] for row in told})
    for cpu, _, bad in told:
        if bad:
            row("cpu%d" % cpu, "built-in", spent, 0, 0, bad, 1.0 / len(cpus), "wrong digests")
    detail = "%d cores" % len(cpus)
    if silent or died:
        detail += "; no result from cpu " + " ".join(str(cpu) for cpu in silent or died)
    covered = len(told) / float(len(cpus))
    row("cpu", "built-in", spent, chunks, chunks / spent, wrong, covered, detail)


def stress_ng(tool, seconds):
    """`--verify` makes stress-ng compare its own results; failures are lines with `fail:`."""
    version = subprocess.check_output([tool, "--version"]).decode("utf-8", "replace")
    name = " ".join(version.replace(",", " ").split()[:3]).replace(" version", "")
    began = time.monotonic()
    run = subprocess.Popen(
        [tool, "--cpu", "0", "--verify", "--metrics-brief", "--timeout", "%ds" % seconds],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    text = run.communicate()[0].decode("utf-8", "replace")
    spent = time.monotonic() - began
    wrong = len(re.findall(r"fail:", text))
    # stress-ng: metrc: [123] cpu   8234   10.00   79.50   0.01   823.23   103.57
    found = re.search(r"\]\s+cpu\s+(\d+)\s+[\d.]+\s+[\d.]+\s+[\d.]+\s+([\d.]+)", text)
    if run.returncode != 0 and not wrong:
        trouble("exit", "stress-ng ended with %s: %s" % (run.returncode, text.strip()[-200:]))
    amount, rate = (found.group(1), found.group(2)) if found else ("N/A", "N/A")
    cores = "%d cores" % len(os.sched_getaffinity(0))
    row("cpu", name, spent, amount, rate, wrong, 1.0 if found else "N/A", cores)


def row(part, engine, seconds, amount, rate, errors, covered, detail):
    say(
        "burn",
        "part=" + part,
        "engine=" + engine,
        "seconds=%.3f" % seconds,
        "amount=%s" % amount,
        "unit=operations",
        "rate=%s" % rate,
        "rate_unit=op_s",
        "errors=%d" % errors,
        "covered=%s" % covered,
        "detail=" + detail,
    )


def trouble(kind, detail):
    say("trouble", kind, " ".join(detail.split()))


said = 0


def say(*cells):
    global said
    said += 1
    print("\t".join(cells))
    sys.stdout.flush()


def main(seconds, seed, wanted, engine):
    tool = shutil.which("stress-ng")
    if engine == "stress-ng" and not tool:
        trouble("missing", "stress-ng is not installed")
    elif tool and engine in ("auto", "stress-ng"):
        stress_ng(tool, float(seconds))
    else:
        built_in(float(seconds), int(seed), wanted)
    print("end\t%d" % said)


main(*sys.argv[1:])
