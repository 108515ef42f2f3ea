"""Step times out of training logs: what the frameworks print, and CSV.

One number a step says little: whoever waits for the slowest prints the same as the slowest.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from math import nan
from pathlib import Path

import numpy as np

from clusterctl.model import UserError
from clusterctl.spelling import plain
from clusterctl.triage.timeline.damage import spread
from clusterctl.triage.timeline.operations import Floats
from clusterctl.triage.verdict import Cause, RuledOut, Suspect, Triage

NUMBER = r"(\d{1,9}(?:\.\d{1,9})?(?:[eE][-+]?\d{1,2})?)"
STEP = r"(?:global[ _])?(?:step|iteration|iter)s?\s*[:=]?\s*(\d{1,12})"
REST = ".{0,400}?"


def form(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


# Each with a line that it reads; (step, seconds or milliseconds).
FORMS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], tuple[int, float]]], ...] = (
    # Megatron-LM: iteration       10/  100 | … | elapsed time per iteration (ms): 1234.5 | …
    (
        form(rf"{STEP}{REST}elapsed time per iteration \(ms\):\s*{NUMBER}"),
        lambda hit: (int(hit[1]), float(hit[2]) / 1e3),
    ),
    # DeepSpeed: steps: 10 loss: 0.5 iter time (s): 1.234 samples/sec: 13.2
    (
        form(rf"{STEP}{REST}(?:iter|step)[ _]time ?\((ms|s)\):\s*{NUMBER}"),
        lambda hit: (int(hit[1]), unit(hit[3], hit[2])),
    ),
    # step 12 loss 2.1 time/iter 1.2 s;  iter 10: loss 4.2, time 123.45ms (nanoGPT)
    (
        form(
            rf"{STEP}{REST}(?:time/iter|time_per_iter|step_time|iter_time|batch_time|time|dt)"
            rf"\s*[:=]?\s*{NUMBER}\s*(ms|s|sec)\b"
        ),
        lambda hit: (int(hit[1]), unit(hit[2], hit[3])),
    ),
    # tqdm (Hugging Face): 12%|█▏        | 12/100 [00:15<01:50,  1.25s/it]
    (
        form(rf"(\d{{1,9}})/\d{{1,9}} \[[^\]]{{0,60}}?,\s*{NUMBER}(s/it|it/s)"),
        lambda hit: (int(hit[1]), each(float(hit[2]), hit[3])),
    ),
)
OF_LINE = re.compile(r"\[(?:default)?rank[ _:]?(\d{1,6})\]|\brank[ =:](\d{1,6})\b", re.IGNORECASE)
OF_NAME = re.compile(r"rank[_\-.]?(\d{1,6})|(\d{1,6})(?!.*\d)", re.IGNORECASE)
HEADS = {"rank", "step"}
SECONDS = {
    "seconds": 1.0,
    "second": 1.0,
    "time_s": 1.0,
    "step_time_s": 1.0,
    "s": 1.0,
    "ms": 1e-3,
    "time_ms": 1e-3,
    "step_time_ms": 1e-3,
    "milliseconds": 1e-3,
}
SPARSE = 1000  # places in the table of ranks and steps for each line, at most
LONGEST = 10_000  # characters of a line
LEAST = 8  # steps
SLOW, SIGMAS, OWN_SPREAD = 0.03, 4.0, 0.008  # as of workers in a trace of operations
FAR = 6.0
RARE = 0.4  # of steps
LEAST_LOSS = 0.02


def each(told: float, name: str) -> float:
    """Seconds; nan of no step a second."""
    if name.lower() == "s/it":
        return told
    return 1 / told if told else nan


def unit(number: str, name: str) -> float:
    return float(number) * (1e-3 if name.lower() == "ms" else 1.0)


@dataclass(frozen=True, slots=True)
class StepTimes:
    """`seconds`: [step, rank], nan where a rank did not tell."""

    seconds: Floats
    steps: tuple[int, ...]
    ranks: tuple[int, ...]
    unseen: tuple[str, ...] = ()


def read(files: Sequence[Path]) -> StepTimes:
    """Raises UserError where no line of any file tells of a step."""
    found: dict[tuple[int, int], float] = {}
    silent, unread = [], 0
    for number, file in enumerate(files):
        before = len(found)
        try:
            with file.open(encoding="utf-8", errors="replace", newline="") as text:
                unread += gather(text, own_rank(file, number, len(files)), found)
        except OSError as error:
            raise UserError(f"{file}: {error.strerror or error}") from None
        if len(found) == before:
            silent.append(file.name)
    if not found:
        raise UserError(
            f"{files[0]}: no line tells a step and its time; a trace is parquet, a Kineto JSON, "
            "CSV rank,step,seconds, or a log like 'step 12 … time/iter 1.2 s'"
        )
    ranks, steps = (len({key[at] for key in found}) for at in (1, 0))
    if ranks * steps > SPARSE * len(found) + 1024:
        raise UserError(
            f"{files[0]}: {len(found)} lines of {ranks} ranks and {steps} steps: nearly every one "
            "is of another, so they are no steps of one job"
        )
    unseen = [f"{name}: no line tells a step and its time" for name in silent]
    if unread:
        unseen.append(f"{unread} lines that look like a step but could not be read")
    return laid_out(found, unseen)


def own_rank(file: Path, number: int, files: int) -> int:
    hit = OF_NAME.search(file.name) if files > 1 else None
    return int(hit[1] or hit[2]) if hit else number


def gather(text: Iterator[str], rank: int, found: dict[tuple[int, int], float]) -> int:
    """How many lines could not be read."""
    first = next(text, "")
    columns = [name.strip().lower() for name in first.strip().split(",")]
    unit_of = next((name for name in columns if name in SECONDS), "")
    if set(columns) >= HEADS and unit_of:
        return table(text, columns, unit_of, found)
    for line in chain([first], text):
        for one in re.split(r"[\r\n]", plain(line[:LONGEST])):
            told = spoken(one)
            if told and np.isfinite(told[1]) and told[1] > 0:
                found.setdefault((told[0], of_line(one, rank)), told[1])
    return 0


def spoken(line: str) -> tuple[int, float] | None:
    for pattern, meaning in FORMS:
        hit = pattern.search(line)
        if hit:
            return meaning(hit)
    return None


def of_line(line: str, rank: int) -> int:
    hit = OF_LINE.search(line)
    return int(hit[1] or hit[2]) if hit else rank


def table(
    text: Iterator[str], columns: Sequence[str], unit_of: str, found: dict[tuple[int, int], float]
) -> int:
    bad = 0
    try:
        for row in csv.reader(text):
            cells: Mapping[str, str] = dict(zip(columns, row, strict=False))
            try:
                key = (int(cells["step"]), int(cells["rank"]))
                value = float(cells[unit_of]) * SECONDS[unit_of]
            except (KeyError, ValueError):
                bad += bool(row)
                continue
            if np.isfinite(value) and value > 0 and min(key) >= 0 and max(key) < 1 << 40:
                found[key] = value
            else:
                bad += 1
    except csv.Error:
        bad += 1
    return bad


def laid_out(found: Mapping[tuple[int, int], float], unseen: Sequence[str]) -> StepTimes:
    steps = sorted({step for step, _ in found})
    ranks = sorted({rank for _, rank in found})
    at, column = ({one: place for place, one in enumerate(many)} for many in (steps, ranks))
    seconds = np.full((len(steps), len(ranks)), np.nan)
    for (step, rank), value in found.items():
        seconds[at[step], column[rank]] = value
    return StepTimes(seconds, tuple(steps), tuple(ranks), tuple(unseen))


# ---------------------------------------------------------------------------------- judging


def judge(times: StepTimes) -> Triage:
    """A slow rank where ranks tell different times; else what the order of slow steps tells."""
    whole = np.isfinite(times.seconds).all(axis=1)
    seconds = times.seconds[whole]
    unseen = list(times.unseen)
    if not whole.all():
        unseen.append(f"{int((~whole).sum())} of {len(times.steps)} steps that not every rank told")
    if len(seconds) < LEAST:
        why = f"{len(seconds)} whole steps; at least {LEAST} tell chance from habit"
        return Triage(Cause.UNKNOWN, evidence=(why,), unseen=tuple(unseen))
    steps = np.array(times.steps)[whole]
    slow = slow_rank(times, seconds)
    job = np.max(seconds, axis=1)
    usual = float(np.median(job))
    if slow is not None:
        peers = float(np.median(np.median(seconds, axis=0)))
        return Triage(
            Cause.WORKER,
            usual / peers,
            suspects=(slow,),
            confidence=slow.confidence,
            evidence=("ranks tell different times, so these do not include the wait for others",),
            unseen=tuple(unseen),
        )
    return over_time(job, steps, usual, tuple(unseen))


def slow_rank(times: StepTimes, seconds: Floats) -> Suspect | None:
    if seconds.shape[1] < 3:
        return None
    own = np.log(seconds) - np.median(np.log(seconds), axis=1, keepdims=True)
    effect = np.median(own, axis=0)
    known = max(0, len(effect) - 4)
    sigma = np.sqrt((6 * OWN_SPREAD**2 + known * spread(effect[:, None]) ** 2) / (6 + known))
    top = int(effect.argmax())
    often = float((own[:, top] > effect[top] / 2).mean())
    if effect[top] < max(SLOW, SIGMAS * sigma) or often < 0.6:
        return None
    return Suspect(
        f"rank {times.ranks[top]}",
        (times.ranks[top],),
        "",
        float(np.exp(effect[top])),
        min(0.95, often),
        (
            f"its steps take {np.exp(effect[top]):.2f} times the other ranks'",
            f"in {often:.0%} of {len(seconds)} steps",
        ),
    )


def over_time(job: Floats, steps: Floats, usual: float, unseen: tuple[str, ...]) -> Triage:
    """Rare, long steps in even distances are checkpoints; other loss has no name here."""
    sigma = max(float(1.4826 * np.median(np.abs(job - usual))), 0.005 * usual)
    long = job > usual + max(FAR * sigma, 0.1 * usual)
    loss = float(job.mean() / usual - 1)
    told = (
        f"{len(job)} steps, usually {usual:.4g} s; {int(long.sum())} of them far longer, which "
        f"costs {max(loss, 0):.1%}"
    )
    cannot = RuledOut(
        Cause.WORKER, "cannot be told: ranks that wait for each other tell the same step time"
    )
    if loss < LEAST_LOSS or not long.any():
        return Triage(
            Cause.HEALTHY,
            max(1.0, 1 + loss),
            ruled_out=(cannot,),
            confidence=0.6,
            evidence=(told, "a job that was always slow looks the same in step times alone"),
            unseen=unseen,
        )
    apart = np.diff(steps[long])
    even = len(apart) > 1 and apart.std() <= 0.1 * apart.mean() and apart.mean() >= 2
    if even and long.mean() <= RARE:
        return Triage(
            Cause.CHECKPOINT,
            1 + loss,
            {Cause.CHECKPOINT: 1.0},
            confidence=0.8,
            ruled_out=(cannot,),
            evidence=(
                told,
                f"every {apart.mean():.0f} steps: a checkpoint, an evaluation, a collection on all",
            ),
            unseen=unseen,
        )
    return Triage(
        Cause.UNKNOWN,
        1 + loss,
        ruled_out=(cannot,),
        unseen=unseen,
        evidence=(told, "irregular: input, pauses and congestion look alike in step times"),
    )
