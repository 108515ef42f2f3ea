"""What each rank is there for: its pipeline stage, its place on the node, its shards.

Only who does the same work can be held against each other.  Megatron-LM numbers ranks, fastest
first, tensor, context, data, pipeline; with --use-tp-pp-dp-mapping pipeline before data
(megatron/core/parallel_state.py, initialize_model_parallel: order).  DeepSpeed (deepspeed/runtime/
pipe/topology.py: axes pipe, data, model) and torchtitan (torchtitan/distributed/parallel_dims.py:
mesh pp, dp_replicate, dp_shard, cp, tp) have the pipeline outermost, too.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

from clusterctl.triage.running.candidates import Outlier, highest
from clusterctl.triage.running.observed import Process

STAGE = "of stage"
VOTERS = 3  # others of the same role: one odd one among them does not move their median
ENOUGH = 7  # others, whose spread tells something; below it a wider group is taken, if there is one


@dataclass(frozen=True, slots=True)
class Role:
    """None: not known.  `replica`: which copy of the model its pipeline is, tensor shard and all.

    `local`: its place on its node; `expert`: which share of the experts it has.
    """

    stage: int | None = None
    local: int | None = None
    tensor: int | None = None
    data: int | None = None
    expert: int | None = None

    @property
    def replica(self) -> tuple[int, int] | None:
        if self.stage is None or self.data is None or self.tensor is None:
            return None
        return (self.data, self.tensor)


def roles(ranks: Sequence[Process], world: int | None) -> tuple[tuple[Role, ...], list[str]]:
    """Of each rank, and why stages are not believed, where a command line tells some."""
    places = locals_of(ranks)
    told = Counter(tuple(sorted(rank.parallel.items())) for rank in ranks if rank.parallel)
    if not told:
        return tuple(Role(local=local) for local in places), []
    sizes = {name: int(size) for name, size in told.most_common(1)[0][0]}
    why = ""
    if len(told) > 1:
        why = "ranks differ in what their command lines say"
    elif not fits(sizes, world):
        said = ", ".join(f"{name} {size}" for name, size in sorted(sizes.items()))
        why = f"{said} does not divide {world} ranks"
    if why:
        line = f"stages are not known, so ranks are held against all others: {why}"
        return tuple(Role(local=local) for local in places), [line]
    return tuple(
        role(rank.rank, local, sizes, world or 1) for rank, local in zip(ranks, places, strict=True)
    ), []


def fits(sizes: Mapping[str, int], world: int | None) -> bool:
    inner = sizes.get("tensor", 1) * sizes.get("context", 1)
    whole = inner * sizes.get("pipeline", 1)
    return bool(world) and whole > 0 and (world or 0) % whole == 0


def role(rank: int | None, local: int, sizes: Mapping[str, int], world: int) -> Role:
    if rank is None or not 0 <= rank < world:
        return Role(local=local)
    tensor, pipeline = sizes.get("tensor", 1), sizes.get("pipeline", 1)
    inner = tensor * sizes.get("context", 1)
    copies = world // (inner * pipeline)
    if sizes.get("stages_inside"):
        stage, data = rank // inner % pipeline, rank // (inner * pipeline)
    else:
        stage, data = rank // (inner * copies), rank // inner % copies
    experts = sizes.get("expert", 1)
    expert = rank // (sizes.get("expert_tensor") or tensor) % experts if experts > 0 else None
    return Role(stage if pipeline > 1 else None, local, rank % inner, data, expert)


def locals_of(ranks: Sequence[Process]) -> list[int]:
    """Its place on its node: as its launcher says, else by order of rank."""
    seen: Counter[str] = Counter()
    found = []
    for rank in ranks:
        found.append(seen[rank.node] if rank.local is None else rank.local)
        seen[rank.node] += 1
    return found


# ----------------------------------------------------------------------------- peers


def mates(parts: Sequence[Role], place: int) -> list[int]:
    """The others of its stage; none where stages are not known."""
    stage = parts[place].stage if parts else None
    if stage is None:
        return []
    return [at for at, one in enumerate(parts) if one.stage == stage and at != place]


def usual(parts: Sequence[Role], values: Mapping[int, float]) -> dict[int, float]:
    """Of each, the median of the others of its stage; 0: it is alone there, or nobody knows.

    Who has no value has 0.
    """
    stages: defaultdict[int | None, list[float]] = defaultdict(list)
    for at, one in enumerate(parts):
        stages[one.stage].append(values.get(at, 0.0))
    for told in stages.values():
        told.sort()
    stages[None] = []
    return {
        at: median_without(stages[parts[at].stage if parts else None], value)
        for at, value in values.items()
    }


def median_without(told: Sequence[float], value: float) -> float:
    """`told`: sorted."""
    rest = len(told) - 1
    if rest < 1:
        return 0.0
    gone = bisect_left(told, value)
    middle = [told[at + (at >= gone)] for at in ((rest - 1) // 2, rest // 2)]
    return sum(middle) / 2


@dataclass(frozen=True, slots=True)
class Vote:
    """Who stands out, and against whom: `among` them, a phrase.

    `alone`: too few have its role, so it was held against others, whose work may differ.
    """

    found: Outlier
    among: str
    alone: bool = False


def vote(
    values: Mapping[str, float],
    groups: Mapping[str, Sequence[tuple[Hashable, str]]],
    error: float,
    sorts: int = 1,
) -> Vote | None:
    """The one that stands out most among those of its role; `sorts`: of values looked through.

    `groups`: of each name, from the narrowest on: a key, and how to speak of those who share it.
    Who has fewer than VOTERS others in any of them is held against everybody.
    """
    members: defaultdict[Hashable, list[str]] = defaultdict(list)
    for name in values:
        for key, _ in groups.get(name, ()):
            members[key].append(name)
    judged: defaultdict[Hashable, dict[str, str]] = defaultdict(dict)
    for name in values:
        fit = [one for one in groups.get(name, ()) if len(members[one[0]]) > VOTERS]
        many = [one for one in fit if len(members[one[0]]) > ENOUGH]
        key, words = (many or fit[-1:] or [(None, "")])[0]
        judged[key][name] = words
    found = []
    for key, named in judged.items():
        pool = list(values) if key is None else members[key]
        held = {name: values[name] for name in pool}
        own = highest(held, error=error, among=len(values) * sorts, of=named)
        if own is not None:
            found.append(spoken(own, len(pool), named[own.name], groups.get(own.name, ())))
    return max(found, key=weight, default=None)


def weight(one: Vote) -> tuple[float, float]:
    """Against others' work weighs half."""
    return (one.found.confidence * (0.5 if one.alone else 1.0), one.found.excess)


def spoken(own: Outlier, size: int, words: str, levels: Sequence[tuple[Hashable, str]]) -> Vote:
    if words or not levels:
        return Vote(own, f"the {size - 1} others{words and ' ' + words}")
    alone = levels[-1][1].startswith(STAGE)
    note = ", whose work may differ" if alone else ""
    return Vote(own, f"all {size - 1} others{note}: too few are {levels[-1][1]}", alone)


def of_stage(one: Role) -> list[tuple[Hashable, str]]:
    """Groups for `vote` of what depends on the work."""
    if one.stage is None:
        return []
    return [(("stage", one.stage), f"{STAGE} {one.stage}")]


def of_device(one: Role) -> list[tuple[Hashable, str]]:
    """Groups for `vote` of what depends on the work and on the place in the chassis."""
    stage = of_stage(one)
    if one.local is None:
        return stage
    if one.stage is None:
        return [(("local", one.local), f"of local rank {one.local}")]
    named = f"{STAGE} {one.stage} and local rank {one.local}"
    return [(("both", one.stage, one.local), named), *stage]
