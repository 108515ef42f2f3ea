"""One rank of a collective operation by torch.distributed, every result compared.

It runs in the Python that has torch; its order comes as JSON on standard input.  Lines that begin
with @ are for collective.py.
"""

import json
import os
import sys
import time

from torch_devices import engine_of, found, load_torch

# torch's name of the device -> the backend that its maker teaches torch.
BACKENDS = {
    "cuda": "nccl",
    "npu": "hccl",
    "mlu": "cncl",
    "musa": "mccl",
    "gcu": "eccl",
    "sdaa": "tccl",
    "xpu": "xccl",
    "cpu": "gloo",
}
PERIOD = 8191  # a prime: values that end up in another place are seen
FEWEST = 3
WARM_UP = 2


def tell(message):
    sys.stdout.write("@%s\n" % json.dumps(message))
    sys.stdout.flush()


def library(torch, backend):
    """NCCL's version, or RCCL's, as torch tells it; empty where it does not."""
    if backend != "nccl":
        return ""
    name = "RCCL" if getattr(torch.version, "hip", None) else "NCCL"
    return "%s %s" % (name, ".".join(str(part) for part in torch.cuda.nccl.version()))


def look(wanted):
    """What collective.py must know to make a plan; nothing where there is no such device."""
    torch = load_torch()
    if torch is None:
        return
    devices, family = found(torch, wanted)
    if not devices or not torch.distributed.is_available():
        return
    backend = BACKENDS[family]
    name = "%s, %s" % (engine_of(torch, family), backend)
    version = library(torch, backend)
    tell({"count": len(devices), "backend": backend, "name": name, "version": version})


# ----------------------------------------------------------------------------- operations


def values(torch, rank, start, count, device):
    """Small whole numbers in float32: sums of thousands of ranks are exact."""
    at = torch.arange(start, start + count, device=device, dtype=torch.int64)
    return ((at * 7 + rank * 13) % PERIOD).to(torch.float32)


def prepared(torch, operation, rank, ranks, count, device):
    """(input, output, what the output must be): all as nccl-tests counts its sizes."""
    piece = count // ranks
    make = lambda one, start, length: values(torch, one, start, length, device)  # noqa: E731
    mine = make(rank, 0, count)
    if operation in ("all_reduce", "reduce_scatter"):
        due = make(0, 0, count)
        for one in range(1, ranks):
            due += make(one, 0, count)
        if operation == "all_reduce":
            return mine, torch.empty_like(mine), due
        return mine, torch.empty_like(mine[:piece]), due[rank * piece : (rank + 1) * piece]
    if operation == "all_gather":
        due = torch.cat([make(one, 0, piece) for one in range(ranks)])
        return mine[:piece].contiguous(), torch.empty_like(mine), due
    if operation == "all_to_all":
        due = torch.cat([make(one, rank * piece, piece) for one in range(ranks)])
        return mine, torch.empty_like(mine), due
    source = 0 if operation == "broadcast" else (rank - 1) % ranks
    return mine, torch.empty_like(mine), make(source, 0, count)


def work_of(dist, operation, rank, ranks, given, output):
    """What is timed.  In place where torch knows no other way: `output` holds the result."""
    if operation == "all_reduce":
        return lambda: dist.all_reduce(output)
    if operation == "reduce_scatter":
        return lambda: dist.reduce_scatter_tensor(output, given)
    if operation == "all_gather":
        return lambda: dist.all_gather_into_tensor(output, given)
    if operation == "all_to_all":
        return lambda: dist.all_to_all_single(output, given)
    if operation == "broadcast":
        return lambda: dist.broadcast(output, 0)

    def pass_on():
        both = [
            dist.P2POp(dist.isend, given, (rank + 1) % ranks),
            dist.P2POp(dist.irecv, output, (rank - 1) % ranks),
        ]
        for one in dist.batch_isend_irecv(both):
            one.wait()

    return pass_on


def one_size(torch, order, device, settle, size):
    dist = torch.distributed
    operation, rank, ranks = order["operation"], order["rank"], order["ranks"]
    count = max(1, size // (4 * ranks)) * ranks
    given, output, due = prepared(torch, operation, rank, ranks, count, device)
    work = work_of(dist, operation, rank, ranks, given, output)
    in_place = operation in ("all_reduce", "broadcast")

    def checked():
        output.copy_(given) if in_place else output.fill_(-1)
        work()
        settle()
        return int((output != due).sum().item())

    wrong = checked()
    for _ in range(WARM_UP):
        work()
    settle()
    dist.barrier()
    began = time.monotonic()
    work()
    settle()
    rounds = int(order["seconds"] / max(1e-6, time.monotonic() - began))
    agreed = torch.tensor([max(FEWEST, min(order["rounds"], rounds))], device=device)
    dist.broadcast(agreed, 0)
    times = []
    for _ in range(int(agreed.item())):
        dist.barrier()
        settle()
        began = time.monotonic()
        work()
        settle()
        times.append(time.monotonic() - began)
    return {"size": 4 * count, "times": times, "wrong": wrong + checked()}


def take_part(torch, order):
    from datetime import timedelta

    devices, family = found(torch, order["device"])
    device = torch.device(devices[order["local"] % len(devices)][0])
    kind = getattr(torch, family, None)
    choose = getattr(kind, "set_device", None)
    if choose is not None and family != "cpu":
        choose(device)
    settle = getattr(kind, "synchronize", None) if family != "cpu" else None
    address, port = order["master"]
    where = "[%s]" % address if ":" in address else address
    torch.distributed.init_process_group(
        BACKENDS[family],
        init_method="tcp://%s:%d" % (where, port),
        rank=order["rank"],
        world_size=order["ranks"],
        timeout=timedelta(seconds=order["start_s"]),
    )
    for size in order["sizes"]:
        tell(one_size(torch, order, device, settle or (lambda: None), size))
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


def main(text):
    order = json.loads(text)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    if "look" in order:
        look(order["look"])
        return
    torch = load_torch()
    if torch is None:
        sys.exit(1)
    torch.set_num_threads(1)
    take_part(torch, order)
