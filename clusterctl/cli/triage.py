"""clusterctl triage: why is this job slow, whose fault is it, what to do next."""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clusterctl.cli import options
from clusterctl.cli import triage_collectives as collectives
from clusterctl.cli import triage_links as links
from clusterctl.cli import triage_live as live
from clusterctl.cli import triage_past as looking_back
from clusterctl.cli.language import Lang
from clusterctl.cli.screen import columns, show
from clusterctl.cli.world import Flags
from clusterctl.model import UserError

if TYPE_CHECKING:
    from clusterctl.triage.past.known import Past
    from clusterctl.triage.timeline.classify import Told


def triage(
    more: Annotated[
        list[Path] | None, typer.Argument(metavar="[FILE]...", help="More files of --trace.")
    ] = None,
    *,
    trace: Annotated[
        list[Path] | None,
        typer.Option(
            "--trace",
            help="Operations as parquet, Kineto JSON (.gz) one a rank, or step-time logs.",
        ),
    ] = None,
    meta: Annotated[
        Path | None,
        typer.Option("--meta", help="YAML: dp_size, pp_size, …, nodes, ranks_per_node."),
    ] = None,
    slurm: live.Slurm = "",
    kube: live.Kube = "",
    kubeconfig: live.Kubeconfig = None,
    pids: live.Pids = "",
    job: live.JobName = "",
    seconds: live.Seconds = 10.0,
    flight: collectives.FlightFolder = None,
    ras: collectives.RasAnswers = None,
    inspector: collectives.InspectorFolder = None,
    log: collectives.LogFiles = None,
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
    form: options.OutputFormat = options.Format.TABLE,
    probe_links: links.ProbeLinks = False,
    force: links.Force = False,
    why: links.Why = "",
    runs_at: looking_back.RunsAt = None,
    page: Annotated[
        Path | None,
        typer.Option("--html", help="Write the answer as one self-contained page here, too."),
    ] = None,
    _lang: Lang = None,
) -> None:
    """Say why a training job is slow: workload, congestion or hardware, and who."""
    files = [*(trace or ()), *(more or ())]
    given = collectives.Given(
        flight, ras or (), inspector, log or (), bool(stacks), looks, apart_s, native, spy_folder
    )
    probing = links.probing(wanted=probe_links, force=force, why=why, runs_at=runs_at)
    whose = live.Whose(slurm, kube, kubeconfig, pids, job)
    flags = Flags(inventory, nodes, select, at_once, accept_new, ssh_config=ssh_config)
    if files and whose.any:
        raise UserError(
            "triage: --trace is of a job that ran, --slurm, --kube and --pids are of one that "
            "runs: give one or the other"
        )
    there = looking_back.around(flags)
    if not files and (whose.any or ((inventory or nodes) and not given.any)):
        given = replace(given, stacks=stacks is not False)
        reading = partial(live.running, whose, given, flags, seconds, probing)
        collectives.answer(given, flags, form, page, there=there, runs_at=runs_at, live=reading)
    if probe_links:
        raise UserError("--probe-links: say where the job runs: --nodes, --slurm, --kube or --pids")
    if given.any and not files:
        collectives.answer(given, flags, form, page, there=there, runs_at=runs_at)
    if not files:
        raise UserError(
            "triage: say where the job runs (--slurm 12345, --kube NAMESPACE/SELECTOR, --nodes "
            "n[001-064], --pids n01:123), or what it left (--trace, --flight, --ras, --inspector, "
            "--log FILE…)"
        )
    told = read(files, meta)
    if given.any:
        told = replace(told, triage=collectives.beside(told.triage, given, flags))
    from clusterctl.report.past import as_text
    from clusterctl.report.triage import exit_code

    found, then = looking_back.looked_back(told.triage, there, runs_at)
    told = replace(told, triage=found)
    if page is not None:
        collectives.write_page(told.triage, told.study, page, as_text(then))
    write(told, then, form)
    raise typer.Exit(exit_code(told.triage))


def read(files: list[Path], meta: Path | None) -> Told:
    from clusterctl.triage.timeline import traces

    if meta is None:
        return traces.triage(files)
    from clusterctl.yaml_files import read_mapping

    return traces.triage(files, read_mapping(meta))


def write(told: Told, then: Past, form: options.Format) -> None:
    from clusterctl.report import past, timeline, triage

    if form is options.Format.JSON:
        more = {**timeline.figures(told.study), "past": past.as_data(then)}
        sys.stdout.write(triage.as_json(told.triage, more))
    elif form is options.Format.CSV:
        sys.stdout.write(triage.as_csv(told.triage))
    else:
        show(triage.as_table(told.triage))
        show(past.as_lines(then))
        if told.study is not None:
            show(timeline.as_table(told.study, columns(sys.stdout)))
