"""Which accelerators the PyTorch of this interpreter has, whoever made them.

It travels beside torch_gemm.py.
"""

import importlib
import importlib.util
import os

from trial import crew, trouble

# torch's name of the device, the module that teaches it to torch, what we call such a part.
FAMILIES = (
    ("cuda", "", "gpu"),  # AMD's, Hygon's, Iluvatar's and MetaX' builds answer to this name too
    ("npu", "torch_npu", "npu"),
    ("mlu", "torch_mlu", "mlu"),
    ("musa", "torch_musa", "gpu"),
    ("gcu", "torch_gcu", "gcu"),
    ("sdaa", "torch_sdaa", "sdaa"),
    ("supa", "torch_br", "gpu"),
    ("xpu", "", "gpu"),
)


def load_torch():
    """PyTorch, which counts devices as nvidia-smi does and hides none.  None: we said why."""
    os.environ["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"
    for name in ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ASCEND_RT_VISIBLE_DEVICES"):
        os.environ.pop(name, None)
    try:
        return importlib.import_module("torch")
    except Exception as error:
        trouble("exit", "PyTorch cannot be imported: %s" % error)
        return None


def found(torch, wanted):
    """(device, part) of every device, of the first family that has one; their family's name."""
    if wanted == "cpu":
        return [("cpu", "cpu")], "cpu"
    for name, module, part in FAMILIES:
        if wanted not in ("auto", name):
            continue
        if module and importlib.util.find_spec(module) is not None:
            importlib.import_module(module)
        if getattr(torch, name, None) is not None:
            # A process that has looked at CUDA cannot fork others that use it.
            ((count,),) = crew(lambda kind: [count_of(torch, kind)], [name]).values() or ((0,),)
            if count:
                return [("%s:%d" % (name, n), "%s%d" % (part, n)) for n in range(count)], name
    return [], wanted


def count_of(torch, name):
    kind = getattr(torch, name)
    return kind.device_count() if kind.is_available() else 0


def engine_of(torch, name):
    version = getattr(torch, "version", None)
    if name == "cuda" and getattr(version, "hip", None):
        name = "rocm " + version.hip
    elif name == "cuda" and getattr(version, "cuda", None):
        name = "cuda " + version.cuda
    return "PyTorch %s %s" % (str(torch.__version__).partition("+")[0], name)


def unseen(family, count):
    """How many NVIDIA devices the driver has and PyTorch does not."""
    try:
        return max(0, len(os.listdir("/proc/driver/nvidia/gpus")) - count) * (family == "cuda")
    except OSError:
        return 0
