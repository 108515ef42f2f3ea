"""Load every GPU by the engine that was asked for, or by the best that is here.

Arguments: engine, seconds, seed, precision, size, share of the memory, device (auto, or torch's
name of it), level of the makers' tools, what those may take (JSON: engine -> seconds), the seconds
that starting may take, then an interpreter that has torch or nothing.  PyTorch tests no memory:
where the driver is here, the built-in engine does that first.
"""

import json
import os
import signal
import sys
import time

import burn_cuda
import burn_torch
import node_power
import trial
import vendor_burns
from cuda_workers import Worker, be, listen
from trial import end, say, tell, trouble

FILE = "cuda/burn.ptx"
# As in trials/gpu_burn.py, which says why in this order.
VENDORS = ("ascend-dmi", "rvs", "agfhc", "dcgmi")
METER_S = 15.0  # for a BMC to say the last word
ABSENT = "no engine: %s is not installed"


def pytorch(words):
    """The rows of burn_torch.py but for the last, which counts them, and whether they are all."""
    pipe, writer = os.pipe()
    sys.stdout.flush()
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        os.dup2(writer, 1)
        os.close(writer)
        os.close(pipe)
        trial.said = 0  # it counts its own rows
        be(lambda _: (burn_torch.main(*words), sys.stdout.flush()), 1, parent)
    os.close(writer)
    with os.fdopen(pipe, encoding="utf-8", errors="replace") as file:
        rows = [line.rstrip("\n").split("\t") for line in file]
    os.waitpid(child, 0)
    whole = bool(rows) and rows[-1] == ["end", str(len(rows) - 1)]
    return rows[:-1] if whole else rows, whole


def by_pytorch(words, last):
    """False where another engine may have more luck: there is no PyTorch, or it sees nothing."""
    rows, whole = pytorch(words)
    if not last and whole and all(row[:2] == ["trouble", "missing"] for row in rows):
        return False
    for row in rows:
        say(*row)
    if not whole:
        trouble("exit", "PyTorch ended before it had said all")
    return True


def by_vendor(engine, seconds, precision, level, most_s):
    if engine == "ascend-dmi":
        vendor_burns.ascend_dmi(seconds, precision, most_s)
    else:
        {"dcgmi": vendor_burns.dcgmi, "rvs": vendor_burns.rvs, "agfhc": vendor_burns.agfhc}[engine](
            level, most_s
        )


def cuda(seconds, built_in, modes, start_s):
    ptx = FILES[FILE]  # noqa: F821 - comes along with the question
    slack_s = min(burn_cuda.SLACK_S, start_s)
    burn_cuda.burn(ptx, seconds, *built_in, modes=modes, slack_s=slack_s)


def by_torch_or_cuda(engine, seconds, built_in, device, start_s, python):
    """Whether one of them was here; PyTorch that was asked for by name is, whatever it says."""
    here = device == "auto" and burn_cuda.installed()
    torch_s = seconds * (0.75 if here else 1)
    if here:
        cuda(seconds - torch_s, built_in, ("memory",), start_s)
    seed, precision, size, _ = built_in
    words = (python, str(torch_s), str(seed), precision, str(size), device, str(start_s))
    if by_pytorch(words, engine == "torch"):
        return True
    if here:
        cuda(torch_s, built_in, ("gemm",), start_s)
    return here


def tell_power(meter):
    """What the node drew, if it has a meter."""
    os.kill(meter.pid, signal.SIGTERM)
    said = next((one for _, one in listen([meter], time.monotonic() + METER_S)), None)
    meter.end()
    cells = said and node_power.row(said, in_step=False)
    if cells:
        tell("power", **cells)


def main(engine, *words):
    meter = Worker("power", node_power.until_told)
    burn(engine, *words)
    tell_power(meter)
    end()


def burn(engine, seconds, seed, precision, size, share, device, level, most_s, start_s, python):
    seconds, start_s, most_s = float(seconds), float(start_s), json.loads(most_s)
    built_in = (int(seed), precision, int(size), float(share))
    if engine in VENDORS:
        if vendor_burns.path_of(engine):
            by_vendor(engine, seconds, precision, int(level), most_s[engine])
        else:
            trouble("missing", ABSENT % engine)
    elif engine == "cuda":
        if burn_cuda.installed():
            cuda(seconds, built_in, ("memory", "gemm"), start_s)
        else:
            trouble("missing", ABSENT % burn_cuda.LIBRARY)
    elif not by_torch_or_cuda(engine, seconds, built_in, device, start_s, python):
        present = [name for name in VENDORS if name in most_s and vendor_burns.path_of(name)]
        if present:
            by_vendor(present[0], seconds, precision, int(level), most_s[present[0]])
        else:
            engines = ", ".join(("PyTorch that sees a GPU", burn_cuda.LIBRARY, *most_s))
            trouble("missing", "no engine: none of these is here: %s" % engines)


if __name__ == "__main__":
    main(*sys.argv[1:])
