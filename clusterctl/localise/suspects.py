"""From measured paths to the parts that slow them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clusterctl.localise import blame, evidence, scores
from clusterctl.localise.columns import FAILED, MISSING, OK, UNKNOWN, Measured, Topology
from clusterctl.localise.confirm import next_tests
from clusterctl.localise.evidence import ALWAYS, Fault, Model, State
from clusterctl.localise.located import Floor, Inconclusive, Located, Rival, Suspect, Test
from clusterctl.localise.noise import FAILED_LOG
from clusterctl.localise.paths import HOST, KINDS, LEAF, SPINE, paths_of
from clusterctl.localise.schedule import take
from clusterctl.localise.split import apart
from clusterctl.localise.unseen import unseen
from clusterctl.localise.verdict import judge

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

NAMED = 0.9  # posterior, of the component and those that traffic cannot tell from it
LEAST = 0.985  # a NIC or link that surely stays under this is worth a name
LEAST_OF_MANY = 0.98  # ... a host or switch: what many flows lack alike is more often its make
LEVEL_BELOW = 0.56  # spreads by which the slower of two equal parts lies low on average
HOPELESS = 0.35  # one sigma of ln rate; half the rate would be seen by chance
SURE = 1.28  # sigmas: nine in ten
MENTIONED = 0.05
SUREST = 0.9995  # no model of noise is right to more than that
ASKED = 0.005  # posterior from which a test is worth its time
SHOWN = 8  # tests quoted for and against
PAIR = 2

ADVICE = {
    "host": "look for throttling, PCIe width and speed, NUMA pinning and foreign load on the host; "
    "run its GPU and memory trials alone",
    "nic-tx": "check transmit optics, cable and switch port; run a loopback on the NIC: clean "
    "means cable or port, slow means NIC or PCIe",
    "nic-rx": "check receive optics, cable and switch port, and pause frames sent; run a loopback "
    "on the NIC: clean means cable or port, slow means NIC or PCIe",
    "leaf": "check the leaf switch: buffer and PFC settings, temperature, firmware",
    "uplink": "check optics and cable from this leaf to the spine; compare FEC and symbol errors "
    "of both ports",
    "downlink": "check optics and cable from the spine to this leaf; compare FEC and symbol errors "
    "of both ports",
    "spine": "check the spine switch: links below speed, buffer settings, temperature, firmware",
    "uplinks": "read the transmit counters of this leaf's uplinks: one of them is slow or they "
    "are unevenly used",
    "downlinks": "read the receive counters of this leaf's uplinks: one of them is slow or they "
    "are unevenly used",
}


def locate(
    topology: Topology,
    measured: Measured,
    *,
    floors: Sequence[Floor] = (),
    priors: Mapping[str, float] | None = None,
    sought: Measured | None = None,
) -> Located:
    """Which components slow the paths across them, how sure, and what to test next.

    `priors` multiplies the odds of components by name, `{"nic-tx:n0017/3": 20}` for a port whose
    counters complain; counters alone convict nobody.  `sought`: the tests that were wanted, where
    not every port was to be tested both ways.  Rows whose status is FAILED count as evidence,
    those MISSING do not.  Never raises on rows whose indices are within the topology.
    """
    count = [int((measured.status == status).sum()) for status in (OK, FAILED, MISSING)]
    rows = once(measured)
    if not (rows.status == OK).any():
        why = "no test gave a rate"
        return Located((), (Inconclusive("*", why),), (), (), *count)
    paths = paths_of(topology, rows)
    judged = judge(rows, paths, floors)
    scatter = min(
        float(np.median(judged.noise.sigma[judged.stratum == one]))
        for one in np.unique(judged.stratum)
    )
    if scatter > HOPELESS:
        why = f"rates scatter by {scatter:.0%} where nothing is wrong: test longer, or alone"
        return Located((), (Inconclusive("*", why),), judged.population, (), *count)
    model = evidence.model_of(paths, judged, rows.round, priors or {})
    candidates = scores.screen(model)
    model = evidence.relearned(model, blame.greedy(model, candidates))
    faults = blame.settle(model, candidates, blame.greedy(model, candidates))
    faults = apart(model, candidates, faults)
    full = evidence.after(model, faults)
    findings = [finding(model, rows, candidates, faults, one, full=full) for one in faults]
    open_ones = unsettled(model, candidates, faults)
    weighed = {one.fault.component: one for one in findings}
    suspects = [suspect(model, rows, one) for one in findings if one.named]
    suspects.sort(key=lambda one: (-one.posterior, one.rate))
    doubts = {
        **open_ones,
        **{at: p for one in findings for at, p in one.rivals if p >= ASKED},
        **{one.fault.component: one.posterior for one in findings},
    }
    alone = () if floors or suspects else compared(rows)
    return Located(
        tuple(suspects),
        (*doubtful(model, rows, findings, open_ones), *alone, *unseen(topology, rows, sought)),
        judged.population,
        next_tests(
            model,
            rows,
            {at: p for at, p in doubts.items() if p >= ASKED},
            {at for at, one in weighed.items() if one.sure},
        ),
        *count,
    )


def compared(rows: Measured) -> tuple[Inconclusive, ...]:
    """A doubt about all where two nodes met nobody else: both may be slow alike."""
    if len(np.union1d(rows.src, rows.dst)) > PAIR:
        return ()
    why = "two nodes alone have nobody to be compared with: measure a third, or give --floor"
    return (Inconclusive("*", why),)


def once(measured: Measured) -> Measured:
    """The rows that ran; one row for tests given twice, with their median rate."""
    ran = (measured.status != MISSING) & (measured.src != measured.dst)
    rate = np.where(measured.status == OK, measured.gbit_s, np.nan)
    dead = (measured.status == FAILED) | ~(np.nan_to_num(rate) > 0)
    rows = take(measured, ran)
    rate, dead = np.where(dead, np.nan, rate)[ran], dead[ran]
    columns = [rows.round, rows.src, rows.dst, rows.rail, rows.via]
    order = np.lexsort((rate, *columns))
    same = np.zeros(len(order), dtype=bool)
    if len(order):
        same[1:] = np.all([column[order][1:] == column[order][:-1] for column in columns], axis=0)
    first = np.flatnonzero(~same)
    good = np.add.reduceat(np.isfinite(rate[order]), first) if len(first) else first
    middle = order[first + np.maximum(good - 1, 0) // 2]
    kept = take(rows, middle)
    status = np.where(dead[middle], FAILED, OK).astype(np.int8)
    return Measured(kept.round, kept.src, kept.dst, kept.rail, kept.via, rate[middle], status)


@dataclass(frozen=True, slots=True)
class Weighed:
    """One fault, against those that could take its place."""

    fault: Fault
    posterior: float
    rivals: tuple[tuple[int, float], ...]
    twins: frozenset[int]  # crossed by just the same rows: no traffic so far tells them apart
    without: State
    measured: tuple[float, float] | None  # ln rate, sigma; None: every test failed
    least: float  # rate under which it is worth a name

    @property
    def together(self) -> float:
        return self.posterior + sum(p for at, p in self.rivals if at in self.twins)

    @property
    def named(self) -> bool:
        if self.measured is not None:
            middle, wide = self.measured
            if middle + SURE * wide > np.log(self.least):
                return False
        return self.together >= NAMED

    @property
    def sure(self) -> bool:
        return self.together >= 0.99


def finding(
    model: Model,
    rows: Measured,
    candidates: Ints,
    faults: list[Fault],
    fault: Fault,
    *,
    full: State,
) -> Weighed:
    """The fault taken out again, and its place offered to every component on its slow rows."""
    rest = [one for one in faults if one is not fault]
    without = evidence.after(model, rest)
    own_rows = model.rows_of(fault.component)
    slow = own_rows[evidence.gains(model, without, own_rows, np.array([fault.by]))[:, 0] > 1]
    crossed = model.paths.crossed[:, slow] if len(slow) else model.paths.crossed[:, own_rows]
    taken = [one.component for one in rest]
    near = candidates[np.isin(candidates, crossed) & ~np.isin(candidates, taken)]
    if fault.component not in near:
        near = np.append(near, fault.component)
    prior = blame.priors_with(model, rest)
    alone = scores.score(model, without, near, prior)
    given = scores.score(model, full, near, prior)
    replaces = (given.odds < alone.odds - 1) | (near == fault.component)
    gain = np.where(replaces, alone.fault, -np.inf)
    none = float(alone.none[near == fault.component][0])
    top = max(float(gain.max()), none)
    weight = np.exp(gain - top)
    share = weight / (weight.sum() + np.exp(none - top))
    order = np.argsort(-share, kind="stable")
    mine = int(np.flatnonzero(near == fault.component)[0])
    rivals = tuple(
        (int(near[at]), float(share[at])) for at in order if at != mine and share[at] > 1e-4
    )
    twins = frozenset(
        at
        for at, _ in rivals
        if (other := model.rows_of(at).tolist()) and set(other) == set(own_rows.tolist())
    )
    measured = estimate(model, rows, fault, without, own_rows)
    many = model.paths.kind[fault.component] in {HOST, LEAF, SPINE}
    least = LEAST_OF_MANY if many else LEAST
    return Weighed(fault, float(share[mine]), rivals, twins, without, measured, least)


def unsettled(model: Model, candidates: Ints, faults: list[Fault]) -> dict[int, float]:
    """Components beyond the faults that may yet be slow, with their posterior."""
    taken = [one.component for one in faults]
    left = candidates[~np.isin(candidates, taken)]
    state = evidence.after(model, faults)
    found = scores.score(model, state, left, blame.priors_with(model, faults))
    chance = 1 / (1 + np.exp(-np.clip(found.odds, -50, 50)))
    return {int(at): float(p) for at, p in zip(found.component, chance, strict=True) if p >= ASKED}


def suspect(model: Model, rows: Measured, one: Weighed) -> Suspect:
    component = one.fault.component
    mine = model.rows_of(component)
    gain = evidence.gains(model, one.without, mine, np.array([one.fault.by]))[:, 0]
    slow = mine[gain > 0]
    rate, low, high = 0.0, 0.0, float(np.exp(FAILED_LOG))
    if one.measured is not None:
        middle, wide = one.measured
        middle -= (
            LEVEL_BELOW * model.judged.spread
        )  # the level is that of the slowest part of healthy paths
        rate, low, high = (float(np.exp(min(middle + by * wide, 0.0))) for by in (0, -1.96, 1.96))
    name = model.paths.name(component)
    rivals = tuple(Rival(model.paths.name(at), round(p, 4)) for at, p in one.rivals if p >= ASKED)
    twins = [model.paths.name(at) for at in sorted(one.twins)]
    advice = ADVICE[KINDS[model.paths.kind[component]]]
    if twins:
        advice += f"; these tests cannot tell it from {', '.join(twins)}"
    return Suspect(
        name,
        rate,
        low,
        high,
        min(one.posterior, SUREST),
        rivals,
        tests(model, rows, slow[np.argsort(model.judged.residual[slow], kind="stable")][:SHOWN]),
        tests(model, rows, clearing(model, component, slow)),
        len(mine),
        len(np.unique(rows.round[slow])),
        advice,
    )


def estimate(
    model: Model, rows: Measured, fault: Fault, without: State, mine: Ints
) -> tuple[float, float] | None:
    """Its ln rate against the healthy one, and one sigma of that; None where it only fails."""
    at = mine
    if fault.mode != ALWAYS:
        at = mine[evidence.gains(model, without, mine, np.array([fault.by]))[:, 0] > 0]
    at = at[without.level[at] > fault.by / 2]
    if model.paths.kind[fault.component] in evidence.ENDPOINTS and (model.room[at] == 0).any():
        at = at[model.room[at] == 0]  # where flows share links, an endpoint shows less of itself
    at = at if len(at) else mine
    if (rows.status[at] == FAILED).mean() > 0.5:
        return None
    residual = model.judged.residual[at][rows.status[at] == OK]
    middle = float(np.median(residual))
    own = float(np.median(np.abs(residual - middle))) / 0.6745 if len(residual) > 3 else 0.0
    sigma = max(float(np.median(model.judged.noise.sigma[at])), own)
    # Parts differ a little in health, too, and the level is that of their slowest.
    level = max(0.002, model.judged.spread)
    return middle, float(np.sqrt(1.57 * sigma**2 / len(residual) + level**2))


def clearing(model: Model, component: int, slow: Ints) -> Ints:
    """Fast tests across what else the slow ones crossed: one for each, the clearest first."""
    crossed = model.paths.crossed
    others = np.unique(crossed[:, slow])
    others = others[(others >= 0) & (others != component)]
    fine = model.judged.z > -2
    chosen: dict[int, None] = {}
    for other in others.tolist():
        mine = model.rows_of(other)
        clean = mine[fine[mine] & ~(crossed[:, mine] == component).any(axis=0)]
        if len(clean):
            chosen[int(clean[0])] = None
        if len(chosen) > SHOWN:
            break
    return np.array(list(chosen), dtype=np.int64)


def tests(model: Model, rows: Measured, at: Ints) -> tuple[Test, ...]:
    nodes = model.paths.topology.nodes
    return tuple(
        Test(
            int(rows.round[row]),
            nodes[rows.src[row]],
            nodes[rows.dst[row]],
            int(rows.rail[row]),
            None if rows.via[row] == UNKNOWN else int(rows.via[row]),
            0.0
            if rows.status[row] == FAILED
            else round(float(np.exp(model.judged.residual[row])), 4),
        )
        for row in at.tolist()
    )


def doubtful(
    model: Model, rows: Measured, findings: Sequence[Weighed], open_ones: Mapping[int, float]
) -> list[Inconclusive]:
    """Not sure enough to be named; what would make it sure is among the tests to confirm."""
    slight = {one.fault.component for one in findings if one.together >= NAMED}
    found = {one.fault.component: one.posterior for one in findings if not one.named} | {
        at: p for at, p in open_ones.items() if p >= MENTIONED
    }
    said = []
    for at, p in sorted(found.items(), key=lambda item: -item[1]):
        mine = model.rows_of(at)
        slow = mine[model.judged.z[mine] < -model.judged.cut]
        rounds = len(np.unique(rows.round[slow]))
        why = (
            f"{len(slow)} of {len(mine)} tests across it were slow, in {rounds} "
            f"round{'' if rounds == 1 else 's'}: not enough to tell a fault from passing trouble "
            "or from its neighbours"
        )
        if at in slight:
            why = "it lags for good, but by no more than parts of equal health differ"
        said.append(Inconclusive(model.paths.name(at), why, round(p, 4)))
    return said
