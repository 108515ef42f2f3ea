#!/usr/bin/env python3
"""One rank of a training job that trains for real: reads its samples, computes, shares gradients.

    RANK=0 WORLD_SIZE=8 … triage_job.py gloo /bench/samples /run/plant /run/steps

`gloo` is PyTorch's DistributedDataParallel; `ring` is clusterctl's own ring all-reduce, for which
no PyTorch is needed.  The accelerator's part of a step is a sleep: eight ranks share two cores.
What is wrong with this rank is read from the plant file before every step.
"""

from __future__ import annotations

import gc
import json
import mmap
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

ACCELERATOR_S = 0.08
SAMPLE_BYTES = 1 << 16
RING_BYTES = 1 << 19
RING_PORT = 29600

Share = Callable[[], None]
rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
rng = Random(rank)


class Samples:
    """A file read past the page cache, as a data set larger than memory is."""

    def __init__(self, path: str) -> None:
        flags = os.O_RDONLY | getattr(os, "O_DIRECT", 0)
        self.file = os.open(path, flags)
        self.places = os.fstat(self.file).st_size // SAMPLE_BYTES
        self.room = mmap.mmap(-1, SAMPLE_BYTES)

    def load(self) -> None:
        os.preadv(self.file, [self.room], rng.randrange(self.places) * SAMPLE_BYTES)


def gloo() -> Share:
    import torch
    import torch.distributed as dist

    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    torch.manual_seed(0)
    layers = (torch.nn.Linear(256, 256), torch.nn.ReLU(), torch.nn.Linear(256, 256))
    model = torch.nn.parallel.DistributedDataParallel(torch.nn.Sequential(*layers))
    optimiser = torch.optim.SGD(model.parameters(), lr=1e-3)
    batch = torch.randn(16, 256)

    def share() -> None:
        optimiser.zero_grad()
        model(batch).square().mean().backward()
        optimiser.step()

    return share


def ring() -> Share:
    sys.path.insert(0, os.environ["RING_FROM"])
    from pair_tcp import serve
    from ring_tcp import Ring, carry_out

    places = os.environ["PLACES"].split(",")
    server = serve([RING_PORT])
    links = Ring(rank, world, 1e6)
    plan = {"places": places, "ports": [[RING_PORT]] * world, "binds": [""] * world}
    links.connect(server, plan, b"bench", 60.0, everybody=False)
    given = memoryview(bytearray(RING_BYTES))
    result = memoryview(bytearray(RING_BYTES))

    def share() -> None:
        deadline = time.thread_time() + 0.005
        while time.thread_time() < deadline:
            pass
        carry_out(links, "all_reduce", given, result)

    return share


def wait_in_lock(seconds: float) -> None:
    """Some other thread of this rank holds what the training loop needs."""
    lock, held = threading.Lock(), threading.Event()

    def hold() -> None:
        with lock:
            held.set()
            time.sleep(seconds)

    threading.Thread(target=hold, daemon=True).start()
    held.wait()
    with lock:
        pass


def suffer(plant: dict[str, float], litter: list[list[int]]) -> None:
    if plant.get("sleep_s"):
        time.sleep(plant["sleep_s"])
    if plant.get("lock_s"):
        wait_in_lock(plant["lock_s"])
    if plant.get("collect_s") and rng.random() < plant["chance"]:
        if not litter:
            litter.extend([number] for number in range(150_000))
        finish = time.monotonic() + plant["collect_s"]  # a heap of one engine is larger
        while time.monotonic() < finish:
            gc.collect()


def main(engine: str, samples: str, plants: str, steps: str) -> None:
    share = {"gloo": gloo, "ring": ring}[engine]()
    loader = Samples(samples)
    plant_file, step_file = Path(plants), Path(steps)
    litter: list[list[int]] = []
    done = 0
    with step_file.open("a", buffering=1) as told:
        while True:
            began = time.monotonic()
            plant = json.loads(plant_file.read_text() or "{}")
            loader.load()
            time.sleep(ACCELERATOR_S)
            suffer(plant, litter)
            while plant.get("hang") and json.loads(plant_file.read_text() or "{}").get("hang"):
                wait_in_lock(0.5) if plant["hang"] == 2 else time.sleep(0.5)
            share()
            done += 1
            told.write(f"{done} {time.monotonic() - began:.6f}\n")


if __name__ == "__main__":
    main(*sys.argv[1:5])
