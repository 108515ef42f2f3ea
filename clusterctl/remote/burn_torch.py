"""Matrix products by PyTorch on every accelerator at once.

Arguments: an interpreter that has torch or nothing, then those of torch_gemm.main: seconds, seed,
precision, size, device (auto, cpu or torch's name), seconds that starting may take.
"""

import sys

from other_python import go_on, python_with
from trial import end, trouble


def main(wanted, *words):
    python = python_with("torch", wanted)
    if python is None:
        where = "%s has no PyTorch" % wanted if wanted else "no Python that we know of has PyTorch"
        trouble("missing", where + "; name one that has: `python`")
        end()
        return
    go_on(python, ("trial", "nvml_meter", "torch_devices", "torch_gemm"), words)


if __name__ == "__main__":
    main(*sys.argv[1:])
