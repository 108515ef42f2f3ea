"""Every accelerator between idle and full in step, its products compared; see step_power.py."""

import os
import time

from in_step import SAMPLE_S, described, in_step, swing
from node_power import NOBODY, measure, row
from nvml_meter import Meter
from torch_devices import engine_of, found, load_torch
from torch_gemm import PRECISIONS, digests, factors, product, settle, spelt, wrong_rows
from trial import crew, end, tell, trouble

METER, NODE = ("meter", "meter"), ("node", "node")


def card(torch, device, seed, precision, size, ready_s, *beat):
    """Steps, lateness, products, wrong products, the first one's digests."""
    torch.set_num_threads(1)
    choose = getattr(getattr(torch, device.partition(":")[0]), "set_device", None)
    if choose is not None:
        choose(torch.device(device))
    settle(torch, precision)
    word = getattr(torch, PRECISIONS[precision][1])
    both = factors(torch, seed, size)
    again, result, wait = product(torch, device, precision, both)
    again()
    wait()
    first = result.clone()
    off = wrong_rows(torch, first, both, seed)
    told = [1, int(off > 0)]

    def work():
        result.fill_(float("nan"))
        again()
        wait()
        told[0] += 1
        told[1] += not torch.equal(result.view(word), first.view(word))

    # Who is ready first waits for the others: the step is of all of them.
    time.sleep(max(0.0, ready_s - time.monotonic()))
    return [*in_step(work, *beat), *told, *digests(first, word)]


def of_all():
    """`watts()` of all NVIDIA GPUs together; None where one cannot be read."""
    try:
        meter = Meter()
        list(meter.gpus())
    except (OSError, AttributeError):
        return lambda: None

    def watts():
        powers = [meter.sample(index)[1] for index in meter.handles]
        return None if None in powers or not powers else sum(powers)

    return watts


def carry_out(torch, seconds, seed, period_s, duty, precision, size, wanted, start_s):
    devices, family = found(torch, wanted)
    if not devices:
        trouble("missing", "PyTorch %s sees no accelerator" % torch.__version__)
        return
    engine = engine_of(torch, family) + ", in step"
    ready_s = time.monotonic() + start_s

    def work(task):
        if task == METER:
            time.sleep(start_s)
            return swing(of_all(), seconds, period_s)
        if task == NODE:
            time.sleep(start_s)
            return measure(seconds, SAMPLE_S)
        return card(torch, task[0], seed, precision, size, ready_s, seconds, period_s, duty)

    patience_s = seconds + 2 * start_s + 2 * period_s
    told = crew(work, [*devices, METER, NODE], patience_s=patience_s)
    power = told.pop(METER, (-1, -1, -1))
    node = row(told.pop(NODE, NOBODY), in_step=True)
    if node:
        tell("power", **node)
    for task in devices:
        if task not in told:
            trouble("exit", "its process broke, or did not end in time (%s)" % engine, task[1])
            continue
        steps, late_us, _, wrong, *held = told[task]
        detail, power_w = described(steps, late_us, period_s, duty, power)
        tell(
            "gpu_burn",
            part=task[1],
            engine=engine,
            seconds=seconds,
            amount=steps,
            unit="steps",
            rate=None,
            rate_unit="",
            errors=wrong,
            covered=None,
            asked=None,
            detail=detail + " (all GPUs together)" if power_w else detail,
            precision=precision,
            power_w=None,
            power_limit_w=None,
            clock_sm_mhz=None,
            temp_max_c=None,
            digest=spelt(*held),
        )


def main(seconds, seed, period_s, duty, precision, size, device, start_s):
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    torch = load_torch()
    if torch is not None:
        numbers = float(seconds), int(seed), float(period_s), float(duty)
        carry_out(torch, *numbers, precision, int(size), device, float(start_s))
    end()
