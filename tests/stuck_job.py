"""A small distributed job over gloo, one rank of which does something else.

python stuck_job.py WORLD PORT RANK WHAT FOLDER     prints `ready` and each rank's process, then
hangs; when FOLDER holds a file `now`, each rank's flight recorder is written there
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path


def lock(_step):
    """Nobody lets go of it until SIGUSR1 comes; then it sleeps."""
    held = threading.Lock()
    held.acquire()
    signal.signal(signal.SIGUSR1, lambda *_: held.release())
    with held:
        time.sleep(3600)


def queue(_step):
    from queue import Queue

    next_batch(Queue())


def next_batch(queue):
    return queue.get()


def spin(_step):
    total = 0
    while True:
        total += 1


def late(_step):
    """Slow, not stuck: every step has its pause."""
    time.sleep(0.7)


def nothing(_step):
    pass


HINDRANCES = {
    "lock": lock,
    "queue": queue,
    "spin": spin,
    "late": late,
    "-": nothing,
}


def train(rank, world, port, hindrance):
    import torch
    from torch import distributed

    torch.set_num_threads(1)
    os.environ.update(RANK=str(rank), WORLD_SIZE=str(world), LOCAL_RANK=str(rank))
    distributed.init_process_group(
        "gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=world
    )
    gradients = torch.ones(1000)
    distributed.all_reduce(gradients)
    threading.Thread(target=dump, args=(rank, Path(sys.argv[5])), daemon=True).start()
    # All ranks have one pipe: where Python keeps nothing back, print writes word by word.
    os.write(1, f"ready {rank} {os.getpid()}\n".encode())
    for number in range(100000):
        step(distributed, gradients, number, hindrance)


def dump(rank, folder):
    """Beside the thread that hangs, as the watchdog of NCCL does it."""
    import torch._C._distributed_c10d as c10d

    while not (folder / "now").exists():
        time.sleep(0.1)
    part = folder / f"part_{rank}"
    part.write_bytes(c10d._dump_fr_trace())
    part.rename(folder / f"nccl_trace_rank_{rank}")


def step(distributed, gradients, number, hindrance):
    hindrance(number)
    distributed.all_reduce(gradients)


def main():
    os.environ["TORCH_FR_BUFFER_SIZE"] = "100"
    import torch
    import torch.distributed  # noqa: F401 - once, for all ranks

    world, port, odd = (int(word) for word in sys.argv[1:4])
    children = []
    for rank in range(world):
        child = os.fork()
        if not child:
            train(rank, world, port, HINDRANCES[sys.argv[4] if rank == odd else "-"])
            os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)


if __name__ == "__main__":
    main()
