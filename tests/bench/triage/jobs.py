"""Training jobs with one planted cause of slowness: every operation's begin and end.

It knows nothing of how triage judges: pipelines are run forward, operation by operation, from
schedules as Megatron-LM, GPipe and its interleaved variant order them; several steps and DP ranks
side by side, as arrays [step, DP rank].
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace

import numpy as np

CAUSES = (
    "healthy",
    "worker",
    "host",
    "stage-imbalance",
    "sequence-length",
    "data-loading",
    "gc",
    "checkpoint",
    "network",
    "congestion",
)
NOISES = ("lognormal", "heavy", "drift")
SCHEDULES = ("1f1b", "gpipe", "interleaved")
LEAST_COST = 0.03  # of the job: a plant that costs less is drawn anew (a worker's is kept)


@dataclass(frozen=True)
class Plan:
    seed: int
    cause: str
    dp: int
    pp: int
    microbatches: int
    steps: int
    schedule: str = "1f1b"
    chunks: int = 1
    noise: str = "lognormal"
    sigma: float = 0.01  # of an operation
    tp: int = 1
    relative: bool = False  # as some recorders have it, each step counts from its own begin
    how: dict[str, float] = field(default_factory=dict)  # magnitudes of the plant


@dataclass
class Job:
    plan: Plan
    columns: dict[str, list]
    truth: dict[str, object]
    slowdown: float  # against its twin without the plant


def drawn(seed: int, cause: str, *, steps: int | None = None, mild: bool = False) -> Plan:
    """Any size, schedule and noise; `mild`: a worker slowed by 5 to 15 %."""
    rng = np.random.default_rng([seed, CAUSES.index(cause)])
    schedule = str(rng.choice(SCHEDULES, p=(0.5, 0.25, 0.25)))
    pp = int(rng.choice([1, 2, 4, 8], p=(0.25, 0.2, 0.4, 0.15)))
    dp = int(rng.choice([2, 4, 8, 16], p=(0.15, 0.35, 0.35, 0.15)))
    if cause == "stage-imbalance":
        pp = max(pp, 2)
    if cause in {"network", "host"}:
        pp, dp = max(pp, 4), max(dp, 4)
    if cause in {"worker", "host", "gc"}:
        dp = max(dp, 4) if pp == 1 else dp
    tp = int(rng.choice([1, 2, 4, 8]))
    if cause == "host":
        dp, tp = 8, 2
    chunks = 2 if schedule == "interleaved" and pp > 1 else 1
    return Plan(
        seed,
        cause,
        dp,
        pp,
        int(rng.choice([1, 2, 4, 8])) if pp == 1 else pp * int(rng.choice([1, 2, 4])),
        steps or int(rng.choice([5, 8, 15, 30])),
        schedule if pp > 1 else "1f1b",
        chunks,
        str(rng.choice(NOISES)),
        float(rng.uniform(0.003, 0.02)),
        tp,
        bool(rng.random() < 0.3),
        {"mild": float(mild)},
    )


def order(plan: Plan, stage: int) -> list[tuple[str, int, int]]:
    """(way, chunk, microbatch) as a stage computes them."""
    m, pp, v = plan.microbatches, plan.pp, plan.chunks
    if v == 1:
        ahead = [("forward", 0, mb) for mb in range(m)]
        back = [("backward", 0, mb) for mb in range(m)]
        warm = m if plan.schedule == "gpipe" else min(pp - stage - 1, m)
    else:
        total = m * v
        turn = [((k % (pp * v)) // pp, k // (pp * v) * pp + k % pp) for k in range(total)]
        ahead = [("forward", chunk, mb) for chunk, mb in turn]
        back = [("backward", v - 1 - chunk, mb) for chunk, mb in turn]
        warm = min((pp - stage - 1) * 2 + (v - 1) * pp, total)
    found = ahead[:warm]
    for one, other in zip(ahead[warm:], back, strict=False):
        found += [one, other]
    return found + back[len(ahead) - warm :]


class World:
    """What each thing takes, [step, DP rank], before and after the plant."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.rng = np.random.default_rng([plan.seed, 99])
        shape = (plan.steps, plan.dp)
        self.shape = shape
        self.forward_s = float(self.rng.uniform(0.02, 0.3))
        self.p2p_s = self.forward_s * float(self.rng.uniform(0.01, 0.05))
        work = self.forward_s * 3 * plan.microbatches
        self.gather_s = work * float(self.rng.uniform(0.01, 0.05))
        self.scatter_s = self.gather_s * 2
        self.bulk = np.ones(plan.pp)  # the ends hold the embedding
        self.bulk[[0, -1]] += float(self.rng.uniform(0, 1.1)) if plan.pp > 1 else 0.0
        self.optimizer_s = work * 0.01
        own = self.rng.uniform(0.003, 0.008)
        self.worker = self.rng.normal(0, own, (plan.dp, plan.pp))
        self.stage = self.rng.normal(0, 0.006, plan.pp)
        self.wander = np.zeros((plan.steps, plan.dp, plan.pp))
        if plan.noise == "drift":
            kicks = self.rng.normal(0, 0.003, self.wander.shape)
            for step in range(1, plan.steps):
                self.wander[step] = 0.9 * self.wander[step - 1] + kicks[step]
            self.wander += np.linspace(0, float(self.rng.normal(0, 0.03)), plan.steps)[
                :, None, None
            ]
        self.mb = self.rng.normal(0, 0.004, (plan.steps, plan.dp, plan.microbatches))
        # the plant's
        self.slow = np.zeros((plan.dp, plan.pp))
        self.slow_stage = np.zeros(plan.pp)
        self.load_s = np.zeros(shape)
        self.gap_s = self.rng.exponential(0.002 * work, plan.steps)
        self.write_s = np.zeros(plan.steps)  # before the optimizer, all at once
        self.pause: dict[tuple[int, int], np.ndarray] = defaultdict(lambda: np.zeros(shape))
        self.stall: dict[tuple[int, int], np.ndarray] = defaultdict(lambda: np.zeros(shape))
        self.link: dict[tuple[int, int], float] = {}  # (dp, lower stage) -> times
        self.group: dict[int, float] = {}  # stage -> times
        self.crowd = np.ones(plan.steps)
        self.truth: dict[str, object] = {}

    def jitter(self) -> np.ndarray:
        """One operation's factor."""
        plan, rng = self.plan, self.rng
        if plan.noise == "heavy":
            found = plan.sigma * 0.6 * rng.standard_t(3, self.shape)
            found += np.where(rng.random(self.shape) < 0.003, rng.uniform(0.05, 0.3, self.shape), 0)
            return np.exp(np.clip(found, -0.1, 0.6))
        return np.exp(rng.normal(0, plan.sigma, self.shape))

    def compute(self, way: str, stage: int, mb: int) -> np.ndarray:
        base = self.forward_s * (2 if way == "backward" else 1) / self.plan.chunks
        logs = (
            self.worker[:, stage]
            + self.stage[stage]
            + self.wander[:, :, stage]
            + self.mb[:, :, mb]
            + np.log1p(self.slow[:, stage])
            + np.log1p(self.slow_stage[stage])
        )
        return base * np.exp(logs) * self.jitter()

    def moved(self, usual: float, *, wide: int = 0) -> np.ndarray:
        """[step, transfer]: one a DP rank, or `wide` of them."""
        rng, shape = self.rng, (self.plan.steps, wide or self.plan.dp)
        found = usual * np.exp(rng.normal(0, 0.08, shape))
        tail = rng.random(shape) < 0.02
        found = np.where(tail, found * rng.uniform(1.2, 3, shape), found)
        return found * self.crowd[:, None]

    def between(self, dp_stage: int) -> np.ndarray:
        """A transfer between this stage and the next."""
        found = self.moved(self.p2p_s)
        for (dp, low), times in self.link.items():
            if low == dp_stage:
                found[:, dp] *= times
        return found

    def collective(self, stage: int, usual: float) -> np.ndarray:
        one = self.moved(usual * self.bulk[stage], wide=1) * self.group.get(stage, 1.0)
        return np.repeat(one, self.plan.dp, axis=1)


