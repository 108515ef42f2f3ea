"""Copies between the host and every accelerator that PyTorch knows, and between all pairs.

Each is timed by itself; what arrives is compared.  Runs in an interpreter that has torch: see
copy_gpu.py.
"""

import time

from torch_devices import engine_of, found, load_torch
from trial import end, tell, trouble

MOST = 1000  # measurements, each a sample in the row
LEAST = 3  # measurements, however slow


def place_of(torch, size, seed):
    """Bytes that differ everywhere, in pinned memory where there is such, and what they lie in."""
    generator = torch.Generator("cpu")
    generator.manual_seed(seed)
    words = torch.randint(-(1 << 62), 1 << 62, (size // 8,), generator=generator, dtype=torch.int64)
    try:
        return words.pin_memory(), "pinned"
    except (RuntimeError, AttributeError, NotImplementedError):
        return words, "pageable"


def waiter(torch, *devices):
    kinds = {getattr(torch, device.partition(":")[0], None) for device in devices}
    calls = [one.synchronize for one in kinds if hasattr(one, "synchronize")]

    def wait():
        for device in devices:
            kind = getattr(torch, device.partition(":")[0], None)
            if hasattr(kind, "set_device"):
                kind.set_device(torch.device(device))
            for call in calls:
                call()

    return wait


def timed(target, source, seconds, wait):
    """Seconds of each copy; the first, which pays for what is made once, left out."""
    target.copy_(source, non_blocking=True)
    wait()
    spent, began = [], time.monotonic()
    while len(spent) < LEAST or (time.monotonic() < began + seconds and len(spent) < MOST):
        start = time.perf_counter()
        target.copy_(source, non_blocking=True)
        wait()
        spent.append(max(time.perf_counter() - start, 1e-9))
    return spent


def report(part, engine, way, target, given, spent):
    size = given.numel() * given.element_size()
    wrong = int((target.cpu() != given.cpu()).sum())
    detail = "%d times" % len(spent)
    tell(
        "copy",
        part=part,
        engine=engine,
        gbyte_s=size * len(spent) / sum(spent) / 1e9,
        size_bytes=size,
        seconds=sum(spent),
        samples_gbyte_s=" ".join("%.5g" % (size / one / 1e9) for one in spent),
        wrong=wrong,
        way=way,
        detail=detail + "; %d words wrong" % wrong if wrong else detail,
    )


def joined(torch, kind, source, target):
    """How two devices are joined, where torch can say."""
    ask = getattr(getattr(torch, kind, None), "can_device_access_peer", None)
    try:
        return "direct" if ask and ask(source, target) else "staged" if ask else "unknown"
    except (RuntimeError, AssertionError):
        return "unknown"


def paths(torch, devices, family):
    """(part, way, source device or None, target device or None) of every path; None: the host."""
    for device, part in devices:
        yield "host>" + part, "", None, device
        yield part + ">host", "", device, None
        yield "%s>%s" % (part, part), "within the device", device, device
    for source, one in devices:
        for target, other in devices:
            if source != target:
                way = joined(torch, family, source, target)
                yield "%s>%s" % (one, other), way, source, target


def carry_out(torch, seconds, seed, size, wanted):
    devices, family = found(torch, wanted)
    if not devices:
        trouble("missing", "PyTorch %s sees no accelerator" % torch.__version__)
        return
    engine = engine_of(torch, family)
    given, memory = place_of(torch, size, seed)
    todo = list(paths(torch, devices, family))
    for part, way, source, target in todo:
        ends = [device for device in (source, target) if device]
        wait = waiter(torch, *ends)
        try:
            start = given if source is None else given.to(source, copy=True)
            if target is None:
                finish = torch.empty_like(given, pin_memory=memory == "pinned")
            else:
                finish = torch.empty(given.shape, dtype=given.dtype, device=target)
            finish.fill_(-1)  # so that nothing that lies there already is taken for what comes
            wait()
            spent = timed(finish, start, seconds / len(todo), wait)
            report(part, engine, way or memory, finish, given, spent)
        except RuntimeError as error:
            trouble("exit", "%s: %s" % (engine, str(error).splitlines()[0]), part)


def main(seconds, seed, size, device):
    torch = load_torch()
    if torch is not None:
        carry_out(torch, float(seconds), int(seed), int(size), device)
    end()
