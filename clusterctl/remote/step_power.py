"""All of a node's accelerators, or its cores where it has none, between idle and full in step.

Arguments: engine (auto, torch, cpu), interpreter with torch or nothing, seconds, seed, digest of
burn_cpu.chunk, period, duty, precision, size, seconds that starting may take.
"""

import os
import sys
import time

from burn_cpu import chunk, names
from in_step import SAMPLE_S, described, in_step, swing
from mix import has_accelerator
from node_power import NOBODY, measure, row
from other_python import go_on, python_with
from sockets_power import sockets_uj, sockets_w
from trial import crew, end, tell, trouble

METER, NODE = "meter", "node"
TORCH = (
    *("trial", "in_step", "nvml_meter", "sockets_power", "node_power"),
    *("torch_devices", "torch_gemm", "torch_step"),
)


def between_readings():
    """`watts()`, the mean since it was last asked."""
    last = [sockets_uj()]

    def watts():
        before, last[0] = last[0], sockets_uj()
        return sockets_w(before, last[0])

    return watts


def core(cpu, seconds, seed, wanted, period_s, duty):
    os.sched_setaffinity(0, {cpu})
    told = [0, 0]

    def work():
        told[0] += 1
        told[1] += chunk(seed) != wanted

    return [*in_step(work, seconds, period_s, duty), *told]


def cores(seconds, seed, wanted, period_s, duty):
    cpus = sorted(os.sched_getaffinity(0))
    began = time.monotonic()

    def work(task):
        if task == METER:
            return swing(between_readings(), seconds, period_s)
        if task == NODE:
            return measure(seconds, SAMPLE_S)
        return core(task, seconds, seed, wanted, period_s, duty)

    told = crew(work, [*cpus, METER, NODE], patience_s=seconds + 2 * period_s + 10)
    spent = time.monotonic() - began
    power = told.pop(METER, (-1, -1, -1))
    node = row(told.pop(NODE, NOBODY), in_step=True)
    if node:
        tell("power", **node)
    silent = [cpu for cpu in cpus if cpu not in told]
    if silent:
        trouble("exit", "no result from " + names(silent))
    if not told:
        return
    steps = min(row[0] for row in told.values())
    detail, power_w = described(steps, max(row[1] for row in told.values()), period_s, duty, power)
    tell(
        "gpu_burn",
        part="cpu",
        engine="built-in, in step",
        seconds=spent,
        amount=steps,
        unit="steps",
        rate=None,
        rate_unit="",
        errors=sum(row[3] for row in told.values()),
        covered=len(told) / float(os.cpu_count()),
        asked=1.0,
        detail=detail,
        precision="",
        power_w=power_w,
        power_limit_w=None,
        clock_sm_mhz=None,
        temp_max_c=None,
        digest="",
    )


def main(engine, python, seconds, seed, wanted, period_s, duty, *words):
    if engine == "torch" or (engine == "auto" and has_accelerator()):
        path = python_with("torch", python)
        if path is not None:
            go_on(path, TORCH, (seconds, seed, period_s, duty, *words))
        trouble("missing", "no PyTorch to load the accelerators with; name a Python: `python`")
    else:
        cores(float(seconds), int(seed), wanted, float(period_s), float(duty))
    end()


if __name__ == "__main__":
    main(*sys.argv[1:])