def plant(world: World, step_s: float) -> None:  # noqa: PLR0912
    """Into a fresh world; `step_s`: what a step of it takes without."""
    plan = world.plan
    rng = np.random.default_rng([plan.seed, 5, int(plan.how.get("again", 0))])
    dp, stage = int(rng.integers(plan.dp)), int(rng.integers(plan.pp))
    if plan.cause == "worker":
        top = 0.15 if plan.how.get("mild") else 1.5
        size = float(np.exp(rng.uniform(np.log(0.05), np.log(top))))
        world.slow[dp, stage] = size
        world.truth = {"dp": dp, "stage": stage, "size": size}
    elif plan.cause == "host":
        first = 4 * int(rng.integers(plan.dp // 4))  # four workers of two ranks share a node
        world.slow[first : first + 4, stage] = float(np.exp(rng.uniform(np.log(0.08), np.log(1))))
        world.truth = {"first_rank": (stage * plan.dp + first) * plan.tp}
    elif plan.cause == "stage-imbalance":
        at = plan.pp - 1 if rng.random() < 0.6 else stage
        world.slow_stage[at] = float(rng.uniform(0.12, 1.0))
    elif plan.cause == "sequence-length":
        world.mb += rng.normal(0, float(rng.uniform(0.12, 0.5)), world.mb.shape)
    elif plan.cause == "data-loading":
        kind = rng.integers(3)
        if kind == 0 and plan.dp > 2:
            world.load_s[:, dp] = (
                step_s * rng.uniform(0.05, 0.5) * rng.uniform(0.7, 1.3, plan.steps)
            )
            world.truth = {"dp": dp}
        elif kind == 1 and not plan.relative:
            world.gap_s += step_s * rng.uniform(0.05, 0.5) * rng.uniform(0.7, 1.3, plan.steps)
        else:
            late = rng.random(world.shape) < 0.4
            world.load_s += np.where(late, step_s * rng.uniform(0.05, 0.5, world.shape), 0)
    elif plan.cause == "gc":
        every = int(rng.integers(2, min(8, plan.steps)))
        size = step_s * float(rng.uniform(0.06, 0.3))
        inside = rng.random() < 0.3
        for one in range(plan.dp):
            for where in range(plan.pp):
                for step in range(int(rng.integers(every)), plan.steps, every):
                    at = int(rng.integers(1, len(order(plan, where))))
                    kind = world.stall if inside else world.pause
                    kind[where, at][step, one] += size * rng.uniform(0.6, 1.4)
    elif plan.cause == "checkpoint":
        every = int(rng.integers(3, max(4, min(10, plan.steps))))
        hit = np.arange(plan.steps) % every == int(rng.integers(1, every))
        if not hit[1:].any():
            hit[plan.steps // 2] = True
        hit[0] = False
        size = step_s * float(rng.uniform(0.2, 2))
        if plan.relative or rng.random() < 0.3:
            world.write_s[hit] += size
        else:
            world.gap_s[hit] += size * rng.uniform(0.8, 1.2, int(hit.sum()))
    elif plan.cause == "network":
        kind = rng.integers(3)
        low = min(stage, plan.pp - 2)
        times = float(rng.uniform(2, 5))
        if kind == 0:
            inner = int(rng.integers(1, plan.pp - 1))
            world.group[inner] = times
            world.truth = {"what": f"DP group of stage {inner}"}
        elif kind == 1:
            world.link[dp, low] = 4 * times
            world.truth = {"what": f"dp {dp} stage {low}-{low + 1}"}
        else:
            middle = int(rng.integers(1, plan.pp - 1))
            world.link[dp, middle - 1] = world.link[dp, middle] = 4 * times
            world.group[middle] = times
            world.truth = {"what": f"dp {dp} stage {middle}"}
    elif plan.cause == "congestion":
        while True:
            hit = rng.random(plan.steps) < rng.uniform(0.2, 0.7)
            if hit.any() and not hit.all():
                break
        world.crowd[hit] = rng.uniform(2, 6, int(hit.sum()))


class Recorder:
    """Rows in the columns of the published traces."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.rows: dict[str, list] = defaultdict(list)
        self.counts: dict[tuple[str, int], int] = defaultdict(int)

    def add(self, kind, stage, start, end, *, chunk=-1, mb=-1) -> None:
        plan = self.plan
        seq = self.counts[kind, stage]
        self.counts[kind, stage] += 1
        step, dp = np.indices((plan.steps, plan.dp))
        size = plan.steps * plan.dp
        self.rows["dp_rank"].append(dp.ravel())
        self.rows["stage"].append(np.full(size, stage))
        self.rows["rank"].append(((stage * plan.dp + dp) * plan.tp).ravel())
        self.rows["step"].append(step.ravel() + 100)
        self.rows["optype"].append(np.full(size, kind, dtype=object))
        self.rows["start_ts"].append(np.broadcast_to(start, (plan.steps, plan.dp)).ravel())
        self.rows["duration"].append(np.broadcast_to(end - start, (plan.steps, plan.dp)).ravel())
        self.rows["seq_id"].append(np.full(size, seq))
        self.rows["mc"].append(np.full(size, chunk))
        self.rows["mb_id"].append(np.full(size, mb))


def run(world: World) -> tuple[Recorder, np.ndarray]:
    """Every operation, in step-relative times; and what each step took."""
    plan = world.plan
    rec = Recorder(plan)
    rng = world.rng
    lag = lambda: rng.exponential(2e-5, world.shape)  # noqa: E731
    free = []
    for stage in range(plan.pp):
        start = lag() + (world.load_s if stage == 0 else 0)
        begun = start.max(axis=1, keepdims=True)
        end = begun + world.collective(stage, world.gather_s)
        rec.add("params-all-gather", stage, start, end, chunk=0)
        free.append(end)
    free, last = pipeline(world, rec, free, lag)
    ends = []
    for stage in range(plan.pp):
        start = last[stage] + lag()
        end = start.max(axis=1, keepdims=True) + world.collective(stage, world.scatter_s)
        rec.add("grads-reduce-scatter", stage, start, end, chunk=0)
        ends.append((start, end))
    starts = [end + lag() for _, end in ends]
    all_in = np.max([one.max(axis=1) for one in starts], axis=0)[:, None]
    done = np.broadcast_to(all_in + world.moved(world.gather_s * 0.05, wide=1), world.shape)
    took = np.zeros(plan.steps)
    for stage in range(plan.pp):
        rec.add("optimizer-clip-main-grad", stage, starts[stage], done)
        start = done + lag() + world.write_s[:, None]
        end = start + world.optimizer_s * world.jitter()
        rec.add("optimizer", stage, start, end)
        took = np.maximum(took, end.max(axis=1))
    return rec, took


def pipeline(world: World, rec: Recorder, free: list, lag) -> tuple[list, list]:
    """Stages in turn, as far as each can get; a receive is posted when its stage is free."""
    plan = world.plan
    orders = [order(plan, stage) for stage in range(plan.pp)]
    at = [0] * plan.pp
    sent: dict[tuple[str, int, int], np.ndarray] = {}
    top = plan.pp * plan.chunks - 1
    rows = []
    while any(at[s] < len(orders[s]) for s in range(plan.pp)):
        moved = False
        for stage in range(plan.pp):
            while at[stage] < len(orders[stage]):
                way, chunk, mb = orders[stage][at[stage]]
                where = chunk * plan.pp + stage
                source = where - 1 if way == "forward" else where + 1
                needs = 0 <= source <= top
                if needs and (way, source, mb) not in sent:
                    break
                ready = free[stage]
                if needs:
                    posted = free[stage] + lag()
                    left = sent[way, source, mb]
                    low = min(source % plan.pp, stage)
                    if abs(source % plan.pp - stage) > 1:
                        low = plan.pp - 1
                    arrived = np.maximum(posted, left) + world.between(low)
                    rows.append((posted, f"{way}-recv", stage, posted, arrived))
                    rows.append((left, f"{way}-send", source % plan.pp, left, arrived))
                    ready = arrived
                start = ready + lag() + world.pause[stage, at[stage]]
                took = world.compute(way, stage, mb) + world.stall[stage, at[stage]]
                end = start + took
                rec.add(f"{way}-compute", stage, start, end, chunk=chunk, mb=mb)
                target = where + 1 if way == "forward" else where - 1
                if 0 <= target <= top:
                    sent[way, where, mb] = end + lag()
                free[stage] = end
                at[stage] += 1
                moved = True
        if not moved:
            raise AssertionError(f"stuck: {plan}")
    for _, kind, stage, start, end in sorted(rows, key=lambda row: float(row[0].mean())):
        rec.add(kind, stage, start, end)
    return free, list(free)


def made(plan: Plan) -> Job:
    """Raises AssertionError where a schedule cannot be run."""
    clean = World(replace(plan, cause="healthy"))
    _, took = run(clean)
    base = float((took + clean.gap_s).mean())
    for again in range(30):
        planted = replace(plan, how={**plan.how, "again": again})
        world = World(planted)
        plant(world, base)
        rec, took = run(world)
        if plan.cause == "stage-imbalance":  # the same work, shared out evenly
            even = World(replace(plan, cause="healthy"))
            even.slow_stage[:] = world.slow_stage.mean()
            base = float((run(even)[1] + even.gap_s).mean())
        slowdown = float((took + world.gap_s).mean()) / base
        if plan.cause in {"healthy", "worker"} or slowdown >= 1 + LEAST_COST:
            break
    begin = np.zeros(plan.steps)
    if not plan.relative:
        begin = np.cumsum(world.gap_s + np.concatenate([[0], took[:-1]]))
    columns = {name: np.concatenate(parts) for name, parts in rec.rows.items()}
    columns["start_ts"] = columns["start_ts"] + begin[columns["step"] - 100]
    return Job(planted, columns, world.truth, slowdown)
