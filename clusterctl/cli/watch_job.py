"""clusterctl watch-job: sample a job lightly until stopped, triage it when its steps get slower."""

from __future__ import annotations

import time
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from clusterctl.cli import options
from clusterctl.cli import triage_collectives as collectives
from clusterctl.cli import triage_live as live
from clusterctl.cli import world as ambient
from clusterctl.cli.language import Lang
from clusterctl.cli.triage_past import around
from clusterctl.cli.watch_job_screen import Display
from clusterctl.cli.watch_job_told import Found, Outlet, alarmed
from clusterctl.cli.world import Flags
from clusterctl.model import Pace, Playbook, UserError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from clusterctl.triage.watching.asked import Away, Line
    from clusterctl.triage.watching.watched import Job

LOOK_S = 1.0  # at the clock, where no node says anything
KEPT = 64  # lines of a node that wait for a triage to end
FIND_S = 60.0  # for a first rank
RING_MB = 256
DURATION = "e.g. 90s, 10m, 6h"


def watch_job(
    *,
    slurm: live.Slurm = "",
    kube: live.Kube = "",
    kubeconfig: live.Kubeconfig = None,
    pids: live.Pids = "",
    job: live.JobName = "",
    lasts: Annotated[str, typer.Option("--for", help=f"End after this, {DURATION}.")] = "",
    cool_down: Annotated[
        str, typer.Option("--cool-down", help=f"Between two triages, {DURATION}.")
    ] = "10m",
    ring_mb: Annotated[
        int, typer.Option("--ring", min=1, help="Megabytes of samples that are kept.")
    ] = RING_MB,
    seconds: live.Seconds = 10.0,
    stacks: collectives.WithStacks = None,
    looks: collectives.Looks = 3,
    apart_s: collectives.ApartS = 1.0,
    native: collectives.NativeFrames = False,
    spy_folder: collectives.SpyFolder = None,
    inventory: options.Inventory = None,
    nodes: options.Nodes = "",
    select: options.Select = "",
    at_once: options.AtOnce = None,
    accept_new: options.AcceptNew = False,
    ssh_config: options.SshConfig = None,
    runs_dir: options.RunsDir = None,
    form: options.TableOrJson = options.Format.TABLE,
    _lang: Lang = None,
) -> None:
    """Sample a running job lightly until stopped; triage it when its steps get slower."""
    given = collectives.Given(
        stacks=stacks is not False,
        looks=looks,
        apart_s=apart_s,
        native=native,
        spy_folder=spy_folder,
    )
    whose = live.Whose(slurm, kube, kubeconfig, pids, job)
    flags = Flags(inventory, nodes, select, at_once, accept_new, runs_dir, ssh_config)
    ends_s = options_s("--for", lasts) if lasts else None
    cool_down_s = options_s("--cool-down", cool_down)
    there = around(flags)
    ambient.logs()
    with ExitStack() as closing:
        heard, watched = begun(whose, flags, closing)
        watched.cool_down_s = cool_down_s
        told = closing.enter_context(Outlet(watched, flags, form, ring_mb << 20))
        show = closing.enter_context(Display(told))
        look = partial(alarmed, whose, given, flags, there, seconds)
        found = watching(heard, told, show, ends_s, look)
    raise typer.Exit(found)


def options_s(flag: str, text: str) -> float:
    """Raises UserError."""
    from clusterctl.spelling import Unreadable
    from clusterctl.spelling import seconds as spelt

    try:
        return spelt(text)
    except Unreadable as error:
        raise UserError(f"{flag}: {error}") from None


def begun(
    whose: live.Whose, flags: Flags, closing: ExitStack
) -> tuple[Generator[Line | Away | None], Job]:
    """What all nodes say as it comes, and the job.  Raises UserError."""
    from clusterctl.fanout import merged
    from clusterctl.triage.running.ask import Wanted
    from clusterctl.triage.watching.asked import FOREVER_S, follow, questions
    from clusterctl.triage.watching.watched import Job, Watched

    wanted, nodes = live.located(whose, flags, closing)
    book = ambient.paced(Playbook("watch-job"), max(Pace().at_once, len(nodes)))
    transport = ambient.reach(book.pace, flags, nice=19, closing=closing)(FOREVER_S)
    asked = {node.name: questions(wanted.get(node.name, Wanted()), whose.job) for node in nodes}
    heard = merged(
        nodes,
        lambda node: follow(node, asked[node.name], transport, time.sleep),
        every_s=LOOK_S,
        kept=KEPT,
    )
    closing.callback(heard.close)
    watched = Job({node.name: Watched(node.name) for node in nodes}, name=whose.job)
    watched.began = time.monotonic()
    return heard, watched


def watching(
    heard: Iterator[Line | Away | None],
    told: Outlet,
    show: Display,
    ends_s: float | None,
    look: Found,
) -> int:
    """Until the job has ended or the time is over; the exit code.  Raises UserError."""
    from clusterctl.triage.watching.asked import Away, Line
    from clusterctl.triage.watching.watched import ALARMS

    job, due = told.job, 0.0
    for news in heard:
        at = time.monotonic()
        if isinstance(news, Line):
            told.keep(news, at)
        elif isinstance(news, Away):
            told.lacks(news)
        if news is not None and at < due:
            continue  # what follows looks at all nodes: not once a line of each
        due = at + LOOK_S
        live_jobs(job, told)
        told.turns(at)
        event = job.tick(at)
        if event is not None:
            told.happens(event)
            if event.what in ALARMS:
                told.triaged(look)
                job.missed(time.monotonic() - at)
        show.draw(at)
        over = job.over_since(at)
        if over is not None or (ends_s is not None and at - job.began >= ends_s):
            return told.ends(at, over)
        if at - job.began > FIND_S and not told.found:
            return told.ends(at, at)
    return told.ends(time.monotonic(), None)


def live_jobs(job: Job, told: Outlet) -> None:
    """Raises UserError where several jobs run at first and none was asked for.

    Later it is said: a job that begins anew may have another name, which nodes tell one by one.
    """
    names = sorted(job.jobs())
    if len(names) < 2 or job.name or names == told.jobs:
        return
    why = f"several jobs run there, say --job: {', '.join(names)}"
    if not told.learnt:
        raise UserError(why)
    told.jobs = names
    told.notice("jobs", why)
