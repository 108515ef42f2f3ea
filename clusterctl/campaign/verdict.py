"""A campaign's files -> its Run: readings, results of steps, burnt time, and what became of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import reduce
from pathlib import Path
from statistics import median
from typing import Any

from clusterctl.acceptance import samples_share
from clusterctl.campaign import boards, sampled, stressors
from clusterctl.campaign import folder as campaign_folder
from clusterctl.campaign.decisions import Case, Order, wanted_s
from clusterctl.campaign.journal import Step
from clusterctl.campaign.stressors import Vain
from clusterctl.judge import OwnPast, Past, judge, nothing_known
from clusterctl.limits import Sku
from clusterctl.model import (
    Accelerator,
    Burn,
    Fact,
    Finding,
    Kind,
    Node,
    Observation,
    Playbook,
    Probe,
    Run,
    Severity,
    Stage,
    Status,
    Trouble,
    Verdict,
)
from clusterctl.observe import hear, observe
from clusterctl.run import BUSY, as_probe, loaded, refusal, together
from clusterctl.transport.replay import Replay
from clusterctl.verdicts import number_in

AGAIN = "again"
BURNT, REBOOTED, TRACES, STEPS = "burnt_time", "unexpected_reboot", "traces", "soak_steps"
SAMPLES, CLOCK, SILENT = "samples", "clock_stepped", "silent_under_load"
NOBODY = Trouble(Kind.CUT, "the step never ended")


def reading(path: Path, node: Node, playbook: Playbook, which: str) -> list[Observation] | None:
    """What was said then, parsed; None: there was no such reading."""
    file = campaign_folder.reading_of(path, node.name, which)
    said = campaign_folder.read_reading(path, node.name, which)
    if said is None:
        return None
    at = datetime.fromtimestamp(file.stat().st_mtime, UTC)
    return observe(node, playbook.probes, Replay(said), lambda: at)


def every_stage(playbook: Playbook) -> dict[str, Stage]:
    load = playbook.soak.load if playbook.soak else ()
    return {stage.trial.name: stage for stage in (*load, *playbook.stages)}


def result(case: Case, stage: Stage, step: Step, at: datetime) -> Observation:
    answer = replace(step.answer(), name=stage.trial.name)
    return hear(case.node, as_probe(stage.trial), answer, NOBODY, at)


def results(case: Case, playbook: Playbook, at: datetime) -> Iterator[Observation]:
    """One observation a trial: of all its steps, soak or not, the worst of each part."""
    case.vain.clear()
    for name, stage in every_stage(playbook).items():
        ended = [case.course.ended[one.identity] for one in case.orders
                 if one.identity in case.course.ended]  # fmt: skip
        steps = [one for one in (*ended, *case.course.soaked) if one.name == name]
        said = [(one, result(case, stage, one, at)) for one in steps]
        for step, seen in said:
            heed_step(case, stage, step, seen)
        kept = [seen for one, seen in said if one.identity not in case.empty]
        if kept:
            seen = reduce(together, kept)
            yield replace(seen, facts=tuple(worst(seen.facts)))
        elif stage in playbook.stages:
            yield unheard(case, playbook, stage, at)


def heed_step(case: Case, stage: Stage, step: Step, seen: Observation) -> tuple[Vain, ...]:
    """Of one that needs nobody else: what it brought nothing for."""
    if stage.trial.partners > 1 or stage.trial.together:
        return ()
    vain = stressors.in_vain(step, seen)
    stressors.heed(case.vain, step.name, vain)
    return vain


def without_facts(case: Case, playbook: Playbook, at: datetime) -> set[str]:
    """Orders whose answer held no fact, which are made again; but not where there is no engine."""
    stages = every_stage(playbook)
    found = set()
    for order in case.orders:
        step = case.course.ended.get(order.identity)
        if step is None:
            continue
        stage = stages.get(step.name)
        if stage is None:  # by the node's word something else ran
            found.add(order.identity)
            continue
        seen = result(case, stage, step, at)
        again = is_worth_another(stage, step, seen)
        if brought_nothing(order, seen) if len(order.group) > 1 else again:
            found.add(order.identity)
    return found


def brought_nothing(order: Order, seen: Observation) -> bool:
    """Of a group: the first tells its result; who else ends without a word did its part of it."""
    return not seen.facts and (order.index == 0 or bool(seen.troubles))


def is_worth_another(stage: Stage, step: Step, seen: Observation) -> bool:
    """It crashed or hung alone."""
    alone = stage.trial.partners == 1 and not stage.trial.together
    return alone and stressors.crashed(stressors.in_vain(step, seen))


def unheard(case: Case, playbook: Playbook, stage: Stage, at: datetime) -> Observation:
    """Why a stage has no result: it was not its turn, it had no partner, or it never ended."""
    number = playbook.stages.index(stage)
    name = stage.trial.name
    if number in case.lonely:
        return Observation(case.node.name, name, at, skip=case.lonely[number])
    if case.refused or case.failed or not any(one.stage == number for one in case.orders):
        why = case.refused or case.why or "its turn never came"
        return Observation(case.node.name, name, at, skip=f"not loaded: {why}")
    gone = replace(NOBODY, detail="every attempt was cut short or held no result")
    return Observation(case.node.name, name, at, troubles=(gone,))


def worst(facts: Iterable[Fact]) -> Iterator[Fact]:
    """Three days of soak say the same thing of a part hundreds of times."""
    burns: dict[tuple[str, ...], Burn] = {}
    for fact in facts:
        if not isinstance(fact, Burn):
            yield fact
            continue
        key = (fact.part, fact.engine, fact.precision, fact.digest, fact.unit, fact.rate_unit)
        if key not in burns or badness(fact) > badness(burns[key]):
            burns[key] = fact
    yield from burns.values()


def badness(burn: Burn) -> tuple[float, ...]:
    errors = -1 if burn.errors is None else burn.errors  # not checked at all is worse than right
    share = 1.0 if burn.covered is None else burn.covered
    return (max(errors, 0), float(errors < 0), -share, -(burn.rate or 0.0))


def probes_of(playbook: Playbook) -> dict[str, Probe]:
    probes = {probe.name: probe for probe in playbook.probes}
    return probes | {name: as_probe(one.trial) for name, one in every_stage(playbook).items()}


def failing(
    node: Node, playbook: Playbook, seen: Sequence[Observation], skus: Sequence[Sku]
) -> str:
    """What of it fails, as far as one node alone can tell; empty: nothing."""
    probes = probes_of(playbook)
    there = {kind for one in seen for kind in probes[one.probe].yields}
    checks = tuple(
        check
        for check in playbook.checks
        if check.scope == "node" and there.issuperset(check.wants)
    )
    found = judge(replace(playbook, checks=checks), [node], seen, probes=probes, skus=skus)
    bad = [one for one in found if one.verdict.status is Status.FAIL]
    return f"{bad[0].check}: {bad[0].verdict.part}: {bad[0].verdict.actual}" if bad else ""


# --------------------------------------------------------------------------- the whole


@dataclass(frozen=True, slots=True)
class Told:
    """All that judging needs of one node.  What the steps of `case` printed is gone: see `seen`.

    `before`: the reading before the load, where there was one after it.
    """

    case: Case
    before: tuple[Observation, ...]
    seen: tuple[Observation, ...]


def verdict(
    opening: Run,
    told: Iterable[Told],
    skus: Sequence[Sku],
    now: datetime,
    *,
    own_past: OwnPast = nothing_known,
) -> Run:
    """`opening`: the run as it began.  Any time: what was not burnt is said."""
    playbook, nodes = opening.playbook, opening.nodes
    cases: list[Case] = []
    before: list[Observation] = []
    seen: list[Observation] = []
    watched: list[sampled.Known] = []
    for one in told:
        cases.append(one.case)
        first = one.before or one.seen
        watched.append(sampled.Known(one.case.node, first, one.case.course.watched))
        before += one.before
        seen += one.seen
    spans = {case.node.name: span_s(case, now) for case in cases if "gate" in case.times}
    past = Past(before, median(spans.values()) if spans else None, spans)
    findings = judge(
        playbook, nodes, seen,
        probes=probes_of(playbook), skus=skus, past=past, own_past=own_past,
    )  # fmt: skip
    findings += sampled.news(findings, sampled.findings(watched, playbook, skus, now, spans=spans))
    strict = {case.node.name for case in cases if case.bar and case.bar["strict"]}
    findings = [stricter(one) if one.verdict.node in strict else one for one in findings]
    findings += [one for case in cases for one in own_findings(case, playbook)]
    findings += [one for case, known in zip(cases, watched, strict=True)
                 for one in sampled_enough(case, known)]  # fmt: skip
    return replace(
        opening,
        finished=now,
        observations=tuple(seen),
        findings=tuple(findings),
        earlier=tuple(before),
        past_s=past.seconds,
        complete=all(case.phase == "done" and not case.stopped for case in cases),
    )


def span_s(case: Case, now: datetime) -> float:
    """From the reading before the load to the one after it, or to when there could be none."""
    gate, *ends = (
        datetime.fromisoformat(case.times[one])
        for one in ("gate", "read", "end", "done")
        if one in case.times
    )
    return ((ends or [now])[0] - gate).total_seconds()


def own_findings(case: Case, playbook: Playbook) -> Iterator[Finding]:
    name, course = case.node.name, case.course
    if case.refused:
        yield Finding(BUSY, refusal(case.node, case.refused))
        return
    if case.forced:
        yield Finding(BUSY, loaded(case.node, case.held, case.forced))
    if case.bar is not None:
        yield Finding(AGAIN, once_more(case, case.bar))
    yield Finding(BURNT, burnt(case, playbook))
    if len(course.boots) > 1:
        yield Finding(
            REBOOTED,
            Verdict(
                name,
                "node",
                Status.FAIL,
                expected="no reboot under load",
                actual=f"{len(course.boots) - 1} reboots",
                why="nobody of ours asked for one; the time it cost is not counted as burnt",
                remedy="read the BMC's event log and the journal of the last boot",
                severity=Severity.ISOLATE,
                source="Crusoe burn-in: a burn-in that a node does not stay up for is failed",
            ),
        )
    if case.outages:
        yield Finding(SILENT, silent(name, case.outages))
    yield from boards.findings(case.boards)
    if course.watched.jumps_s:
        yield Finding(CLOCK, stepped(name, course.watched.jumps_s))
    if course.corrupt:
        yield Finding("journal", unsure(name, "journal", f"{course.corrupt} records are damaged"))
    yield from stressors.findings(name, case.vain)
    if course.lives and not course.soaked and case.why == "burnt":
        yield Finding(STEPS, unsure(name, "soak", "no step of the soak came to its end"))
    if case.left:
        yield Finding(TRACES, unsure(name, "node", f"something may be left there: {case.why}"))


def silent(node: str, outages: Sequence[str]) -> Verdict:
    return Verdict(
        node,
        "node",
        Status.WARN,
        expected="an answer under load",
        actual=outages[-1],
        why=f"it did not answer for a time; its BMC was asked and said {len(outages)} thing(s)",
        remedy="where power or the system went, read the BMC's event log; else the network",
        severity=Severity.OBSERVE,
        source="its BMC",
    )


def stepped(node: str, jumps_s: Sequence[float]) -> Verdict:
    return Verdict(
        node,
        "clock",
        Status.WARN,
        expected="no step of the wall clock",
        actual=", ".join(f"{jump_s:+g} s" for jump_s in jumps_s[:3]),
        why=f"it was set {len(jumps_s)} times under load; burnt time does not go by it",
        remedy="look at chrony and at who else sets the clock",
        severity=Severity.OBSERVE,
        source="the node's monotonic clock",
    )


def sampled_enough(case: Case, known: sampled.Known) -> Iterator[Finding]:
    """Of the samples due under load, how many there are, and in how many NVML answered."""
    burning, watched, limit = case.course.burning, known.watched, samples_share()
    due, share = burning.due - 1, number_in(limit)  # one may fall on the edge of a step
    cards = [fact for one in known.before for fact in one.facts
             if isinstance(fact, Accelerator) and fact.vendor == "nvidia"]  # fmt: skip
    seen = {"node": burning.got}
    if cards and (watched.blind or not watched.answered):
        seen["accelerators"] = burning.got - watched.blind if watched.answered else 0
    if left_out := case.course.left_out:
        why = f"{left_out} files were not sampled"
        yield Finding(SAMPLES, unsure(case.node.name, "files", why))
    for part, got in seen.items() if due >= 1 else ():
        expected, actual = f"≥ {share:.0%} of {due:.0f} samples", f"{got} samples"
        verdict = Verdict(case.node.name, part, Status.PASS, expected, actual, source=limit.source)
        if got < share * due:
            why = "under load nobody looked for so long: the sampler stood still, or NVML was mute"
            verdict = replace(
                unsure(case.node.name, part, why),
                expected=expected, actual=actual, source=limit.source,
            )  # fmt: skip
        yield Finding(SAMPLES, verdict)


def stricter(finding: Finding) -> Finding:
    """A warning fails a node that has been here too often."""
    if finding.verdict.status is not Status.WARN:
        return finding
    why = f"{finding.verdict.why}; a warning fails a node of this history: see {AGAIN}"
    return replace(finding, verdict=replace(finding.verdict, status=Status.FAIL, why=why))


def once_more(case: Case, bar: Mapping[str, Any]) -> Verdict:
    """What its history is, and what it demanded; that there is none is said, too."""
    found = ", ".join(bar["earlier"])
    absent = f"no QUARANTINE or RETURN of it in {bar['looked']}"
    expected = f"{bar['hours']:.6g} h burnt" + ", without a warning" * bar["strict"]
    verdict = Verdict(
        case.node.name, "node", Status.WARN,
        expected=expected if found else "its history",
        actual=found or absent,
        why="history raises the bar" if found else "so the bar is the playbook's own",
        remedy="" if found else "if it was burnt elsewhere, name that --runs-dir",
        source=bar["source"] or "what is not found is said, not passed over",
    )  # fmt: skip
    if not bar["lacks"]:
        return verdict
    why = f"this campaign does not load what that one did: {', '.join(bar['lacks'])}"
    return replace(
        verdict, status=Status.UNKNOWN, why=why, remedy="burn it again with that run's playbook"
    )


def burnt(case: Case, playbook: Playbook) -> Verdict:
    want_s, got_s = wanted_s(case, playbook), case.course.burnt_s
    expected, actual = f"{want_s / 3600:.6g} h burnt", f"{got_s / 3600:.6g} h burnt"
    if got_s >= want_s:
        return Verdict(case.node.name, "node", Status.PASS, expected, actual)
    verdict = unsure(case.node.name, "node", case.why or "it is not at its end")
    return replace(verdict, expected=expected, actual=actual)


def unsure(node: str, part: str, why: str) -> Verdict:
    return Verdict(
        node,
        part,
        Status.UNKNOWN,
        expected="the whole campaign",
        actual="not the whole",
        why=why,
        remedy="burn it again",
        severity=Severity.OBSERVE,
        source="what was not burnt and sampled is never accepted",
    )
