"""The order of it all."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random

from clusterctl.fanout import each, endless
from clusterctl.judge import NO_PAST, OBSERVED, OwnPast, Past, by_node, judge, nothing_known
from clusterctl.limits import Sku
from clusterctl.model import (
    LEFT_ALONE,
    Accelerator,
    DeviceProcess,
    Finding,
    Group,
    Kind,
    Node,
    Observation,
    Playbook,
    Probe,
    Question,
    Round,
    Run,
    Scheduler,
    Severity,
    Stage,
    Status,
    Trial,
    Trouble,
    UserError,
    Verdict,
)
from clusterctl.observe import Clock, observe, unseen
from clusterctl.sources import lost
from clusterctl.transport import Transport

Asked = tuple[Node, Sequence[Probe]]
Tell = Callable[[str, frozenset[str], list[Observation]], None]
Begin = Callable[[str, frozenset[str], float], None]
BUSY = "busy"  # the finding of a node that a trial left in peace
OUT_OF_TIME = Trouble(Kind.MISSING, "not asked to the end: the time budget of the run was spent")
SLACK_S = 20.0  # for connecting, and for the node to stop what passed its deadline


@dataclass(frozen=True, slots=True)
class World:
    """Everything ambient.  `reach` gives the transport of a reading, by name and node deadline.

    `begin` hears the reading, whom it asks, and the most seconds that a node may take; `tell` the
    reading, the nodes still out, and what the node that just answered said.
    `left_s`: seconds that the budget leaves for asking; who has not answered then is not waited
    for.  `own_past`: what earlier runs say of what was seen.
    """

    reach: Callable[[str, float], Transport]
    clock: Clock
    seed: int
    run_id: str
    skus: Sequence[Sku] = ()
    begin: Begin = lambda _reading, _asked, _most_s: None
    tell: Tell = lambda _reading, _out, _seen: None
    left_s: Callable[[], float] = endless
    own_past: OwnPast = nothing_known


def sweep(
    playbook: Playbook,
    nodes: Sequence[Node],
    world: World,
    *,
    past: Past = NO_PAST,
    earlier_run: str = "",
) -> Run:
    """Ask every node everything once, and judge."""
    started = world.clock()
    asked = [(node, playbook.probes) for node in nodes]
    seen = look("now", asked, playbook, playbook.pace.node_s, world)
    probes = {probe.name: probe for probe in playbook.probes}
    findings = judge(
        playbook, nodes, seen,
        probes=probes, skus=world.skus, past=past, own_past=world.own_past,
    )  # fmt: skip
    return Run(
        id=world.run_id,
        playbook=playbook,
        nodes=tuple(nodes),
        seed=world.seed,
        started=started,
        finished=world.clock(),
        observations=tuple(seen),
        findings=tuple(findings),
        earlier_run=earlier_run,
        past_s=past.seconds,
    )


def burnin(
    playbook: Playbook,
    nodes: Sequence[Node],
    world: World,
    *,
    force: str = "",
    past_s: float | None = None,
    unread: Collection[str] = (),
) -> Run:
    """Read, load, read again; judge what the load did and what the counters did meanwhile.

    Nodes that do not answer are not loaded, nor those that hold foreign accelerator processes or
    that Slurm has given to a job, unless `force` says why they may be.
    `past_s`: what the clock said between the readings, where this is a replay; `unread`: whom the
    second one did not come to, in the replay of a run that was stopped.  They are judged by the
    first, which tells of no counter whether it rose.
    """
    started = world.clock()
    asked = [(node, playbook.probes) for node in nodes]
    before = look("before", asked, playbook, playbook.pace.node_s, world)
    ready, refused = admit(nodes, before, force=bool(force))
    rng = Random(world.seed)  # noqa: S311 - who burns beside whom is no secret
    trials = [one for stage in playbook.stages for one in load(stage, ready, playbook, world, rng)]
    again = [(node, probes) for node, probes in asked if node.name not in unread]
    after = look("after", again, playbook, playbook.pace.node_s, world)
    probes = {probe.name: probe for probe in playbook.probes} | {
        stage.trial.name: as_probe(stage.trial) for stage in playbook.stages
    }
    once = [one for one in before if one.node in unread]
    twice = [one for one in before if one.node not in unread]
    past = Past(twice, past_s or (world.clock() - started).total_seconds() or None)
    seen = [
        *after,
        *once,
        *trials,
        *(idle for node in refused for idle in unburnt(node, playbook, world)),
    ]
    findings = judge(
        playbook, nodes, seen,
        probes=probes, skus=world.skus, past=past, own_past=world.own_past,
    )  # fmt: skip
    findings += [Finding(BUSY, verdict) for verdict in refused.values()]
    findings += [Finding(BUSY, one) for one in forced(ready, before, force)]
    findings += [Finding(OBSERVED, read_once(node)) for node in ready if node.name in unread]
    return Run(
        id=world.run_id,
        playbook=playbook,
        nodes=tuple(nodes),
        seed=world.seed,
        started=started,
        finished=world.clock(),
        observations=tuple(seen),
        findings=tuple(findings),
        verb="burnin",
        forced=bool(force),
        why=force,
        earlier=tuple(before),
        past_s=past.seconds,
    )


def read_once(node: Node) -> Verdict:
    return Verdict(
        node.name,
        "after",
        Status.UNKNOWN,
        expected="a second reading",
        actual="none",
        why="the run was stopped before: what the load made grow or drop is not known",
        remedy="burn it again",
        severity=Severity.OBSERVE,
        source="a burn reads before and after its load",
    )


def look(
    reading: str, asked: Sequence[Asked], playbook: Playbook, node_s: float, world: World
) -> list[Observation]:
    """One conversation with each node; one observation for each node and probe, in node order."""
    transport = world.reach(reading, node_s)
    questions = {node.name: probes for node, probes in asked}
    out = set(questions)
    world.begin(reading, frozenset(out), node_s)

    def visit(knocked: tuple[Node, Trouble | None]) -> list[Observation]:
        node, trouble = knocked
        probes = questions[node.name]
        if trouble is not None:
            return unseen(node, probes, trouble, world.clock)
        return observe(node, probes, transport, world.clock)

    heard: dict[str, list[Observation]] = {}
    knocked = transport.knock([node for node, _ in asked])
    for seen in each(knocked, visit, at_once=playbook.pace.at_once, left_s=world.left_s):
        heard[seen[0].node] = seen
        out.discard(seen[0].node)
        world.tell(reading, frozenset(out), seen)
    for node, probes in asked:
        if node.name not in heard:
            heard[node.name] = unseen(node, probes, OUT_OF_TIME, world.clock)
    return [one for node, _ in asked for one in heard[node.name]]


@dataclass(frozen=True, slots=True)
class Paused:
    """Processes that stand still on a node, and the number of their Slurm job; empty: none."""

    pids: frozenset[int] = frozenset()
    slurm: str = ""


RUNNING = Paused()


def admit(
    nodes: Sequence[Node],
    before: Sequence[Observation],
    *,
    force: bool,
    paused: Mapping[str, Paused] | None = None,
) -> tuple[list[Node], dict[str, Verdict]]:
    """Who may be loaded, and why the others may not.  What is `paused` there is not disturbed."""
    seen = by_node(before)
    refused: dict[str, Verdict] = {}
    for node in nodes:
        trouble = lost(seen.get(node.name, ()))
        held = holders(seen.get(node.name, ()), (paused or {}).get(node.name, RUNNING))
        if trouble is not None:
            refused[node.name] = refusal(node, f"it did not answer: {trouble}")
        elif held and not force:
            refused[node.name] = refusal(node, held)
    return [node for node in nodes if node.name not in refused], refused


def holders(seen: Sequence[Observation], paused: Paused = RUNNING) -> str:
    """Whom a load would disturb on a node; empty: nobody."""
    facts = [fact for one in seen for fact in one.facts]
    running = {
        f"{one.name} ({one.pid})"
        for one in facts
        if isinstance(one, DeviceProcess) and one.pid not in paused.pids
    }
    own = f"job {paused.slurm}"  # as probes/slurm.py writes it
    jobs = [
        job
        for one in facts
        if isinstance(one, Scheduler)
        for job in one.jobs
        if not paused.slurm or (job != own and not job.startswith(f"{own} "))
    ]
    unsure = [one.troubles[0] for one in seen if one.probe == "slurm" and one.troubles]
    blind = not any(isinstance(one, Accelerator) for one in facts)
    said = []
    if blind and any(one.skip == LEFT_ALONE for one in seen):
        said.append("its accelerators are held by somebody whom nobody here could name")
    if running:
        said.append(f"its accelerators are in use by {', '.join(sorted(running)[:3])}")
    if jobs:
        said.append(f"Slurm has given it to {', '.join(jobs[:3])}")
    elif unsure:
        said.append(f"nobody can say whether Slurm has given it to a job: {unsure[0]}")
    return "; ".join(said)


def forced(nodes: Sequence[Node], before: Sequence[Observation], why: str) -> Iterator[Verdict]:
    """What --force did, and why, for the record."""
    seen = by_node(before)
    for node in nodes if why else ():
        if held := holders(seen.get(node.name, ())):
            yield loaded(node, held, why)


def loaded(node: Node, held: str, why: str) -> Verdict:
    return Verdict(
        node.name,
        "node",
        Status.WARN,
        expected="idle",
        actual=f"loaded by --force: {held}",
        why=why,
        source="the operator's own word",
    )


def refusal(node: Node, why: str) -> Verdict:
    return Verdict(
        node.name,
        "node",
        Status.UNKNOWN,
        expected="idle and reachable",
        actual="not loaded",
        why=why,
        remedy='drain it and burn it again; --force --why "…" if whoever has it may be disturbed',
        severity=Severity.OBSERVE,
        source="trials never disturb a job",
    )


def load(
    stage: Stage, nodes: Sequence[Node], playbook: Playbook, world: World, rng: Random
) -> list[Observation]:
    """Every round of a trial; one observation for each node, its rounds' facts together."""
    trial = stage.trial
    merged: dict[str, Observation] = {}
    for number, whole in enumerate(planned(stage, nodes, rng)):
        for groups in side_by_side(whole, playbook.pace.at_once):
            asked = [member for group in groups for member in questions(stage, group, world.seed)]
            longest = max((probe.question.timeout_s for _, (probe,) in asked), default=0.0)
            reading = f"{trial.name}-{number}"
            for seen in look(reading, asked, playbook, longest + SLACK_S, world):
                old = merged.get(seen.node)
                merged[seen.node] = seen if old is None else together(old, seen)
    return [merged.get(node.name) or alone(node, stage, world) for node in nodes]


