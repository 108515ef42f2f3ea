"""Look-alikes of what torch.profiler exports: one rank's file of a data-parallel job."""

from __future__ import annotations

import json
import random

US = 1e6
SEGMENTS = 4  # of computation in a step


def trace(
    rank: int,
    *,
    steps: int = 8,
    slow: float = 1.0,
    ahead_s: float = 0.0,
    late_s: float = 0.0,
    slowest: float = 1.0,
    host: str = "",
) -> str:
    """`slow`: of this rank's work; `slowest`: of the rank that all wait for; `late_s`: input."""
    rng = random.Random(rank)
    events = [{"ph": "M", "name": "process_name", "pid": rank, "args": {"name": "python"}}]
    now = 100.0
    for step in range(steps):
        begin = now
        at = begin + 0.001 + late_s
        for segment in range(SEGMENTS):
            took = 0.02 * slow * rng.uniform(0.995, 1.005)
            events.append(event("void gemm<float>(...)", "kernel", at, took, ahead_s))
            # Everyone leaves a collective when the slowest has come.
            end = begin + 0.001 + (segment + 1) * (0.02 * slowest * 1.006 + 0.004)
            end = max(end, at + took + 0.004)
            events.append(
                event(
                    "ncclDevKernel_AllReduce_Sum_f32_RING_LL(ncclDevKernelArgsStorage<4096ul>)",
                    "kernel",
                    at + took + 1e-5,
                    end - at - took - 1e-5,
                    ahead_s,
                    Collective_name="allreduce",
                    Process_Group_Name="0",
                )
            )
            at = end + 1e-5
        now = at + 0.002
        events.append(
            event(f"ProfilerStep#{step + 5}", "user_annotation", begin, now - begin, ahead_s)
        )
    head = {"backend": "nccl", "rank": rank, "world_size": 4}
    info = {"hostname": host} if host else {}
    return json.dumps({"schemaVersion": 1, "distributedInfo": head, **info, "traceEvents": events})


def event(name, category, start_s, took_s, ahead_s, **args) -> dict[str, object]:
    return {
        "ph": "X",
        "cat": category,
        "name": name,
        "pid": 0,
        "tid": 7,
        "ts": (start_s + ahead_s) * US,
        "dur": took_s * US,
        "args": {key.replace("_", " "): value for key, value in args.items()},
    }
