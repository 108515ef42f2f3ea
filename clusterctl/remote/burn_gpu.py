"""Load every GPU, by PyTorch where there is one that sees them, else by the built-in CUDA engine.

Arguments: engine (auto, pytorch, built-in), seconds, seed, precision, size, share of the memory,
then an interpreter that has torch or nothing, and the seconds that starting may take.  PyTorch
tests no memory: where the driver is here, the built-in engine does that first.
"""

import os
import sys

import burn_cuda
import burn_torch
import trial
from cuda_workers import be
from trial import end, say, trouble

FILE = "cuda/burn.ptx"


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


def by_pytorch(engine, words):
    """False where another engine may have more luck: there is no PyTorch, or it sees nothing."""
    rows, whole = pytorch(words)
    if engine == "auto" and whole and all(row[:2] == ["trouble", "missing"] for row in rows):
        return False
    for row in rows:
        say(*row)
    if not whole:
        trouble("exit", "PyTorch ended before it had said all")
    return True


def main(engine, seconds, seed, precision, size, share, python, start_s):
    ptx = FILES[FILE]  # noqa: F821 - comes along with the question
    seconds, here = float(seconds), burn_cuda.installed()
    built_in = (int(seed), precision, int(size), float(share))
    slack_s = min(burn_cuda.SLACK_S, float(start_s))
    if engine == "built-in":
        if here:
            burn_cuda.burn(ptx, seconds, *built_in, slack_s=slack_s)
        else:
            trouble("missing", "no engine: libcuda.so.1 is not installed")
        end()
        return
    torch_s = seconds * (0.75 if here else 1)
    if here:
        burn_cuda.burn(ptx, seconds - torch_s, *built_in, modes=("memory",), slack_s=slack_s)
    words = (python, str(torch_s), seed, precision, size, "auto", start_s)
    if not by_pytorch(engine, words):
        if here:
            burn_cuda.burn(ptx, torch_s, *built_in, modes=("gemm",), slack_s=slack_s)
        else:
            trouble("missing", "no engine: neither PyTorch with a GPU nor libcuda.so.1 is here")
    end()


if __name__ == "__main__":
    main(*sys.argv[1:])