def planned(stage: Stage, nodes: Sequence[Node], rng: Random) -> Iterator[Round]:
    """The trial's rounds, their groups divided as the stage's knobs say."""
    for groups in stage.trial.plan(nodes, rng):
        yield tuple(part for group in groups for part in stage.trial.divide(group, stage.params))


def side_by_side(groups: Round, at_once: int) -> Iterator[Round]:
    """A round in parts of at most `at_once` nodes: no partner waits for one not visited yet.

    Nodes that burn alone wait for nobody: their round stays whole, and so does every group.
    """
    if all(len(group) == 1 for group in groups):
        yield groups
        return
    part: list[Group] = []
    for group in groups:
        if part and sum(map(len, part)) + len(group) > at_once:
            yield tuple(part)
            part = []
        part.append(group)
    yield tuple(part)


def refuse_absent_partners(playbook: Playbook, nodes: Sequence[Node]) -> None:
    """Raises UserError where a group has more nodes than are talked to at once."""
    at_once = playbook.pace.at_once
    for stage in playbook.stages:
        rounds = planned(stage, nodes, Random(0))  # noqa: S311 - only sizes are looked at
        most = max((len(group) for groups in rounds for group in groups), default=1)
        if most > at_once:
            raise UserError(
                f"{playbook.origin}: pace: at_once: {at_once}: {stage.trial.name} needs {most} "
                f"nodes side by side: say --at-once {most} or more"
            )


def questions(stage: Stage, group: Group, seed: int) -> list[tuple[Node, tuple[Probe]]]:
    asked = []
    for index, node in enumerate(group):
        question = stage.trial.ask(group, index, seed, stage.params)
        if question is not None:
            named = replace(question, name=stage.trial.name)
            asked.append((node, (replace(as_probe(stage.trial), question=named),)))
    return asked


def together(one: Observation, other: Observation) -> Observation:
    return replace(
        other,
        facts=one.facts + other.facts,
        troubles=one.troubles + other.troubles,
    )


def alone(node: Node, stage: Stage, world: World) -> Observation:
    why = f"{stage.trial.name} needs {stage.trial.partners} nodes and found no partner"
    return Observation(node.name, stage.trial.name, world.clock(), skip=why)


def unburnt(node: str, playbook: Playbook, world: World) -> list[Observation]:
    """A refused node was not loaded; that is said once, as BUSY."""
    return [
        Observation(node, stage.trial.name, world.clock(), skip="not loaded: see busy")
        for stage in playbook.stages
    ]


def as_probe(trial: Trial) -> Probe:
    """How judge and observe see a trial."""
    return Probe(Question(trial.name), trial.parse, trial.yields, trial.about)
