"""Time copies between every GPU, the host and the other GPUs.  Arguments: seconds, seed, bytes."""

import sys

import burn_cuda
from trial import end, trouble

FILE = "cuda/burn.ptx"


def main(seconds, seed, size):
    if burn_cuda.installed():
        ptx = FILES[FILE]  # noqa: F821 - comes along with the question
        burn_cuda.copy(ptx, float(seconds), int(seed), int(size))
    else:
        trouble("missing", "no engine: libcuda.so.1 is not installed")
    end()


if __name__ == "__main__":
    main(*sys.argv[1:])
